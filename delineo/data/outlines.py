"""Masks drawn from outlines, as COCO, YOLO and LabelMe keep them.

A polygon is filled as pycocotools fills it, pixel for pixel: its corners are rounded to fifths of a
pixel, and what lies inside by the even-odd rule belongs to it. x and y are 0 at the outer corner of
the first pixel, whose middle is at 0.5.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from numpy import ndarray

from ..errors import DataError
from .rle import decode_counts, expand_counts
from .samples import BACKGROUND_LABEL, IGNORE_INDEX, IGNORE_LABEL, MaskOutlines, Outline, Task

_FINENESS = 5  # points per pixel along an outline, as in pycocotools
_FARTHEST = 10  # image sides beyond the image; an outline farther away is no slip of the pen


class Window(NamedTuple):
    """Where an outline is in an image: its first row and column, and its pixels from there on."""

    top: int
    left: int
    inside: Bool[ndarray, "rows columns"]


def draw_mask(
    mask: MaskOutlines, task: Task, classes: Sequence[str], size: tuple[int, int]
) -> UInt8[ndarray, "*planes height width"]:
    """The mask of an image of `size` (height, width), as `read_mask` gives it.

    `classes` as in DataFolder. Raises DataError with the name of an outline that cannot be right.
    """
    layered = task == "multilabel"
    planes = np.zeros((len(classes) if layered else 1, *size), np.uint8)
    for outline in mask.outlines:
        chosen, value = _meaning(outline, task, classes)
        for top, left, inside in windows(outline, mask, size):
            rows, columns = inside.shape
            planes[chosen, top : top + rows, left : left + columns][:, inside] = value
    return planes if layered else planes[0]


def _meaning(outline: Outline, task: Task, classes: Sequence[str]) -> tuple[slice, int]:
    """The planes that an outline is drawn into, and the value that it gets there."""
    if outline.label in (BACKGROUND_LABEL, IGNORE_LABEL):
        return slice(None), IGNORE_INDEX if outline.label == IGNORE_LABEL else 0
    index = classes.index(outline.label)
    planes, value = {
        "binary": (slice(None), 1),
        "multiclass": (slice(None), index),
        "multilabel": (slice(index, index + 1), 1),
    }[task]
    return planes, IGNORE_INDEX if outline.crowd else value


def windows(outline: Outline, mask: MaskOutlines, size: tuple[int, int]) -> Iterator[Window]:
    """What an outline covers of an image of `size` (height, width). Raises DataError."""
    if outline.runs is not None:
        yield Window(0, 0, _decoded(outline, size))
    for polygon in pixel_polygons(outline, mask, size):
        if not np.isfinite(polygon).all() or distance_outside(polygon, size) > _FARTHEST * max(
            size
        ):
            raise DataError(
                f"{outline.name} reaches {_farthest(polygon)}, the image is {size[1]} wide and "
                f"{size[0]} high"
            )
        yield fill_polygon(polygon, *size)


def _decoded(outline: Outline, size: tuple[int, int]) -> Bool[ndarray, "height width"]:
    if outline.runs_size != size:
        raise DataError(
            f"{outline.name} has run lengths for height x width {_spelled(outline.runs_size)}, "
            f"the image is {_spelled(size)}"
        )
    runs = outline.runs
    assert runs is not None
    try:
        return decode_counts(expand_counts(runs) if isinstance(runs, str) else runs, *size)
    except DataError as error:
        raise DataError(f"{outline.name}: {error}") from None


def _spelled(size: tuple[int, int] | None) -> str:
    return "unknown" if size is None else f"{size[0]} x {size[1]}"


def _farthest(polygon: Float64[ndarray, "points 2"]) -> str:
    x, y = polygon[np.abs(np.nan_to_num(polygon, nan=np.inf)).max(1).argmax()]
    return f"x {x:g}, y {y:g}"


def pixel_polygons(
    outline: Outline, mask: MaskOutlines, size: tuple[int, int]
) -> list[Float64[ndarray, "_ 2"]]:
    """The polygons in pixels of an image of `size` (height, width)."""
    scale = np.array([size[1], size[0]], float) if mask.relative else 1.0
    return [polygon * scale for polygon in outline.polygons]


def distance_outside(polygon: Float64[ndarray, "points 2"], size: tuple[int, int]) -> float:
    """How far the farthest corner lies outside of an image of `size` (height, width), in pixels."""
    beyond = np.maximum(-polygon, polygon - (size[1], size[0]))
    return max(0.0, float(beyond.max()))


def fill_polygon(polygon: Float64[ndarray, "points 2"], height: int, width: int) -> Window:
    """The pixels of a height x width image that lie in a polygon of x, y in pixels."""
    columns, rows = _crossings(polygon, height, width)
    if not len(columns) or rows.min() == rows.max():
        return Window(0, 0, np.zeros((0, 0), bool))
    top, left = int(rows.min()), int(columns.min())
    high, wide = int(rows.max()) - top, int(columns.max()) - left + 1
    # down one column after the other, pixels are inside after an odd number of crossings
    places = np.sort((columns - left) * high + rows - top)
    runs = np.diff(places, prepend=0, append=high * wide)
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return Window(top, left, inside.reshape(wide, high).T)


def _crossings(
    polygon: Float64[ndarray, "points 2"], height: int, width: int
) -> tuple[Int64[ndarray, " crossings"], Int64[ndarray, " crossings"]]:
    """Where the outline crosses the middle of pixel columns: column, and the first row after."""
    x, y = _walk(polygon)
    steps = np.flatnonzero(np.diff(x))
    column = (np.minimum(x[steps], x[steps + 1]) + 0.5) / _FINENESS - 0.5
    row = (np.minimum(y[steps], y[steps + 1]) + 0.5) / _FINENESS - 0.5
    there = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    return (
        column[there].astype(np.int64),
        np.ceil(row[there].clip(0, height)).astype(np.int64),
    )


def _walk(
    polygon: Float64[ndarray, "points 2"],
) -> tuple[Int64[ndarray, " steps"], Int64[ndarray, " steps"]]:
    """x and y of the closed outline in fifths of a pixel, step by step along its longer axis."""
    start = np.trunc(polygon * _FINENESS + 0.5).astype(np.int64)
    end = np.roll(start, -1, axis=0)
    length = np.abs(end - start).max(1)
    long = (np.abs(end - start).argmax(1) == 1).astype(int)  # 0: along x, 1: along y
    edges = np.arange(len(start))
    backwards = start[edges, long] > end[edges, long]
    first = np.where(backwards[:, None], end, start)
    last = np.where(backwards[:, None], start, end)
    slope = (last - first)[edges, 1 - long] / np.maximum(length, 1)
    edge = np.repeat(edges, length + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(length + 1) - length - 1, length + 1)
    step = np.where(backwards[edge], length[edge] - step, step)
    along = first[edges, long][edge] + step
    across = np.trunc(first[edges, 1 - long][edge] + slope[edge] * step + 0.5).astype(np.int64)
    down = long[edge] == 1
    return np.where(down, across, along), np.where(down, along, across)
