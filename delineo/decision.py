"""From probabilities to a mask: everything that `tune` fits on validation and that ships.

Evaluation and prediction both decide here. The steps, in the order in which they are taken:
temperature, threshold, smallest region, largest hole, largest region only, and the gate that leaves
an image without a class. All but the threshold of 0.5 are off until `tune` finds that they gain.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from pydantic import Field

from .config import Config
from .data.samples import Task
from .errors import RunError

TOP_SHARE = 0.001
"""Share of an image's pixels, the most probable ones, whose mean is the confidence in a class."""
TOUCHING = np.ones((3, 3), int)
"""Pixels of a region touch with sides or corners; those of a hole, its opposite, with sides."""

Pixels = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class CleanUp(NamedTuple):
    """What is done to the mask of one class, after its threshold; all off by default."""

    smallest_region: int = 0
    largest_hole: int = 0
    only_largest: bool = False
    smallest_area: int = 0
    least_confidence: float = 0.0


class Decision(Config):
    """How probabilities become a mask. What goes by class names all classes, or none: off."""

    task: Task
    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits before they become probabilities: above 1 they are less certain."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Binary and multi-label: a pixel belongs to the class at this probability or above."""
    smallest_region: dict[str, Pixels] = Field(default_factory=dict)
    """Connected regions of fewer pixels are removed."""
    largest_hole: dict[str, Pixels] = Field(default_factory=dict)
    """Binary and multi-label: holes of up to so many pixels are filled."""
    only_largest: dict[str, bool] = Field(default_factory=dict)
    """Of several regions of a class the largest stays."""
    smallest_area: dict[str, Pixels] = Field(default_factory=dict)
    """A class that has fewer pixels in the whole image gets none."""
    least_confidence: dict[str, Probability] = Field(default_factory=dict)
    """A class gets no pixel where the mean of its highest probabilities in the image, those of one
    pixel in a thousand, is lower."""

    @classmethod
    def default(cls, task: Task, classes: tuple[str, ...]) -> "Decision":
        """0.5 for every class, or the most probable one; nothing is cleaned."""
        values: dict[str, Any] = {
            name: dict.fromkeys(classes, off) for name, off in CleanUp()._asdict().items()
        }
        if task == "multiclass":
            # a hole in one class is a region of another: its smallest region fills it
            values["largest_hole"] = {}
        else:
            values["thresholds"] = dict.fromkeys(classes, 0.5)
        return cls(task=task, **values)

    @classmethod
    def read(cls, path: Path) -> "Decision":
        """From decision.json. Raises RunError where it is missing or broken."""
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read ({error}); train again") from error
        if not isinstance(values, dict):
            raise RunError(f"{path} holds no settings; train again")
        return cls.parse(values, str(path))

    def for_classes(self, task: Task, classes: tuple[str, ...]) -> "Decision":
        """With all steps named for all classes, in their order.

        Raises RunError where it was made for another task or other classes.
        """
        default = Decision.default(task, classes)
        if self.task != task or self.thresholds.keys() != default.thresholds.keys():
            raise RunError(
                f"decision.json decides {self.task} masks with thresholds of "
                f"{', '.join(self.thresholds) or 'no class'}, the run has {task} masks of "
                f"{', '.join(classes)}; put back the file that the training wrote"
            )
        ordered = {"thresholds": {name: self.thresholds[name] for name in default.thresholds}}
        for step in CleanUp._fields:
            off, own = getattr(default, step), getattr(self, step)
            if own.keys() - off.keys():
                raise RunError(
                    f"decision.json has {step} for {', '.join(own.keys() - off.keys())}, which "
                    f"can be said of {', '.join(off) or 'no class of multi-class masks'}; "
                    "run delineo tune, or take it out"
                )
            ordered[step] = {name: own.get(name, value) for name, value in off.items()}
        return self.model_copy(update=ordered)

    def clean_ups(self) -> list[CleanUp]:
        """One for each class in their order; none where nothing is cleaned."""
        by_class = {step: getattr(self, step) for step in CleanUp._fields}
        named = {step: list(values.values()) for step, values in by_class.items() if values}
        columns = zip(*named.values(), strict=True)
        found = [CleanUp(**dict(zip(named, values, strict=True))) for values in columns]
        return found if any(clean_up != CleanUp() for clean_up in found) else []


