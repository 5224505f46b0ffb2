"""Scores of masks: counts of one image, and IoU, Dice, precision and recall from many.

Arrays of scores hold NaN where a score does not exist; the dicts of `score` hold None there.

Two averages stand side by side. `dataset` pools the pixels of all images. `per_image` scores every
image and takes the mean over images, so that a small image or object weighs as much as a large one.
In both, `mean_iou` and `mean_dice` are the means over the classes that have a score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped, UInt8

from .errors import ShapeError

Task = Literal["binary", "multiclass", "multilabel"]
BLOCKS = ("dataset", "per_image", "competition")
ScoreArrays = dict[str, np.ndarray]
"""Score name -> array with classes on the last axis; means and pixel accuracy have no such axis."""

EMPTY_POLICY = {
    "binary": (
        "per_image: an image with no foreground in mask and prediction scores 1, with foreground "
        "in one of them 0."
    ),
    "multilabel": (
        "per_image: a class that is in neither mask nor prediction of an image scores 1 there, "
        "in one of them 0."
    ),
    "multiclass": (
        "per_image: a class that is in neither mask nor prediction of an image is left out there, "
        "in one of them it scores 0."
    ),
}
_EMPTY_DATASET = (
    " dataset: a class that is in no mask and no prediction has no score (null) and is left out of "
    "the mean. Precision of a class never predicted and recall of a class never in a mask are 0. "
    "Images whose pixels are all ignored are left out of per_image."
)


@dataclass(frozen=True)
class Counts:
    """Pixels of one image by outcome, ignored ones left out."""

    tp: Int64[np.ndarray, " classes"]
    fp: Int64[np.ndarray, " classes"]
    fn: Int64[np.ndarray, " classes"]
    valid: int
    """Pixels that count; for multi-label, over all layers."""
    correct: int
    """Those of them that are predicted right."""
    confusion: Int64[np.ndarray, "classes classes"] | None = None
    """Multi-class: rows are the truth, columns the prediction."""


def count(
    prediction: Shaped[np.ndarray, "..."],
    mask: UInt8[np.ndarray, "*planes height width"],
    num_classes: int,
    task: Task,
    ignore_index: int = 255,
) -> Counts:
    """Compare a predicted mask with the true one, pixel by pixel.

    Binary and multi-class masks hold class indices (binary: 0 and 1, with `num_classes` 1),
    multi-label masks a 0/1 layer per class. Raises ShapeError where shapes differ or a predicted
    index is no class.
    """
    layers = (num_classes,) if task == "multilabel" else ()
    if prediction.shape != mask.shape or mask.shape[:-2] != layers:
        raise ShapeError(
            f"a {task} prediction {prediction.shape} for {num_classes} classes cannot be compared "
            f"with a mask {mask.shape}; bring both to the same size"
        )
    valid = mask != ignore_index
    if task == "multiclass":
        return _count_exclusive(prediction[valid], mask[valid], num_classes)
    shape = (num_classes, -1)
    predicted = ((prediction == 1) & valid).reshape(shape)
    true = (mask == 1).reshape(shape)
    tp = np.count_nonzero(predicted & true, axis=1)
    fp = np.count_nonzero(predicted, axis=1) - tp
    fn = np.count_nonzero(true, axis=1) - tp
    pixels = int(np.count_nonzero(valid))
    return Counts(tp, fp, fn, pixels, pixels - int((fp + fn).sum()))


def _count_exclusive(
    prediction: Shaped[np.ndarray, " pixels"], truth: UInt8[np.ndarray, " pixels"], num_classes: int
) -> Counts:
    pairs = truth.astype(np.intp) * num_classes + prediction
    confusion = np.bincount(pairs, minlength=num_classes**2)
    if confusion.size > num_classes**2 or (prediction >= num_classes).any():
        raise ShapeError(
            f"class indices must be below {num_classes}, got "
            f"{max(prediction.max(), truth.max())}; check the number of classes"
        )
    confusion = confusion.reshape(num_classes, num_classes)
    tp = confusion.diagonal().copy()
    return Counts(
        tp, confusion.sum(0) - tp, confusion.sum(1) - tp, truth.size, int(tp.sum()), confusion
    )


class CountTable(NamedTuple):
    """The counts of many images: one row for each."""

    tp: Float64[np.ndarray, "images classes"]
    fp: Float64[np.ndarray, "images classes"]
    fn: Float64[np.ndarray, "images classes"]
    valid: Float64[np.ndarray, " images"]
    correct: Float64[np.ndarray, " images"]


def tabulate(counts: Sequence[Counts], num_classes: int) -> CountTable:
    """Stack the counts of images. Merging two sets of images is stacking both."""
    per_class = (
        np.array([getattr(image, name) for image in counts], float).reshape(-1, num_classes)
        for name in ("tp", "fp", "fn")
    )
    return CountTable(
        *per_class,
        valid=np.array([image.valid for image in counts], float),
        correct=np.array([image.correct for image in counts], float),
    )


def confusion_matrix(counts: Sequence[Counts]) -> Int64[np.ndarray, "classes classes"] | None:
    """Pixels of all images by true class (rows) and predicted class; None unless multi-class."""
    matrices = [image.confusion for image in counts if image.confusion is not None]
    return np.sum(matrices, axis=0) if matrices else None


def score(counts: Sequence[Counts], classes: Sequence[str], task: Task) -> dict[str, Any]:
    """{"dataset": ..., "per_image": ...}, each with the scores of every class by its name."""
    table = tabulate(counts, len(classes))
    once = np.ones((1, len(counts)))
    return {
        "dataset": name_scores(_first(dataset_scores(table, once)), classes),
        "per_image": name_scores(_first(per_image_scores(table, once, task)), classes),
    }


def named_score_arrays(
    table: CountTable, weights: Float64[np.ndarray, "resamples images"], task: Task
) -> ScoreArrays:
    """All scores for each row of `weights`, named by block and score: `dataset.iou`."""
    blocks = {
        "dataset": dataset_scores(table, weights),
        "per_image": per_image_scores(table, weights, task),
        "competition": competition_scores(table, weights, task),
    }
    return {
        f"{block}.{name}": values
        for block, scores in blocks.items()
        for name, values in scores.items()
    }


def dataset_scores(
    table: CountTable, weights: Float64[np.ndarray, "resamples images"]
) -> ScoreArrays:
    """Scores of the pooled pixels, for each row of `weights`: how often each image counts."""
    scores = _ratios(weights @ table.tp, weights @ table.fp, weights @ table.fn)
    return {
        **scores,
        "mean_iou": _mean(scores["iou"]),
        "mean_dice": _mean(scores["dice"]),
        "pixel_accuracy": _divide(weights @ table.correct, weights @ table.valid),
    }


def per_image_scores(
    table: CountTable, weights: Float64[np.ndarray, "resamples images"], task: Task
) -> ScoreArrays:
    """Means over images of each image's scores, for each row of `weights`."""
    scores = {
        name: _weighted_mean(values, weights)
        for name, values in image_scores(table, task).items()
        if not name.startswith("mean_")
    }
    return {**scores, "mean_iou": _mean(scores["iou"]), "mean_dice": _mean(scores["dice"])}


