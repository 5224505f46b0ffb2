"""Regions of masks that no memory holds, in strips: cleaned as `decision` does it to the whole,
counted, and outlined.

Regions are counted strip by strip and joined where strips touch. Then each strip is gone through
again, with what is known of the regions that it shows a part of.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Int64, UInt8
from numpy import ndarray
from scipy import ndimage, sparse

from .decision import TOUCHING, CleanUp
from .polygons import Corners, find_corners

Strips = Callable[[], Iterable[ndarray]]
"""The strips of a mask from top to bottom, (height, width) of bool, anew at each call; for `survey`
and `pick` also of uint8."""


def cleaned_strips(strips: Strips, clean_up: CleanUp, confidence: float) -> Strips:
    """The mask of one class after all steps that follow its threshold, as `decision.cleaned`.

    `confidence` is that in the class, over the whole image.
    """
    if clean_up.smallest_region > 1:
        strips = _chosen(strips, TOUCHING, lambda found: found.sizes >= clean_up.smallest_region)
    if clean_up.largest_hole >= 1:
        strips = _with_holes_filled(strips, clean_up.largest_hole)
    if clean_up.only_largest:
        strips = _chosen(strips, TOUCHING, are_largest)
    area = sum(np.count_nonzero(strip) for strip in strips())
    if area >= clean_up.smallest_area and confidence >= clean_up.least_confidence:
        return strips
    return lambda: (np.zeros_like(strip) for strip in strips())


def highest(
    values: Float[ndarray, "classes some"], number: int
) -> Float[ndarray, "classes at_most_number"]:
    """The largest `number` values of each class, in any order."""
    if values.shape[1] <= number:
        return values
    return np.partition(values, -number, axis=1)[:, -number:]


def count_regions(strips: Strips) -> tuple[int, int]:
    """How many pixels a mask has, and how many connected regions they make."""
    sizes = survey(strips, TOUCHING).sizes
    return int(sizes.sum()), len(sizes)


class Outline(NamedTuple):
    """One connected region, as `polygons` draws it."""

    pixels: int
    corners: Corners


def outlines(strips: Strips) -> Iterator[Outline]:
    """The connected regions of a mask, each as soon as a strip shows nothing more of it.

    In memory are a strip, and the corners of those regions that reach its last row.
    """
    top, unfinished = 0, None
    for strip in strips():
        unfinished = unfinished or _Unfinished.none(strip.shape[1])
        done, unfinished = unfinished.followed(strip, top)
        yield from done
        top += len(strip)
    if unfinished:
        yield from unfinished.followed(np.zeros((1, len(unfinished.row)), bool), top)[0]


class _Unfinished(NamedTuple):
    """The regions that reach the last row seen, by numbers from 0 on."""

    row: Int32[ndarray, " width"]
    """Of each pixel of that row the region's number plus 1, 0 for none."""
    sizes: Int64[ndarray, " regions"]
    corners: Corners
    owners: Int64[ndarray, " corners"]

    @classmethod
    def none(cls, width: int) -> "_Unfinished":
        no, never = np.zeros(0, np.int64), np.zeros(0, bool)
        return cls(np.zeros(width, np.int32), no, Corners(no, no, never, never), no)

    def followed(self, strip: ndarray, top: int) -> tuple[list[Outline], "_Unfinished"]:
        """What ends above the last row of a strip, which begins at row `top`, and what goes on."""
        numbers, values = _label(strip, TOUCHING)
        before, count = len(self.sizes), len(values)
        shown = np.vstack([self.row, np.where(numbers, numbers + np.int32(before), np.int32(0))])
        names, total = _components(before + count, [_seam(shown[0], shown[1], corners=True)])
        sizes = np.zeros(total, np.int64)
        own = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
        np.add.at(sizes, names, np.concatenate([self.sizes, own]))
        corners, owners = _corners_in(np.pad(shown, ((0, 0), (1, 1))), top)
        together = Corners(*map(np.concatenate, zip(self.corners, corners, strict=True)))
        owners = names[np.concatenate([self.owners, owners])]
        last = np.where(shown[-1], names[shown[-1] - 1] if total else 0, -1)
        return _parted(together, owners, sizes, last)


def _corners_in(shown: ndarray, top: int) -> tuple[Corners, Int64[ndarray, " corners"]]:
    """Those below the first row, and of each a number, from 0 on, that a pixel at it has."""
    corners = find_corners(shown > 0, diagonal=False)
    x, y = corners.x, corners.y
    at = np.maximum.reduce([shown[y, x], shown[y, x + 1], shown[y + 1, x], shown[y + 1, x + 1]])
    return corners._replace(y=y + top), at.astype(np.int64) - 1


def _parted(
    corners: Corners, owners: ndarray, sizes: ndarray, last: ndarray
) -> tuple[list[Outline], _Unfinished]:
    """The regions that are not in the last row (-1: none is), and those that are."""
    going_on = np.zeros(len(sizes), bool)
    going_on[last[last >= 0]] = True
    order = np.argsort(owners, kind="stable")
    ends = np.cumsum(np.bincount(owners, minlength=len(sizes)))
    done = [
        Outline(int(sizes[name]), Corners(*(each[places] for each in corners)))
        for name, places in enumerate(np.split(order, ends[:-1]))
        if len(sizes) and not going_on[name]
    ]
    kept = going_on[owners]
    numbers = np.cumsum(going_on) - 1
    row = np.where(last >= 0, numbers[last] + 1 if len(sizes) else 0, 0).astype(np.int32)
    left = Corners(*(each[kept] for each in corners))
    return done, _Unfinished(row, sizes[going_on], left, numbers[owners[kept]])


