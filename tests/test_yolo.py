"""YOLO's label files, from polygons to scores."""

from pathlib import Path

import numpy as np
import pytest
from annotated import SIDE, assert_commands_end_well, corners, save_image, square

from delineo.data.check import Checkup, check_folder
from delineo.data.encoding import read_mask
from delineo.data.findings import Finding

BOX = (4, 8, 20, 24)


def line(label: object, box: tuple[int, int, int, int] = BOX) -> str:
    return " ".join([str(label), *(f"{number / SIDE}" for number in corners(box))])


@pytest.fixture(params=["{part}/{kind}", "{kind}/{part}"])
def tiles(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Both orders of parts and kinds; every third image has no label file."""
    root, seed = tmp_path / "tiles", 0
    for part, count in (("train", 6), ("valid", 3), ("test", 3)):
        labels = root / request.param.format(part=part, kind="labels")
        labels.mkdir(parents=True)
        for number in range(count):
            seed += 1
            name = f"{part}{number}"
            save_image(root / request.param.format(part=part, kind="images") / f"{name}.jpg", seed)
            if number % 3 < 2:
                (labels / f"{name}.txt").write_text(line(number % 3) + "\n")
    (root / "data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['crack', 'rust']\n")
    return root


def found(checkup: Checkup, code: str) -> Finding:
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def label_file(root: Path, stem: str = "train0") -> Path:
    return next(root.glob(f"**/{stem}.txt"))


def test_polygons_in_both_orders_of_folders(tiles: Path) -> None:
    checkup = check_folder(tiles)
    assert (checkup.ok, checkup.layout) == (True, "YOLO polygons")
    assert checkup.summary["classes"] == ["background", "crack", "rust"]
    assert checkup.summary["parts"] == {"train": 6, "val": 3, "test": 3}
    assert "4 images without an outline show no object" in checkup.assumptions
    assert checkup.folder is not None
    for sample in checkup.folder.samples:
        expected = np.zeros((SIDE, SIDE), np.uint8)
        number = int(sample.id[-1]) % 3
        if number < 2:
            square(expected, BOX, number + 1)
        assert np.array_equal(read_mask(sample, checkup.folder, (SIDE, SIDE)), expected)


@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("name", ["data.yaml", "dataset.yaml"])
def test_numbered_names_and_folders_of_any_name(tmp_path: Path, name: str, slash: str) -> None:
    for folder in ("images/first", "images/second"):
        for number in range(2):
            save_image(tmp_path / folder / f"{folder[-1]}{number}.png", number + len(folder))
        labels = tmp_path / folder.replace("images", "labels")
        labels.mkdir(parents=True)
        (labels / f"{folder[-1]}0.txt").write_text(line(5))
    (tmp_path / name).write_text(
        f"path: .\ntrain: images{slash}first\nval: [images{slash}second]\nnames:\n  5: crack\n"
    )
    checkup = check_folder(tmp_path)
    assert (checkup.summary["task"], checkup.summary["classes"]) == ("binary", ["crack"])
    assert checkup.summary["parts"] == {"train": 2, "val": 2, "test": 0}


def test_classes_without_names_are_numbers(tiles: Path) -> None:
    (tiles / "data.yaml").unlink()
    assert check_folder(tiles).summary["classes"] == ["background", "0", "1"]
    (tiles / "classes.txt").write_text("crack\nrust\n")
    assert check_folder(tiles).summary["classes"] == ["background", "crack", "rust"]


def test_boxes_alone_are_told_to_be_boxes(tiles: Path) -> None:
    for path in tiles.glob("**/labels/**/*.txt"):
        path.write_text("0 0.5 0.5 0.2 0.2\n")
    message = found(check_folder(tiles), "bad-annotations").message
    assert "all 8 lines of the label files" in message
    assert "are boxes (class, middle x and y, width, height) and not polygons" in message


def test_a_box_among_polygons_is_ignored(tiles: Path) -> None:
    label_file(tiles).write_text(f"{line(0)}\n1 0.875 0.875 0.25 0.25\n")
    checkup = check_folder(tiles)
    assert found(checkup, "box-without-outline").files[0].endswith("train0.txt: line 2")
    assert checkup.folder is not None
    (sample,) = [s for s in checkup.folder.samples if s.id == "train0"]
    mask = read_mask(sample, checkup.folder, (SIDE, SIDE))
    assert (mask[25, 25], mask[23, 19], mask[0, 0]) == (255, 1, 0)


@pytest.mark.parametrize(
    ("text", "code", "ending"),
    [
        ("0 0.1 0.1 nine", "bad-outline", "line 1 (could not convert string to float: 'nine')"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "bad-outline", "line 1 (no list of x, y pairs)"),
        ("0 100 100 200 100 900 900", "bad-outline", "the image is 32 wide and 32 high"),
        ("2 0.1 0.1 0.2 0.2 0.3 0.3", "unknown-category", "line 1 (class 2)"),
        ("0.5 0.1 0.1 0.2 0.2 0.3 0.3", "unknown-category", "line 1 (class 0.5)"),
        ("0 0.1 0.1", "few-points", "line 1 (1)"),
        ("0 0.1 0.1 1.4 0.1 0.5 0.5", "outside-image", "line 1"),
    ],
)
def test_trouble_is_named(tiles: Path, text: str, code: str, ending: str) -> None:
    label_file(tiles).write_text(text + "\n")
    (name,) = found(check_folder(tiles), code).files
    assert label_file(tiles).relative_to(tiles).as_posix() in name and name.endswith(ending)


def test_a_label_file_that_windows_wrote(tiles: Path) -> None:
    label_file(tiles).write_bytes(b"\xef\xbb\xbf" + line(0).encode() + b"\r\n")
    assert not [one for one in check_folder(tiles).findings if one.code == "bad-outline"]


def test_labels_without_an_image(tiles: Path) -> None:
    image = next(tiles.glob("**/train0.jpg"))
    image.unlink()
    (name,) = found(check_folder(tiles), "missing-image").files
    assert name.endswith("train0.txt: its image")


def test_wrong_names(tiles: Path) -> None:
    (tiles / "data.yaml").write_text("names: crack")
    message = found(check_folder(tiles), "bad-annotations").message
    assert "neither a list of class names" in message


def test_from_the_command_line(tiles: Path, tmp_path: Path) -> None:
    assert_commands_end_well(tiles, tmp_path / "run")
