"""Outlines of regions along the edges of their pixels: filled again, they give the same pixels.

Corners are (x, y) in pixels from the top left corner of the array, whose first pixel reaches from
0 to 1. Rings are not closed: their last corner is not their first. Regions touch with sides or
corners, as in `decision`.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

Corner = tuple[int, int]
Ring = list[Corner]


def one_ring(region: Bool[np.ndarray, "height width"]) -> Ring:
    """A region as one ring, for formats without holes: each hole hangs on a seam without width.

    By the even-odd rule it has the pixels of the region.
    """
    corners, rings = _trace(region, diagonal=True)
    hanging = _seams(region, corners, rings)
    whole: dict[int, Ring] = {}
    # what hangs on a ring begins below it, and so comes after it
    for number in reversed(range(len(rings))):
        whole[number] = ring = []
        for place, node in enumerate(rings[number]):
            ring.append(corners[node])
            if place % 2 == 0:  # here an edge along a row begins
                leftwards = corners[node] > corners[node ^ 1]
                for seam, hole in sorted(hanging[node // 2], reverse=leftwards):
                    ring += [seam, *whole[hole], whole[hole][0], seam]
    return whole[0]


def _seams(
    region: Bool[np.ndarray, "height width"],
    corners: Sequence[Corner],
    rings: Sequence[Sequence[int]],
) -> Mapping[int, list[tuple[Corner, int]]]:
    """What hangs on each edge along a row: where its seam begins, and the number of the hole.

    The seam goes from the first corner of the hole straight up.
    """
    rows = np.arange(len(region))[:, None]
    outside = np.maximum.accumulate(np.where(region, -1, rows), axis=0)
    places = [(y, x) for x, y in corners]
    hanging: Mapping[int, list[tuple[Corner, int]]] = defaultdict(list)
    for number, (node, *_) in enumerate(rings[1:], start=1):
        x, y = corners[node]
        top = int(outside[y - 1, x]) + 1
        edge = (bisect_right(places, (top, x)) - 1) // 2
        hanging[edge].append(((x, top), number))
    return hanging


def simple_polygons(region: Bool[np.ndarray, "height width"]) -> list[list[Ring]]:
    """A region as polygons of one outer ring and its holes, no ring touching itself.

    They are its parts that hang together by sides, so that geographic programs find them valid.
    """
    from scipy import ndimage  # slow to import

    numbers, _ = ndimage.label(region)  # pyright: ignore[reportGeneralTypeIssues]
    return [
        _simple_polygon(numbers[box] == number, box[1].start, box[0].start)
        for number, box in enumerate(ndimage.find_objects(numbers), start=1)
    ]


def _simple_polygon(part: Bool[np.ndarray, "height width"], left: int, top: int) -> list[Ring]:
    """The outer ring of a part, and its holes; the part's array begins at (left, top)."""
    corners, rings = _trace(part, diagonal=False)
    moved = [(x + left, y + top) for x, y in corners]
    outer, *holes = ([moved[node] for node in ring] for ring in rings)
    # what goes on from the first corner is the outer ring, what it leaves off are holes
    *bays, outer = _split(outer)
    return [outer, *bays, *(piece for hole in holes for piece in _split(hole))]


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


def _trace(
    region: Bool[np.ndarray, "height width"], diagonal: bool
) -> tuple[list[Corner], list[list[int]]]:
    """Where outlines turn, row by row, and the rings as places in that list.

    The outer ring comes first, then the holes from top to bottom. Where two pixels touch with
    corners alone, rings join them if `diagonal`, else part them; such a corner is listed twice.
    """
    x, y, swapped = _corners(region, diagonal)
    second = np.concatenate([[False], (np.diff(x) == 0) & (np.diff(y) == 0)])
    # corners along a row are the ends of edges two by two, and so are those along a column
    down = np.lexsort((second ^ swapped, y, x))
    along = np.empty_like(down)
    along[down[0::2]], along[down[1::2]] = down[1::2], down[0::2]
    return list(zip(x.tolist(), y.tolist(), strict=True)), _followed(along.tolist())


def _corners(
    region: Bool[np.ndarray, "height width"], diagonal: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and y of each turn of an outline; of two at one place, whether the right one goes up."""
    padded = np.pad(region, 1)
    first, right = padded[:-1, :-1], padded[:-1, 1:]
    below, last = padded[1:, :-1], padded[1:, 1:]
    twice = (first == last) & (right == below) & (first != right)
    y, x = np.nonzero((first ^ right ^ below ^ last) | twice)
    times = 1 + twice[y, x]
    swapped = twice[y, x] & (first[y, x] == diagonal)
    return np.repeat(x, times), np.repeat(y, times), np.repeat(swapped, times)


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
