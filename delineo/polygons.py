"""Outlines of regions along the edges of their pixels: filled again, they give the same pixels.

Corners are (x, y) in pixels from the top left corner of the array, whose first pixel reaches from
0 to 1. Rings are not closed: their last corner is not their first. Regions touch with sides or
corners, as in `decision`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

Corner = tuple[int, int]
Ring = list[Corner]


def one_ring(region: Bool[np.ndarray, "height width"]) -> Ring:
    """A region as one ring, for formats without holes: each hole hangs on a seam without width.

    By the even-odd rule it has the pixels of the region.
    """
    return ring_of(find_corners(np.pad(region, 1), diagonal=False))


def ring_of(corners: "Corners") -> Ring:
    """The same of a region whose corners were found without `diagonal`."""
    places, rings = _trace(_joined_at_corners(corners))
    hanging = _seams(places, rings)
    whole: dict[int, Ring] = {}
    # what hangs on a ring begins below it, and so comes after it
    for number in reversed(range(len(rings))):
        whole[number] = ring = []
        for place, node in enumerate(rings[number]):
            ring.append(places[node])
            if place % 2 == 0:  # here an edge along a row begins
                leftwards = places[node] > places[node ^ 1]
                for seam, hole in sorted(hanging[node // 2], reverse=leftwards):
                    ring += [seam, *whole[hole], whole[hole][0], seam]
    return whole[0]


def _joined_at_corners(corners: "Corners") -> "Corners":
    """What was found without `diagonal` as it is found with it."""
    second = _is_second(corners)
    twice = second | np.roll(second, -1)
    return corners._replace(swapped=twice & corners.inside)


def _seams(
    places: Sequence[Corner], rings: Sequence[Sequence[int]]
) -> Mapping[int, list[tuple[Corner, int]]]:
    """What hangs on each edge along a row: where its seam begins, and the number of the hole.

    The seam goes from the first corner of the hole straight up, to the edge above.
    """
    holes = {ring[0] // 2: number for number, ring in enumerate(rings) if number}
    hanging: Mapping[int, list[tuple[Corner, int]]] = defaultdict(list)
    if not holes:
        return hanging
    left = min(x for x, _ in places)
    above = np.zeros(max(x for x, _ in places) - left, int)
    for edge, ((start, _), (end, _)) in enumerate(zip(places[::2], places[1::2], strict=True)):
        if edge in holes:
            upper = int(above[start - left])
            hanging[upper].append(((start, places[2 * upper][1]), holes[edge]))
        above[start - left : end - left] = edge
    return hanging


def simple_polygons(region: Bool[np.ndarray, "height width"]) -> list[list[Ring]]:
    """A region as polygons of one outer ring and its holes, no ring touching itself.

    They are its parts that hang together by sides, so that geographic programs find them valid.
    """
    return polygons_of(find_corners(np.pad(region, 1), diagonal=False))


def polygons_of(corners: "Corners") -> list[list[Ring]]:
    """The same of a region whose corners were found without `diagonal`."""
    places, rings = _trace(corners)
    polygons: list[list[Ring]] = []
    for ring, part in zip(rings, _parts(corners, rings), strict=True):
        # what goes on from the first corner is the ring, what it leaves off are holes
        *bays, whole = _split([places[node] for node in ring])
        if part == len(polygons):
            polygons.append([whole, *bays])
        else:
            polygons[part] += [*bays, whole]
    return polygons


def _parts(corners: "Corners", rings: Sequence[Sequence[int]]) -> list[int]:
    """Which part each ring bounds: an outer one a part of its own, a hole that of the edge above.

    Edges along rows are looked at from top to bottom; the first one of a ring is above it.
    """
    owners = np.zeros(len(corners.x), int)
    for number, ring in enumerate(rings):
        owners[ring] = number
    parts, count, left = [-1] * len(rings), 0, int(corners.x.min())
    above = np.zeros(int(corners.x.max()) - left, int)
    starts, ends = corners.x[::2] - left, corners.x[1::2] - left
    edges = (owners[::2], starts, ends, corners.inside[::2])
    for number, start, end, inside in zip(*(each.tolist() for each in edges), strict=True):
        if parts[number] < 0:
            parts[number] = count if inside else int(above[start])
            count += inside
        above[start:end] = parts[number]
    return parts


def _split(ring: Ring) -> list[Ring]:
    """A ring as rings that come through no corner twice; the one of its first corner is last."""
    pieces: list[Ring] = []
    way: Ring = []
    places: dict[Corner, int] = {}
    for corner in ring:
        if corner in places:
            start = places[corner]
            pieces.append(way[start:])
            for left in way[start + 1 :]:
                del places[left]
            del way[start + 1 :]
        else:
            places[corner] = len(way)
            way.append(corner)
    return [*pieces, way]


class Corners(NamedTuple):
    """Where outlines turn, row by row; what two outlines go through is listed twice."""

    x: Int64[np.ndarray, " corners"]
    y: Int64[np.ndarray, " corners"]
    swapped: Bool[np.ndarray, " corners"]
    """Of two at one place, whether the right one goes up."""
    inside: Bool[np.ndarray, " corners"]
    """Whether the pixel to the lower right belongs to the region."""


def find_corners(padded: Bool[np.ndarray, "height width"], diagonal: bool) -> Corners:
    """Those between the pixels of an array, counted from 0 at the first four.

    Where two pixels touch with corners alone, rings join them if `diagonal`, else part them.
    """
    first, right = padded[:-1, :-1], padded[:-1, 1:]
    below, last = padded[1:, :-1], padded[1:, 1:]
    twice = (first == last) & (right == below) & (first != right)
    y, x = np.nonzero((first ^ right ^ below ^ last) | twice)
    times = 1 + twice[y, x]
    swapped = twice[y, x] & (first[y, x] == diagonal)
    return Corners(*(np.repeat(each, times) for each in (x, y, swapped, last[y, x])))


def _trace(corners: Corners) -> tuple[list[Corner], list[list[int]]]:
    """The corners, and the rings as places in that list: each from its top left corner on.

    Those come first that begin first, row by row, so a ring before the holes in it.
    """
    x, y, swapped, _ = corners
    second = _is_second(corners)
    # corners along a row are the ends of edges two by two, and so are those along a column
    down = np.lexsort((second ^ swapped, y, x))
    along = np.empty_like(down)
    along[down[0::2]], along[down[1::2]] = down[1::2], down[0::2]
    return list(zip(x.tolist(), y.tolist(), strict=True)), _followed(along.tolist())


def _is_second(corners: Corners) -> Bool[np.ndarray, " corners"]:
    """Whether each is the second of two at one place."""
    return np.concatenate([[False], (np.diff(corners.x) == 0) & (np.diff(corners.y) == 0)])


def _followed(along: Sequence[int]) -> list[list[int]]:
    """Rings of corners, each from its top left one to the right; `along` leads up or down."""
    seen = bytearray(len(along))
    rings: list[list[int]] = []
    for start in range(0, len(along), 2):
        ring: list[int] = []
        node = start
        while not seen[node]:
            seen[node] = seen[node ^ 1] = 1
            ring += (node, node ^ 1)
            node = along[node ^ 1]
        if ring:
            rings.append(ring)
    return rings
