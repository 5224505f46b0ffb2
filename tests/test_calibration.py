"""Temperature and reliability, against the truth that probabilities were drawn from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tunable import SIDE, discs, make_folder, predictor_of, tuned

from delineo.calibration import PixelSample, Reliability, fit_temperature, reliability
from delineo.decision import decide


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.5])
def test_the_temperature_undoes_a_factor(factor: float):
    """Truth drawn from sigmoid(logits), logits then multiplied: the factor is what is fitted."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(60_000, generator=random) * 2
    truth = (torch.rand(60_000, generator=random) < logits.sigmoid()).float()
    samples = [PixelSample(logits[i::3] * factor, truth[i::3]) for i in range(3)]
    assert fit_temperature(samples) == pytest.approx(factor, rel=0.04)
    several = torch.randn(20_000, 4, generator=random) * 2
    index = torch.multinomial(several.softmax(1), 1, generator=random)[:, 0]
    assert fit_temperature([PixelSample(several * factor, index)]) == pytest.approx(
        factor, rel=0.04
    )


def test_calibration_of_a_network_that_is_too_sure(tmp_path: Path):
    """Masks drawn from sigmoid(logits); the network answers with three times the logits."""
    random = np.random.default_rng(0)
    logits = [np.round(random.normal(0, 0.4, (1, SIDE, SIDE)) * 32) / 32 for _ in range(8)]
    masks = [(random.random(z.shape) < 1 / (1 + np.exp(-z)))[0].astype(np.uint8) for z in logits]
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks), factor=3.0)
    found = tuning.calibration
    assert found.kept
    assert found.temperature == pytest.approx(3, rel=0.25)
    assert tuning.decision.temperature == found.temperature
    before, after = found.reliability
    assert after.error() < 0.3 * before.error()
    assert found.loss[1] < found.loss[0]
    # by hand, over the same pixels
    claims = np.concatenate([1 / (1 + np.exp(-3 * z.ravel())) for z in logits])
    truth = np.concatenate([mask.ravel() for mask in masks])
    bins = np.minimum((claims * 15).astype(int), 14)
    error = sum(
        abs(claims[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean()
        for b in range(15)
        if (bins == b).any()
    )
    assert before.error() == pytest.approx(error, abs=1e-3)


def test_reliability_of_exclusive_classes_is_of_the_first_guess():
    maps = np.array([[[0.7, 0.2]], [[0.2, 0.5]], [[0.1, 0.3]]], np.float32)
    found = reliability(maps, np.array([[0, 255]], np.uint8), "multiclass")
    assert found.to_json() == {"probability": [0.7], "true_share": [1.0], "pixels": [1]}
    twice = found + reliability(maps, np.array([[1, 1]], np.uint8), "multiclass")
    assert twice.error() == pytest.approx((abs(1.4 - 1) + abs(0.5 - 1)) / 3)
    assert Reliability.of(np.array([1.0]), np.array([True])).error() == 0


def test_the_temperature_is_in_every_probability(tmp_path: Path):
    logits, masks = discs(1)
    folder = make_folder(tmp_path, "binary", logits, masks)
    image = np.asarray(Image.open(folder.samples[0].image))
    plain = predictor_of(folder)
    warm = plain.with_decision(plain.decision.model_copy(update={"temperature": 2.0}))
    odds = [np.log(p / (1 - p)) for p in (plain.probabilities(image), warm.probabilities(image))]
    assert np.allclose(odds[0], 2 * odds[1], atol=1e-4)
    assert plain.decision.temperature == 1
    assert np.array_equal(warm(image), decide(warm.probabilities(image), warm.decision))
