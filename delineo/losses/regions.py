"""Losses that judge regions by their overlap: Dice, Tversky, focal Tversky, Tanimoto.

Sums run over the whole batch, so that one image without objects is judged together with the others.

A class that no pixel of the batch shows has no overlap: 0/0 for a perfect prediction, and a
constant for any other. It is judged by the overlap of its complement instead: 0 when nothing is
predicted, rising with the share of wrong pixels, with a gradient that stays alive from any start.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .masks import Logits, Planes, Scalar, Target, probabilities_of, split_target

Probabilities = Float[Tensor, "batch classes height width"]


def dice(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """One minus soft Dice, the mean over classes, between 0 and 1.

    After V-Net (Milletari et al. 2016, arXiv:1606.04797), with p in place of p² in the denominator:
    the soft form of the score that is reported.
    """
    return _tversky_losses(logits, target, ignore_index, 0.5, 0.5).mean()


def tversky(
    logits: Logits,
    target: Target,
    ignore_index: int = 255,
    alpha: float = 0.3,
    beta: float = 0.7,
) -> Scalar:
    """One minus the Tversky index, the mean over classes (Salehi et al. 2017, arXiv:1706.05721).

    `alpha` weighs false positives, `beta` false negatives; 0.5 and 0.5 is Dice.
    """
    return _tversky_losses(logits, target, ignore_index, alpha, beta).mean()


def focal_tversky(
    logits: Logits,
    target: Target,
    ignore_index: int = 255,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
) -> Scalar:
    """Mean over classes of (1 - Tversky index)^(1/gamma) (Abraham & Khan 2018, arXiv:1810.07842).

    The exponent is inside the mean, as published, and 1/gamma, with gamma from 1 to 3. `alpha`
    weighs false positives and `beta` false negatives as in `tversky`; the paper names them the
    other way round.
    """
    losses = _tversky_losses(logits, target, ignore_index, alpha, beta).clamp(min=0)
    # near 0, where the slope of the power grows without bound, a straight line
    return (losses * losses.clamp(min=1e-6) ** (1 / gamma - 1)).mean()


def tanimoto(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """Tanimoto loss with complement (Diakogiannis et al. 2019, arXiv:1904.00592).

    1 - (T(p, l) + T(1 - p, 1 - l)) / 2 with T = Σ w p l / Σ w (p² + l² - p l) over all pixels and
    classes, where a class weighs 1 / (its true pixels)², and one without any as much as the rarest.
    Where nothing (or everything) is true, the half that is not defined is left out.
    """
    probabilities = probabilities_of(logits, target)
    truth, valid = split_target(logits, target, ignore_index)
    loss, exists = _tanimoto_loss(probabilities, truth, valid)
    other_loss, other_exists = _tanimoto_loss(1 - probabilities, ~truth, valid)
    total = loss * exists + other_loss * other_exists
    return total / (exists + other_exists).clamp(min=1)


def _tanimoto_loss(
    probabilities: Probabilities, truth: Planes, valid: Planes
) -> tuple[Scalar, Scalar]:
    """1 - T, and 1 where T is defined, else 0."""
    pixels = (0, 2, 3)
    probabilities = torch.where(valid, probabilities, 0.0)
    truth = truth & valid
    shared = torch.where(truth, probabilities, 0.0).sum(pixels)
    volume = truth.sum(pixels, dtype=torch.float32)
    rarest = torch.where(volume > 0, volume, torch.inf).amin()
    # 1 / volume² times a constant that cancels out and keeps the numbers near 1
    weights = torch.where(volume > 0, (rarest / volume) ** 2, 1.0)
    union = probabilities.square().sum(pixels) + volume - shared
    ratio = (weights * shared).sum() / (weights * union).sum().clamp(min=1e-6)
    return 1 - ratio, (volume > 0).any().float()


def _tversky_losses(
    logits: Logits, target: Target, ignore_index: int, alpha: float, beta: float
) -> Float[Tensor, " classes"]:
    """1 - tp / (tp + alpha fp + beta fn) of each class, or of its complement where it is absent."""
    found, predicted, true, valid = _class_sums(
        probabilities_of(logits, target), *split_target(logits, target, ignore_index)
    )
    errors = alpha * (predicted - found) + beta * (true - found)
    present = errors / (found + errors).clamp(min=1e-6)
    # a false positive of the class is a false negative of its complement
    errors = alpha * predicted
    absent = errors / (valid - predicted + errors).clamp(min=1e-6)
    return torch.where(true > 0, present, absent)


class ClassSums(NamedTuple):
    """Sums over the pixels of a batch that are not ignored, one per class, in pixels."""

    found: Float[Tensor, " classes"]
    """Probability where the class is true: soft true positives."""
    predicted: Float[Tensor, " classes"]
    true: Float[Tensor, " classes"]
    valid: Float[Tensor, " classes"]


def _class_sums(probabilities: Probabilities, truth: Planes, valid: Planes) -> ClassSums:
    pixels = (0, 2, 3)
    return ClassSums(
        found=torch.where(truth, probabilities, 0.0).sum(pixels),
        predicted=torch.where(valid, probabilities, 0.0).sum(pixels),
        true=truth.sum(pixels, dtype=torch.float32),
        valid=valid.sum(pixels, dtype=torch.float32).expand(probabilities.shape[1]),
    )
