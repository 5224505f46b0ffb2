"""Optimisers, and learning rates as a pure function of progress.

A training that is resumed needs its step and the plateau's two numbers, no scheduler object.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from .config import Config

Share = Annotated[float, Field(ge=0, lt=1)]

_LR = {"adamw": 2e-3, "adam": 1e-3, "sgd": 1e-2}
_WEIGHT_DECAY = {"adamw": 1e-2, "adam": 0.0, "sgd": 1e-4}
_WARMUP = {"one_cycle": 0.1}


class OptimizerConfig(Config):
    """Which optimiser, and how fast."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float | None = Field(default=None, gt=0)
    """Highest learning rate. None: 2e-3 for adamw, 1e-3 for adam, 1e-2 for sgd."""
    encoder_lr_scale: float = Field(default=0.1, ge=0)
    """The learning rate of pretrained layers, as a share of `lr`."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Never applied to norms and biases. None: 0.01 for adamw, 0 for adam, 1e-4 for sgd."""
    momentum: Share = 0.9
    """Of sgd."""
    nesterov: bool = True
    """Whether sgd looks ahead along its momentum, as Nesterov's does."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Of adamw and adam."""


class ScheduleConfig(Config):
    """How the learning rate moves, as a share of the optimiser's `lr`."""

    name: Literal["one_cycle", "cosine", "cosine_restarts", "plateau", "constant"] = "one_cycle"
    """one_cycle: cosine up, then cosine down. cosine: from the top down. cosine_restarts: again
    and again. plateau: lower where validation loss no longer falls. constant: as it is."""
    warmup: float | None = Field(default=None, ge=0, lt=1)
    """Share of all steps in which the rate rises: in a cosine for one_cycle, else in a line.
    None: 0.1 for one_cycle, 0 for the others."""
    min_lr: float = Field(default=0.001, ge=0, le=1)
    """Lowest rate, as a share of the highest."""
    restarts: int = Field(default=3, ge=1)
    """Cycles of cosine_restarts over the whole training."""
    cycle_growth: float = Field(default=1.0, ge=1)
    """Length of each cycle of cosine_restarts over that of the one before."""
    patience: int = Field(default=5, ge=1)
    """plateau lowers the rate after this many validations without a lower loss."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """What plateau multiplies the rate with."""


@dataclass
class PlateauState:
    """What reduce-on-plateau remembers."""

    best: float = math.inf
    waited: int = 0
    """Validations since `best`."""
    factor: float = 1.0

    def update(self, schedule: ScheduleConfig, loss: float) -> None:
        """Take in one validation loss. Only a loss lower by 0.01 % counts as lower."""
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= schedule.patience:
            self.factor = max(self.factor * schedule.factor, schedule.min_lr)
            self.waited = 0

    def state_dict(self) -> dict[str, float]:
        return asdict(self)

    def load_state_dict(self, saved: dict[str, float]) -> None:
        self.best, self.factor = saved["best"], saved["factor"]
        self.waited = int(saved["waited"])


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Parameter groups: pretrained layers (a model's `pretrained_parameters()`) before the rest,
    weights before norms and biases. Each group's `initial_lr` is its highest rate.
    """
    lr = config.lr or _LR[config.name]
    decay = config.weight_decay
    decay = _WEIGHT_DECAY[config.name] if decay is None else decay
    get_pretrained = getattr(model, "pretrained_parameters", list[nn.Parameter])
    pretrained = {id(parameter) for parameter in get_pretrained()}
    known = [p for p in model.parameters() if id(p) in pretrained]
    fresh = [p for p in model.parameters() if id(p) not in pretrained]
    groups = [
        *_groups(known, lr * config.encoder_lr_scale, decay),
        *_groups(fresh, lr, decay),
    ]
    match config.name:
        case "adamw":
            return AdamW(groups, lr=lr, betas=config.betas)
        case "adam":
            return Adam(groups, lr=lr, betas=config.betas)
        case "sgd":
            nesterov = config.nesterov and config.momentum > 0
            return SGD(groups, lr=lr, momentum=config.momentum, nesterov=nesterov)


def _groups(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float
) -> list[dict[str, object]]:
    """Matrices and kernels decay; vectors (norms, biases) don't."""
    parameters = [p for p in parameters if p.requires_grad]
    weights = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": chosen, "lr": lr, "initial_lr": lr, "weight_decay": decay}
        for chosen, decay in ((weights, weight_decay), (vectors, 0.0))
        if chosen
    ]


def lr_factor(
    schedule: ScheduleConfig, step: int, total_steps: int, plateau: PlateauState
) -> float:
    """Learning rate of a step (0 to total_steps - 1) as a share of the highest, 0 to 1."""
    warmup = schedule.warmup
    warmup_steps = total_steps * (_WARMUP.get(schedule.name, 0.0) if warmup is None else warmup)
    if schedule.name == "one_cycle":
        return _one_cycle(step, total_steps - 1, max(warmup_steps - 1, 0.0), schedule.min_lr)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    match schedule.name:
        case "cosine":
            return _cosine(progress, schedule.min_lr)
        case "cosine_restarts":
            return _cosine(_cycle_progress(schedule, progress), schedule.min_lr)
        case "plateau":
            return plateau.factor
        case "constant":
            return 1.0


def _one_cycle(step: int, last: int, peak: float, lowest: float) -> float:
    """`lowest` at steps 0 and `last`, 1 at step `peak`, cosines between."""
    if step < peak:
        return _cosine(1 - step / peak, lowest)
    return _cosine((step - peak) / max(last - peak, 1), lowest)


def _cosine(progress: float, lowest: float) -> float:
    """1 at progress 0, `lowest` at progress 1."""
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * progress)) / 2


def _cycle_progress(schedule: ScheduleConfig, progress: float) -> float:
    """Progress 0 to 1 of the whole -> progress of the current cycle."""
    lengths = [schedule.cycle_growth**cycle for cycle in range(schedule.restarts)]
    position = progress * sum(lengths)
    for length in lengths[:-1]:
        if position < length:
            return position / length
        position -= length
    return position / lengths[-1]
