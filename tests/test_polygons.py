"""Outlines, filled again by other packages, give the pixels back."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from scipy import ndimage

from delineo.decision import TOUCHING
from delineo.polygons import Ring, one_ring, simple_polygons

# pycocotools was written for an older NumPy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPES = {
    "pixel": ["#"],
    "ring": ["###", "#.#", "###"],
    "diamond": [".#.", "#.#", ".#."],
    "two corners": ["#..", ".#.", "..#"],
    "bay that touches its outside": ["####", "#..#", "#.#.", "###."],
    "holes that touch": ["#####", "#.###", "##.##", "#####"],
    "island": ["#####", "#...#", "#.#.#", "##..#", "#####"],
    "holes in a row": ["#######", "#.#.#.#", "#######", "##.#.##", "#######"],
}


def drawn(name: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in SHAPES[name]])


def regions_of(layer: np.ndarray) -> list[np.ndarray]:
    numbers, found = ndimage.label(layer, TOUCHING)
    return [numbers == number for number in range(1, found + 1)]


def filled(ring: Ring, shape: tuple[int, ...]) -> np.ndarray:
    """By pycocotools."""
    flat = [float(value) for corner in ring for value in corner]
    return coco.decode(coco.frPyObjects([flat], *shape))[:, :, 0].astype(bool)


def as_shape(polygons: list[list[Ring]]) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.Polygon(outer, holes) for outer, *holes in polygons])


def check(region: np.ndarray) -> None:
    ring, shape = one_ring(region), as_shape(simple_polygons(region))
    assert np.array_equal(filled(ring, region.shape), region)
    assert shape.is_valid, shapely.is_valid_reason(shape)
    assert shape.area == region.sum()
    rows, columns = np.mgrid[: region.shape[0], : region.shape[1]] + 0.5
    assert np.array_equal(shapely.contains_xy(shape, columns, rows), region)


@pytest.mark.parametrize("name", SHAPES)
def test_polygons_of_drawn_shapes(name: str) -> None:
    (region,) = regions_of(drawn(name))
    for turn in range(4):
        check(np.rot90(region, turn))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.booleans()))
def test_polygons_of_random_pixels(layer: np.ndarray) -> None:
    for region in regions_of(layer):
        check(region)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_of_blobs(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 31)), 1.5)
    for region in regions_of(noise > np.quantile(noise, 0.2 + 0.2 * seed)):
        check(region)


def test_a_pixel_has_four_corners() -> None:
    pixel = np.ones((1, 1), bool)
    assert one_ring(pixel) == [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert simple_polygons(pixel) == [[one_ring(pixel)]]


def test_parts_that_touch_with_corners_alone_are_polygons_of_their_own() -> None:
    assert len(simple_polygons(drawn("two corners"))) == 3
    ((outer, *holes),) = simple_polygons(drawn("holes that touch"))
    assert (len(outer), [len(hole) for hole in holes]) == (4, [4, 4])


def test_seams_run_inside_the_region() -> None:
    """Straight up from a hole to the edge above it, never over another hole."""
    region = drawn("holes in a row")
    ring = one_ring(region)
    for (x, y), (next_x, next_y) in zip(ring, ring[1:] + ring[:1], strict=True):
        assert x == next_x or y == next_y
        if x == next_x:
            rows = slice(min(y, next_y), max(y, next_y))
            assert (region[rows, max(x - 1, 0)] | region[rows, min(x, 6)]).all()


def test_a_region_of_many_holes_takes_no_time() -> None:
    region = np.ones((201, 201), bool)
    region[1::2, 1::2] = False
    ring = one_ring(region)
    assert np.array_equal(filled(ring, region.shape), region)
    assert len(simple_polygons(region)[0]) == 1 + 100 * 100
