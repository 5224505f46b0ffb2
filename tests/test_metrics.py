"""Counts and scores against worked values, scikit-learn and torchmetrics."""

import json

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given
from hypothesis import strategies as st

from delineo.errors import ShapeError
from delineo.metrics import (
    confusion_matrix,
    count,
    dataset_scores,
    empty_policy,
    image_scores,
    per_image_scores,
    score,
    tabulate,
)

TASKS = ["binary", "multiclass", "multilabel"]
CLASSES = {"binary": ["lesion"], "multiclass": ["a", "b", "c"], "multilabel": ["a", "b", "c"]}
SCORES = ("iou", "dice", "precision", "recall")


def make_pairs(task: str, seed: int, images: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    """(prediction, mask) pairs of different sizes with ignored pixels."""
    random = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        shape = tuple(random.integers(3, 9, size=2))
        shape = (3, *shape) if task == "multilabel" else shape
        top = 3 if task == "multiclass" else 2
        prediction, mask = random.integers(top, size=(2, *shape), dtype=np.uint8)
        mask[random.random(shape) < 0.15] = 255
        pairs.append((prediction, mask))
    return pairs


def counts_of(task: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list:
    return [count(prediction, mask, len(CLASSES[task]), task) for prediction, mask in pairs]


def score_pairs(task: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    return score(counts_of(task, pairs), CLASSES[task], task)


def valid_pixels(task: str, pairs: list) -> list[tuple[np.ndarray, np.ndarray]]:
    """(truth, prediction) without ignored pixels; one pair per class for multi-label."""
    planes = range(3) if task == "multilabel" else [...]
    return [
        (
            np.concatenate([mask[k][mask[k] != 255].ravel() for _, mask in pairs]),
            np.concatenate([guess[k][mask[k] != 255].ravel() for guess, mask in pairs]),
        )
        for k in planes
    ]


def test_binary_by_hand():
    mask = np.array([[1, 1, 0, 0, 255], [1, 0, 0, 0, 255]], np.uint8)
    prediction = np.array([[1, 0, 1, 0, 1], [1, 0, 0, 0, 0]], np.uint8)
    counts = count(prediction, mask, 1, "binary")
    assert (counts.tp, counts.fp, counts.fn) == (2, 1, 1)
    assert (counts.valid, counts.correct) == (8, 6)
    scores = score([counts], ["lesion"], "binary")["dataset"]
    assert scores["iou"] == {"lesion": 0.5}
    assert scores["dice"] == {"lesion": pytest.approx(2 / 3)}
    assert scores["mean_iou"] == 0.5
    assert scores["pixel_accuracy"] == 0.75


def test_dataset_and_per_image_differ_by_hand():
    """A large image found whole and a small one missed: pooled 9/10, averaged 1/2."""
    large, small = np.ones((3, 3), np.uint8), np.ones((1, 1), np.uint8)
    scores = score_pairs("binary", [(large, large), (0 * small, small)])
    assert scores["dataset"]["mean_iou"] == 0.9
    assert scores["per_image"]["mean_iou"] == 0.5


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(3))
def test_dataset_scores_are_those_of_scikit_learn(task, seed):
    pairs = make_pairs(task, seed)
    ours = score_pairs(task, pairs)["dataset"]
    functions = {
        "iou": sklearn.metrics.jaccard_score,
        "dice": sklearn.metrics.f1_score,
        "precision": sklearn.metrics.precision_score,
        "recall": sklearn.metrics.recall_score,
    }
    for name, function in functions.items():
        average = None if task == "multiclass" else "binary"
        expected = np.concatenate(
            [np.atleast_1d(function(*pair, average=average)) for pair in valid_pixels(task, pairs)]
        )
        assert list(ours[name].values()) == pytest.approx(list(expected))
    assert ours["mean_iou"] == pytest.approx(np.mean(list(ours["iou"].values())))
    truth, guess = map(np.concatenate, zip(*valid_pixels(task, pairs), strict=True))
    assert ours["pixel_accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, guess))


def test_confusion_is_that_of_scikit_learn():
    pairs = make_pairs("multiclass", 5)
    ((truth, guess),) = valid_pixels("multiclass", pairs)
    ours = confusion_matrix(counts_of("multiclass", pairs))
    assert ours is not None
    assert (ours == sklearn.metrics.confusion_matrix(truth, guess)).all()


def test_per_image_scores_are_means_of_torchmetrics_over_images():
    pairs = make_pairs("multiclass", 7)
    ious = [
        tm.multiclass_jaccard_index(
            torch.from_numpy(guess), torch.from_numpy(mask).long(), 3, "none", ignore_index=255
        )
        for guess, mask in pairs
    ]
    ours = score_pairs("multiclass", pairs)["per_image"]["iou"]
    assert list(ours.values()) == pytest.approx(torch.stack(ious).mean(0).tolist(), abs=1e-6)


def test_per_image_binary_scores_are_means_of_torchmetrics_over_images():
    pairs = make_pairs("binary", 8)
    dices = [
        tm.binary_f1_score(torch.from_numpy(guess), torch.from_numpy(mask).long(), ignore_index=255)
        for guess, mask in pairs
    ]
    ours = score_pairs("binary", pairs)["per_image"]["mean_dice"]
    assert ours == pytest.approx(torch.stack(dices).mean().item())


@pytest.mark.parametrize("task", TASKS)
def test_classes_that_are_nowhere_have_no_dataset_score(task):
    empty = np.zeros((3, 4, 4) if task == "multilabel" else (4, 4), np.uint8)
    scores = score_pairs(task, [(empty, empty)])["dataset"]
    last = CLASSES[task][-1]
    assert all(scores[name][last] is None for name in SCORES)
    assert scores["mean_iou"] == (1.0 if task == "multiclass" else None)


@pytest.mark.parametrize(("task", "expected"), [("binary", 1.0), ("multilabel", 1.0)])
def test_an_empty_image_left_empty_scores_1(task, expected):
    empty = np.zeros((3, 4, 4) if task == "multilabel" else (4, 4), np.uint8)
    scores = score_pairs(task, [(empty, empty)])["per_image"]
    assert all(value == expected for name in SCORES for value in scores[name].values())
    assert scores["mean_dice"] == expected


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_an_object_seen_in_an_empty_image_scores_0(task):
    empty = np.zeros((3, 4, 4) if task == "multilabel" else (4, 4), np.uint8)
    seen = empty.copy()
    seen[..., 0, 0] = 1
    scores = score_pairs(task, [(seen, empty)])["per_image"]
    assert all(value == 0 for name in SCORES for value in scores[name].values())


def test_multiclass_images_without_a_class_do_not_count_for_it():
    first = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 1, 0]], np.uint8)
    second = np.array([[0, 0, 0, 0]], np.uint8), np.array([[0, 0, 0, 0]], np.uint8)
    iou = score_pairs("multiclass", [first, second])["per_image"]["iou"]
    assert iou == {"a": pytest.approx((2 / 3 + 1) / 2), "b": 0.5, "c": None}


