"""Windows: they cover the image, fade into each other, and answer as the whole image does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from delineo import tiles
from delineo.data.samples import DataFolder, Encoding
from delineo.data.sizing import Scale
from delineo.decision import Decision
from delineo.models.reach import UNKNOWN, measure
from delineo.models.unet import UNet, UNetConfig
from delineo.prediction import Predictor, build_network
from delineo.recipe import Recipe
from delineo.tiles import LARGEST_HALO, RAMP, Footprint, Plan, cut, plan_windows

SMALL_UNET = {"name": "unet", "width": 4, "depth": 2}


def predictor_of(
    network: nn.Module | None = None, scale: Scale = 1.0, **model: object
) -> Predictor:
    """Random weights, and BatchNorms that have seen noise, so that answers differ by pixel."""
    data = {"image_size": [32, 32], "scale": scale, "mean": [127.0] * 3, "std": [60.0] * 3}
    recipe = Recipe.parse({"model": model or SMALL_UNET, "data": data, "precision": "fp32"})
    folder = DataFolder(Path(), "test", "binary", ("disc",), 3, Encoding(), (), {})
    torch.manual_seed(0)
    network = network or build_network(recipe, folder, None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, 64, 64))
    return Predictor(network.eval(), recipe, folder, Decision.default("binary", ("disc",)))


def smooth_noise(height: int, width: int) -> np.ndarray:
    """A picture with things of many sizes in it."""
    random, image = torch.Generator().manual_seed(0), torch.zeros(1, 3, height, width)
    for cells in (4, 16, 64):
        noise = torch.randn(1, 3, cells, cells, generator=random)
        image += nn.functional.interpolate(noise, size=(height, width), mode="bilinear")
    return (image[0] * 40 + 127).clip(0, 255).byte().permute(1, 2, 0).numpy()


def in_windows(
    predictor: Predictor, image: np.ndarray, monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> np.ndarray:
    """The predictor's answer by this plan."""
    monkeypatch.setattr(tiles, "_fits", lambda *_: False)
    monkeypatch.setattr(tiles, "plan_windows", lambda *_: plan)
    return predictor.probabilities(image)


