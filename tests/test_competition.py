"""Scores by the rules of competitions, against their rules written down pixel by pixel."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineo.comparison import compare
from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample
from delineo.decision import Decision, decided_otherwise
from delineo.evaluation import Evaluation
from delineo.metrics import Counts, competition_scores, count, tabulate

Mask = np.ndarray


def tgs_by_the_rules(truth: Mask, guess: Mask) -> Fraction:
    """Mean over thresholds of hits / (hits + false + missed objects), one object at most each."""
    if not truth.any() and not guess.any():
        return Fraction(1)
    inside = {tuple(map(int, pixel)) for pixel in np.argwhere(truth)}
    found = {tuple(map(int, pixel)) for pixel in np.argwhere(guess)}
    iou = Fraction(len(inside & found), len(inside | found))
    precisions = []
    for percent in range(50, 100, 5):
        hits = int(bool(inside) and bool(found) and iou > Fraction(percent, 100))
        false, missed = int(bool(found)) - hits, int(bool(inside)) - hits
        precisions.append(Fraction(hits, hits + false + missed))
    return sum(precisions, Fraction(0)) / len(precisions)


def severstal_by_the_rules(truth: Mask, guess: Mask) -> Fraction:
    if not truth.any() and not guess.any():
        return Fraction(1)
    return Fraction(2 * int((truth & guess).sum()), int(truth.sum()) + int(guess.sum()))


def some_masks(seed: int, number: int, planes: int) -> Mask:
    """Masks of 20 pixels per plane, empty, full and in between."""
    random = np.random.default_rng(seed)
    share = random.choice([0, 0.1, 0.5, 0.9, 1], (number, planes, 1, 1))
    return (random.random((number, planes, 4, 5)) < share).astype(np.uint8)


@given(st.integers(0, 10_000), st.integers(1, 6), st.sampled_from([1, 3]))
def test_scores_are_those_of_the_rules(seed: int, number: int, planes: int):
    truth = some_masks(seed, number, planes)
    guess = np.where(
        some_masks(seed + 1, number, planes) < 0.5, truth, some_masks(seed + 2, number, planes)
    )
    task = "binary" if planes == 1 else "multilabel"
    axis = 0 if planes == 1 else slice(None)
    counts = [count(g[axis], t[axis], planes, task) for t, g in zip(truth, guess, strict=True)]
    scores = competition_scores(tabulate(counts, planes), np.ones((1, number)), task)
    dice = [
        [float(severstal_by_the_rules(t[k], g[k])) for k in range(planes)]
        for t, g in zip(truth, guess, strict=True)
    ]
    assert scores["severstal_dice"][0] == pytest.approx(np.mean(dice, axis=0))
    assert scores["severstal_mean_dice"][0] == pytest.approx(np.mean(dice))
    assert ("tgs_precision" in scores) == (planes == 1)
    if planes == 1:
        expected = [tgs_by_the_rules(t[0], g[0]) for t, g in zip(truth, guess, strict=True)]
        assert scores["tgs_precision"][0] == pytest.approx(float(sum(expected) / number))


def of_pixels(tp: int, fp: int, fn: int, valid: int = 100) -> Counts:
    return Counts(np.array([tp]), np.array([fp]), np.array([fn]), valid, valid - fp - fn)


@pytest.mark.parametrize(
    ("pixels", "score"),
    [
        ((0, 0, 0), 1.0),
        ((0, 3, 0), 0.0),
        ((0, 0, 3), 0.0),
        ((10, 0, 0), 1.0),
        ((10, 5, 5), 0.0),  # 0.5 is not above 0.5
        ((12, 4, 4), 0.2),  # 0.6 is above 0.5 and 0.55
        ((61, 20, 19), 0.3),
        ((19, 1, 0), 0.9),  # 0.95 is not above 0.95
        ((96, 4, 0), 1.0),
    ],
)
def test_thresholds_are_to_be_exceeded(pixels: tuple[int, int, int], score: float):
    table = tabulate([of_pixels(*pixels)], 1)
    assert competition_scores(table, np.ones((1, 1)), "binary")["tgs_precision"][0] == score


def test_images_without_a_pixel_to_judge_are_left_out():
    table = tabulate([of_pixels(10, 0, 0), of_pixels(0, 0, 0, valid=0)], 1)
    scores = competition_scores(table, np.ones((1, 2)), "binary")
    assert scores["tgs_precision"][0] == scores["severstal_mean_dice"][0] == 1
    nothing = competition_scores(table, np.array([[0.0, 1.0]]), "binary")
    assert np.isnan(nothing["tgs_precision"][0])


def evaluation(tp: np.ndarray, groups: tuple[str | None, ...] | None = None) -> Evaluation:
    """Binary images of 100 true pixels, of which so many are found."""
    table = tabulate([of_pixels(int(n), 0, 100 - int(n), 1000) for n in tp], 1)
    ids = tuple(map(str, range(len(tp))))
    return Evaluation("test", "binary", ("salt",), ids, table, None, groups)


FOUND = np.random.default_rng(0).integers(20, 100, 20)


def test_the_file_holds_them_with_intervals():
    record = json.loads(json.dumps(evaluation(FOUND).to_json(), allow_nan=False))
    block = record["competition"]
    assert set(block) == {"tgs_precision", "severstal_dice", "severstal_mean_dice", "interval95"}
    low, high = block["interval95"]["tgs_precision"]
    assert low < block["tgs_precision"] < high
    assert block["tgs_precision"] == pytest.approx(
        np.mean([max(0, (n - 46) // 5) for n in FOUND]) / 10
    )
    assert block["severstal_dice"] == record["per_image"]["dice"]
    assert block["interval95"]["severstal_dice"] == record["per_image"]["interval95"]["dice"]


def test_exclusive_classes_have_none():
    counts = [count(np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8), 2, "multiclass")]
    of_classes = Evaluation("test", "multiclass", ("a", "b"), ("x",), tabulate(counts, 2), None)
    assert of_classes.to_json()["competition"] is None
    assert "competition" not in of_classes.scores


def test_runs_are_compared_by_them_too():
    comparison = compare({"a": evaluation(FOUND), "b": evaluation(FOUND - 6)})
    difference = comparison.differences["b"]["competition"]
    assert difference["tgs_precision"] < 0
    assert difference["interval95"]["tgs_precision"][1] < 0


def grouped(ids: tuple[str, ...], groups: tuple[str | None, ...]) -> DataFolder:
    samples = tuple(
        Sample(name, Path(f"{name}.png"), MaskFile(Path(f"{name}.png")), group)
        for name, group in zip(ids, groups, strict=True)
    )
    return DataFolder(Path(), "test", "binary", ("salt",), 3, Encoding(), samples, {"test": ids})


def test_images_of_one_car_are_resampled_together():
    ids = tuple(f"v{i}" for i in range(80))
    cars = tuple(f"car{i % 20}" for i in range(80))
    tp = np.tile(FOUND, 4)
    counts = {
        name: of_pixels(int(n), 0, 100 - int(n), 1000) for name, n in zip(ids, tp, strict=True)
    }
    together = Evaluation.of(grouped(ids, cars), "test", counts)
    record = together.to_json()
    assert record["resampled"] == "groups"
    assert record["interval_method"] == "percentile bootstrap over groups of images, 2000 resamples"
    assert record["images"]["group"] == list(cars)
    # four views of each car tell exactly what one of each tells
    for block in ("dataset", "per_image", "competition"):
        ours, once = (each.scores[block]["interval95"] for each in (together, evaluation(FOUND)))
        for name in ("mean_iou", "mean_dice", "tgs_precision", "severstal_mean_dice"):
            assert ours.get(name) == pytest.approx(once.get(name))
    alone = Evaluation.of(grouped(ids, (None,) * 80), "test", counts)
    assert alone.to_json()["resampled"] == "images"
    assert alone.to_json()["images"]["group"] is None
    low, high = alone.scores["per_image"]["interval95"]["mean_iou"]
    wide = together.scores["per_image"]["interval95"]["mean_iou"]
    assert wide[1] - wide[0] > 1.5 * (high - low)


def test_paired_differences_resample_groups_too():
    random = np.random.default_rng(1)
    cars = tuple(f"car{i % 10}" for i in range(80))
    # what one run is better by depends on the car: ten cars are all there is to learn from
    better = np.tile(random.integers(-6, 10, 10), 8)
    base = np.full(80, 50)
    bounds = []
    for groups in (None, cars):
        pair = {"a": evaluation(base, groups), "b": evaluation(base + better, groups)}
        bounds.append(compare(pair, "a").differences["b"]["dataset"]["interval95"]["mean_iou"])
    assert bounds[1][1] - bounds[1][0] > 2 * (bounds[0][1] - bounds[0][0])


def test_groups_are_guessed_as_for_splits():
    ids = tuple(f"patient{p:02d}_slice_{s:03d}" for p in range(10) for s in range(4))
    counts = {name: of_pixels(50, 0, 50) for name in ids}
    found = Evaluation.of(grouped(ids, (None,) * 40), "test", counts)
    assert found.groups is not None
    assert len(set(found.groups)) == 10


def test_groups_of_one_are_no_groups():
    ids = ("a", "b", "c")
    counts = {name: of_pixels(50, 0, 50) for name in ids}
    assert Evaluation.of(grouped(ids, ("x", "y", None)), "test", counts).groups is None
    mixed = Evaluation.of(grouped(ids, ("x", "x", None)), "test", counts)
    assert mixed.groups == ("x", "x", None)


def test_groups_and_decision_are_saved_and_loaded(tmp_path: Path):
    ids, path = ("a", "b", "c"), tmp_path / "evaluation-test.json"
    counts = {name: of_pixels(50, 0, 50) for name in ids}
    decision = Decision.default("binary", ("salt",))
    saved = Evaluation.of(grouped(ids, ("x", "x", None)), "test", counts, decision)
    saved.save(path)
    loaded = Evaluation.load(path)
    assert loaded.to_json() == saved.to_json()
    record = json.loads(path.read_text())
    assert not decided_otherwise(record, decision)
    other = decision.model_copy(update={"thresholds": {"salt": 0.4}})
    assert decided_otherwise(record, other)
    # files from before: of default masks, and without groups
    for key in ("decision", "competition", "resampled"):
        del record[key]
    del record["images"]["group"]
    path.write_text(json.dumps(record))
    assert Evaluation.load(path).groups is None
    assert not decided_otherwise(record, decision)
    assert decided_otherwise(record, other)
