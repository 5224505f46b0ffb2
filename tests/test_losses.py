"""Losses against worked values and independent implementations; empty images and ignored pixels."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch import Tensor

from delineo import losses
from delineo.errors import ConfigError, ShapeError
from delineo.losses import LossConfig, bce, build_loss, cross_entropy, dice

CASES = [
    ("binary", bce),
    ("binary", dice),
    ("multilabel", bce),
    ("multilabel", dice),
    ("multiclass", cross_entropy),
    ("multiclass", dice),
]
CERTAIN = 20.0
"""A logit whose probability is 1 in float32."""


def make_batch(task: str, seed: int = 0, size: int = 12) -> tuple[Tensor, Tensor]:
    """Random logits and a target with all classes and some ignored pixels."""
    random = torch.Generator().manual_seed(seed)
    channels = 1 if task == "binary" else 3
    shape = (2, channels, size, size) if task == "multilabel" else (2, size, size)
    logits = torch.randn((2, channels, size, size), generator=random)
    top = 3 if task == "multiclass" else 2
    target = torch.randint(0, top, shape, generator=random, dtype=torch.uint8)
    target[torch.rand(shape, generator=random) < 0.2] = 255
    return logits, target


def certain_logits(target: Tensor, task: str, channels: int) -> Tensor:
    """Logits of a perfect prediction; ignored pixels are taken for background."""
    known = target.where(target != 255, 0).long()
    if task == "multiclass":
        return CERTAIN * (2.0 * F.one_hot(known, channels).movedim(-1, 1) - 1)
    return CERTAIN * (2.0 * (known if known.ndim == 4 else known.unsqueeze(1)) - 1)


def test_bce_by_hand():
    logits = torch.tensor([0.0, math.log(3.0), -math.log(3.0), 5.0]).view(1, 1, 2, 2)
    target = torch.tensor([[[1, 1, 1, 255]]], dtype=torch.uint8).view(1, 2, 2)
    expected = -(math.log(0.5) + math.log(0.75) + math.log(0.25)) / 3
    assert bce(logits, target).item() == pytest.approx(expected)


def test_cross_entropy_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]]))
    target = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    expected = -(math.log(0.7) + math.log(0.3)) / 2
    assert cross_entropy(logits.T.reshape(1, 3, 1, 3), target).item() == pytest.approx(expected)


def test_dice_by_hand():
    probabilities = torch.tensor([0.8, 0.4, 0.5, 0.9])
    target = torch.tensor([[[1, 1, 0, 255]]], dtype=torch.uint8)
    loss = dice(torch.logit(probabilities).view(1, 1, 1, 4), target)
    assert loss.item() == pytest.approx(1 - 2 * (0.8 + 0.4) / (0.8 + 0.4 + 0.5 + 2))


def test_dice_of_an_empty_image_is_the_dice_of_its_background():
    probabilities = torch.tensor([0.8, 0.1, 0.1, 0.9])
    target = torch.tensor([[[0, 0, 0, 255]]], dtype=torch.uint8)
    loss = dice(torch.logit(probabilities).view(1, 1, 1, 4), target)
    background = 0.2 + 0.9 + 0.9
    assert loss.item() == pytest.approx(1 - 2 * background / (background + 3))


@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_dice_of_certain_predictions_is_one_minus_f1(task):
    _, target = make_batch(task, seed=1)
    _, guess = make_batch(task, seed=2)
    channels = 1 if task == "binary" else 3
    loss = dice(certain_logits(guess, task, channels), target)
    valid = (target != 255).numpy()
    guess = guess.where(guess != 255, 0).numpy()
    if task == "multilabel":
        truth = target.numpy()
        scores = [f1_score(truth[:, c][valid[:, c]], guess[:, c][valid[:, c]]) for c in range(3)]
    else:
        average = None if task == "multiclass" else "binary"
        scores = f1_score(target.numpy()[valid], guess[valid], average=average)
    assert loss.item() == pytest.approx(1 - np.mean(scores), abs=1e-5)


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_a_perfect_prediction_costs_nothing(task, loss):
    logits, target = make_batch(task)
    assert loss(certain_logits(target, task, logits.shape[1]), target).item() < 1e-5


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_gradients_are_those_of_finite_differences(task, loss):
    logits, target = make_batch(task, size=3)
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, target), logits)
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3))
    step = 1e-2 * direction
    with torch.no_grad():
        slope = (loss(logits + step, target) - loss(logits - step, target)) / 2e-2
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=1e-2, abs=1e-4)


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_ignored_pixels_add_neither_value_nor_gradient(task, loss):
    logits, target = make_batch(task)
    ignored = (target == 255) if target.ndim == 4 else (target == 255).unsqueeze(1)
    other = torch.where(ignored, 7.0, logits).requires_grad_()
    value = loss(other, target)
    value.backward()
    assert value.item() == pytest.approx(loss(logits, target).item())
    assert other.grad is not None
    assert (other.grad * ignored).abs().max() == 0
    assert other.grad.abs().max() > 0


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_a_batch_of_ignored_pixels_is_zero(task, loss):
    logits, target = make_batch(task)
    logits.requires_grad_()
    value = loss(logits, torch.full_like(target, 255))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_another_ignore_index(task, loss):
    logits, target = make_batch(task)
    renamed = target.where(target != 255, 99)
    assert loss(logits, renamed, ignore_index=99) == loss(logits, target)


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_half_precision_logits_are_computed_in_float32(task, loss):
    logits, target = make_batch(task)
    half = logits.bfloat16()
    value = loss(half, target)
    assert value.dtype == torch.float32
    assert value == loss(half.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss(half, target).item() == pytest.approx(value.item(), rel=1e-6)


@pytest.mark.parametrize(("task", "loss"), CASES)
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_huge_logits_keep_gradients_finite(task, loss, size):
    _, target = make_batch(task)
    logits = torch.full(make_batch(task)[0].shape, size)
    logits[:, 0] = -size
    logits.requires_grad_()
    value = loss(logits, target)
    value.backward()
    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_images_without_objects(task):
    logits, target = make_batch(task)
    empty = torch.zeros_like(target)
    right = torch.full_like(logits, -CERTAIN)
    wrong = right.clone()
    wrong[:, :, :4] = CERTAIN
    assert dice(right, empty).item() < 1e-5
    assert dice(wrong, empty).item() > 0.1


def test_false_positives_on_an_empty_batch_are_learned_away_from_any_start():
    target = torch.zeros((1, 32, 32), dtype=torch.uint8)
    for start in (-2.0, 0.0, 4.0):
        logits = torch.full((1, 1, 32, 32), start, requires_grad=True)
        dice(logits, target).backward()
        assert logits.grad is not None
        # cross-entropy's gradient, which nobody calls vanished, is p / pixels
        share = logits.grad.mean() * logits.numel() / torch.sigmoid(torch.tensor(start))
        assert share > 0.01


def test_a_class_absent_from_the_batch_does_not_hide_the_others():
    logits, target = make_batch("multiclass")
    target = target.where(target != 2, 1)
    perfect = certain_logits(target, "multiclass", 3)
    assert dice(perfect, target).item() < 1e-5
    assert dice(-perfect, target).item() > 0.5
    assert dice(logits, target).isfinite()


@given(st.integers(0, 100), st.sampled_from(CASES), st.permutations([0, 1]))
def test_the_order_of_images_does_not_matter(seed, case, order):
    task, loss = case
    logits, target = make_batch(task, seed, size=5)
    assert loss(logits[order], target[order]).item() == pytest.approx(loss(logits, target).item())


@given(st.integers(0, 100), st.sampled_from(CASES))
def test_losses_are_never_negative_and_dice_stays_below_one(seed, case):
    task, loss = case
    logits, target = make_batch(task, seed, size=4)
    value = loss(5 * logits, target).item()
    assert value >= 0
    assert loss is not dice or value <= 1


def test_channels_last_gives_the_same():
    logits, target = make_batch("multiclass")
    last = logits.contiguous(memory_format=torch.channels_last)
    assert dice(last, target).item() == pytest.approx(dice(logits, target).item())


def test_defaults_by_task():
    assert LossConfig().resolve("binary") == LossConfig(bce=1, dice=1)
    assert LossConfig().resolve("multilabel") == LossConfig(bce=1, dice=1)
    assert LossConfig().resolve("multiclass") == LossConfig(cross_entropy=1, dice=1)
    assert LossConfig(dice=2).resolve("binary") == LossConfig(dice=2)


@pytest.mark.parametrize(
    ("task", "weights", "instead"),
    [
        ("multiclass", {"bce": 1}, "cross_entropy"),
        ("binary", {"cross_entropy": 1}, "bce"),
        ("multilabel", {"cross_entropy": 0.5, "dice": 1}, "bce"),
    ],
)
def test_a_loss_that_does_not_fit_the_task_is_refused(task, weights, instead):
    with pytest.raises(ConfigError, match=rf"{task} masks.*use loss\.{instead} instead"):
        build_loss(LossConfig(**weights), task)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_build_loss_is_the_weighted_sum(task):
    logits, target = make_batch(task)
    pixelwise = cross_entropy if task == "multiclass" else bce
    weights = {pixelwise.__name__: 0.3, "dice": 2.0}
    expected = 0.3 * pixelwise(logits, target) + 2 * dice(logits, target)
    value = build_loss(LossConfig(**weights), task)(logits, target)
    assert value.item() == pytest.approx(expected.item())


def test_logits_of_the_wrong_size_are_refused():
    loss = build_loss(LossConfig(), "multiclass")
    with pytest.raises(ShapeError, match=r"logits \(2, 3, 6, 6\).*masks \(2, 12, 12\)"):
        loss(torch.zeros(2, 3, 6, 6), torch.zeros((2, 12, 12), dtype=torch.uint8))
    with pytest.raises(ShapeError, match="binary masks"):
        build_loss(LossConfig(), "binary")(
            torch.zeros(2, 2, 6, 6), torch.zeros((2, 6, 6), dtype=torch.uint8)
        )


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_minimising_the_default_loss_finds_the_mask(task):
    logits, target = make_batch(task)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.5)
    loss = build_loss(LossConfig(), task)
    for _ in range(40):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert loss(logits, target).item() < 0.05


def test_no_negative_weights():
    with pytest.raises(ConfigError, match="dice"):
        losses.LossConfig.parse({"dice": -1})
