"""State: everything that changes during a training, and how it is saved and restored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from .optim import PlateauState


@dataclass
class State:
    """What last.pt holds. Restored, training goes on as if nothing had happened."""

    network: nn.Module
    """The bare network; `model` is the same one inside Fabric's wrapper."""
    model: nn.Module
    average: AveragedModel
    optimizer: Optimizer
    total_steps: int
    """Fewer than planned where a budget would not be kept otherwise."""
    planned_steps: int
    """What people were last told."""
    precision: Any
    """Fabric's precision plugin: holds the loss scale of fp16."""
    plateau: PlateauState = field(default_factory=PlateauState)
    step: int = 0
    epoch: int = 0
    """Epochs finished."""
    loss_sum: float = 0.0
    """Of the steps of the current epoch."""
    best_score: float = -math.inf
    epochs_since_best: int = 0
    collapsed_epochs: int = 0
    seconds: float = 0.0
    """Trained so far, over all processes that took part one after the other."""
    epoch_first_step: int = 0
    finished: bool = False

    COUNTERS = (
        "total_steps",
        "step",
        "epoch",
        "loss_sum",
        "best_score",
        "epochs_since_best",
        "collapsed_epochs",
        "seconds",
        "epoch_first_step",
        "planned_steps",
        "finished",
    )

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and strings only: loading it runs no code."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
            "precision": self.precision.state_dict(),
            **{name: getattr(self, name) for name in self.COUNTERS},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.plateau.load_state_dict(saved["plateau"])
        if saved["precision"]:  # empty but for fp16, which another machine may not have used
            self.precision.load_state_dict(saved["precision"])
        for name in self.COUNTERS:
            setattr(self, name, saved[name])


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential running mean of weights and BatchNorm statistics; the network itself at decay 0.

    The decay starts low, so that a short training is not held back by its first weights.
    """

    @torch.no_grad()
    def update(means: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        rate = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, rate)
            else:  # BatchNorm's count of batches
                mean.copy_(value)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
