"""What changes during a training: the running mean, and all of it saved and restored."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.plugins import MixedPrecision, Precision
from torch import nn

from delineo.optim import OptimizerConfig, build_optimizer
from delineo.state import State, average_of


class Scaler:
    """Stands for Fabric's precision plugin."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.scale = saved["scale"]


def make_state(seed: int, decay: float = 0.9) -> State:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    return State(
        network=network,
        model=network,
        average=average_of(network, decay),
        optimizer=build_optimizer(network, OptimizerConfig(lr=0.1)),
        total_steps=100,
        planned_steps=100,
        precision=Scaler(seed),
    )


def step(state: State, seed: int) -> None:
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    state.model(images).square().sum().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.average.update_parameters(state.network)
    state.step += 1


def everything(state: State) -> list[torch.Tensor]:
    return [
        tensor.clone()
        for module in (state.network, state.average)
        for tensor in module.state_dict().values()
    ]


def assert_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_without_decay_the_mean_is_the_network() -> None:
    state = make_state(0, decay=0.0)
    for seed in range(3):
        step(state, seed)
    mean, network = state.average.module.state_dict(), state.network.state_dict()
    for name, tensor in network.items():
        assert torch.allclose(mean[name], tensor, atol=1e-6), name


def test_the_mean_decays_slower_and_slower() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = average_of(network, 0.5)
    expected = None
    for count, value in enumerate([1.0, 2.0, 5.0, -3.0, 8.0, 1.0, 1.0, 4.0, 4.0, 0.0]):
        network.weight.data.fill_(value)
        average.update_parameters(network)
        if expected is None:
            expected = value  # the first update is a copy
        else:
            decay = min(0.5, (1 + count) / (10 + count))
            expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_statistics_are_averaged_and_counts_copied() -> None:
    state = make_state(0)
    for seed in range(5):
        step(state, seed)
    mean, norm = state.average.module[1], state.network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert mean.num_batches_tracked == norm.num_batches_tracked == 5
    assert not torch.equal(mean.running_mean, norm.running_mean)
    assert (mean.running_mean - norm.running_mean).abs().max() < norm.running_mean.abs().max()


def test_restored_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, other = make_state(0), make_state(1)
    for seed in range(4):
        step(whole, seed)
    whole.best_score, whole.finished, whole.plateau.waited = 0.5, False, 2
    torch.save(whole.state_dict(), tmp_path / "last.pt")
    other.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True))
    assert_equal(everything(whole), everything(other))
    for seed in range(4, 8):
        step(whole, seed)
        step(other, seed)
    assert_equal(everything(whole), everything(other))
    assert other.step == 8
    assert other.precision.scale == 0
    assert other.plateau == whole.plateau
    assert all(getattr(other, name) == getattr(whole, name) for name in State.COUNTERS)


@pytest.mark.parametrize(("before", "now"), [("32-true", "16-mixed"), ("16-mixed", "32-true")])
def test_a_training_goes_on_where_fp16_is_used_and_was_not(before: str, now: str) -> None:
    """As with precision=auto where a run moves from a processor to an old GPU, or back."""
    saved = make_state(0)
    saved.precision = plugin(before)
    going_on = make_state(1)
    going_on.precision = plugin(now)
    going_on.load_state_dict(saved.state_dict())
    assert_equal(everything(saved), everything(going_on))


def plugin(precision: str) -> Precision:
    return MixedPrecision("16-mixed", "cpu") if precision == "16-mixed" else Precision()