def decided_otherwise(record: Mapping[str, Any], decision: Decision) -> bool:
    """Whether the masks of an evaluation file were made in another way than `decision` would.

    Files that do not say how are of masks by default thresholds.
    """
    default = Decision.default(record["task"], tuple(record["classes"]))
    made_by = record.get("decision") or default.model_dump(mode="json")
    return made_by != decision.model_dump(mode="json")


def decide(
    probabilities: Float[np.ndarray, "classes height width"], decision: Decision
) -> UInt8[np.ndarray, "*planes height width"]:
    """Mask of class indices (binary, multi-class) or one 0/1 layer per class (multi-label).

    The temperature is in the probabilities already. In multi-class masks, pixels that a class
    loses go to the class that is most probable there among the others.
    """
    if decision.task == "multiclass":
        return _decide_exclusive(probabilities, decision.clean_ups())
    thresholds = np.array(list(decision.thresholds.values()), np.float32).reshape(-1, 1, 1)
    layers = probabilities >= thresholds
    for index, clean_up in enumerate(decision.clean_ups()):
        layers[index] = cleaned(layers[index], probabilities[index], clean_up)
    return (layers[0] if decision.task == "binary" else layers).astype(np.uint8)


def cleaned(
    layer: Bool[np.ndarray, "height width"],
    probabilities: Float[np.ndarray, "height width"],
    clean_up: CleanUp,
) -> Bool[np.ndarray, "height width"]:
    """The mask of one class after all steps that follow its threshold."""
    if not layer.any():
        return layer
    layer = without_small_regions(layer, clean_up.smallest_region)
    layer = with_holes_filled(layer, clean_up.largest_hole)
    if clean_up.only_largest:
        layer = largest_region(layer)
    return layer & passes_gate(layer, probabilities, clean_up)


def without_small_regions(
    layer: Bool[np.ndarray, "height width"], smallest: int
) -> Bool[np.ndarray, "height width"]:
    """Without the connected regions of fewer than `smallest` pixels."""
    if smallest <= 1:
        return layer
    numbers, sizes = _regions(layer, TOUCHING)
    return layer & (sizes >= smallest)[numbers]


def with_holes_filled(
    layer: Bool[np.ndarray, "height width"], largest: int
) -> Bool[np.ndarray, "height width"]:
    """With holes of up to `largest` pixels filled; what touches the image's edge is no hole."""
    if largest < 1:
        return layer
    numbers, sizes = _regions(~layer, None)
    filled = sizes <= largest
    for edge in (numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]):
        filled[edge] = False
    return layer | (~layer & filled[numbers])


