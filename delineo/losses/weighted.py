"""LossConfig: a weighted sum of losses, and what does not fit a task."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ..config import Config
from ..errors import ConfigError, ShapeError
from .lovasz import lovasz
from .pixels import bce, cross_entropy, focal
from .regions import dice, focal_tversky, tanimoto, tversky

Task = Literal["binary", "multiclass", "multilabel"]
ClassWeights = tuple[Annotated[float, Field(ge=0)], ...] | Literal["median_frequency"]
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
    focal: float = Field(default=0.0, ge=0)
    """Weight of focal loss, which looks away from pixels that are already right."""
    tversky: float = Field(default=0.0, ge=0)
    """Weight of the Tversky loss: Dice that tells false positives from false negatives."""
    focal_tversky: float = Field(default=0.0, ge=0)
    """Weight of the focal Tversky loss, for rare classes."""
    tanimoto: float = Field(default=0.0, ge=0)
    """Weight of the Tanimoto loss with complement."""
    lovasz: float = Field(default=0.0, ge=0)
    """Weight of the Lovász loss, which stands for the IoU; best after a start with another."""
    class_weights: ClassWeights | None = None
    """How much a pixel of each class counts in cross_entropy; in bce, how much a pixel counts where
    the class is true. median_frequency: by how rare a class is in the training part, as in SegNet.
    None: all alike."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """How far focal looks away: 0 is plain cross-entropy."""
    focal_alpha: float | None = Field(default=None, gt=0, lt=1)
    """Weight of positive pixels in focal, for binary and multi-label masks. None: all alike."""
    tversky_alpha: float = Field(default=0.3, gt=0)
    """Weight of false positives in tversky and focal_tversky."""
    tversky_beta: float = Field(default=0.7, gt=0)
    """Weight of false negatives in tversky and focal_tversky."""
    focal_tversky_gamma: float = Field(default=4 / 3, ge=1, le=3)
    """1 is plain Tversky; more raises what classes that are nearly right still count."""

    def resolve(self, task: Task) -> "LossConfig":
        """This config with its weights explicit: Dice and the task's cross-entropy where all are 0.

        Raises ConfigError where a loss or a parameter does not fit the task.
        """
        exclusive = task == "multiclass"
        fitting, other = ("cross_entropy", "bce") if exclusive else ("bce", "cross_entropy")
        if getattr(self, other):
            reason = "a pixel has one class" if exclusive else "each class is true or not by itself"
            raise ConfigError(
                f"loss.{other}={getattr(self, other):g} does not fit {task} masks, where {reason}; "
                f"use loss.{fitting} instead"
            )
        chosen = any(weight for weight, _ in _terms(self))
        config = self if chosen else self.model_copy(update={fitting: 1.0, "dice": 1.0})
        if config.class_weights is not None and not getattr(config, fitting):
            raise ConfigError(
                f"loss.class_weights weigh the pixels of {fitting}, which is not used; "
                f"set loss.{fitting}=1, or leave them out"
            )
        if config.focal_alpha is not None and exclusive:
            raise ConfigError(
                "loss.focal_alpha weighs positive against negative pixels, and multiclass masks "
                "have none; leave it out"
            )
        return config


def build_loss(config: LossConfig, task: Task) -> LossFunction:
    """The weighted sum that `config` describes, as one function of (logits, target).

    Raises ConfigError where a loss does not fit the task or its class weights are not worked out
    yet. The function raises ShapeError where
    logits and target do not belong together.
    """
    if config.class_weights == "median_frequency":
        raise ConfigError(
            "loss.class_weights=median_frequency is worked out when a training begins; "
            "give one number for each class"
        )
    terms = [(weight, term) for weight, term in _terms(config.resolve(task)) if weight]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        _check_shapes(logits, target, task)
        return torch.stack([weight * term(logits, target) for weight, term in terms]).sum()

    return loss


def _terms(config: LossConfig) -> list[tuple[float, LossFunction]]:
    overlap = {"alpha": config.tversky_alpha, "beta": config.tversky_beta}
    weights = None if config.class_weights == "median_frequency" else config.class_weights
    return [
        (config.bce, partial(bce, class_weights=weights)),
        (config.cross_entropy, partial(cross_entropy, class_weights=weights)),
        (config.dice, dice),
        (config.focal, partial(focal, gamma=config.focal_gamma, alpha=config.focal_alpha)),
        (config.tversky, partial(tversky, **overlap)),
        (
            config.focal_tversky,
            partial(focal_tversky, **overlap, gamma=config.focal_tversky_gamma),
        ),
        (config.tanimoto, tanimoto),
        (config.lovasz, lovasz),
    ]


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
