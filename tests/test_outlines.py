"""Outlines are filled, and run lengths read, exactly as pycocotools does it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as reference

from delineo.data.outlines import draw_mask, fill_polygon
from delineo.data.rle import decode_counts, expand_counts
from delineo.data.samples import MaskOutlines, Outline
from delineo.errors import DataError

# pycocotools 2.0.11 has not followed NumPy 2 in how arrays are converted
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = st.integers(1, 40)
WHOLE_AND_HALF = st.one_of(st.floats(-20, 60), st.integers(-20, 60).map(lambda n: n / 2))


def filled(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    top, left, inside = fill_polygon(polygon, height, width)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


@given(st.lists(st.tuples(WHOLE_AND_HALF, WHOLE_AND_HALF), min_size=3, max_size=9), SIZE, SIZE)
def test_polygons_are_those_of_pycocotools(corners, height, width) -> None:
    """Crossing themselves, outside of the image, with corners on corners."""
    polygon = np.array(corners, float)
    (code,) = reference.frPyObjects([polygon.ravel().tolist()], height, width)
    assert np.array_equal(filled(polygon, height, width), reference.decode(code) == 1)


@given(SIZE, SIZE, st.integers(0, 99), st.floats(0, 1))
def test_run_lengths_are_those_of_pycocotools(height, width, seed, share) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    code = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    runs = expand_counts(code["counts"].decode())
    assert np.array_equal(decode_counts(runs, height, width), mask)


def test_long_runs() -> None:
    mask = np.zeros((3000, 2000), np.uint8, order="F")
    mask[:, 900:1900] = 1
    runs = expand_counts(reference.encode(mask)["counts"].decode())
    assert runs.tolist() == [3000 * 900, 3000 * 1000, 3000 * 100]


@pytest.mark.parametrize("text", ["", "_", "é", "a b", "o" * 40])
def test_foreign_run_lengths(text: str) -> None:
    with pytest.raises(DataError, match="compressed run lengths"):
        expand_counts(text)


def test_run_lengths_of_another_image() -> None:
    with pytest.raises(DataError, match=r"cover 8 pixels, the image has 9 \(3 x 3\)"):
        decode_counts(np.array([3, 5]), 3, 3)


def box(label: str, left: float, top: float, right: float, bottom: float, **more) -> Outline:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    return Outline(label, f"a {label}", (corners,), **more)


def drawn(outlines: list[Outline], task, classes, tmp_path, **more) -> np.ndarray:
    return draw_mask(MaskOutlines(tuple(outlines), tmp_path, **more), task, classes, (4, 6))


def test_later_outlines_lie_on_top(tmp_path) -> None:
    outlines = [box("cat", 0, 0, 4, 2), box("dog", 2, 0, 6, 1), box("ignore", 0, 1, 1, 2)]
    outlines.append(box("background", 5, 0, 6, 1))
    mask = drawn(outlines, "multiclass", ("background", "cat", "dog"), tmp_path)
    assert mask.tolist() == [[1, 1, 2, 2, 2, 0], [255, 1, 1, 1, 0, 0], [0] * 6, [0] * 6]
    layers = drawn(outlines, "multilabel", ("dog", "cat"), tmp_path)
    assert layers[0, :2].tolist() == [[0, 0, 1, 1, 1, 0], [255, 0, 0, 0, 0, 0]]
    assert layers[1, :2].tolist() == [[1, 1, 1, 1, 0, 0], [255, 1, 1, 1, 0, 0]]


def test_crowds_are_ignored_for_their_class(tmp_path) -> None:
    outlines = [box("cat", 0, 0, 3, 1, crowd=True), box("dog", 1, 0, 2, 1)]
    layers = drawn(outlines, "multilabel", ("cat", "dog"), tmp_path)
    assert layers[:, 0].tolist() == [[255, 255, 255, 0, 0, 0], [0, 1, 0, 0, 0, 0]]
    assert drawn(outlines[:1], "binary", ("cat",), tmp_path)[0].tolist() == [255] * 3 + [0] * 3


def test_polygons_of_one_object_are_joined_and_one_that_crosses_itself_has_a_hole(tmp_path) -> None:
    outer = [[0, 0], [6, 0], [6, 4], [0, 4], [0, 0]]
    ring = np.array([*outer, [2, 1], [4, 1], [4, 3], [2, 3], [2, 1]], float)
    middle = np.array([[2, 1], [4, 1], [4, 3], [2, 3]], float)
    hole = drawn([Outline("cat", "a", (ring,))], "binary", ("cat",), tmp_path)
    assert (hole[1:3, 2:4].sum(), hole.sum()) == (0, 20)
    assert drawn([Outline("cat", "a", (ring, middle))], "binary", ("cat",), tmp_path).all()


def test_shares_of_width_and_height(tmp_path) -> None:
    mask = drawn([box("cat", 0.5, 0.25, 1, 0.5)], "binary", ("cat",), tmp_path, relative=True)
    assert mask.tolist() == [[0] * 6, [0, 0, 0, 1, 1, 1], [0] * 6, [0] * 6]


@pytest.mark.parametrize("corner", [1e9, float("nan"), float("inf")])
def test_corners_that_cannot_be_right(corner: float, tmp_path) -> None:
    with pytest.raises(DataError, match=r"a cat reaches .*the image is 6 wide and 4 high"):
        drawn([box("cat", 0, 0, corner, 2)], "binary", ("cat",), tmp_path)
