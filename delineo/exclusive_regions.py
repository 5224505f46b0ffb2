"""Multi-class masks that no memory holds, in strips: their regions cleaned as `decision` does it to
the whole.

A pixel that a class loses goes to the next in the ranking of its classes, after the last to the
first. So its ranking, and how many steps it has gone there, are all that is to be known of it.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from .data.samples import IGNORE_INDEX
from .decision import TOUCHING, CleanUp
from .regions import Regions, are_largest, pick, survey

Rankings = Callable[[], Iterable[ndarray]]
"""Strips of `ranked` from top to bottom, anew at each call; 255 in all classes for no data."""


def ranked(
    probabilities: Float[ndarray, "classes height width"],
) -> UInt8[ndarray, "classes height width"]:
    """The classes of each pixel, the most probable first; of equals that of the lower index."""
    place = np.zeros(probabilities.shape, np.uint8)
    # pair by pair is three times faster than NumPy's argsort over the first axis
    for earlier, later in combinations(range(len(place)), 2):
        behind = probabilities[later] > probabilities[earlier]
        place[earlier] += behind
        place[later] += ~behind
    ranking, classes = np.empty_like(place), np.arange(len(place), dtype=np.uint8)
    np.put_along_axis(ranking, place, classes.reshape(-1, 1, 1), axis=0)
    return ranking


def exclusive_strips(
    rankings: Rankings, clean_ups: list[CleanUp], confidences: list[float]
) -> Iterator[UInt8[ndarray, "height width"]]:
    """The mask after all steps, as `decision.decide` with these `confidences` in the classes.

    Where there is no data it is 255. While regions are cleaned, all classes are equally probable
    there, so that it belongs to the first of them.
    """
    mask = _Mask(rankings, len(clean_ups))
    smallest = np.array([clean_up.smallest_region for clean_up in clean_ups])
    single = np.array([clean_up.only_largest for clean_up in clean_ups])
    if smallest.max() > 1:
        # what a region becomes may be too small in turn, at most once for each class
        for _ in clean_ups:
            if not mask.take(lambda found: found.sizes < smallest[found.values - 1]):
                break
    if single.any():
        mask.take(lambda found: single[found.values - 1] & ~are_largest(found))
    shut = [
        area < clean_up.smallest_area or confidence < clean_up.least_confidence
        for area, clean_up, confidence in zip(mask.areas(), clean_ups, confidences, strict=True)
    ]
    return mask.without(np.array(shut))


class _Mask:
    """A mask in strips, and how far its pixels have gone in their rankings."""

    def __init__(self, rankings: Rankings, classes: int) -> None:
        self._rankings, self._classes = rankings, classes
        self._steps: dict[int, bytes] = {}
        """Modulo the number of classes, compressed, by number of those strips that have any."""

    def take(self, lose: Callable[[Regions], Bool[ndarray, " regions"]]) -> bool:
        """Give the pixels of those regions to their next classes; whether there are any.

        The values of the regions are class indices plus 1.
        """
        found = survey(self._counted_from_1, TOUCHING)
        lost = lose(found)
        if lost.any():
            for number, gone in enumerate(pick(self._counted_from_1, TOUCHING, lost[found.names])):
                if gone.any():
                    steps = (self._steps_of(number, gone.shape) + gone) % self._classes
                    self._steps[number] = zlib.compress(steps.data, 1)
        return bool(lost.any())

    def areas(self) -> list[int]:
        """Pixels of each class."""
        strips = (np.bincount(mask.ravel(), minlength=self._classes) for _, _, mask in self._all())
        return sum(strips, np.zeros(self._classes, np.int64)).tolist()

    def without(self, shut: Bool[ndarray, " classes"]) -> Iterator[UInt8[ndarray, "height width"]]:
        """The final strips: no pixel has a class that is shut, unless all are."""
        for ranking, steps, mask in self._all():
            for _ in range(self._classes if shut[mask].any() else 0):
                steps = (steps + shut[mask]) % self._classes
                mask = _shown(ranking, steps)
            yield np.where(ranking[0] == IGNORE_INDEX, np.uint8(IGNORE_INDEX), mask)

    def _counted_from_1(self) -> Iterator[UInt8[ndarray, "height width"]]:
        return (mask + np.uint8(1) for _, _, mask in self._all())

    def _all(self) -> Iterator[tuple[ndarray, ndarray, ndarray]]:
        """Ranking, steps and mask of each strip."""
        for number, ranking in enumerate(self._rankings()):
            steps = self._steps_of(number, ranking.shape[1:])
            yield ranking, steps, _shown(ranking, steps)

    def _steps_of(self, number: int, shape: tuple[int, ...]) -> UInt8[ndarray, "height width"]:
        if number not in self._steps:
            return np.zeros(shape, np.uint8)
        return np.frombuffer(zlib.decompress(self._steps[number]), np.uint8).reshape(shape)


def _shown(
    ranking: UInt8[ndarray, "classes height width"], steps: UInt8[ndarray, "height width"]
) -> UInt8[ndarray, "height width"]:
    """The classes that pixels have after so many steps."""
    mask, moved = ranking[0].copy(), np.nonzero(steps)
    mask[moved] = ranking[steps[moved], *moved]
    # without data the ranking is that of the indices
    return np.where(ranking[0] == IGNORE_INDEX, steps, mask)
