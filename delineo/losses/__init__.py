"""Segmentation losses: pure functions of (logits, target), and weighted sums of them.

The shapes say the task. Binary: logits have one channel, target is (batch, height, width) of 0/1.
Multi-class: one channel per class, target is (batch, height, width) of class indices. Multi-label:
target is (batch, classes, height, width) of 0/1. Everything is computed in float32. Pixels whose
target is `ignore_index` add nothing to value or gradient; a batch of nothing else has loss 0.
"""

from .lovasz import lovasz
from .pixels import bce, cross_entropy, focal
from .regions import dice, focal_tversky, tanimoto, tversky
from .weighted import LossConfig, LossFunction, build_loss

__all__ = [
    "LossConfig",
    "LossFunction",
    "bce",
    "build_loss",
    "cross_entropy",
    "dice",
    "focal",
    "focal_tversky",
    "lovasz",
    "tanimoto",
    "tversky",
]