class Regions(NamedTuple):
    """The connected regions of a mask in strips."""

    names: Int64[ndarray, " pieces"]
    """Of each piece, a region of one strip, the region of the mask that it belongs to."""
    sizes: Int64[ndarray, " regions"]
    values: UInt8[ndarray, " regions"]
    """Which value of the mask it has; 1 for True."""
    on_edge: Bool[ndarray, " regions"]
    """Whether it touches the edge of the mask."""


def are_largest(found: Regions) -> Bool[ndarray, " regions"]:
    """Of those of the same value one; among equals the one that comes first."""
    largest = np.zeros(len(found.sizes), bool)
    for value in np.unique(found.values):
        own = np.flatnonzero(found.values == value)
        largest[own[found.sizes[own].argmax()]] = True
    return largest


def _with_holes_filled(strips: Strips, largest: int) -> Strips:
    def background() -> Iterator[ndarray]:
        return (~strip for strip in strips())

    def is_hole(found: Regions) -> Bool[ndarray, " regions"]:
        return (found.sizes <= largest) & ~found.on_edge

    holes = _chosen(background, None, is_hole)
    return lambda: (strip | hole for strip, hole in zip(strips(), holes(), strict=True))


def _chosen(
    strips: Strips, touching: ndarray | None, choose: Callable[[Regions], ndarray]
) -> Strips:
    """The mask with the chosen regions alone."""
    found = survey(strips, touching)
    chosen = choose(found)[found.names]
    return lambda: pick(strips, touching, chosen)


def pick(
    strips: Strips, touching: ndarray | None, chosen: Bool[ndarray, " pieces"]
) -> Iterator[Bool[ndarray, "height width"]]:
    """Where the chosen pieces are, those of `survey`, in strips."""
    start = 0
    for strip in strips():
        numbers, values = _label(strip, touching)
        end = start + len(values)
        yield np.concatenate(([False], chosen[start:end]))[numbers]
        start = end


def _label(
    strip: ndarray, touching: ndarray | None
) -> tuple[Int32[ndarray, "height width"], UInt8[ndarray, " pieces"]]:
    """The number of each pixel's piece, from 1 on, and the value of each piece; 0 is none."""
    if strip.dtype == bool:
        numbers, count = _label_true(strip, touching)
        return numbers, np.ones(count, np.uint8)
    numbers, values = np.zeros(strip.shape, np.int32), []
    for value in np.flatnonzero(np.bincount(strip.ravel())[1:]) + 1:
        own, count = _label_true(strip == value, touching)
        np.add(own, len(values), out=numbers, where=own > 0)
        values += [value] * count
    return numbers, np.array(values, np.uint8)


def _label_true(strip: ndarray, touching: ndarray | None) -> tuple[ndarray, int]:
    return ndimage.label(strip, touching)  # pyright: ignore[reportReturnType]


def survey(strips: Strips, touching: ndarray | None) -> Regions:
    """The regions of a mask, of a value each; 0 and False belong to none."""
    sizes, kinds, seams, edges = [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)], [], []
    start, above = 0, None
    for strip in strips():
        numbers, values = _label(strip, touching)
        sizes.append(np.bincount(numbers.ravel(), minlength=len(values) + 1)[1:])
        kinds.append(values)
        first, last, *sides = (
            np.where(line, line.astype(np.int64) + start, 0)
            for line in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1])
        )
        edges += sides
        if above is None:
            edges.append(first)
        else:
            seams.append(_seam(above, first, touching is not None))
        above, start = last, start + len(values)
    edges.append(np.zeros(0, np.int64) if above is None else above)
    pieces = np.concatenate(sizes), np.concatenate(kinds)
    return _joined(*pieces, seams, np.unique(np.concatenate(edges)))


def _seam(above: ndarray, below: ndarray, corners: bool) -> Int[ndarray, "pairs 2"]:
    """Pieces that touch from one row to the next, with corners or with sides alone."""
    pairs = [np.stack([above, below], 1)]
    if corners:
        pairs += [np.stack([above[1:], below[:-1]], 1), np.stack([above[:-1], below[1:]], 1)]
    every = np.concatenate(pairs)
    return np.unique(every[every.all(1)], axis=0)


def _joined(sizes: ndarray, values: ndarray, seams: list[ndarray], on_edge: ndarray) -> Regions:
    """Pieces are counted from 1 on in seams and on the edge, where 0 is none."""
    alike = [seam[values[seam[:, 0] - 1] == values[seam[:, 1] - 1]] for seam in seams]
    names, count = _components(len(sizes), alike)
    touches = np.zeros(count, bool)
    touches[names[on_edge[on_edge > 0] - 1]] = True
    total = np.zeros(count, np.int64)
    np.add.at(total, names, sizes)
    value = np.zeros(count, np.uint8)
    value[names] = values
    return Regions(names, total, value, touches)


def _components(pieces: int, seams: list[ndarray]) -> tuple[Int64[ndarray, " pieces"], int]:
    """The region that each piece belongs to, in the order of their first pieces; how many."""
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *seams]) - 1
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (pieces,) * 2)
    count, names = sparse.csgraph.connected_components(graph, directed=False)
    return names.astype(np.int64), count
