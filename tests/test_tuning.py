"""Tuning: which steps are kept, what they are measured by, and which scores it takes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tunable import SIDE, discs, make_folder, predictor_of, tuned

from delineo.choosing import BY_CLASS, Scoring
from delineo.data.samples import Task
from delineo.decision import Decision
from delineo.errors import ConfigError
from delineo.evaluation import evaluate
from delineo.progress import NoProgress
from delineo.trials import ValidationImages
from delineo.tuning import Tuning, fit, score_name


def steps_of(tuning: Tuning, name: str) -> list[Any]:
    return [step for step in tuning.steps if step.step == name]


@pytest.mark.parametrize("score", ["per_image.mean_iou", "competition.tgs_precision"])
def test_a_threshold_that_is_off_is_found(tmp_path: Path, score: str):
    logits, masks = discs(12)
    folder = make_folder(tmp_path, "binary", [values - 1.5 for values in logits], masks)
    tuning = tuned(folder, score)
    (step,) = steps_of(tuning, "thresholds")
    assert step.kept
    assert step.interval[0] > 0.1
    # the discs' logits lie around -0.5, the ground's around -2.5, in units of the temperature
    between = -1.5 / tuning.decision.temperature
    assert tuning.decision.thresholds["disc"] == pytest.approx(1 / (1 + np.exp(-between)), abs=0.15)
    assert tuning.after > tuning.before + 0.1


def test_no_step_is_kept_where_there_is_nothing_to_gain(tmp_path: Path):
    _, masks = discs(12)
    random = np.random.default_rng(7)
    noise = [np.round(random.random(mask.shape) < 0.02).astype(np.uint8) for mask in masks]
    wrong = [mask ^ flipped for mask, flipped in zip(masks, noise, strict=True)]
    perfect = [8.0 * mask[None] - 4 for mask in masks]
    tuning = tuned(make_folder(tmp_path, "binary", perfect, wrong))
    assert not [step for step in tuning.steps if step.kept]
    default = Decision.default("binary", ("disc",))
    assert tuning.decision.model_copy(update={"temperature": 1.0}) == default
    assert (tuning.gain.value, tuning.gain.low, tuning.gain.high) == (0, 0, 0)


def test_a_class_in_no_mask_is_left_alone(tmp_path: Path):
    logits, masks = discs(8)
    both = [np.concatenate([values, values]) for values in logits]
    layers = [np.stack([mask, 0 * mask]) for mask in masks]
    tuning = tuned(make_folder(tmp_path, "multilabel", both, layers))
    assert tuning.absent == ("b",)
    assert all(not step.kept for step in tuning.steps if step.of == "b")
    assert tuning.decision.thresholds["b"] == 0.5
    assert "b is in no validation mask" in "\n".join(tuning.lines())


def test_speckles_and_pinholes_are_cleaned(tmp_path: Path):
    """Sure specks outside and pinholes inside, which no threshold can tell from discs."""
    _, masks = discs(12)
    random = np.random.default_rng(3)
    logits = []
    for mask in masks:
        values = 6.0 * mask - 3
        speck = random.random(mask.shape) < 0.02
        values[speck] *= -1
        logits.append(values[None].clip(-3.9, 3.9))
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks))
    kept = {step.step for step in tuning.steps if step.kept}
    assert "smallest_region" in kept
    assert "largest_hole" in kept
    assert tuning.after > tuning.before + 0.1
    rest = [step for step in tuning.steps if step.step in ("thresholds", "least_confidence")]
    assert not [step for step in rest if step.kept]


def test_the_gate_leaves_empty_images_empty(tmp_path: Path):
    """Images without a disc show a faint patch; the gate drops it, no threshold can."""
    logits, masks = discs(16)
    for number in range(0, 16, 2):
        masks[number] = 0 * masks[number]
        logits[number] = np.full((1, SIDE, SIDE), -2.0)
        logits[number][0, 5:9, 5:9] = 0.7
    for number in range(1, 16, 2):
        logits[number] = np.where(masks[number] == 1, 0.7, -2.0)[None]
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks), "per_image.mean_dice")
    kept = {step.step for step in tuning.steps if step.kept}
    assert kept & {"smallest_region", "smallest_area"}
    assert tuning.after == 1


def test_only_the_largest_for_exclusive_classes(tmp_path: Path):
    """A second blob of class b that is as large as the first one at times, but never true."""
    random = np.random.default_rng(0)
    logits, masks = [], []
    for _ in range(12):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4:14, 4:14] = 1
        values = np.full((3, SIDE, SIDE), -2.0)
        values[0] = 1.0
        values[1, 4:14, 4:14] = 2.0
        side = int(random.integers(8, 10))
        values[1, 20 : 20 + side, 20 : 20 + side] = 2.0
        logits.append(values)
        masks.append(mask)
    tuning = tuned(make_folder(tmp_path, "multiclass", logits, masks), "dataset.mean_iou")
    assert {step.of for step in tuning.steps} == {None}
    assert tuning.decision.only_largest == {"a": True, "b": True, "c": True}
    assert tuning.after == pytest.approx(1)
    assert tuning.curves == {}


def test_before_and_after_are_what_evaluate_gives(tmp_path: Path):
    logits, masks = discs(8)
    folder = make_folder(tmp_path, "binary", [values - 1.0 for values in logits], masks)
    tuning, predictor = tuned(folder), predictor_of(folder)
    for decision, score in (
        (predictor.decision, tuning.before),
        (tuning.decision, tuning.after),
    ):
        scores = evaluate(predictor.with_decision(decision), folder, "val").scores
        assert scores["per_image"]["mean_iou"] == pytest.approx(score)


@pytest.mark.parametrize(
    ("wanted", "monitor", "task", "name"),
    [
        (None, "auto", "binary", "per_image.mean_iou"),
        (None, "auto", "multiclass", "dataset.mean_iou"),
        (None, "loss", "multilabel", "dataset.mean_iou"),
        (None, "dataset.pixel_accuracy", "multiclass", "dataset.mean_iou"),
        (None, "dataset.mean_dice", "binary", "dataset.mean_dice"),
        ("competition.severstal_mean_dice", "auto", "multilabel", None),
    ],
)
def test_which_score(wanted: str | None, monitor: str, task: Task, name: str | None):
    assert score_name(wanted, monitor, task) == (name or wanted)


@pytest.mark.parametrize(
    ("wanted", "task"),
    [
        ("loss", "binary"),
        ("competition.tgs_precision", "multilabel"),
        ("competition.severstal_mean_dice", "multiclass"),
    ],
)
def test_scores_that_masks_do_not_have(wanted: str, task: Task):
    with pytest.raises(
        ConfigError, match=f"{task} masks cannot be tuned by '{wanted}'; choose one"
    ):
        score_name(wanted, "auto", task)


def test_every_score_can_be_tuned_by(tmp_path: Path):
    logits, masks = discs(4)
    folder = make_folder(tmp_path, "binary", logits, masks)
    images = ValidationImages(predictor_of(folder), folder, memory=10**8)
    for name in BY_CLASS:
        tuning = fit(images, Scoring(name, "binary"), NoProgress())
        json.dumps(tuning.to_json(), allow_nan=False)
        scores = evaluate(images.predictor, folder, "val").scores
        block, _, key = name.partition(".")
        assert tuning.before == pytest.approx(scores[block][key])


def test_groups_widen_the_gain(tmp_path: Path):
    """Four copies of each image tell no more than one."""
    logits, masks = discs(6)
    folder = make_folder(tmp_path, "binary", [v - 1.0 for v in logits] * 4, masks * 4)
    images = ValidationImages(predictor_of(folder), folder, memory=10**8)
    groups = [f"car{i % 6}" for i in range(24)]
    widths = []
    for each in (None, groups):
        scoring = replace(Scoring("per_image.mean_iou", "binary"), groups=each)
        gain = fit(images, scoring, NoProgress()).gain
        widths.append(float(gain.high - gain.low))
    assert widths[1] > 1.5 * widths[0] > 0
