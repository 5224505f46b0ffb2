"""Which of several ways to decide is best, and what it gains on images that did not choose it.

The best of many always looks better on the images it was chosen on. So the images are dealt into
FOLDS, whole groups together, and each fold is decided by what the other folds chose. The gain of
those masks over the present ones, with its paired bootstrap interval, is what a choice is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

from .intervals import Groups, Interval, Statistic, number_units, paired_difference
from .metrics import CountTable, Task, named_score_arrays

FOLDS = 5
BY_CLASS = {
    "dataset.mean_iou": "dataset.iou",
    "dataset.mean_dice": "dataset.dice",
    "per_image.mean_iou": "per_image.iou",
    "per_image.mean_dice": "per_image.dice",
    "competition.tgs_precision": "competition.tgs_precision",
    "competition.severstal_mean_dice": "competition.severstal_dice",
}
"""Scores that can be chosen by, and what each is the mean of."""


@dataclass(frozen=True)
class Scoring:
    """What is chosen by, on which images."""

    name: str
    """One of BY_CLASS."""
    task: Task
    groups: Groups = None

    def overall(
        self, table: CountTable, weights: Float[np.ndarray, "resamples images"]
    ) -> Float[np.ndarray, " resamples"]:
        """The score, for each row of how often each image counts."""
        return named_score_arrays(table, weights, self.task)[self.name]

    def by_column(
        self, table: CountTable, weights: Float[np.ndarray, "resamples images"]
    ) -> Float[np.ndarray, "resamples columns"]:
        """The score of each class, or of all together where what one gains another loses."""
        if self.task == "multiclass":
            return self.overall(table, weights)[:, None]
        values = named_score_arrays(table, weights, self.task)[BY_CLASS[self.name]]
        return values.reshape(len(weights), -1)

    def gain(self, table: CountTable, before: CountTable) -> Interval:
        """Of the overall score, with its interval."""
        return self._difference(
            lambda weights: {"gain": self.overall(table, weights)},
            lambda weights: {"gain": self.overall(before, weights)},
            len(table.valid),
        )

    def gain_by_column(self, table: CountTable, before: CountTable) -> Interval:
        """Of each column, with its interval."""
        return self._difference(
            lambda weights: {"gain": self.by_column(table, weights)},
            lambda weights: {"gain": self.by_column(before, weights)},
            len(table.valid),
        )

    def _difference(self, first: Statistic, second: Statistic, num_images: int) -> Interval:
        return paired_difference(first, second, num_images, groups=self.groups)["gain"]


class Choice(NamedTuple):
    """What was chosen for each column: a class, or all together for multi-class."""

    best: Int64[np.ndarray, " columns"]
    """The candidate of the highest score on all images; the first of equals."""
    gain: Interval
    """Over the first candidate, on images that did not choose."""

    @property
    def kept(self) -> Bool[np.ndarray, " columns"]:
        """Whether more is gained than could be chance."""
        return np.nan_to_num(self.gain.low) > 0


def choose(tables: Sequence[CountTable], scoring: Scoring) -> Choice:
    """The best of several ways to decide, given by their counts; the first is the present one.

    A class that no mask holds stays as it is: nothing could be learnt about it.
    """
    images = len(tables[0].valid)
    folds = deal(images, scoring.groups)
    others = [folds != fold for fold in range(folds.max() + 1)]
    weights = np.vstack([np.ones(images), *others]).astype(float)
    values = np.stack([scoring.by_column(table, weights) for table in tables])
    # rounded: equal scores that differ in the last digit would choose by accident
    best = np.nan_to_num(values.round(9), nan=-1.0).argmax(0)
    if scoring.task != "multiclass":
        best[:, absent(tables[0])] = 0
    unseen = pick(tables, best[1:][folds])
    return Choice(best[0], scoring.gain_by_column(unseen, tables[0]))


def absent(table: CountTable) -> Bool[np.ndarray, " classes"]:
    """Classes that are in no mask."""
    return (table.tp + table.fn).sum(0) == 0


def pick(tables: Sequence[CountTable], choice: Int64[np.ndarray, "images columns"]) -> CountTable:
    """The counts of each image and class from the table that `choice` names for it.

    `correct`, which no score here needs, remains that of the first table.
    """
    index = np.broadcast_to(choice, tables[0].tp.shape)[None]
    counts = {
        name: np.take_along_axis(np.stack([getattr(t, name) for t in tables]), index, 0)[0]
        for name in ("tp", "fp", "fn")
    }
    return tables[0]._replace(**counts)


def deal(images: int, groups: Groups) -> Int64[np.ndarray, " images"]:
    """The fold of each image: FOLDS of them, or as many as there are groups."""
    units = number_units(images, groups)
    number = int(units.max()) + 1
    return np.random.default_rng(0).permutation(number)[units] % min(FOLDS, number)
