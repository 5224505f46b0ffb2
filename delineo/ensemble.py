"""Means of probabilities: over several runs, and over several views of the same image.

Both are called like the predictors that they are made of.
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from .data.samples import Task
from .data.sizing import Scale
from .decision import Decision, decide
from .errors import ConfigError
from .runtime import MaskPredictor, ScalablePredictor
from .tiles import Footprint

Augmentation = Literal["mirror", "flips", "scales"]
"""Left and right exchanged; also top and bottom; smaller and larger."""
FLIPS: dict[Augmentation, tuple[tuple[int, ...], ...]] = {
    "mirror": ((), (1,)),
    "flips": ((), (1,), (0,), (0, 1)),
}
SCALES = (0.75, 1.0, 1.25)


class Ensemble:
    """Several predictors as one, whose probabilities are the mean of theirs."""

    def __init__(self, members: Sequence[MaskPredictor]) -> None:
        """Raises ConfigError where they do not predict the same classes."""
        first = members[0]
        for member in members:
            if (member.task, member.classes) != (first.task, first.classes):
                raise ConfigError(
                    f"an ensemble is of runs for the same classes, got {_described(first)} and "
                    f"{_described(member)}; predict with each of them alone"
                )
        self.members = tuple(members)
        self.task: Task = first.task
        self.classes, self.channels = first.classes, first.channels
        self.decision = mean_decision([member.decision for member in members])
        self.image_size = max((member.image_size for member in members), key=prod)
        self.scale: Scale = _common_scale([member.scale for member in members])
        """"mixed" where some members look at whole images and others do not."""

    def __call__(self, image: np.ndarray) -> UInt8[np.ndarray, "*planes height width"]:
        return decide(self.probabilities(image), self.decision)

    def probabilities(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """Raises as those of the members."""
        total = self.members[0].probabilities(image)
        for member in self.members[1:]:
            total = total + member.probabilities(image)
        return total / np.float32(len(self.members))

    def footprint(self) -> Footprint:
        """What is enough for each member, in pixels of the view at the smallest scale."""
        prints = [member.footprint() for member in self.members]
        reaches = [each.reach for each in prints]
        reach = None if None in reaches else max(each or 0 for each in reaches)
        needs = [
            each.values * _larger(member.scale, self.scale)
            for each, member in zip(prints, self.members, strict=True)
        ]
        return Footprint(reach=reach, values=ceil(max(needs)))


def _common_scale(scales: Sequence[Scale]) -> Scale:
    """The least, where all are numbers."""
    if "fit" in scales:
        return "fit" if all(scale == "fit" for scale in scales) else "mixed"
    return min(float(scale) for scale in scales)


def _larger(scale: Scale, least: Scale) -> float:
    """Pixels of a view per pixel of that at the least scale."""
    return 1.0 if least in ("fit", "mixed") else (float(scale) / float(least)) ** 2


def _described(predictor: MaskPredictor) -> str:
    return f"{predictor.task} masks of {', '.join(predictor.classes)}"


def mean_decision(decisions: Sequence[Decision]) -> Decision:
    """Thresholds and clean-up in the mean; switches as most have them, off where it is even.

    Each member's probabilities have its own temperature in them already, so here it is 1.
    """
    first = decisions[0]
    if all(decision == first for decision in decisions):
        return first
    means: dict[str, dict[str, float | int | bool]] = {
        step: {
            name: _mean([getattr(decision, step)[name] for decision in decisions]) for name in own
        }
        for step, own in first
        if isinstance(own, dict)
    }
    return first.model_copy(update={**means, "temperature": 1.0})


def _mean(values: Sequence[float | int | bool]) -> float | int | bool:
    mean = sum(values) / len(values)
    if isinstance(values[0], bool):
        return mean > 0.5
    return mean if isinstance(values[0], float) else round(mean)


class Flipped:
    """A predictor that is shown its images with rows (0) or columns (1) in reversed order."""

    def __init__(self, predictor: MaskPredictor, axes: tuple[int, ...]) -> None:
        self.predictor, self.axes = predictor, axes
        self.task: Task = predictor.task
        self.classes, self.channels = predictor.classes, predictor.channels
        self.image_size, self.scale = predictor.image_size, predictor.scale
        self.decision, self.footprint = predictor.decision, predictor.footprint

    def __call__(self, image: np.ndarray) -> UInt8[np.ndarray, "*planes height width"]:
        return decide(self.probabilities(image), self.decision)

    def probabilities(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """At the places of the image as it is. Raises as those of the predictor."""
        # a copy even where one row is flipped, whose negative stride NumPy calls contiguous
        maps = self.predictor.probabilities(np.flip(image, self.axes).copy())
        return np.flip(maps, tuple(axis + 1 for axis in self.axes))


def as_augmentations(names: Sequence[str]) -> list[Augmentation]:
    """Raises ConfigError where one is unknown."""
    known = {name: name for name in get_args(Augmentation)}
    for name in names:
        if name not in known:
            raise ConfigError(f"--tta is one of {', '.join(known)}, got {name!r}")
    return [known[name] for name in names]


def views_of(
    predictor: ScalablePredictor, augmentations: Sequence[Augmentation]
) -> list[MaskPredictor]:
    """Every flip at every scale."""
    flips = next((FLIPS[name] for name in ("flips", "mirror") if name in augmentations), ((),))
    scales = SCALES if "scales" in augmentations else (1.0,)
    scaled = [predictor.at_scale(scale) if scale != 1 else predictor for scale in scales]
    return [Flipped(each, axes) if axes else each for each in scaled for axes in flips]


def combine(
    predictors: Sequence[ScalablePredictor], augmentations: Sequence[Augmentation]
) -> MaskPredictor:
    """One predictor: the mean over all and over their views. Raises ConfigError as Ensemble."""
    views = [view for each in predictors for view in views_of(each, augmentations)]
    return Ensemble(views) if len(views) > 1 else views[0]
