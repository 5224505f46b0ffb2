"""Are probabilities true? Temperature and reliability (Guo et al. 2017, arXiv:1706.04599).

Binary and multi-label: each pixel of each class has a probability, and is of the class or not.
Multi-class: the probability of the most probable class, and whether it is the right one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from scipy.optimize import minimize_scalar
from torch import Tensor

from .data.samples import IGNORE_INDEX, Task
from .intervals import Groups, Interval, Weights, paired_difference

BINS = 15  # as in the paper
TEMPERATURES = (0.05, 20.0)
"""Between these the temperature is looked for."""


@dataclass(frozen=True)
class Reliability:
    """Pixels by the probability that was claimed for them, in BINS of equal width."""

    pixels: Int64[np.ndarray, " bins"]
    claimed: Float[np.ndarray, " bins"]
    """Sum of the probabilities."""
    true: Float[np.ndarray, " bins"]
    """Pixels for which the claim is true."""

    @classmethod
    def of(
        cls, probabilities: Float[np.ndarray, " pixels"], true: Bool[np.ndarray, " pixels"]
    ) -> "Reliability":
        bins = np.minimum((probabilities * BINS).astype(np.int64), BINS - 1)
        sums = [np.bincount(bins, weights, BINS) for weights in (probabilities, true)]
        return cls(np.bincount(bins, minlength=BINS), *sums)

    def __add__(self, other: "Reliability") -> "Reliability":
        return Reliability(
            self.pixels + other.pixels, self.claimed + other.claimed, self.true + other.true
        )

    def error(self) -> float:
        """Expected calibration error: mean distance of claim and truth over all pixels."""
        return float(np.abs(self.claimed - self.true).sum() / max(self.pixels.sum(), 1))

    def to_json(self) -> dict[str, list[Any]]:
        """Mean probability and true share of each bin that has pixels, and their number."""
        some = self.pixels > 0
        return {
            "probability": (self.claimed[some] / self.pixels[some]).round(5).tolist(),
            "true_share": (self.true[some] / self.pixels[some]).round(5).tolist(),
            "pixels": self.pixels[some].tolist(),
        }


def reliability(
    probabilities: Float[np.ndarray, "classes height width"],
    mask: UInt8[np.ndarray, "*planes height width"],
    task: Task,
) -> Reliability:
    """How the claims for one image hold; ignored pixels left out."""
    valid = mask != IGNORE_INDEX
    if task == "multiclass":
        highest, index = torch.from_numpy(probabilities).max(0)
        return Reliability.of(highest.numpy()[valid], (index.numpy() == mask)[valid])
    claims = probabilities[0] if task == "binary" else probabilities
    return Reliability.of(claims[valid], (mask == 1)[valid])


@dataclass(frozen=True)
class PixelSample:
    """Logits and truth of some pixels of one image."""

    logits: Float[Tensor, "pixels *classes"]
    """Multi-class: of all classes; else of one class each."""
    truth: Shaped[Tensor, " pixels"]
    """Multi-class: class indices, int64; else 0 or 1, of the logits' type."""

    @classmethod
    def draw(
        cls,
        logits: Float[Tensor, "classes height width"],
        target: UInt8[Tensor, "*planes height width"],
        task: Task,
        most: int,
        random: torch.Generator,
    ) -> "PixelSample":
        """At most so many pixels, or pixels of layers, of those that are not ignored."""
        flat = logits.flatten(1).T if task == "multiclass" else logits.flatten()
        truth = target.flatten()
        chosen = (truth != IGNORE_INDEX).nonzero()[:, 0]
        chosen = chosen[torch.randperm(len(chosen), generator=random)[:most]]
        kind = torch.int64 if task == "multiclass" else logits.dtype
        return cls(flat[chosen], truth[chosen].to(kind))

    def loss(self, temperature: float) -> float:
        """Mean negative log-likelihood in nats; NaN without pixels."""
        scaled = self.logits / temperature
        if scaled.ndim == 2:
            return float(F.cross_entropy(scaled, self.truth))
        return float(F.binary_cross_entropy_with_logits(scaled, self.truth))


@dataclass(frozen=True)
class Calibration:
    """The fitted temperature and what it does to probabilities."""

    temperature: float
    loss: tuple[float, float]
    """Mean negative log-likelihood of a pixel, in nats: before and after."""
    gain: Interval
    """What the loss falls by."""
    reliability: tuple[Reliability, Reliability]
    """Before and after."""

    @property
    def kept(self) -> bool:
        """Whether the probabilities become truer by more than could be chance."""
        return float(np.nan_to_num(self.gain.low)) > 0

    def to_json(self) -> dict[str, Any]:
        before, after = self.reliability
        return {
            "temperature": self.temperature,
            "kept": self.kept,
            "loss": {"before": self.loss[0], "after": self.loss[1], **self.gain.to_json()},
            "error": {"before": before.error(), "after": after.error()},
            "reliability": {"before": before.to_json(), "after": after.to_json()},
        }


def calibrate(
    samples: Sequence[PixelSample],
    temperature: float,
    reliabilities: Sequence[Reliability],
    groups: Groups,
) -> Calibration:
    """What a temperature gains on images, each given by some pixels; `reliabilities`: as above."""
    before, after = (np.array([s.loss(t) for s in samples]) for t in (1.0, temperature))
    known = ~np.isnan(before)

    def mean(losses: np.ndarray, weights: Weights) -> dict[str, np.ndarray]:
        number = np.maximum(weights @ known.astype(float), 1)
        return {"loss": weights @ np.where(known, losses, 0) / number}

    found = paired_difference(
        partial(mean, before), partial(mean, after), len(samples), groups=groups
    )
    once = np.ones((1, len(samples)))
    loss = tuple(float(mean(losses, once)["loss"][0]) for losses in (before, after))
    return Calibration(
        temperature, (loss[0], loss[1]), found["loss"], (reliabilities[0], reliabilities[1])
    )


def fit_temperature(samples: Sequence[PixelSample]) -> float:
    """The temperature of least negative log-likelihood, every image counting the same.

    Convex in one over the temperature, so that there is one. 1.0 where there are no pixels.
    """
    known = [sample for sample in samples if len(sample.truth)]
    if not known:
        return 1.0

    def loss(log_temperature: float) -> float:
        temperature = float(np.exp(log_temperature))
        return float(np.mean([sample.loss(temperature) for sample in known]))

    bounds = tuple(np.log(TEMPERATURES).tolist())
    found: Any = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return round(float(np.exp(found.x)), 3)
