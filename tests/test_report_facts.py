"""The numbers of the report: examples, confusion, headline, competition scores."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from delineo.report.facts import choose_examples, competition_rows, confusion, headline


def test_competition_scores_of_several_classes_and_of_none() -> None:
    block = {
        "severstal_dice": {"a": 0.2, "b": None},
        "severstal_mean_dice": 0.2,
        "interval95": {"severstal_dice": {"a": [0.1, 0.3], "b": None}},
    }
    rows = competition_rows({"classes": ["a", "b"], "competition": block})
    assert [row["cell"] for row in rows] == [
        (0.2, None, None),
        (0.2, 0.1, 0.3),
        (None, None, None),
    ]
    assert competition_rows({"classes": ["a", "b"], "competition": None}) == []
    assert competition_rows({"classes": ["a", "b"]}) == []


@given(st.lists(st.none() | st.floats(0, 1), max_size=40))
def test_chosen_examples_never_repeat(scores: list[float | None]) -> None:
    chosen = choose_examples(scores)
    flat = [index for group in chosen.values() for index in group]
    assert len(flat) == len(set(flat)) <= 9
    assert all(scores[index] is not None for index in flat)
    if "Best" in chosen:
        known = [score for score in scores if score is not None]
        assert scores[chosen["Best"][0]] == max(known)
        assert scores[chosen["Worst"][0]] == min(known)


def evaluation(task: str, classes: list[str], **images: Any) -> dict[str, Any]:
    return {"task": task, "classes": classes, "images": images, "confusion": None}


def test_confusion_of_binary_masks_counts_every_pixel() -> None:
    record = evaluation(
        "binary", ["cell"], tp=[[6], [2]], fp=[[1], [1]], fn=[[2], [0]], valid=[20, 10]
    )
    result = confusion(record)
    assert result["pixels"] == [[18, 2], [2, 8]]
    assert result["shares"] == [[0.9, 0.1], [0.2, 0.8]]


def test_confusion_of_classes_without_pixels_has_no_shares() -> None:
    record = evaluation("multiclass", ["a", "b"], tp=[[3, 0]], fp=[[0, 1]], fn=[[1, 0]], valid=[4])
    record["confusion"] = [[3, 1], [0, 0]]
    result = confusion(record)
    assert result["shares"][0] == [0.75, 0.25]
    assert np.isnan(result["shares"][1]).all()
    assert result["totals"] == [4, 0]


def test_outcomes_of_overlapping_classes_are_counted_apart() -> None:
    record = evaluation("multilabel", ["a", "b"], tp=[[3, 0]], fp=[[0, 1]], fn=[[1, 5]], valid=[20])
    rows = confusion(record)["rows"]
    assert [(row["tp"], row["fp"], row["fn"], row["all"]) for row in rows] == [
        (3, 0, 1, 4),
        (0, 1, 5, 6),
    ]


def test_headline_follows_what_chose_the_weights() -> None:
    scores = {"mean_iou": 0.6, "mean_dice": 0.7, "interval95": {"mean_iou": [0.5, 0.65]}}
    record = {
        "task": "multiclass",
        "classes": ["a", "b"],
        "dataset": scores,
        "per_image": {**scores, "mean_iou": 0.4},
    }
    for monitor in ("auto", "loss", "dataset.pixel_accuracy"):
        assert headline(record, {"monitor": monitor})["score"] == 0.6
    assert headline(record, {"monitor": "per_image.mean_iou"})["score"] == 0.4
    dice = headline(record, {"monitor": "dataset.mean_dice"})
    assert (dice["score"], dice["low"]) == (0.7, None)
    assert "70.0" in dice["what"]
