"""Bootstrap intervals over images, and paired comparisons on the same images.

A bootstrap resample draws as many images as there are, with replacement, so that each image counts
0, 1, 2, ... times. A statistic takes those counts as weights, for many resamples at once.

The intervals say how much a score would change with other test images of the same kind. They do not
cover another training seed. Images are taken to be independent, unless `groups` says which show one
car, patient or video: then whole groups are drawn (Field and Welsh 2007,
doi:10.1111/j.1467-9868.2007.00593.x, the cluster bootstrap), as many as there are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

RESAMPLES = 2000
WEIGHTS_AT_ONCE = 4_000_000
"""Numbers (32 MB) of weights held in memory."""

Weights = Float64[np.ndarray, "resamples images"]
Statistic = Callable[[Weights], Mapping[str, np.ndarray]]
"""Weights -> arrays whose first axis is the resamples. NaN where a resample has no value."""
Groups = Sequence[str | None] | None
"""What each image belongs to, None: to nothing; or None where no two images belong together."""


class Interval(NamedTuple):
    """A value of all images and its 95 % percentile interval; NaN where there is none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Of a gain, which is one number: `gain` and `interval95`, None where there is none."""
        value, *bounds = (None if np.isnan(x) else float(x) for x in self)
        return {"gain": value, "interval95": None if None in bounds else bounds}


def intervals(
    statistic: Statistic,
    num_images: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups = None,
) -> dict[str, Interval]:
    """Value and interval of everything that `statistic` gives; one image, or group, has none."""
    values, units = statistic(np.ones((1, num_images))), number_units(num_images, groups)
    if units.max(initial=0) < 1:
        unknown = {name: np.full_like(value[0], np.nan) for name, value in values.items()}
        return {n: Interval(np.asarray(v[0]), unknown[n], unknown[n]) for n, v in values.items()}
    chunks = [statistic(weights) for weights in _resample(units, resamples, seed)]
    return {
        name: Interval(
            np.asarray(value[0]), *_percentiles(np.concatenate([chunk[name] for chunk in chunks]))
        )
        for name, value in values.items()
    }


def paired_difference(
    first: Statistic,
    second: Statistic,
    num_images: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    groups: Groups = None,
) -> dict[str, Interval]:
    """`first` - `second` on the same images in the same order.

    What makes an image hard or easy for both cancels out. An interval without 0 says that the
    difference is more than the chance of which images were tested.
    """

    def difference(weights: Weights) -> dict[str, np.ndarray]:
        ours, theirs = first(weights), second(weights)
        return {name: ours[name] - theirs[name] for name in ours}

    return intervals(difference, num_images, resamples, seed, groups)


def number_units(num_images: int, groups: Groups) -> Int64[np.ndarray, " images"]:
    """0, 1, 2, ... for each image, the same for images of one group."""
    if groups is None:
        return np.arange(num_images)
    names = [group if group is not None else index for index, group in enumerate(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], int)


def _resample(units: Int64[np.ndarray, " images"], resamples: int, seed: int) -> Iterator[Weights]:
    """How often each image is drawn, in chunks of resamples that fit in memory."""
    random, num_units = np.random.default_rng(seed), int(units.max()) + 1
    rows = max(WEIGHTS_AT_ONCE // units.size, 1)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = random.integers(num_units, size=(size, num_units))
        drawn += num_units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_units)
        yield counts.reshape(size, num_units)[:, units].astype(float)


def _percentiles(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2.5 and 97.5 % points over the first axis, without NaN."""
    columns = samples.reshape(len(samples), -1).T
    known = [column[~np.isnan(column)] for column in columns]
    points = [np.quantile(k, [0.025, 0.975]) if k.size else (np.nan, np.nan) for k in known]
    bounds = np.array(points).T.reshape(2, *samples.shape[1:])
    return np.asarray(bounds[0]), np.asarray(bounds[1])
