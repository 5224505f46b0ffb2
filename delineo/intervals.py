"""Bootstrap intervals over images, and paired comparisons on the same images.

A bootstrap resample draws as many images as there are, with replacement, so that each image counts
0, 1, 2, ... times. A statistic takes those counts as weights, for many resamples at once.

The intervals say how much a score would change with other test images of the same kind. They do not
cover another training seed, and take images to be independent: many views of one object are not.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

RESAMPLES = 2000
WEIGHTS_AT_ONCE = 4_000_000
"""Numbers (32 MB) of weights held in memory."""

Weights = Float64[np.ndarray, "resamples images"]
Statistic = Callable[[Weights], Mapping[str, np.ndarray]]
"""Weights -> arrays whose first axis is the resamples. NaN where a resample has no value."""


class Interval(NamedTuple):
    """A value of all images and its 95 % percentile interval; NaN where there is none."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def intervals(
    statistic: Statistic, num_images: int, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Value and interval of everything that `statistic` gives; one image has no interval."""
    values = statistic(np.ones((1, num_images)))
    if num_images < 2:
        unknown = {name: np.full_like(value[0], np.nan) for name, value in values.items()}
        return {n: Interval(np.asarray(v[0]), unknown[n], unknown[n]) for n, v in values.items()}
    chunks = [statistic(weights) for weights in _resample(num_images, resamples, seed)]
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
) -> dict[str, Interval]:
    """`first` - `second` on the same images in the same order.

    What makes an image hard or easy for both cancels out. An interval without 0 says that the
    difference is more than the chance of which images were tested.
    """

    def difference(weights: Weights) -> dict[str, np.ndarray]:
        ours, theirs = first(weights), second(weights)
        return {name: ours[name] - theirs[name] for name in ours}

    return intervals(difference, num_images, resamples, seed)


def _resample(num_images: int, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each image is drawn, in chunks of resamples that fit in memory."""
    random = np.random.default_rng(seed)
    rows = max(WEIGHTS_AT_ONCE // max(num_images, 1), 1)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn = random.integers(num_images, size=(size, num_images))
        drawn += num_images * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * num_images)
        yield counts.reshape(size, num_images).astype(float)


def _percentiles(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2.5 and 97.5 % points over the first axis, without NaN."""
    columns = samples.reshape(len(samples), -1).T
    known = [column[~np.isnan(column)] for column in columns]
    points = [np.quantile(k, [0.025, 0.975]) if k.size else (np.nan, np.nan) for k in known]
    bounds = np.array(points).T.reshape(2, *samples.shape[1:])
    return np.asarray(bounds[0]), np.asarray(bounds[1])
