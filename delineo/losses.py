"""Segmentation losses: pure functions of (logits, target).

The shapes say the task. Binary: logits have one channel, target is (batch, height, width) of 0/1.
Multi-class: one channel per class, target is (batch, height, width) of class indices. Multi-label:
target is (batch, classes, height, width) of 0/1. Everything is computed in float32. Pixels whose
target is `ignore_index` add nothing to value or gradient; a batch of nothing else has loss 0.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from pydantic import Field
from torch import Tensor

from .config import Config
from .errors import ConfigError, ShapeError

Task = Literal["binary", "multiclass", "multilabel"]
Logits = Float[Tensor, "batch channels height width"]
Target = UInt8[Tensor, "batch *classes height width"]
Scalar = Float[Tensor, ""]
LossFunction = Callable[[Tensor, Tensor], Tensor]
"""(logits, target) -> scalar."""


class LossConfig(Config):
    """A weighted sum of losses. All weights 0: chosen by task, see `resolve`."""

    bce: float = Field(default=0.0, ge=0)
    """Weight of binary cross-entropy, for binary and multi-label masks."""
    cross_entropy: float = Field(default=0.0, ge=0)
    """Weight of cross-entropy, for multi-class masks."""
    dice: float = Field(default=0.0, ge=0)
    """Weight of the soft Dice loss."""

    def resolve(self, task: Task) -> "LossConfig":
        """This config with its weights explicit: Dice and the task's cross-entropy where all are 0.

        Raises ConfigError where a loss does not fit the task.
        """
        fitting, other = (
            ("cross_entropy", "bce") if task == "multiclass" else ("bce", "cross_entropy")
        )
        if getattr(self, other):
            reason = (
                "one class excludes the others" if task == "multiclass" else "classes are yes/no"
            )
            raise ConfigError(
                f"loss.{other}={getattr(self, other):g} does not fit {task} masks, where {reason}; "
                f"use loss.{fitting} instead"
            )
        if any(weight for weight, _ in _terms(self)):
            return self
        return self.model_copy(update={fitting: 1.0, "dice": 1.0})


def build_loss(config: LossConfig, task: Task) -> LossFunction:
    """The weighted sum that `config` describes, as one function of (logits, target).

    Raises ConfigError where a loss does not fit the task. The function raises ShapeError where
    logits and target do not belong together.
    """
    terms = [(weight, term) for weight, term in _terms(config.resolve(task)) if weight]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        _check_shapes(logits, target, task)
        return torch.stack([weight * term(logits, target) for weight, term in terms]).sum()

    return loss


def bce(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """Binary cross-entropy, the mean over all pixels (and classes) that are not ignored."""
    target = _planes(target)
    valid = target != ignore_index
    total = F.binary_cross_entropy_with_logits(
        logits.float(), (target == 1).float(), weight=valid.float(), reduction="sum"
    )
    return total / valid.sum().clamp(min=1)


def cross_entropy(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """Cross-entropy over exclusive classes, the mean over all pixels that are not ignored."""
    total = F.cross_entropy(
        logits.float(), target.long(), ignore_index=ignore_index, reduction="sum"
    )
    return total / (target != ignore_index).sum().clamp(min=1)


def dice(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """One minus soft Dice, the mean over classes, between 0 and 1.

    After V-Net (Milletari et al. 2016, arXiv:1606.04797), with p in place of p² in the denominator:
    the soft form of the score that is reported. Sums run over the whole batch, so that one image
    without objects is judged together with the others.

    A class that no pixel of the batch shows has no Dice: 0/0 for a perfect prediction, and a
    constant for any other. It is judged by the Dice of its complement instead: the share of wrong
    pixels, 0 when nothing is predicted, with a gradient that stays alive from any start.
    """
    found, predicted, true, valid = _class_sums(*_probabilities(logits, target, ignore_index))
    present = 1 - 2 * found / (predicted + true).clamp(min=1)
    absent = predicted / (2 * valid - predicted).clamp(min=1)
    return torch.where(true > 0, present, absent).mean()


class ClassSums(NamedTuple):
    """Sums over the pixels of a batch that are not ignored, one per class, in pixels."""

    found: Float[Tensor, " classes"]
    """Probability where the class is true: soft true positives."""
    predicted: Float[Tensor, " classes"]
    true: Float[Tensor, " classes"]
    valid: Float[Tensor, " classes"]


def _class_sums(
    probabilities: Float[Tensor, "batch classes height width"],
    truth: Bool[Tensor, "batch classes height width"],
    valid: Bool[Tensor, "batch planes height width"],
) -> ClassSums:
    pixels = (0, 2, 3)
    return ClassSums(
        found=torch.where(truth, probabilities, 0.0).sum(pixels),
        predicted=torch.where(valid, probabilities, 0.0).sum(pixels),
        true=truth.sum(pixels, dtype=torch.float32),
        valid=valid.sum(pixels, dtype=torch.float32).expand(probabilities.shape[1]),
    )


def _probabilities(
    logits: Logits, target: Target, ignore_index: int
) -> tuple[
    Float[Tensor, "batch classes height width"],
    Bool[Tensor, "batch classes height width"],
    Bool[Tensor, "batch planes height width"],
]:
    """Probability of each class, where it is true, and where it counts (one plane where shared)."""
    planes, valid = _planes(target), _planes(target) != ignore_index
    if target.ndim == 4 or logits.shape[1] == 1:
        return logits.float().sigmoid(), planes == 1, valid
    classes = torch.arange(logits.shape[1], dtype=target.dtype, device=target.device)
    return logits.float().softmax(1), planes == classes.view(-1, 1, 1), valid


def _terms(config: LossConfig) -> list[tuple[float, LossFunction]]:
    return [(config.bce, bce), (config.cross_entropy, cross_entropy), (config.dice, dice)]


def _check_shapes(logits: Tensor, target: Tensor, task: Task) -> None:
    batch, channels, height, width = logits.shape
    planes = (channels,) if task == "multilabel" else ()
    channels_fit = {"binary": channels == 1, "multiclass": channels > 1, "multilabel": True}
    if tuple(target.shape) != (batch, *planes, height, width) or not channels_fit[task]:
        raise ShapeError(
            f"logits {tuple(logits.shape)} do not fit {task} masks {tuple(target.shape)}; the "
            "model must give (batch, channels, height, width) at the size of the masks, "
            "with one channel per class (binary: one)"
        )


def _planes(target: Target) -> UInt8[Tensor, "batch planes height width"]:
    return target if target.ndim == 4 else target.unsqueeze(1)
