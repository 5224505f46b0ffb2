"""LabelMe's files beside images, from shapes to scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import SIDE, assert_commands_end_well, save_image, square, write_json

from delineo.data.check import Checkup, check_folder
from delineo.data.encoding import read_mask
from delineo.data.findings import Finding
from delineo.data.layouts import find_layout


def shape(label: str, points: list[list[float]], kind: str | None = "polygon") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "flags": {}}


def labelme(image: str | None, shapes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": SIDE,
        "imageWidth": SIDE,
    }


def shapes_of(number: int) -> list[dict[str, Any]]:
    left = float(number % 5)
    leaf = [[left, 2.0], [14.0, 2.0], [14.0, 12.0], [left, 12.0]]
    return [shape("leaf", leaf), shape("bug", [[18, 18], [28, 30]], "rectangle")]


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    root = tmp_path / "leaves"
    for number in range(12):
        save_image(root / f"{number}.jpg", number)
        write_json(root / f"{number}.json", labelme(f"{number}.jpg", shapes_of(number)))
    return root


def found(checkup: Checkup, code: str) -> Finding:
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def rewrite(root: Path, shapes: list[dict[str, Any]], **more: Any) -> Checkup:
    """The check after the first file has other shapes."""
    write_json(root / "0.json", labelme("0.jpg", shapes) | more)
    return check_folder(root)


def mask(checkup: Checkup, sample_id: str = "0") -> np.ndarray:
    assert checkup.folder is not None
    (sample,) = [sample for sample in checkup.folder.samples if sample.id == sample_id]
    return read_mask(sample, checkup.folder, (SIDE, SIDE))


def test_polygons_and_rectangles(leaves: Path) -> None:
    checkup = check_folder(leaves)
    assert (checkup.ok, checkup.layout) == (True, "LabelMe files beside images")
    assert checkup.summary["classes"] == ["background", "bug", "leaf"]
    expected = np.zeros((SIDE, SIDE), np.uint8)
    square(expected, (3, 2, 14, 12), 2)
    square(expected, (18, 18, 28, 30), 1)
    assert np.array_equal(mask(checkup, "3"), expected)


def test_circles_are_round(leaves: Path) -> None:
    checkup = rewrite(leaves, [shape("bug", [[16, 16], [16, 6]], "circle")])
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.hypot(rows - 16, columns - 16)
    drawn = mask(checkup) == 1
    assert drawn[distance < 9.8].all() and not drawn[distance > 10.2].any()


def test_shapes_named_as_background_and_ignore(leaves: Path) -> None:
    whole = [[0.0, 0.0], [32.0, 32.0]]
    shapes = [
        shape("leaf", whole, "rectangle"),
        shape("_background_", [[4, 4], [8, 8]], "rectangle"),
        shape("__ignore__", [[6, 6], [10, 10]], "rectangle"),
    ]
    checkup = rewrite(leaves, shapes)
    drawn = mask(checkup)
    assert (drawn[0, 0], drawn[4, 4], drawn[7, 7]) == (2, 0, 255)
    assert "1 outline of something void ignored" in checkup.assumptions


@pytest.mark.parametrize("kind", ["line", "point", "linestrip"])
def test_shapes_that_enclose_nothing_are_named(leaves: Path, kind: str) -> None:
    checkup = rewrite(leaves, [*shapes_of(0), shape("leaf", [[1, 1], [5, 5]], kind)])
    finding = found(checkup, "other-shape")
    assert (finding.severity, finding.files) == ("warning", (f"0.json: shape 3 ({kind})",))


def test_images_are_found_where_image_path_says(tmp_path: Path) -> None:
    for number in range(3):
        save_image(tmp_path / f"photos/{number}.jpg", number)
        path = tmp_path / f"drawn/{number}.json"
        name = (f"..\\photos\\{number}.jpg", f"C:/me/{number}.jpg", None)[number]
        write_json(path, labelme(name, shapes_of(number)))
    save_image(tmp_path / "drawn/2.png", 9)
    images = {s.id: s.image.relative_to(tmp_path).as_posix() for s in find_layout(tmp_path).samples}
    assert images == {"0": "photos/0.jpg", "1": "photos/1.jpg", "2": "drawn/2.png"}


def test_what_is_missing(leaves: Path) -> None:
    (leaves / "0.jpg").unlink()
    (leaves / "1.json").unlink()
    checkup = check_folder(leaves)
    assert found(checkup, "missing-image").files == ("0.json: 0.jpg",)
    assert found(checkup, "unlisted-image").files == ("1.jpg",)


def test_files_that_cannot_be_read(leaves: Path) -> None:
    (leaves / "0.json").write_text('{"version": "5", "shapes": [\n{"label": }')
    checkup = check_folder(leaves)
    assert not checkup.ok
    (text,) = found(checkup, "bad-annotations").files
    assert "0.json is no JSON" in text and "at line 2 column 11" in text
    checkup = rewrite(leaves, [{"label": "leaf", "points": [[1, 2, 3]]}])
    (text,) = found(checkup, "bad-annotations").files
    assert "shapes[0].points[0]" in text


def test_keys_in_any_order_after_a_byte_order_mark(leaves: Path) -> None:
    content = labelme("0.jpg", shapes_of(0)) | {"imageData": "A" * 9000}
    text = json.dumps(content, sort_keys=True)
    (leaves / "0.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    checkup = check_folder(leaves)
    assert checkup.ok and not checkup.of("warning")


def test_sizes_that_do_not_agree(leaves: Path) -> None:
    finding = found(rewrite(leaves, shapes_of(0), imageWidth=99), "annotated-size")
    assert finding.files == ("0.jpg (said 99 x 32, is 32 x 32)",)


def test_two_files_for_one_image(leaves: Path) -> None:
    content = json.loads((leaves / "0.json").read_text())
    write_json(leaves / "copy.json", content)
    finding = found(check_folder(leaves), "repeated-image")
    assert finding.files == ("0.jpg: in 0.json, copy.json",)


def test_from_the_command_line(leaves: Path, tmp_path: Path) -> None:
    assert_commands_end_well(leaves, tmp_path / "run")
