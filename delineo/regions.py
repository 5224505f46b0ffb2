"""Clean-up of masks that no memory holds, in strips, as `decision` does it to the whole.

Regions are counted strip by strip and joined where strips touch. Then each strip is gone through
again, with what is known of the regions that it shows a part of.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from scipy import ndimage, sparse

from .decision import TOUCHING, CleanUp

Strips = Callable[[], Iterable[ndarray]]
"""The strips of a mask from top to bottom, (height, width) of bool, anew at each call."""


def cleaned_strips(strips: Strips, clean_up: CleanUp, confidence: float) -> Strips:
    """The mask of one class after all steps that follow its threshold, as `decision.cleaned`.

    `confidence` is that in the class, over the whole image.
    """
    if clean_up.smallest_region > 1:
        strips = _chosen(strips, TOUCHING, lambda found: found.sizes >= clean_up.smallest_region)
    if clean_up.largest_hole >= 1:
        strips = _with_holes_filled(strips, clean_up.largest_hole)
    if clean_up.only_largest:
        strips = _chosen(strips, TOUCHING, _is_largest)
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


class _Regions(NamedTuple):
    """The connected regions of a mask in strips."""

    names: Int64[ndarray, " pieces"]
    """Of each piece, a region of one strip, the region of the mask that it belongs to."""
    sizes: Int64[ndarray, " regions"]
    on_edge: Bool[ndarray, " regions"]
    """Whether it touches the edge of the mask."""


def _is_largest(found: _Regions) -> Bool[ndarray, " regions"]:
    """Among equals the one that comes first."""
    numbers = np.arange(len(found.sizes))
    return numbers == found.sizes.argmax() if len(numbers) else numbers.astype(bool)


def _with_holes_filled(strips: Strips, largest: int) -> Strips:
    def background() -> Iterator[ndarray]:
        return (~strip for strip in strips())

    def is_hole(found: _Regions) -> Bool[ndarray, " regions"]:
        return (found.sizes <= largest) & ~found.on_edge

    holes = _chosen(background, None, is_hole)
    return lambda: (strip | hole for strip, hole in zip(strips(), holes(), strict=True))


def _chosen(
    strips: Strips, touching: ndarray | None, choose: Callable[[_Regions], ndarray]
) -> Strips:
    """The mask with the chosen regions alone."""
    found = _survey(strips, touching)
    chosen = choose(found)[found.names]

    def again() -> Iterator[ndarray]:
        start = 0
        for strip in strips():
            numbers, count = _label(strip, touching)
            yield np.concatenate(([False], chosen[start : start + count]))[numbers]
            start += count

    return again


def _label(strip: ndarray, touching: ndarray | None) -> tuple[ndarray, int]:
    """The number of each pixel's piece, from 1 on, and how many there are."""
    return ndimage.label(strip, touching)  # pyright: ignore[reportReturnType]


def _survey(strips: Strips, touching: ndarray | None) -> _Regions:
    sizes, seams, edges, start, above = [np.zeros(0, np.int64)], [], [], 0, None
    for strip in strips():
        numbers, count = _label(strip, touching)
        sizes.append(np.bincount(numbers.ravel(), minlength=count + 1)[1:])
        places = np.where(numbers, numbers.astype(np.int64) + start, 0)
        edges += [places[:, 0], places[:, -1]]
        if above is None:
            edges.append(places[0])
        else:
            seams.append(_seam(above, places[0], touching is not None))
        above, start = places[-1], start + count
    edges.append(np.zeros(0, np.int64) if above is None else above)
    return _joined(np.concatenate(sizes), seams, np.unique(np.concatenate(edges)))


def _seam(above: ndarray, below: ndarray, corners: bool) -> Int64[ndarray, "pairs 2"]:
    """Pieces that touch from one row to the next, with corners or with sides alone."""
    pairs = [np.stack([above, below], 1)]
    if corners:
        pairs += [np.stack([above[1:], below[:-1]], 1), np.stack([above[:-1], below[1:]], 1)]
    every = np.concatenate(pairs)
    return np.unique(every[every.all(1)], axis=0)


def _joined(sizes: ndarray, seams: list[ndarray], on_edge: ndarray) -> _Regions:
    """Pieces are counted from 1 on in seams and on the edge, where 0 is none."""
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *seams]) - 1
    graph = sparse.coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(sizes),) * 2)
    count, names = sparse.csgraph.connected_components(graph, directed=False)
    touches = np.zeros(count, bool)
    touches[names[on_edge[on_edge > 0] - 1]] = True
    total = np.zeros(count, np.int64)
    np.add.at(total, names, sizes)
    return _Regions(names.astype(np.int64), total, touches)