def image_scores(table: CountTable, task: Task) -> ScoreArrays:
    """The scores of each image, classes in neither mask nor prediction by the empty policy."""
    scores = _ratios(table.tp, table.fp, table.fn)
    if task != "multiclass":
        judged = table.valid[:, None] > 0
        scores = {
            name: np.where(np.isnan(values) & judged, 1.0, values)
            for name, values in scores.items()
        }
    return {
        **scores,
        "mean_iou": _mean(scores["iou"]),
        "mean_dice": _mean(scores["dice"]),
        "pixel_accuracy": _divide(table.correct, table.valid),
    }


def competition_scores(
    table: CountTable, weights: Float64[np.ndarray, "resamples images"], task: Task
) -> ScoreArrays:
    """Means over images by the rules of two competitions, for each row of `weights`.

    Neither had exclusive classes, so there are none for multi-class masks; TGS Salt had one class.
    """
    if task == "multiclass":
        return {}
    dice = _weighted_mean(severstal_dice(table), weights)
    scores = {"severstal_dice": dice, "severstal_mean_dice": _mean(dice)}
    if task == "binary":
        scores["tgs_precision"] = _weighted_mean(tgs_precision(table), weights)[:, 0]
    return scores


def tgs_precision(table: CountTable) -> Float64[np.ndarray, "images classes"]:
    """Share of the IoU thresholds 0.50, 0.55, ... 0.95 that each image's mask is above.

    TGS Salt Identification Challenge (Kaggle 2018), whose images hold one object each. Nothing to
    find and nothing predicted is 1, one without the other 0; NaN where all pixels are ignored.
    """
    union = table.tp + table.fp + table.fn
    twentieths = np.arange(10, 20)  # whole numbers, so that an IoU of exactly 0.6 is not above 0.6
    share = (20 * table.tp[..., None] > twentieths * union[..., None]).mean(-1)
    return np.where(table.valid[:, None] > 0, np.where(union == 0, 1.0, share), np.nan)


def severstal_dice(table: CountTable) -> Float64[np.ndarray, "images classes"]:
    """2 |A and B| / (|A| + |B|) of each image and class, 1 where both are empty.

    Severstal: Steel Defect Detection (Kaggle 2019). NaN where all pixels are ignored.
    """
    size = 2 * table.tp + table.fp + table.fn
    dice = np.divide(2 * table.tp, size, out=np.ones(size.shape), where=size > 0)
    return np.where(table.valid[:, None] > 0, dice, np.nan)


def empty_policy(task: Task) -> str:
    """What is scored where there is nothing to find, in words."""
    return EMPTY_POLICY[task] + _EMPTY_DATASET


def name_scores(scores: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Scores per class as {class: value}, means as they are; NaN becomes None."""
    return {
        name: dict(zip(classes, map(_or_none, values), strict=True))
        if np.ndim(values)
        else _or_none(values)
        for name, values in scores.items()
    }


def _ratios(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> ScoreArrays:
    """Scores from counts; NaN where a class is in neither truth nor prediction."""
    absent = tp + fp + fn == 0
    scores = {
        "iou": _divide(tp, tp + fp + fn),
        "dice": _divide(2 * tp, 2 * tp + fp + fn),
        "precision": _divide(tp, tp + fp),
        "recall": _divide(tp, tp + fn),
    }
    return {
        name: np.where(absent, np.nan, np.nan_to_num(values)) for name, values in scores.items()
    }


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN."""
    known = ~np.isnan(values)
    return _divide(np.where(known, values, 0).sum(-1), known.sum(-1).astype(float))


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over images, the first axis, without NaN."""
    known = ~np.isnan(values)
    return _divide(weights @ np.where(known, values, 0), weights @ known.astype(float))


def _first(scores: ScoreArrays) -> ScoreArrays:
    return {name: np.asarray(values[0]) for name, values in scores.items()}


def _or_none(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
