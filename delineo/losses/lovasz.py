"""Lovász loss (Berman et al. 2018, arXiv:1705.08790): a convex stand-in for the IoU itself."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .masks import Logits, Scalar, Target, is_exclusive, probabilities_of, split_target


def lovasz(logits: Logits, target: Target, ignore_index: int = 255) -> Scalar:
    """Lovász hinge of binary and multi-label masks, Lovász softmax of multi-class ones.

    Over the pixels of the whole batch. Multi-class: the mean over the classes that the batch shows,
    as published; what is predicted as any other class is missing from one of these.
    """
    truth, valid = split_target(logits, target, ignore_index)
    if is_exclusive(logits, target):
        errors = (truth.float() - probabilities_of(logits, target)).abs()
    else:
        errors = 1 - logits.float() * torch.where(truth, 1.0, -1.0)
    # behind all others in order of error, an ignored pixel changes nothing
    errors = torch.where(valid, errors, -torch.inf)
    losses = _lovasz_extension(errors.transpose(0, 1).flatten(1), truth.transpose(0, 1).flatten(1))
    if not is_exclusive(logits, target):
        return losses.mean()
    present = truth.any(dim=(0, 2, 3))
    return torch.where(present, losses, 0.0).sum() / present.sum().clamp(min=1)


def _lovasz_extension(
    errors: Float[Tensor, "classes pixels"], truth: Bool[Tensor, "classes pixels"]
) -> Float[Tensor, " classes"]:
    """The Jaccard loss, extended from right or wrong to errors above 0 (algorithm 1)."""
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order).float()
    total = truth.sum(1, keepdim=True)
    missed = truth.cumsum(1)
    union = total + (1 - truth).cumsum(1)
    jaccard = 1 - (total - missed) / union
    steps = torch.diff(jaccard, dim=1, prepend=torch.zeros_like(total))
    return (errors.relu() * steps).sum(1)