def largest_region(layer: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The connected region of most pixels alone; among equals the one that comes first."""
    numbers, sizes = _regions(layer, TOUCHING)
    sizes[0] = 0
    return layer & (numbers == sizes.argmax())


def _regions(
    layer: Bool[np.ndarray, "height width"], touching: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The number of each pixel's region, 0 outside of `layer`, and the pixels of each number."""
    from scipy import ndimage  # a fifth of a second, and most decisions clean nothing

    numbers, _ = ndimage.label(layer, touching)  # pyright: ignore[reportGeneralTypeIssues]
    return numbers, np.bincount(numbers.ravel())


def passes_gate(
    layer: Bool[np.ndarray, "height width"],
    probabilities: Float[np.ndarray, "height width"],
    clean_up: CleanUp,
) -> bool:
    """Whether an image shows enough of a class, surely enough, to hold it at all."""
    if np.count_nonzero(layer) < clean_up.smallest_area:
        return False
    return clean_up.least_confidence <= 0 or confidence(probabilities) >= clean_up.least_confidence


def confidence(probabilities: Float[np.ndarray, "height width"]) -> float:
    """Mean of the highest probabilities of a class in an image, those of TOP_SHARE of its pixels.

    At least one pixel is taken.
    """
    number = top_number(probabilities.size)
    return float(np.partition(probabilities, -number, axis=None)[-number:].mean())


def top_number(pixels: int) -> int:
    """How many pixels of an image its confidence is the mean of."""
    return max(1, round(TOP_SHARE * pixels))


def without_clean_up(decision: Decision) -> Decision:
    """The thresholds alone."""
    return decision.model_copy(update={step: {} for step in CleanUp._fields})


def _decide_exclusive(
    probabilities: Float[np.ndarray, "classes height width"], clean_ups: list[CleanUp]
) -> UInt8[np.ndarray, "height width"]:
    mask = _most_probable(probabilities)
    if not clean_ups:
        return mask
    # what a region becomes may be too small in turn, at most once for each class
    for _ in clean_ups:
        if not _take(mask, probabilities, clean_ups, _small_regions):
            break
    _take(mask, probabilities, clean_ups, _all_but_largest)
    shut = [i for i in _present(mask) if not passes_gate(mask == i, probabilities[i], clean_ups[i])]
    if not shut:
        return mask
    # nor may the pixels go to a class that the image does not show well enough either
    absent = set(range(len(clean_ups))) - set(_present(mask))
    shut += [i for i in absent if not passes_gate(mask == i, probabilities[i], clean_ups[i])]
    if len(shut) < len(clean_ups):
        _move_on(mask, probabilities, np.isin(mask, shut), shut)
    return mask


Lost = Callable[[Bool[np.ndarray, "height width"], CleanUp], Bool[np.ndarray, "height width"]]
"""(pixels of a class, what is done to it) -> those that it loses."""


def _take(
    mask: UInt8[np.ndarray, "height width"],
    probabilities: Float[np.ndarray, "classes height width"],
    clean_ups: list[CleanUp],
    lost: Lost,
) -> bool:
    """Take from each class what it loses; whether there was something."""
    gone = np.zeros(mask.shape, bool)
    for index in _present(mask):
        gone |= lost(mask == index, clean_ups[index])
    _move_on(mask, probabilities, gone)
    return bool(gone.any())


def _move_on(
    mask: UInt8[np.ndarray, "height width"],
    probabilities: Float[np.ndarray, "classes height width"],
    gone: Bool[np.ndarray, "height width"],
    shut: Sequence[int] = (),
) -> None:
    """Give the pixels that are `gone` to the next probable class that is not `shut`.

    After the last class the first follows. Of two that are as probable the earlier one comes first.
    """
    there, present = probabilities[:, gone], mask[gone]
    own = np.take_along_axis(there, present[None], axis=0)[0]
    there[list(shut)] = -np.inf
    following, highest = _most_probable(there), np.full(own.shape, -np.inf, own.dtype)
    for index, value in enumerate(there):
        later = (value < own) | ((value == own) & (present < index))
        better = later & (value > highest)
        np.copyto(following, index, where=better, casting="unsafe")
        np.copyto(highest, value, where=better)
    mask[gone] = following


def _present(mask: UInt8[np.ndarray, "height width"]) -> list[int]:
    return np.flatnonzero(np.bincount(mask.ravel())).tolist()


def _small_regions(
    layer: Bool[np.ndarray, "height width"], clean_up: CleanUp
) -> Bool[np.ndarray, "height width"]:
    return layer & ~without_small_regions(layer, clean_up.smallest_region)


def _all_but_largest(
    layer: Bool[np.ndarray, "height width"], clean_up: CleanUp
) -> Bool[np.ndarray, "height width"]:
    return layer & ~largest_region(layer) if clean_up.only_largest else np.zeros_like(layer)


def _most_probable(
    probabilities: Float[np.ndarray, "classes *pixels"],
) -> UInt8[np.ndarray, "*pixels"]:
    # class by class is ten times faster than NumPy's argmax over the first axis
    mask, highest = np.zeros(probabilities.shape[1:], np.uint8), probabilities[0].copy()
    for index, own in enumerate(probabilities[1:], start=1):
        np.copyto(mask, index, where=own > highest, casting="unsafe")
        np.maximum(highest, own, out=highest)
    return mask