@given(
    length=st.integers(1, 900), halo=st.integers(0, 40), steps=st.integers(2, 4),
    scale=st.sampled_from((1.0, 0.25, 0.35, 0.7, 0.433, 2.0)), more=st.integers(0, 31),
)  # fmt: skip
def test_windows_cover_an_axis_and_weigh_one(
    length: int, halo: int, steps: int, scale: float, more: int
) -> None:
    step = steps * 32
    plan = Plan(side=step + RAMP + more + 2 * halo, halo=halo, step=step, scale=scale)
    spans = cut(length, plan)
    total, covered = np.zeros(length), 0
    for index, span in enumerate(spans):
        assert 0 <= span.start <= span.first < span.done <= span.end <= span.stop <= length
        assert abs(span.start * scale - index * step) <= scale / 2 + 1e-9
        assert span.stop - span.start <= round(plan.side / scale) + 1
        assert span.first == 0 or abs(span.first - span.start - halo / scale) <= 1
        assert span.end == length or abs(span.stop - span.end - halo / scale) <= 1
        assert span.first == covered
        total[span.first : span.end] += span.weights
        covered = span.done
    assert covered == length
    assert np.allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("scale", [0.25, 0.35, 0.5, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("free", [0, 10**9, 10**12])
def test_plans_keep_to_memory_and_to_the_grid_of_file_and_view(
    scale: float, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "bytes_for_networks", lambda: free)
    plan = plan_windows(Footprint(reach=900, values=100), scale, 1)
    assert plan.halo == LARGEST_HALO
    assert plan.step % 32 == plan.side % 32 == 0
    assert plan.step / scale == pytest.approx(round(plan.step / scale), abs=1e-9)
    assert RAMP <= plan.side - 2 * plan.halo - plan.step <= plan.step
    need = plan.side**2 * (400 + 12 / scale**2)
    assert need <= min(tiles.WINDOW_BYTES, free / 4) or plan.step == 2 * tiles._grid(scale)
    assert plan_windows(Footprint(reach=23), scale, 1).halo == 23


@pytest.mark.parametrize("down", ["max_pool", "stride"])
@pytest.mark.parametrize("size", [(160, 224), (320, 64), (32, 300)])
def test_where_the_halo_covers_the_reach_windows_are_exact(
    size: tuple[int, int], down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = predictor_of(**SMALL_UNET, down=down)
    reach = predictor.footprint().reach
    assert reach is not None and 20 < reach <= 28
    image = smooth_noise(*size)
    whole = predictor.probabilities(image)
    assert whole.std() > 0.01
    plan = Plan(side=160, halo=reach, step=64, scale=1.0)
    assert np.abs(in_windows(predictor, image, monkeypatch, plan) - whole).max() < 1e-5
    narrow = Plan(side=128, halo=2, step=64, scale=1.0)
    assert np.abs(in_windows(predictor, image, monkeypatch, narrow) - whole).max() > 1e-4


@pytest.mark.parametrize(("scale", "size"), [(0.5, (320, 640)), (0.7, (640, 320)), (2.0, (80, 96))])
def test_scaled_views_are_not_shifted(
    scale: float, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's sizes are whole in the view; antialiasing may look two pixels beyond the halo."""
    predictor = predictor_of(scale=scale)
    reach = predictor.footprint().reach
    assert reach is not None
    image, step = smooth_noise(*size), 448 if scale == 0.7 else 64
    whole = predictor.probabilities(image)
    plan = Plan(side=step + 96, halo=reach + 4, step=64 if scale != 0.7 else 224, scale=scale)
    assert np.abs(in_windows(predictor, image, monkeypatch, plan) - whole).max() < 0.01


def test_the_default_network_agrees_within_what_the_docs_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = predictor_of(name="lite_unet", pretrained=True)
    image = smooth_noise(64, 800)
    whole, mask = predictor.probabilities(image), predictor(image)
    plan = Plan(side=480, halo=LARGEST_HALO, step=192, scale=1.0)
    tiled = in_windows(predictor, image, monkeypatch, plan)
    assert not np.array_equal(tiled, whole)
    assert np.abs(tiled - whole).max() < 0.05
    assert (predictor(image) == mask).mean() > 0.999


def test_sides_that_pooling_cannot_halve_agree_within_what_the_docs_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictor = predictor_of()
    image = smooth_noise(190, 235)
    whole = predictor.probabilities(image)
    plan = Plan(side=160, halo=24, step=64, scale=1.0)
    tiled = in_windows(predictor, image, monkeypatch, plan)
    assert np.abs(tiled - whole).mean() < 0.02


def test_reach_is_that_of_gradients() -> None:
    """A pixel beyond the reach changes nothing; some row depends on one at the reach."""
    torch.manual_seed(0)
    network = UNet(UNetConfig(width=2, depth=2), 3, 1).eval()
    reach, values = measure(network, 3)
    assert reach is not None and values >= 4 * 4
    side, center = -(-reach // 4) * 8 + 64, -(-reach // 4) * 4 + 32
    image = torch.rand(1, 3, side, 32, requires_grad=True)
    farthest = 0
    for row in range(center - 4, center + 4):
        (gradient,) = torch.autograd.grad(network(image)[0, 0, row].sum(), image)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        farthest = max(farthest, int((rows - row).abs().max()))
    assert reach - 2 <= farthest <= reach


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images) - self.conv(images).mean((2, 3), keepdim=True)


def test_networks_that_nobody_measured_get_the_largest_halo() -> None:
    footprint = predictor_of(Own()).footprint()
    assert (footprint.reach, footprint.values) == (None, UNKNOWN)
    assert footprint.halo == LARGEST_HALO


def test_images_are_cut_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, image = predictor_of(), smooth_noise(96, 640)
    predictor.footprint()
    seen: list[tuple[int, ...]] = []
    predictor.network.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[2:]))
    whole = predictor.probabilities(image)
    monkeypatch.setattr(tiles, "SMALL", 0)
    assert np.array_equal(predictor.probabilities(image), whole)
    assert seen == [(96, 640), (96, 640)]
    monkeypatch.setattr(tiles, "bytes_for_networks", lambda: 0)
    seen.clear()
    tiled = predictor.probabilities(image)
    assert np.allclose(tiled, whole, atol=1e-5)
    assert len(seen) > 1
    assert max(width for _, width in seen) < 200
    assert 0 <= tiled.min() <= tiled.max() <= 1


def test_windows_are_as_small_as_the_memory_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    footprint = Footprint(reach=20, values=2000)
    sides = []
    for free in (2**40, 2**30):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda free=free: (free, 2**40))
        sides.append(plan_windows(footprint, 1.0, 1).side)
    assert sides[1] ** 2 * 4 * 2000 <= 2**28 < sides[0] ** 2 * 4 * 2000


def test_many_classes_at_many_pixels_are_no_image_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of(scale=0.25)
    predictor.classes = tuple(f"class {number}" for number in range(200))
    image = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(tiles, "SMALL", 0)
    maps = 2 * 4 * 200 * 64 * 64  # before and after they are brought to the file's size
    monkeypatch.setattr(tiles, "bytes_for_networks", lambda: maps)
    assert not tiles._fits(predictor, image)
    monkeypatch.setattr(tiles, "bytes_for_networks", lambda: 10 * maps)
    assert tiles._fits(predictor, image)


def test_a_network_that_sees_the_whole_image_is_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, image = predictor_of(scale="fit"), smooth_noise(96, 640)
    whole = predictor.probabilities(image)
    monkeypatch.setattr(tiles, "SMALL", 0)
    monkeypatch.setattr(tiles, "bytes_for_networks", lambda: 0)
    assert np.array_equal(predictor.probabilities(image), whole)


def test_no_step_shows_where_two_windows_disagree() -> None:
    plan = Plan(side=128, halo=0, step=64, scale=1.0)
    (row,), columns = cut(8, plan), cut(192, plan)
    assert len(columns) == 2

    def answer(row: tiles.Span, column: tiles.Span) -> np.ndarray:
        value = float(column.start > 0)
        return np.full((1, 8, column.end - column.first), value, np.float32)

    below, line = tiles.empty_carry(1, row, columns), np.zeros(192)
    for place, block in tiles.blend(row, columns, answer, None, below):
        line[place[1]] = block[0, 0]
    assert line[0] == 0
    assert line[-1] == 1
    assert 0 < np.diff(line).max() < 2 / 64
