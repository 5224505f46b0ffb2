"""Optimiser groups, and learning rates against PyTorch's own schedulers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler

from delineo.errors import ConfigError
from delineo.models import LiteUNetConfig, UNetConfig, build_model
from delineo.optim import OptimizerConfig, PlateauState, ScheduleConfig, build_optimizer, lr_factor

TOTAL = 60


def factors(schedule: ScheduleConfig, total: int = TOTAL) -> list[float]:
    return [lr_factor(schedule, step, total, PlateauState()) for step in range(total)]


def reference(make: Callable[[Any], Any], total: int = TOTAL) -> list[float]:
    """Learning rates of a PyTorch scheduler on an optimiser with lr 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_one_cycle_is_pytorchs() -> None:
    def make(optimizer: Any) -> Any:
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=TOTAL + 1,
            pct_start=0.25,
            div_factor=100,
            final_div_factor=1,
            cycle_momentum=False,
        )

    expected = reference(make, TOTAL + 1)
    ours = factors(ScheduleConfig(name="one_cycle", warmup=0.25, min_lr=0.01), TOTAL + 1)
    assert ours == pytest.approx(expected)
    assert ours[0] == pytest.approx(0.01)
    assert ours[-1] == pytest.approx(0.01)


def test_cosine_is_pytorchs() -> None:
    expected = reference(lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL, eta_min=0.05))
    assert factors(ScheduleConfig(name="cosine", min_lr=0.05)) == pytest.approx(expected)


@pytest.mark.parametrize(("restarts", "growth", "first"), [(3, 1, 20), (4, 2, 4)])
def test_cosine_restarts_are_pytorchs(restarts: int, growth: int, first: int) -> None:
    expected = reference(
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, T_mult=growth, eta_min=0.01)
    )
    schedule = ScheduleConfig(
        name="cosine_restarts", restarts=restarts, cycle_growth=growth, min_lr=0.01
    )
    assert factors(schedule) == pytest.approx(expected)


def test_warmup_rises_in_a_line_to_the_top() -> None:
    rates = factors(ScheduleConfig(name="constant", warmup=0.5), 10)
    assert rates == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1, 1, 1, 1])


def test_plateau_is_pytorchs_and_survives_a_restart() -> None:
    """PyTorch counts the validations that change nothing: one fewer than ours."""
    losses = [1.0, 0.9, 0.95, 0.91, 0.89999, 0.9, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.7]
    schedule = ScheduleConfig(name="plateau", patience=3, factor=0.3, min_lr=0.05)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2, min_lr=0.05)
    plateau = PlateauState()
    for loss in losses:
        theirs.step(loss)
        plateau.update(schedule, loss)
        resumed = PlateauState()
        resumed.load_state_dict(plateau.state_dict())
        plateau = resumed
        assert lr_factor(schedule, 5, TOTAL, plateau) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )
    assert plateau.factor == 0.05


@given(
    name=st.sampled_from(["one_cycle", "cosine", "cosine_restarts", "plateau", "constant"]),
    warmup=st.one_of(st.none(), st.floats(0, 0.99)),
    min_lr=st.floats(0, 1),
    restarts=st.integers(1, 5),
    growth=st.floats(1, 3),
    total=st.integers(1, 50),
)
def test_factor_is_a_share_for_every_step(
    name: Any, warmup: float | None, min_lr: float, restarts: int, growth: float, total: int
) -> None:
    schedule = ScheduleConfig(
        name=name, warmup=warmup, min_lr=min_lr, restarts=restarts, cycle_growth=growth
    )
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors(schedule, total))


def test_norms_and_biases_do_not_decay() -> None:
    model = build_model(UNetConfig(width=4, depth=2), 3, 1)
    optimizer = build_optimizer(model, OptimizerConfig(name="adamw", weight_decay=0.1))
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for parameter in model.parameters():
        assert decays.pop(id(parameter)) == (0.1 if parameter.ndim > 1 else 0.0)
    assert not decays


def test_pretrained_layers_learn_more_slowly() -> None:
    model = build_model(LiteUNetConfig(), 3, 1)
    optimizer = build_optimizer(model, OptimizerConfig(lr=1e-2, encoder_lr_scale=0.1))
    rates = {
        id(parameter): group["initial_lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in model.named_parameters():
        expected = 1e-3 if name.startswith("encoder.") else 1e-2
        assert rates[id(parameter)] == pytest.approx(expected)
    assert optimizer.param_groups[-1]["lr"] == 1e-2


def test_without_pretrained_weights_all_layers_learn_alike() -> None:
    model = build_model(LiteUNetConfig(pretrained=False), 3, 1)
    optimizer = build_optimizer(model, OptimizerConfig(lr=1e-2, encoder_lr_scale=0.1))
    assert {group["initial_lr"] for group in optimizer.param_groups} == {1e-2}


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


@pytest.mark.parametrize(
    ("name", "kind", "lr", "decay"),
    [
        ("adamw", torch.optim.AdamW, 2e-3, 1e-2),
        ("adam", torch.optim.Adam, 1e-3, 0.0),
        ("sgd", torch.optim.SGD, 1e-2, 1e-4),
    ],
)
def test_defaults_by_name(name: Any, kind: type, lr: float, decay: float) -> None:
    optimizer = build_optimizer(nn.Linear(3, 2), OptimizerConfig(name=name))
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == lr
    assert optimizer.param_groups[0]["weight_decay"] == decay


@pytest.mark.parametrize(("settings", "nesterov"), [({}, True), ({"nesterov": False}, False)])
def test_momentum_of_sgd(settings: dict[str, Any], nesterov: bool) -> None:
    config = OptimizerConfig(name="sgd", momentum=0.8, **settings)
    [group] = build_optimizer(nn.Linear(3, 2, bias=False), config).param_groups
    assert (group["momentum"], group["nesterov"]) == (0.8, nesterov)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_every_optimizer_lowers_a_loss(name: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    inputs, target = torch.randn(64, 4), torch.randn(64, 1)
    optimizer = build_optimizer(model, OptimizerConfig(name=name, lr=0.02))
    losses = []
    for _ in range(50):
        loss = nn.functional.mse_loss(model(inputs), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert math.isfinite(losses[-1])


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="lr"):
        OptimizerConfig.parse({"lr": -1})
    with pytest.raises(ConfigError, match="name"):
        ScheduleConfig.parse({"name": "exponential"})
    with pytest.raises(ConfigError, match="betas"):
        OptimizerConfig.parse({"betas": [0.9, 1.0]})
