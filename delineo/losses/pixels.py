"""Losses that judge pixels one by one: cross-entropies and focal loss."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..errors import ConfigError
from .masks import Logits, Scalar, Target, is_exclusive, split_target


def bce(
    logits: Logits,
    target: Target,
    ignore_index: int = 255,
    class_weights: Sequence[float] | None = None,
) -> Scalar:
    """Binary cross-entropy, the mean over all pixels (and classes) that are not ignored.

    With `class_weights` a pixel where a class is true counts as much as that class weighs, one
    where it is not counts 1. Raises ConfigError where there is not one weight for each class.
    """
    truth, valid = split_target(logits, target, ignore_index)
    total = F.binary_cross_entropy_with_logits(
        logits.float(),
        truth.float(),
        weight=valid.float(),
        pos_weight=_weight_planes(logits, class_weights),
        reduction="sum",
    )
    return total / valid.sum().clamp(min=1)


def _weight_planes(
    logits: Logits, class_weights: Sequence[float] | None
) -> Float[Tensor, "classes 1 1"] | None:
    if class_weights is None:
        return None
    return _one_for_each_class(logits, class_weights).view(-1, 1, 1)


def _one_for_each_class(
    logits: Logits, class_weights: Sequence[float]
) -> Float[Tensor, " classes"]:
    if len(class_weights) != logits.shape[1]:
        raise ConfigError(
            f"loss.class_weights must have one number for each of the {logits.shape[1]} classes, "
            f"got {len(class_weights)}"
        )
    return torch.tensor(class_weights, device=logits.device)


def cross_entropy(
    logits: Logits,
    target: Target,
    ignore_index: int = 255,
    class_weights: Sequence[float] | None = None,
) -> Scalar:
    """Cross-entropy over exclusive classes, the mean over all pixels that are not ignored.

    With `class_weights` the weighted mean: a pixel counts as much as its true class weighs.
    Raises ConfigError where there is not one weight for each class.
    """
    if class_weights is None:
        total = F.cross_entropy(
            logits.float(), target.long(), ignore_index=ignore_index, reduction="sum"
        )
        return total / (target != ignore_index).sum().clamp(min=1)
    weights = _one_for_each_class(logits, class_weights)
    total = F.cross_entropy(
        logits.float(), target.long(), weights, ignore_index=ignore_index, reduction="sum"
    )
    ignored = target == ignore_index
    weight = weights[target.long().masked_fill(ignored, 0)].masked_fill(ignored, 0).sum()
    return total / torch.where(weight > 0, weight, 1.0)


def focal(
    logits: Logits,
    target: Target,
    ignore_index: int = 255,
    gamma: float = 2.0,
    alpha: float | None = None,
) -> Scalar:
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): cross-entropy times (1 - p)^gamma.

    p is the probability of the truth. `alpha` in (0, 1) weighs the positive pixels of binary and
    multi-label masks, 1 - alpha the negative ones (the paper's detector took 0.25); None weighs all
    alike. The mean over all pixels (and classes) that are not ignored.
    """
    entropy = _entropy(logits, target, ignore_index)
    # rounding may leave -0, whose power has no gradient
    missing = (-torch.expm1(-entropy)).clamp(min=1e-8)
    losses = missing**gamma * entropy
    truth, valid = split_target(logits, target, ignore_index)
    if alpha is not None and not is_exclusive(logits, target):
        losses = torch.where(truth, alpha, 1 - alpha) * losses
    return torch.where(valid, losses, 0.0).sum() / valid.sum().clamp(min=1)


def _entropy(
    logits: Logits, target: Target, ignore_index: int
) -> Float[Tensor, "batch planes height width"]:
    """Cross-entropy of each pixel: one plane for exclusive classes, else one for each."""
    if is_exclusive(logits, target):
        entropy = F.cross_entropy(
            logits.float(), target.long(), ignore_index=ignore_index, reduction="none"
        )
        return entropy.unsqueeze(1)
    truth, _ = split_target(logits, target, ignore_index)
    return F.binary_cross_entropy_with_logits(logits.float(), truth.float(), reduction="none")
