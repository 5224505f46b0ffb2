"""The numbers of a page, taken from the files of a run and put into words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Record = Mapping[str, Any]
"""What a JSON file of a run holds."""

SCORES = {
    "iou": ("IoU", "shared area / area covered by either"),
    "dice": ("Dice", "twice the shared area / sum of both areas"),
    "precision": ("Precision", "of what was predicted, the share that is true"),
    "recall": ("Recall", "of what is true, the share that was found"),
}
GROUPS = {
    "per_image": (
        "Average of images",
        "Each image scored by itself: every image counts the same.",
    ),
    "dataset": (
        "All pixels together",
        "All pixels in one count: large objects count more.",
    ),
}


def headline(evaluation: Record, recipe: Record) -> dict[str, Any]:
    """The one score of the page with its 95 % interval, and what it means."""
    group, _, name = headline_key(recipe, evaluation["task"]).partition(".")
    scores = evaluation[group]
    low, high = scores.get("interval95", {}).get(name) or (None, None)
    return {
        "group": group,
        "name": name,
        "label": "Mean IoU" if name == "mean_iou" else "Mean Dice",
        "score": scores[name],
        "low": low,
        "high": high,
        "what": _meaning(evaluation, group, name),
    }


def headline_key(recipe: Record, task: str) -> str:
    """`group.score` that chose the best weights where it is an IoU or Dice, else the usual one."""
    monitor = str(recipe.get("monitor", "auto"))
    if monitor.endswith((".mean_iou", ".mean_dice")):
        return monitor
    return "per_image.mean_iou" if task == "binary" else "dataset.mean_iou"


def _meaning(evaluation: Record, group: str, name: str) -> str:
    """What the headline's number says, for people who do not know its name."""
    classes, share = evaluation["classes"], spell_percent(evaluation[group][name] or 0.0)
    over = [f"the {len(classes)} classes"] if len(classes) > 1 else []
    over += ["images"] if group == "per_image" else []
    averaged = f", averaged over {' and '.join(over)}" if over else ""
    thing = f"“{classes[0]}”" if len(classes) == 1 else "a class"
    if name == "mean_dice":
        return f"Predicted and true areas of {thing} match to {share} (Dice){averaged}."
    return (
        f"Of the area that prediction or truth marks as {thing}, {share} is marked by "
        f"both{averaged}."
    )


def score_tables(evaluation: Record) -> list[dict[str, Any]]:
    """Both averages: a row of cells (score, low, high) for each class, their mean first."""
    return [
        {
            "title": title,
            "explanation": explanation,
            "rows": _rows(evaluation["classes"], evaluation[group]),
            "accuracy": _cell(evaluation[group], "pixel_accuracy"),
        }
        for group, (title, explanation) in GROUPS.items()
    ]


def _rows(classes: Sequence[str], scores: Record) -> list[dict[str, Any]]:
    rows = [
        {"name": name, "is_mean": False, "cells": [_cell(scores, score, name) for score in SCORES]}
        for name in classes
    ]
    if len(classes) > 1:
        means = [_cell(scores, f"mean_{score}") for score in SCORES]
        rows.insert(0, {"name": "mean of classes", "is_mean": True, "cells": means})
    return rows


def _cell(scores: Record, score: str, name: str | None = None) -> tuple[Any, Any, Any]:
    """(value, low, high), each None where it is not known; of class `name` if one is given."""
    value, interval = scores.get(score), scores.get("interval95", {}).get(score)
    if name is not None:
        value, interval = (value or {}).get(name), (interval or {}).get(name)
    low, high = interval or (None, None)
    return value, low, high


def competition_rows(evaluation: Record) -> list[dict[str, Any]]:
    """Scores by the rules of competitions; a row of one cell (score, low, high) for each."""
    scores = evaluation.get("competition")
    if not scores:
        return []
    rows = [("Severstal: mean Dice", _cell(scores, "severstal_mean_dice"))]
    if "tgs_precision" in scores:
        name = "TGS Salt: mean precision over IoU 0.50 to 0.95"
        rows.insert(0, (name, _cell(scores, "tgs_precision")))
    if len(evaluation["classes"]) > 1:
        rows += [
            (f"Severstal: Dice of {name}", _cell(scores, "severstal_dice", name))
            for name in evaluation["classes"]
        ]
    return [{"name": name, "cell": cell} for name, cell in rows]


STEPS = {
    "thresholds": ("Threshold", "A pixel belongs to the class at this probability or above."),
    "smallest_region": ("Smallest region", "Regions of fewer pixels are removed."),
    "largest_hole": ("Largest hole", "Holes of up to so many pixels are filled."),
    "only_largest": ("Largest region only", "Other regions are removed."),
    "smallest_area": ("Smallest area", "With fewer pixels in the image the class gets none."),
    "least_confidence": (
        "Least confidence",
        "Where the highest thousandth of probabilities is lower on average, the class gets none.",
    ),
}


def step_rows(tuning: Record) -> list[dict[str, Any]]:
    """What was tried for which class, what it gains, and whether it is kept."""
    return [
        {
            "name": STEPS[step["step"]][0],
            "meaning": STEPS[step["step"]][1],
            "of": step["class"] or "all together",
            "value": _spell_value(step["value"]),
            "cell": (step["gain"], *(step["interval95"] or (None, None))),
            "outcome": _outcome(step),
        }
        for step in tuning["steps"]
    ]


