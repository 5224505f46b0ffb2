"""What the values and colours of mask files suggest, where nothing is said."""

from pathlib import Path

import numpy as np
import pytest
from mask_folders import BLACK, BLUE, RED, SIZE, blocks, look, paint, read_all, save
from PIL import Image

from delineo.data.encoding import encode_mask
from delineo.errors import DataError


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 255, np.uint8), (0, 1, np.uint8), (0, 65535, np.uint16), (3, 9, np.uint8)],
)
def test_two_values_are_binary(tmp_path: Path, low: int, high: int, dtype: type) -> None:
    save(tmp_path, {"a": blocks(low, high, dtype=dtype), "b": blocks(low).astype(np.uint8)})
    _, _, (task, classes, encoding, assumptions), folder = look(tmp_path)
    assert (task, classes) == ("binary", ("foreground",))
    assert encoding.values == {low: 0, high: 1}
    assert f"{low} is background and {high} is foreground" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1))
    assert read_all(folder)["a"].dtype == np.uint8


@pytest.mark.parametrize("kind", ["1-bit", "gif", "grey rgb"])
def test_other_files_of_two_values(tmp_path: Path, kind: str) -> None:
    mask = blocks(0, 255)
    pixels = {"1-bit": mask > 0, "gif": mask, "grey rgb": np.repeat(mask[:, :, None], 3, 2)}[kind]
    save(tmp_path, {"a": pixels}, ".gif" if kind == "gif" else ".png")
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1))


def test_empty_masks_only(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0)})
    _, _, (task, _, _, assumptions), folder = look(tmp_path)
    assert task == "binary"
    assert "all masks are empty" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0))
    assert encode_mask(blocks(0, 255), folder.encoding).max() == 1


def test_numbered_classes(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 2), "b": blocks(0, 3)})
    _, _, (task, classes, encoding, _), folder = look(tmp_path)
    assert (task, len(classes)) == ("multiclass", 4)
    assert encoding.values == {0: 0, 1: 1, 2: 2, 3: 3}
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2))


def test_255_beside_classes_is_ignored(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 2, 255), "b": blocks(0, 255)})
    _, _, (task, classes, _, assumptions), folder = look(tmp_path)
    assert (task, len(classes)) == ("multiclass", 3)
    assert "255 is ignored" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2, 255))


def test_255_beside_one_class_is_ignored(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 255), "b": blocks(0, 255)})
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 255))


def test_two_habits_in_one_folder(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1), "b": blocks(0, 255)})
    _, _, (_, _, _, assumptions), folder = look(tmp_path)
    assert "some masks are 0/1 and others 0/255" in assumptions[0]
    for mask in read_all(folder).values():
        np.testing.assert_array_equal(mask, blocks(0, 1))


def test_sparse_values_are_taken_in_order(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 50, 100), "b": blocks(0, 150)})
    _, _, (_, classes, _, assumptions), folder = look(tmp_path)
    assert classes == ("value 0", "value 50", "value 100", "value 150")
    assert "0, 50, 100, 150 are classes 0 to 3, in this order" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["b"], blocks(0, 3))


def test_classes_that_count_from_one(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(1, 2, 3, 255)})
    *_, folder = look(tmp_path)
    assert len(folder.classes) == 3
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2, 255))


def _disc(side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return ((y**2 + x**2 < (side / 3) ** 2) * 255).astype(np.uint8)


def test_jpeg_noise_is_cut_at_the_middle(tmp_path: Path) -> None:
    save(tmp_path, {"a": _disc(), "b": np.zeros((96, 96), np.uint8)}, ".jpg")
    _, _, (task, _, encoding, assumptions), folder = look(tmp_path)
    assert (task, encoding.threshold) == ("binary", 127)
    assert "JPEG noise" in assumptions[0]
    masks = read_all(folder)
    assert np.mean(masks["a"] != (_disc() > 0)) < 0.01
    assert not masks["b"].any()


def test_resized_edges_are_cut_at_the_middle(tmp_path: Path) -> None:
    small = Image.fromarray(_disc(200)).resize((96, 96), Image.Resampling.BILINEAR)
    save(tmp_path, {"a": np.array(small)})
    _, _, (task, _, encoding, assumptions), folder = look(tmp_path)
    assert (task, encoding.threshold) == ("binary", 127)
    assert "resized edges" in assumptions[0]
    assert set(np.unique(read_all(folder)["a"])) == {0, 1}


def test_another_class_with_smoothed_edges_is_not_merged(tmp_path: Path) -> None:
    """0, 127 and 255 with soft edges: cut in the middle, one class would be background."""
    masks = {f"{index}": _disc(200) for index in range(4)}
    soft = {
        name: np.array(Image.fromarray(mask).resize((96, 96), Image.Resampling.BILINEAR))
        for name, mask in (masks | {"other": _disc(200) // 2}).items()
    }
    save(tmp_path / "two", {name: soft[name] for name in masks})
    assert look(tmp_path / "two")[2].encoding.threshold == 127
    save(tmp_path / "three", soft)
    with pytest.raises(DataError, match=r"objects of about 127, which may be another class"):
        look(tmp_path / "three")
    (tmp_path / "three" / "dataset.yaml").write_text("task: binary\n")
    assert look(tmp_path / "three")[2].encoding.threshold == 127


def test_many_numbered_classes_of_which_a_mask_shows_a_few(tmp_path: Path) -> None:
    """150 classes, as in ADE20K; the same values all in one mask are no classes."""
    masks = {
        f"{first}": np.arange(first, first + 10, dtype=np.uint8).repeat(77)[:768].reshape(SIZE)
        for first in range(0, 150, 10)
    }
    save(tmp_path / "few", masks)
    _, _, (task, classes, _, _), _ = look(tmp_path / "few")
    assert (task, len(classes)) == ("multiclass", 150)
    save(tmp_path / "all", {"a": np.arange(768).reshape(SIZE).astype(np.uint8) % 150})
    with pytest.raises(DataError, match=r"150 different values.*look like no classes"):
        look(tmp_path / "all")


def test_photographs_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path, {"a": np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)})
    with pytest.raises(DataError, match=r"look like no classes.*dataset.yaml"):
        look(tmp_path)


def test_colors_by_frequency(tmp_path: Path) -> None:
    a, b = paint(blocks(0, 1, 2), RED, BLACK, BLUE), paint(blocks(0), BLACK)
    save(tmp_path, {"a": a, "b": b})
    _, _, (task, classes, encoding, _), folder = look(tmp_path)
    assert (task, classes) == ("multiclass", ("#000000", "#c80000", "#00005a"))
    assert list(encoding.colors) == [BLACK, RED, BLUE]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(1, 0, 2))
    np.testing.assert_array_equal(read_all(folder)["b"], blocks(0))


def test_two_colors_are_binary(tmp_path: Path) -> None:
    save(tmp_path, {"a": paint(blocks(0, 1), RED, BLACK)})
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(1, 0))
