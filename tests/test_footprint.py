"""Memory of training steps: foreseen, kept to by what is planned, told where it is asked for."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import delineo
from delineo import footprint
from delineo.data.samples import DataFolder, Encoding
from delineo.footprint import OVERHEAD, SHARES, bytes_per_pixel, most_pixels
from delineo.machine import Precision
from delineo.progress import NoProgress
from delineo.recipe import Recipe

CPU = torch.device("cpu")
ALONE = Fabric(accelerator="cpu", devices=1)
FOLDER = DataFolder(Path(), "test", "binary", ("disc",), 3, Encoding(), (), {})
TINY = ("model.name=unet", "model.width=4", "model.depth=2", "precision=fp32", "epochs=1")


class Said(NoProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize(("precision", "kept"), [("fp32", 4 * (3 + 8)), ("bf16", 2 * (3 + 8))])
def test_what_a_step_keeps_is_counted_once(precision: Precision, kept: int) -> None:
    """The image for the first layer's gradient; what ReLU puts out for its own and the next."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    found = bytes_per_pixel(network, 3, precision, CPU)
    assert found == pytest.approx(OVERHEAD * kept, rel=0.02)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "lite_unet"},
        {"name": "unet", "width": 8},
        {"name": "segnet", "width": 8},
        {"name": "resunet", "width": 8},
        {"name": "resnet_unet"},
    ],
    ids=lambda model: model["name"],
)
def test_a_small_step_tells_of_a_large_one(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many bytes per pixel at half the side, for each network."""
    monkeypatch.setattr(footprint, "bytes_for_networks", lambda: 2**30)
    recipe = Recipe.parse({"model": model, "precision": "fp32"})
    large = most_pixels(recipe, FOLDER, ALONE, None)
    monkeypatch.setattr(footprint, "SIDE", footprint.SIDE // 2)
    assert most_pixels(recipe, FOLDER, ALONE, None) == pytest.approx(large, rel=0.05)


def test_of_networks_of_your_own_nothing_is_known() -> None:
    own = most_pixels(Recipe(), FOLDER, ALONE, lambda i, o: nn.Conv2d(i, o, 1))
    assert own == math.inf


def test_a_wider_network_leaves_room_for_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "bytes_for_networks", lambda: 2**30)
    narrow, wide = (
        most_pixels(
            Recipe.parse({"model": {"name": "unet", "width": width}, "precision": "fp32"}),
            FOLDER,
            ALONE,
            None,
        )
        for width in (4, 8)
    )
    assert narrow == pytest.approx(2 * wide, rel=0.1)
    assert wide < SHARES["cpu"] * 2**30


@pytest.fixture(scope="module")
def data(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("data") / "discs", 12)


def batch_size_with(pixels: float, data: Path, out: Path, *settings: str) -> tuple[int, list[str]]:
    """What a training takes, and says, where the windows of a batch may have so many pixels."""
    said = Said()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("delineo.training.most_pixels", lambda *_, **__: pixels)
        wanted = [*TINY, "epoch_size=8", "data.image_size=[32,32]", *settings]
        run = delineo.train(data, wanted, out=out, progress=said)
    size = run.recipe().batch_size
    assert size
    return size, [text for text in said.texts if "memory" in text]


@pytest.mark.parametrize(("windows", "batch_size"), [(1000, 4), (4, 4), (3, 2), (2, 2)])
def test_batches_that_fit_are_planned(
    data: Path, tmp_path: Path, windows: int, batch_size: int
) -> None:
    pixels = float(windows * 32 * 32)
    assert batch_size_with(pixels, data, tmp_path / "run") == (batch_size, [])


def test_what_was_asked_for_is_kept_and_its_danger_told(data: Path, tmp_path: Path) -> None:
    size, said = batch_size_with(2.0 * 32 * 32, data, tmp_path / "run", "batch_size=5")
    assert size == 5
    assert len(said) == 1
    assert "batch_size=5 and windows of 32 x 32 want about 2.5 times the memory" in said[0]
    assert said[0] in (tmp_path / "run" / "train.log").read_text()