def _spell_value(value: float | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else f"{value} px"


def _outcome(step: Record) -> str:
    if step["kept"]:
        return "kept"
    return "nothing scored better" if step["gain"] is None else "not kept: could be chance"


def choose_examples(scores: Sequence[float | None], per_group: int = 3) -> dict[str, list[int]]:
    """Positions of the best, median and worst images, none twice; fewer where there are few.

    Images without a score, all of their pixels being ignored, are left out.
    """
    known = {index: score for index, score in enumerate(scores) if score is not None}
    order = sorted(known, key=lambda index: -known[index])
    size = min(per_group, len(order) // 3)
    if size == 0:
        return {"All": order}
    middle = (len(order) - size) // 2
    return {
        "Best": order[:size],
        "Median": order[middle : middle + size],
        "Worst": order[::-1][:size],
    }


def confusion(evaluation: Record) -> dict[str, Any]:
    """What the matrix of a task shows: shares of truth by row, or counts by class."""
    images, classes = evaluation["images"], evaluation["classes"]
    tp, fp, fn = (np.array(images[key], dtype=float).sum(0) for key in ("tp", "fp", "fn"))
    if evaluation["task"] == "multilabel":
        rows = [
            {"name": name, "tp": tp[i], "fp": fp[i], "fn": fn[i], "all": tp[i] + fp[i] + fn[i]}
            for i, name in enumerate(classes)
        ]
        return {"kind": "counts", "rows": rows}
    if evaluation["task"] == "binary":
        tn = sum(images["valid"]) - tp[0] - fp[0] - fn[0]
        names = ["everything else", classes[0]]
        matrix = np.array([[tn, fp[0]], [fn[0], tp[0]]])
    else:
        names, matrix = list(classes), np.array(evaluation["confusion"], dtype=float)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.full_like(matrix, np.nan), where=totals > 0)
    return {
        "kind": "matrix",
        "names": names,
        "shares": shares.tolist(),
        "pixels": matrix.tolist(),
        "totals": totals[:, 0].tolist(),
    }


def class_shares(evaluation: Record) -> list[dict[str, Any]]:
    """Per class: share of scored pixels that truly are it, and the images that hold it."""
    images = evaluation["images"]
    pixels = np.array(images["tp"], dtype=float) + np.array(images["fn"], dtype=float)
    layers = len(evaluation["classes"]) if evaluation["task"] == "multilabel" else 1
    scored = max(float(np.sum(images["valid"])) / layers, 1.0)
    return [
        {
            "name": name,
            "share": pixels[:, i].sum() / scored,
            "images": int((pixels[:, i] > 0).sum()),
        }
        for i, name in enumerate(evaluation["classes"])
    ]


def at_a_glance(dataset: Record) -> list[tuple[str, str]]:
    """(what, value) of the images of a data set, from the summary of its check."""
    summary = dataset["summary"]
    rows = [
        ("Layout", dataset["layout"]),
        ("Images", f"{summary['images']:,}"),
        ("Channels", f"{dataset['channels']}, {' and '.join(summary['dtypes'])}"),
    ]
    if "size" in summary:
        smallest, middle, largest = (
            "{} x {}".format(*summary["size"][name]) for name in ("min", "median", "max")
        )
        varied = f"{smallest} to {largest}, median {middle}" if summary["sizes"] > 1 else middle
        rows.append(("Height x width", varied))
    return [*rows, ("Without any object", f"{summary['empty_masks']:,} images")]


def class_rows(dataset: Record) -> list[dict[str, Any]]:
    """Per class: its share of all scored pixels, and the images that hold it, by part."""
    summary = dataset["summary"]
    return [
        {
            "name": name,
            "share": summary["class_pixels"][name],
            "images": summary["class_images"][name],
        }
        for name in dataset["classes"]
    ]


def trained(epochs: Sequence[Record], recipe: Record, task: str) -> dict[str, Any]:
    """How long the training was, and which epoch's weights were kept with which score."""
    group, _, name = headline_key(recipe, task).partition(".")
    scores = [epoch["val"][group][name] if epoch.get("val") else None for epoch in epochs]
    kept = [index for index, epoch in enumerate(epochs) if epoch.get("best")]
    return {
        "epochs": epochs[-1]["epoch"],
        "seconds": epochs[-1].get("seconds"),
        "best_epoch": epochs[kept[-1]]["epoch"] if kept else None,
        "best_score": scores[kept[-1]] if kept else None,
        "late_gain": _late_gain(scores),
    }


def _late_gain(scores: Sequence[float | None]) -> float | None:
    """By how much the best score of all exceeds the best of the first four fifths of epochs."""
    early = [score for score in scores[: len(scores) * 4 // 5] if score is not None]
    late = [score for score in scores if score is not None]
    return max(late) - max(early) if early else None


def spell_percent(share: float) -> str:
    """0.1234 -> 12.3 %; shares that would read 0.0 get two more digits."""
    percent = 100 * share
    digits = 1 if percent >= 0.05 or percent == 0 else 3
    return f"{percent:.{digits}f}\N{NO-BREAK SPACE}%"