@pytest.mark.parametrize("task", TASKS)
def test_an_image_of_ignored_pixels_counts_nowhere(task):
    pairs = make_pairs(task, 3)
    guess, mask = pairs[0]
    ignored = guess, np.full_like(mask, 255)
    assert score_pairs(task, [*pairs, ignored]) == score_pairs(task, pairs)


def test_no_images_no_scores():
    scores = score([], ["a", "b"], "multiclass")
    assert scores["dataset"]["iou"] == {"a": None, "b": None}
    assert scores["per_image"]["mean_iou"] is None


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_json(task):
    scores = score_pairs(task, make_pairs(task, 0))
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert "per_image" in empty_policy(task)
    assert "dataset" in empty_policy(task)


@given(st.sampled_from(TASKS), st.integers(0, 1000))
def test_ignored_pixels_do_not_matter(task, seed):
    pairs = make_pairs(task, seed)
    turned = [(np.where(mask == 255, 1 - guess % 2, guess), mask) for guess, mask in pairs]
    assert score_pairs(task, turned) == score_pairs(task, pairs)


@given(st.sampled_from(TASKS), st.integers(0, 1000), st.permutations(range(4)))
def test_the_order_of_images_does_not_matter(task, seed, order):
    pairs = make_pairs(task, seed)
    ours = dataset_scores(tabulate(counts_of(task, pairs), len(CLASSES[task])), np.ones((1, 4)))
    shuffled = counts_of(task, [pairs[i] for i in order])
    theirs = dataset_scores(tabulate(shuffled, len(CLASSES[task])), np.ones((1, 4)))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@given(st.sampled_from(TASKS), st.integers(0, 1000))
