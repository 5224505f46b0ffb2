"""COCO files, from the JSON to scores."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import (
    SIDE,
    annotation,
    assert_commands_end_well,
    coco,
    corners,
    save_image,
    square,
    write_json,
)
from PIL import Image
from pycocotools import mask as reference
from pycocotools.coco import COCO

from delineo.data.check import Checkup, check_folder
from delineo.data.encoding import read_mask
from delineo.data.findings import Finding
from delineo.data.samples import DataFolder
from delineo.run import Run

# pycocotools 2.0.11 has not followed NumPy 2 in how arrays are converted
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Change = Callable[[dict[str, Any]], Any]


def write_images(folder: Path, count: int) -> list[str]:
    names = [f"p{number:02d}.png" for number in range(count)]
    for seed, name in enumerate(names):
        save_image(folder / name, seed + 100 * len(str(folder)))
    return names


def boxes(number: int) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """A sail and a hull that do not touch."""
    return (2 + number % 5, 3, 14, 12), (4, 16 + number % 6, 28, 30)


def boats(names: list[str]) -> dict[str, Any]:
    """A sail and a hull in each image; the category ids have gaps."""
    annotations = []
    for index in range(len(names)):
        sail, hull = boxes(index)
        annotations.append(annotation(2 * index + 1, index + 1, 7, [corners(hull)]))
        annotations.append(annotation(2 * index + 2, index + 1, 3, [corners(sail)]))
    return coco(names, {7: "hull", 3: "sail"}, annotations)


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    """One file for all images."""
    root = tmp_path / "harbour"
    write_json(root / "annotations.json", boats(write_images(root / "images", 12)))
    return root


def change(root: Path, how: Change, name: str = "annotations.json") -> Checkup:
    content = json.loads((root / name).read_text())
    how(content)
    write_json(root / name, content)
    return check_folder(root)


def found(checkup: Checkup, code: str) -> Finding:
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def masks(folder: DataFolder | None) -> dict[str, np.ndarray]:
    assert folder is not None
    return {s.id: read_mask(s, folder, (SIDE, SIDE)) for s in folder.samples}


def test_one_file_for_all_images(harbour: Path) -> None:
    checkup = check_folder(harbour)
    assert (checkup.ok, checkup.of("warning"), checkup.summary["task"]) == (True, (), "multiclass")
    assert checkup.layout == "COCO annotations (annotations.json)"
    assert checkup.summary["classes"] == ["background", "sail", "hull"]
    assert set(checkup.summary["parts"].values()) == {8, 2}
    assert any(
        "classes do not overlap, so each pixel has one class" in a for a in checkup.assumptions
    )
    for number, mask in enumerate(masks(checkup.folder).values()):
        expected = np.zeros((SIDE, SIDE), np.uint8)
        for value, box in enumerate(boxes(number), start=1):
            square(expected, box, value)
        assert np.array_equal(mask, expected)
    shares = [np.mean([m == v for m in masks(checkup.folder).values()]) for v in range(3)]
    assert list(checkup.summary["class_pixels"].values()) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("json_of", "images_of"),
    [
        ("annotations/instances_{}2017.json", "{}2017"),
        ("annotations/instances_{}2017.json", "images/{}2017"),
        ("annotations/{}.json", "{}/images"),
        ("{}/_annotations.coco.json", "{}"),
    ],
)
def test_one_file_for_each_part(tmp_path: Path, json_of: str, images_of: str) -> None:
    for part, count in (("train", 4), ("val", 3)):
        names = write_images(tmp_path / images_of.format(part), count)
        write_json(tmp_path / json_of.format(part), boats(names))
    write_json(tmp_path / "annotations/captions_train2017.json", {"images": [], "annotations": []})
    checkup = check_folder(tmp_path)
    assert checkup.ok and not checkup.of("warning")
    assert checkup.summary["parts"] == {"train": 4, "val": 3, "test": 0}
    assert checkup.folder is not None
    for sample in checkup.folder.samples:  # images of equal names: each part has its own
        assert f"{sample.part}" in str(sample.image.parent)


def test_other_files_of_cocos_own_download_are_left_alone(tmp_path: Path) -> None:
    names = write_images(tmp_path / "train2017", 4)
    write_json(tmp_path / "annotations/instances_train2017.json", boats(names))
    people = coco(names, {1: "person"}, [annotation(1, 1, 1, [corners((0, 0, 9, 9))])])
    write_json(tmp_path / "annotations/person_keypoints_train2017.json", people)
    write_json(tmp_path / "annotations/panoptic.json", {**people, "segments_info": 1})
    assert check_folder(tmp_path).summary["classes"] == ["background", "sail", "hull"]


def test_run_lengths_polygons_and_crowds_are_those_of_pycocotools(tmp_path: Path) -> None:
    """Every kind of outline in one category, drawn by pycocotools from the same file."""
    (name,) = write_images(tmp_path / "images", 1)
    rng = np.random.default_rng(0)
    blob = np.asfortranarray(rng.random((SIDE, SIDE)) < 0.2).astype(np.uint8)
    runs = np.diff(np.flatnonzero(np.diff(blob.T.ravel(), prepend=0, append=2)), prepend=0).tolist()
    packed = reference.encode(np.asfortranarray(np.roll(blob, 7, axis=1)))
    shapes = [
        [rng.uniform(-3, 36, 14).tolist(), rng.uniform(0, 32, 8).tolist()],
        {"size": [SIDE, SIDE], "counts": runs},
        {"size": [SIDE, SIDE], "counts": packed["counts"].decode()},
    ]
    path = write_json(
        tmp_path / "a.json",
        coco([name], {1: "crack"}, [annotation(n, 1, 1, s) for n, s in enumerate(shapes, 1)]),
    )
    (mask,) = masks(check_folder(tmp_path).folder).values()
    official = COCO(str(path))
    expected = np.max([official.annToMask(one) for one in official.loadAnns([1, 2, 3])], axis=0)
    assert np.array_equal(mask, expected)


def test_crowds_are_ignored_beneath_objects(harbour: Path) -> None:
    def crowd(content: dict[str, Any]) -> None:
        crowd = {"size": [SIDE, SIDE], "counts": [0, SIDE * SIDE]}
        content["annotations"].append(annotation(99, 1, 3, crowd, iscrowd=1))

    checkup = change(harbour, crowd)
    mask = masks(checkup.folder)["p00"]
    assert (mask[4, 4], mask[20, 10], mask[0, 0]) == (1, 2, 255)
    assert "1 crowd region ignored where no object is drawn" in checkup.assumptions


def test_categories_that_overlap_get_layers(harbour: Path) -> None:
    def overlap(content: dict[str, Any]) -> None:
        content["annotations"][0]["segmentation"] = [corners((2, 3, 14, 12))]

    checkup = change(harbour, overlap)
    assert (checkup.summary["task"], checkup.summary["classes"]) == ("multilabel", ["sail", "hull"])
    assert any("classes overlap (" in sentence for sentence in checkup.assumptions)
    assert masks(checkup.folder)["p00"][:, 4, 4].tolist() == [1, 1]
    (harbour / "dataset.yaml").write_text("task: multiclass")
    forced = check_folder(harbour)
    assert masks(forced.folder)["p00"][4, 4] == 1  # the sail was drawn after the hull
    assert forced.summary["class_images"]["hull"]["all"] == 11


def test_one_category_is_binary_and_roboflows_head_of_the_tree_is_none(tmp_path: Path) -> None:
    names = write_images(tmp_path / "train", 3)
    content = coco(names, {1: "crack"}, [annotation(1, 1, 1, [corners((4, 4, 9, 9))])])
    content["categories"] = [
        {"id": 0, "name": "cracks", "supercategory": "none"},
        {"id": 1, "name": "crack", "supercategory": "cracks"},
    ]
    write_json(tmp_path / "train/_annotations.coco.json", content)
    checkup = check_folder(tmp_path)
    assert (checkup.summary["task"], checkup.summary["classes"]) == ("binary", ["crack"])
    assert "2 images without an outline show no object" in checkup.assumptions


def test_declared_classes_choose_categories(harbour: Path) -> None:
    (harbour / "dataset.yaml").write_text("classes: [hull]")
    checkup = check_folder(harbour)
    assert (checkup.summary["task"], checkup.summary["classes"]) == ("binary", ["hull"])
    assert "not among the classes, so background: sail" in checkup.assumptions
    (harbour / "dataset.yaml").write_text("classes: [keel]")
    finding = found(check_folder(harbour), "bad-annotations")
    assert "names the class 'keel', annotations.json has sail, hull" in finding.message


def without_outline(content: dict[str, Any]) -> None:
    content["annotations"][2] |= {"segmentation": [], "bbox": [1, 2, 20, 9]}


TROUBLE: dict[str, tuple[Change, str, str]] = {
    "missing-image": (
        lambda c: c["images"].append({"id": 50, "file_name": "gone.png"}),
        "warning",
        "annotations.json: gone.png",
    ),
    "unlisted-image": (lambda c: c["images"].pop(), "warning", "images/p11.png"),
    "annotation-without-image": (
        lambda c: c["annotations"][3].update(image_id=77),
        "warning",
        "annotations.json: annotation 4 (image id 77)",
    ),
    "few-points": (
        lambda c: c["annotations"][3]["segmentation"].append([1, 2, 3, 4]),
        "warning",
        "annotations.json: annotation 4 (2)",
    ),
    "box-without-outline": (without_outline, "warning", "annotations.json: annotation 3"),
    "outside-image": (
        lambda c: c["annotations"][3].update(segmentation=[corners((-9, 2, 9, 9))]),
        "warning",
        "annotations.json: annotation 4",
    ),
    "unknown-category": (
        lambda c: c["annotations"][3].update(category_id=12),
        "error",
        "annotations.json: annotation 4 (category id 12)",
    ),
    "repeated-image": (
        lambda c: c["images"].append(c["images"][0] | {"id": 60}),
        "error",
        "images/p00.png: in annotations.json, annotations.json",
    ),
    "annotated-size": (
        lambda c: c["images"][2].update(width=64),
        "error",
        "images/p02.png (said 64 x 32, is 32 x 32)",
    ),
    "bad-outline": (
        lambda c: c["annotations"][3].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]),
        "error",
        "annotations.json: annotation 4 (no list of x, y pairs)",
    ),
}


@pytest.mark.parametrize("code", list(TROUBLE))
def test_trouble_is_named(harbour: Path, code: str) -> None:
    how, severity, name = TROUBLE[code]
    finding = found(change(harbour, how), code)
    assert (finding.severity, finding.files) == (severity, (name,))
    assert finding.message.startswith("1 ")
    assert finding.fix


def test_an_annotation_without_a_category_is_none_of_category_0(harbour: Path) -> None:
    def forget(content: dict[str, Any]) -> None:
        content["categories"][0]["id"] = 0
        for one in content["annotations"]:
            one["category_id"] = {7: 0, 3: 3}[one["category_id"]]
        del content["annotations"][3]["category_id"]

    finding = found(change(harbour, forget), "unknown-category")
    assert finding.files == ("annotations.json: annotation 4 (category id None)",)


def test_image_ids_that_stand_twice(harbour: Path) -> None:
    finding = found(change(harbour, lambda c: c["images"][1].update(id=1)), "repeated-image")
    assert finding.files == ("annotations.json: image id 1",)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            {"size": [SIDE, SIDE], "counts": [3, 5]},
            "run lengths cover 8 pixels, the image has 1,024",
        ),
        ({"size": [9, 9], "counts": [81]}, "for height x width 9 x 9, the image is 32 x 32"),
        ({"size": [SIDE, SIDE], "counts": "!!"}, "foreign characters"),
        ([[0, 0, 1e8, 0, 4, 4]], "reaches x 1e+08, y 0, the image is 32 wide and 32 high"),
    ],
)
def test_outlines_that_cannot_be_drawn(harbour: Path, shape: Any, message: str) -> None:
    checkup = change(harbour, lambda c: c["annotations"][3].update(segmentation=shape))
    (text,) = found(checkup, "bad-outline").files
    assert text.startswith("annotations.json: annotation 4") and message in text


def test_a_box_without_an_outline_is_ignored(harbour: Path) -> None:
    mask = masks(change(harbour, without_outline).folder)["p01"]
    assert mask[2, 1] == 255 and mask[5, 5] == 1 and mask[20, 20] == 0


def test_boxes_alone_are_no_masks(harbour: Path) -> None:
    checkup = change(harbour, lambda c: [a.update(segmentation=[]) for a in c["annotations"]])
    message = found(checkup, "bad-annotations").message
    assert "none of the 24 annotations has an outline" in message and "boxes alone" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [],\n "categories": [], "annotations": [}', "at line 2 column "),
        ('{"images": [{"id": 1}], "categories": [], "annotations": []}', "images[0].file_name"),
        ('{"images": [], "categories": {}, "annotations": []}', "categories"),
    ],
)
def test_broken_json_is_told_with_its_place(harbour: Path, text: str, message: str) -> None:
    (harbour / "annotations.json").write_text(text)
    checkup = check_folder(harbour)
    assert not checkup.ok
    finding = found(checkup, "bad-annotations")
    assert "annotations.json" in finding.message and message in finding.message


def test_images_annotated_before_exif_turned_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "images/a.jpg", exif=exif)
    content = coco(["a.jpg"], {1: "x"}, [annotation(1, 1, 1, [corners((2, 2, 30, 9))])])
    content["images"][0] |= {"width": 40, "height": 20}
    write_json(tmp_path / "a.json", content)
    finding = found(check_folder(tmp_path), "annotated-size")
    assert "EXIF turns some" in finding.message
    assert finding.files == ("images/a.jpg (said 40 x 20, is 20 x 40)",)


def test_from_the_command_line(harbour: Path, tmp_path: Path) -> None:
    assert_commands_end_well(harbour, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.folder().classes == ("background", "sail", "hull")
