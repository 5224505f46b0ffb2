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

from delineo.errors import ConfigError, ShapeError
from delineo.losses import (
    LossConfig,
    bce,
    build_loss,
    cross_entropy,
    dice,
    focal,
    focal_tversky,
    lovasz,
    tanimoto,
    tversky,
)

EVERYWHERE = [dice, focal, tversky, focal_tversky, tanimoto, lovasz]
FITTING = {
    "binary": [bce, *EVERYWHERE],
    "multilabel": [bce, *EVERYWHERE],
    "multiclass": [cross_entropy, *EVERYWHERE],
}
CASES = [(task, loss) for task, fitting in FITTING.items() for loss in fitting]
SHARES = [dice, tversky, focal_tversky, tanimoto]
"""Losses between 0 and 1."""
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
    step = 2e-3 * direction
    with torch.no_grad():
        slope = (loss(logits + step, target) - loss(logits - step, target)) / 4e-3
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=2e-2, abs=2e-4)


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
@pytest.mark.parametrize("loss", [bce, *EVERYWHERE])
def test_images_without_objects(task, loss):
    logits, target = make_batch(task)
    empty = torch.zeros_like(target)
    right = torch.full_like(logits, -CERTAIN)
    wrong = right.clone()
    wrong[:, :, :4] = CERTAIN
    assert loss(right, empty).item() < 1e-5
    assert loss(wrong, empty).item() > 0.1


@pytest.mark.parametrize("loss", [bce, *EVERYWHERE])
@pytest.mark.parametrize("start", [-0.9, 0.0, 4.0])
def test_false_positives_on_an_empty_batch_are_learned_away_from_any_start(loss, start):
    target = torch.zeros((1, 32, 32), dtype=torch.uint8)
    logits = torch.full((1, 1, 32, 32), start, requires_grad=True)
    loss(logits, target).backward()
    assert logits.grad is not None
    # cross-entropy's gradient, which nobody calls vanished, sums to p
    assert logits.grad.sum() / torch.sigmoid(torch.tensor(start)) > 0.005


@pytest.mark.parametrize("loss", FITTING["multiclass"])
def test_a_class_absent_from_the_batch_does_not_hide_the_others(loss):
    logits, target = make_batch("multiclass")
    target = target.where((target != 2) | (target == 255), 1)
    perfect = certain_logits(target, "multiclass", 3)
    assert loss(perfect, target).item() < 1e-5
    assert loss(-perfect, target).item() > 0.5
    logits.requires_grad_()
    loss(logits, target).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    seen_as_absent = perfect.clone()
    seen_as_absent[:, 2, :4] = 2 * CERTAIN
    assert loss(seen_as_absent, target).item() > 0.05


@given(st.integers(0, 100), st.sampled_from(CASES), st.permutations([0, 1]))
def test_the_order_of_images_does_not_matter(seed, case, order):
    task, loss = case
    logits, target = make_batch(task, seed, size=5)
    assert loss(logits[order], target[order]).item() == pytest.approx(loss(logits, target).item())


@given(st.integers(0, 100), st.sampled_from(CASES))
def test_losses_are_never_negative_and_shares_stay_below_one(seed, case):
    task, loss = case
    logits, target = make_batch(task, seed, size=4)
    value = loss(5 * logits, target).item()
    assert value >= -1e-6
    assert loss not in SHARES or value <= 1 + 1e-6


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


@pytest.mark.parametrize(("task", "loss"), CASES)
def test_minimising_a_loss_finds_the_mask(task, loss):
    logits, target = make_batch(task)
    logits.requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    guess = logits.argmax(1) if task == "multiclass" else (logits > 0).view_as(target)
    assert (guess == target)[target != 255].float().mean() > 0.99


def test_every_weight_and_parameter_reaches_its_loss():
    logits, target = make_batch("multilabel")
    weights = LossConfig(
        bce=1,
        dice=2,
        focal=3,
        tversky=4,
        focal_tversky=5,
        tanimoto=6,
        lovasz=7,
        focal_gamma=1.5,
        focal_alpha=0.25,
        tversky_alpha=0.4,
        tversky_beta=0.8,
        focal_tversky_gamma=2,
    )
    expected = (
        bce(logits, target)
        + 2 * dice(logits, target)
        + 3 * focal(logits, target, gamma=1.5, alpha=0.25)
        + 4 * tversky(logits, target, alpha=0.4, beta=0.8)
        + 5 * focal_tversky(logits, target, alpha=0.4, beta=0.8, gamma=2.0)
        + 6 * tanimoto(logits, target)
        + 7 * lovasz(logits, target)
    )
    assert build_loss(weights, "multilabel")(logits, target).item() == pytest.approx(
        expected.item()
    )


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("binary", {"class_weights": [1, 2], "dice": 1}, r"set loss\.bce=1, or leave them out"),
        ("multiclass", {"class_weights": [1, 2, 3], "dice": 1}, r"set loss\.cross_entropy=1"),
        ("multiclass", {"focal": 1, "focal_alpha": 0.25}, "focal_alpha.*leave it out"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(task, settings, message):
    with pytest.raises(ConfigError, match=message):
        LossConfig.parse(settings).resolve(task)


def test_bce_weighs_pixels_where_a_class_is_true():
    logits, target = make_batch("multilabel")
    weights = torch.tensor([3.0, 1.0, 2.0])[: logits.shape[1]]
    truth, valid = (target == 1).double(), (target != 255).double()
    p = logits.double().sigmoid()
    costs = -(weights.view(1, -1, 1, 1) * truth * p.log() + (1 - truth) * (1 - p).log()) * valid
    expected = costs.sum() / valid.sum()
    torch.testing.assert_close(
        bce(logits, target, class_weights=weights.tolist()).double(), expected, rtol=1e-5, atol=1e-6
    )


def test_class_weights_must_be_one_per_class():
    logits, target = make_batch("multiclass")
    loss = build_loss(LossConfig(class_weights=(1, 2)), "multiclass")
    with pytest.raises(ConfigError, match="each of the 3 classes, got 2"):
        loss(logits, target)


def test_no_negative_weights():
    with pytest.raises(ConfigError, match="dice"):
        LossConfig.parse({"dice": -1})