def test_counting_images_apart_equals_counting_them_as_one(task, seed):
    pairs = make_pairs(task, seed)
    flat = [tuple(m.reshape(*m.shape[:-2], 1, -1) for m in pair) for pair in pairs]
    joint = tuple(np.concatenate(side, axis=-1) for side in zip(*flat, strict=True))
    assert score_pairs(task, pairs)["dataset"] == score_pairs(task, [joint])["dataset"]


@given(st.sampled_from(TASKS), st.integers(0, 1000))
def test_iou_is_at_most_dice_and_dice_is_their_known_function(task, seed):
    for block in score_pairs(task, make_pairs(task, seed)).values():
        for name in CLASSES[task]:
            iou, dice = block["iou"][name], block["dice"][name]
            assert iou is None or iou <= dice + 1e-12
    image = score_pairs(task, make_pairs(task, seed, images=1))["per_image"]
    for iou, dice in zip(image["iou"].values(), image["dice"].values(), strict=True):
        assert iou is None or dice == pytest.approx(2 * iou / (1 + iou))


@given(st.sampled_from(TASKS), st.integers(0, 1000), st.lists(st.integers(0, 3), min_size=4))
def test_a_weight_is_how_often_an_image_stands_in_the_list(task, seed, drawn):
    pairs, classes = make_pairs(task, seed), len(CLASSES[task])
    weights = np.bincount(drawn, minlength=4).astype(float)[None]
    table = tabulate(counts_of(task, pairs), classes)
    copies = tabulate(counts_of(task, [pairs[i] for i in drawn]), classes)
    once = np.ones((1, len(drawn)))
    for weighted, repeated in (
        (dataset_scores(table, weights), dataset_scores(copies, once)),
        (per_image_scores(table, weights, task), per_image_scores(copies, once, task)),
    ):
        for name in weighted:
            np.testing.assert_allclose(weighted[name], repeated[name])


@given(st.integers(0, 1000))
def test_image_scores_average_to_the_per_image_score(seed):
    counts = counts_of("multilabel", make_pairs("multilabel", seed))
    images = image_scores(tabulate(counts, 3), "multilabel")
    means = score(counts, CLASSES["multilabel"], "multilabel")["per_image"]
    assert images["mean_iou"].mean() == pytest.approx(means["mean_iou"])
    assert images["pixel_accuracy"].mean() == pytest.approx(means["pixel_accuracy"])


@pytest.mark.parametrize(
    ("task", "prediction", "mask"),
    [
        ("binary", (4, 4), (4, 5)),
        ("multiclass", (4, 4), (3, 4, 4)),
        ("multilabel", (2, 4, 4), (2, 4, 4)),
        ("multilabel", (4, 4), (4, 4)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(task, prediction, mask):
    with pytest.raises(ShapeError, match="bring both to the same size"):
        count(np.zeros(prediction, np.uint8), np.zeros(mask, np.uint8), len(CLASSES[task]), task)


@pytest.mark.parametrize("side", [0, 1])
def test_an_index_that_is_no_class_is_refused(side):
    pair = [np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)]
    pair[side][0, 0] = 3
    with pytest.raises(ShapeError, match="below 3, got 3"):
        count(*pair, 3, "multiclass")
