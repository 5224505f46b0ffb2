"""Published losses against their formulas, written again in numpy, and against worked values."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from torch import Tensor

from delineo.losses import (
    bce,
    cross_entropy,
    dice,
    focal,
    focal_tversky,
    lovasz,
    tanimoto,
    tversky,
)

TASKS = ["binary", "multilabel", "multiclass"]
Planes = list[tuple[np.ndarray, np.ndarray]]
"""For each class: values of its valid pixels, and whether they are true (1.0) or not."""


def make_batch(task: str, size: int = 9, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    channels = 1 if task == "binary" else 3
    shape = (2, channels, size, size) if task == "multilabel" else (2, size, size)
    logits = 2 * torch.randn((2, channels, size, size), generator=random)
    top = 3 if task == "multiclass" else 2
    target = torch.randint(0, top, shape, generator=random, dtype=torch.uint8)
    target[torch.rand(shape, generator=random) < 0.2] = 255
    return logits, target


def planes_of(values: np.ndarray, target: Tensor, task: str) -> Planes:
    """`values` (batch, classes, height, width) class by class, ignored pixels left out."""
    planes = []
    for number in range(values.shape[1]):
        mask = (target[:, number] if task == "multilabel" else target).numpy()
        valid = mask != 255
        truth = mask == (number if task == "multiclass" else 1)
        planes.append((values[:, number][valid], truth[valid].astype(float)))
    return planes


def probability_planes(logits: Tensor, target: Tensor, task: str) -> Planes:
    values = logits.double().numpy()
    if task == "multiclass":
        powers = np.exp(values)
        return planes_of(powers / powers.sum(1, keepdims=True), target, task)
    return planes_of(1 / (1 + np.exp(-values)), target, task)


def certain(target: Tensor, task: str) -> Tensor:
    known = target.where(target != 255, 0).long()
    if task == "multiclass":
        return 40.0 * F.one_hot(known, 3).movedim(-1, 1) - 20
    return 40.0 * (known if known.ndim == 4 else known.unsqueeze(1)) - 20


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_is_its_formula(task, gamma):
    logits, target = make_batch(task)
    planes = probability_planes(logits, target, task)
    if task == "multiclass":
        true = np.concatenate([p[g == 1] for p, g in planes])
    else:
        true = np.concatenate([np.where(g == 1, p, 1 - p) for p, g in planes])
    expected = np.mean(-((1 - true) ** gamma) * np.log(true))
    assert focal(logits, target, gamma=gamma).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_focal_alpha_is_its_formula(task):
    logits, target = make_batch(task)
    terms = [
        np.where(g == 1, -0.25 * (1 - p) ** 2 * np.log(p), -0.75 * p**2 * np.log(1 - p))
        for p, g in probability_planes(logits, target, task)
    ]
    expected = np.concatenate(terms).mean()
    assert focal(logits, target, alpha=0.25).item() == pytest.approx(expected, rel=1e-5)


def test_focal_by_the_papers_example():
    """Section 3.2: at gamma 2, p = 0.9 costs a 100th of cross-entropy, 0.968 a 1000th."""
    target = torch.ones((1, 1, 1), dtype=torch.uint8)
    for probability, factor in ((0.9, 100), (0.968, 1000)):
        logits = torch.logit(torch.full((1, 1, 1, 1), probability))
        ratio = bce(logits, target) / focal(logits, target, gamma=2.0)
        assert ratio.item() == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("task", TASKS)
def test_focal_without_focus_is_cross_entropy(task):
    logits, target = make_batch(task)
    plain = cross_entropy if task == "multiclass" else bce
    assert focal(logits, target, gamma=0.0).item() == pytest.approx(plain(logits, target).item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_of_certain_pixels_has_finite_gradients(gamma):
    logits = torch.tensor([100.0, -100.0, 0.0]).view(1, 1, 1, 3).requires_grad_()
    focal(logits, torch.ones((1, 1, 3), dtype=torch.uint8), gamma=gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def tversky_indices(planes: Planes, alpha: float, beta: float) -> list[float]:
    """S(P, G) = |PG| / (|PG| + alpha |P - G| + beta |G - P|)."""
    return [
        np.sum(p * g) / (np.sum(p * g) + alpha * np.sum(p * (1 - g)) + beta * np.sum((1 - p) * g))
        for p, g in planes
    ]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1.0, 1.0), (0.1, 2.0)])
def test_tversky_is_its_formula(task, alpha, beta):
    logits, target = make_batch(task)
    expected = 1 - np.mean(tversky_indices(probability_planes(logits, target, task), alpha, beta))
    loss = tversky(logits, target, alpha=alpha, beta=beta)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_even_tversky_is_dice(task):
    logits, target = make_batch(task)
    expected = [
        1 - 2 * np.sum(p * g) / (np.sum(p) + np.sum(g))
        for p, g in probability_planes(logits, target, task)
    ]
    even = tversky(logits, target, alpha=0.5, beta=0.5)
    assert even.item() == dice(logits, target).item() == pytest.approx(np.mean(expected), rel=1e-5)


def test_beta_weighs_what_is_missed():
    target = torch.tensor([[[1, 1, 0, 0]]], dtype=torch.uint8)
    missed = 20 * torch.tensor([1.0, -1, -1, -1]).view(1, 1, 1, 4)
    excess = 20 * torch.tensor([1.0, 1, 1, -1]).view(1, 1, 1, 4)
    assert tversky(missed, target).item() == pytest.approx(0.7 / 1.7)
    assert tversky(excess, target).item() == pytest.approx(0.3 / 2.3)


@pytest.mark.parametrize("task", TASKS)
def test_focal_tversky_has_its_exponent_inside_the_mean(task):
    logits, target = make_batch(task)
    logits[:, -1] += 3  # classes must differ for the order to matter
    indices = np.array(tversky_indices(probability_planes(logits, target, task), 0.3, 0.7))
    expected = np.mean((1 - indices) ** 0.75)
    outside = np.mean(1 - indices) ** 0.75
    loss = focal_tversky(logits, target).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert task == "binary" or abs(loss - outside) > 1e-4


def test_unfocused_focal_tversky_is_tversky():
    logits, target = make_batch("multiclass")
    loss = focal_tversky(logits, target, gamma=1.0)
    assert loss.item() == pytest.approx(tversky(logits, target).item(), rel=1e-5)


def tanimoto_ratio(planes: Planes) -> float:
    """T(p, l), equation 2, with weights of squared inverse volume."""
    weights = [1 / np.sum(g) ** 2 for _, g in planes]
    shared = [np.sum(p * g) for p, g in planes]
    union = [np.sum(p**2 + g**2 - p * g) for p, g in planes]
    return np.dot(weights, shared) / np.dot(weights, union)


@pytest.mark.parametrize("task", TASKS)
def test_tanimoto_is_its_formula(task):
    logits, target = make_batch(task)
    planes = probability_planes(logits, target, task)
    complement = [(1 - p, 1 - g) for p, g in planes]
    expected = 1 - (tanimoto_ratio(planes) + tanimoto_ratio(complement)) / 2
    assert tanimoto(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_tanimoto_of_certain_masks_is_the_jaccard_index_of_both_sides():
    _, target = make_batch("binary", seed=1)
    _, guess = make_batch("binary", seed=2)
    valid = (target != 255).numpy()
    truth, seen = target.numpy()[valid], (guess == 1).numpy()[valid].astype(int)
    expected = 1 - np.mean([jaccard_score(truth, seen, pos_label=side) for side in (0, 1)])
    loss = tanimoto(certain(guess, "binary"), target)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_tanimoto_where_everything_is_true():
    target = torch.ones((1, 4, 4), dtype=torch.uint8)
    assert tanimoto(torch.full((1, 1, 4, 4), 20.0), target).item() < 1e-5
    assert tanimoto(torch.full((1, 1, 4, 4), -20.0), target).item() > 0.99


def lovasz_by_sets(errors: np.ndarray, truth: np.ndarray) -> float:
    """Equation 7: errors in falling order, each times what its pixel adds to the Jaccard loss."""

    def jaccard_loss(wrong: np.ndarray) -> float:
        return len(wrong) / len(np.union1d(np.flatnonzero(truth), wrong))

    order = np.argsort(-errors)
    steps = [
        jaccard_loss(order[: i + 1]) - (jaccard_loss(order[:i]) if i else 0.0)
        for i in range(len(order))
    ]
    return float(np.dot(np.maximum(errors[order], 0), steps))


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_lovasz_hinge_is_its_definition(task):
    logits, target = make_batch(task)
    planes = planes_of(logits.double().numpy(), target, task)
    expected = np.mean([lovasz_by_sets(1 - z * (2 * g - 1), g) for z, g in planes])
    assert lovasz(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_lovasz_softmax_is_its_definition():
    logits, target = make_batch("multiclass")
    planes = probability_planes(logits, target, "multiclass")
    expected = np.mean([lovasz_by_sets(np.abs(g - p), g) for p, g in planes])
    assert lovasz(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_lovasz_softmax_of_certain_masks_is_one_minus_the_jaccard_index():
    _, target = make_batch("multiclass", seed=1)
    _, guess = make_batch("multiclass", seed=2)
    valid = (target != 255).numpy()
    seen = guess.where(guess != 255, 0).numpy()[valid]
    expected = 1 - jaccard_score(target.numpy()[valid], seen, average="macro")
    loss = lovasz(certain(guess, "multiclass"), target)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_lovasz_softmax_is_the_mean_over_classes_that_are_there():
    logits, target = make_batch("multiclass")
    target = target.where((target != 2) | (target == 255), 1)
    planes = probability_planes(logits, target, "multiclass")[:2]
    expected = np.mean([lovasz_by_sets(np.abs(g - p), g) for p, g in planes])
    assert lovasz(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_those_of_torch():
    logits, target = make_batch("multiclass")
    weights = (0.2, 1.0, 4.5)
    expected = F.cross_entropy(
        logits, target.long(), torch.tensor(weights), ignore_index=255, reduction="mean"
    )
    loss = cross_entropy(logits, target, class_weights=weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_class_weights_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])).T.reshape(1, 2, 1, 3)
    target = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    expected = -(1 * math.log(0.7) + 3 * math.log(0.6)) / 4
    loss = cross_entropy(logits, target, class_weights=(1.0, 3.0))
    assert loss.item() == pytest.approx(expected)


def test_class_weights_of_a_batch_that_weighs_nothing():
    logits, target = make_batch("multiclass")
    logits.requires_grad_()
    for batch, weights in (
        (torch.full_like(target, 255), (1.0, 1.0, 1.0)),
        (torch.zeros_like(target), (0.0, 1.0, 1.0)),
    ):
        loss = cross_entropy(logits, batch, class_weights=weights)
        loss.backward()
        assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0
