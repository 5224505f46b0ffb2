"""evaluate(): predictions against masks -> Evaluation: scores with intervals, image by image."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped, UInt8

from .data.encoding import read_sample
from .data.groups import guess_groups
from .data.samples import DataFolder, Part, Sample, Task
from .decision import Decision
from .errors import DataError, RunError
from .files import write_atomically
from .intervals import RESAMPLES, Groups, Interval, Statistic, intervals
from .metrics import (
    BLOCKS,
    Counts,
    CountTable,
    confusion_matrix,
    count,
    empty_policy,
    image_scores,
    name_scores,
    named_score_arrays,
    tabulate,
)
from .progress import NoProgress, Progress

ASPECT_TOLERANCE = 0.02
"""How much the aspect ratios of an image and its mask may differ, by rounding of a resize."""


@runtime_checkable
class Segmenter(Protocol):
    """What can be evaluated: image (height, width, channels) -> mask of the same size."""

    @property
    def task(self) -> Task: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    def __call__(self, image: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How predictions agree with the masks of one part of a data set."""

    part: str
    task: Task
    classes: tuple[str, ...]
    """Binary: the foreground alone."""
    ids: tuple[str, ...]
    table: CountTable
    """One row per image, in the order of `ids`."""
    confusion: np.ndarray | None
    """Multi-class: pixels by true class (rows) and predicted class."""
    groups: Groups = None
    """The car, patient or video of each image, where some share one: these are resampled."""
    decision: dict[str, Any] | None = None
    """What made masks of probabilities, as decision.json holds it; None where it is not known."""

    @classmethod
    def of(
        cls,
        folder: DataFolder,
        part: Part,
        counts: Mapping[str, Counts],
        decision: Decision | None = None,
    ) -> "Evaluation":
        """From the counts of each image of `part`, by sample id, in any order."""
        ids = tuple(folder.splits[part])
        rows = [counts[sample_id] for sample_id in ids]
        return cls(
            part,
            folder.task,
            folder.classes,
            ids,
            tabulate(rows, len(folder.classes)),
            confusion_matrix(rows),
            image_groups(folder, ids),
            decision and decision.model_dump(mode="json"),
        )

    @cached_property
    def scores(self) -> dict[str, dict[str, Any]]:
        """Blocks `dataset`, `per_image` and, unless multi-class, `competition`.

        Each holds scores by name, and `interval95` of each.
        """
        found = intervals(self.statistic(), len(self.ids), groups=self.groups)
        return named_blocks(found, self.classes)

    def statistic(self) -> Statistic:
        """Weights of images -> all scores as arrays, named like `dataset.iou`."""
        return lambda weights: named_score_arrays(self.table, weights, self.task)

    def image_scores(self) -> dict[str, np.ndarray]:
        """Scores of each image in the order of `ids`, NaN where there is none."""
        return image_scores(self.table, self.task)

    def to_json(self) -> dict[str, Any]:
        """What evaluation-SPLIT.json holds."""
        counts = {
            name: values.astype(int).tolist() for name, values in self.table._asdict().items()
        }
        mean_iou = [None if np.isnan(iou) else iou for iou in self.image_scores()["mean_iou"]]
        resampled = "images" if self.groups is None else "groups"
        drawn = "images" if self.groups is None else "groups of images"
        return {
            "split": self.part,
            "num_images": len(self.ids),
            "task": self.task,
            "classes": list(self.classes),
            "empty_policy": empty_policy(self.task),
            "resampled": resampled,
            "interval_method": f"percentile bootstrap over {drawn}, {RESAMPLES} resamples",
            "decision": self.decision,
            "competition": None,
            **self.scores,
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "images": {
                "id": list(self.ids),
                "group": None if self.groups is None else list(self.groups),
                **counts,
                "mean_iou": mean_iou,
            },
        }

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(self.to_json(), allow_nan=False))

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """From what `save` wrote. Raises RunError where `path` is missing or something else."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
            images, classes = record["images"], tuple(record["classes"])
            table = CountTable(*(np.array(images[name], float) for name in CountTable._fields))
            confusion, groups = record["confusion"], images.get("group")
            return cls(
                record["split"],
                record["task"],
                classes,
                tuple(images["id"]),
                table,
                None if confusion is None else np.array(confusion),
                None if groups is None else tuple(groups),
                record.get("decision"),
            )
        except FileNotFoundError:
            raise RunError(f"{path} does not exist; run delineo evaluate first") from None
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{path} is not a complete evaluation ({error!r}); run delineo evaluate again"
            ) from error


def evaluate(
    predictor: Segmenter, folder: DataFolder, part: Part, progress: Progress | None = None
) -> Evaluation:
    """Predict every image of `part` and compare it with its mask, at the size of the mask's file.

    Raises DataError where the part is empty, a file cannot be read, or model and data have
    different classes.
    """
    samples = folder.part(part)
    if not samples:
        raise DataError(f"{folder.root} has no {part} images; choose another split or name some")
    counts = count_images(predictor, folder, samples, progress)
    return Evaluation.of(folder, part, counts, getattr(predictor, "decision", None))


def image_groups(folder: DataFolder, ids: Sequence[str]) -> Groups:
    """The group of each image, declared or else guessed as for splits; None where none share one.

    An image that belongs to nothing has None for a group.
    """
    groups = {sample.id: sample.group for sample in folder.samples}
    if not any(groups.values()):
        groups = guess_groups(list(groups))
    found = tuple(groups.get(sample_id) for sample_id in ids)
    sizes = Counter(group for group in found if group is not None)
    return found if max(sizes.values(), default=1) > 1 else None


def count_images(
    predictor: Segmenter,
    folder: DataFolder,
    samples: Iterable[Sample],
    progress: Progress | None = None,
) -> dict[str, Counts]:
    """Counts of each image by sample id: one process's share of an evaluation.

    The union of all shares makes `Evaluation.of` give exactly what one process would.
    """
    _check_same_classes(predictor, folder)
    samples, progress, counts = list(samples), progress or NoProgress(), {}
    progress.start("evaluate", len(samples))
    try:
        for sample in samples:
            image, mask = read_sample(sample, folder)
            prediction = at_mask_size(predictor(image), mask, sample)
            counts[sample.id] = count(prediction, mask, len(folder.classes), folder.task)
            progress.advance()
    finally:
        progress.finish()
    return counts


def _check_same_classes(predictor: Segmenter, folder: DataFolder) -> None:
    # the one class of binary data is called differently from folder to folder
    same = folder.task == "binary" or tuple(predictor.classes) == folder.classes
    if predictor.task != folder.task or not same:
        raise DataError(
            f"{folder.root} has {folder.task} masks of {', '.join(folder.classes)}, the model "
            f"predicts {predictor.task} masks of {', '.join(predictor.classes)}; "
            "write task and classes of the masks into a dataset.yaml in the folder"
        )


def at_mask_size(
    prediction: Shaped[np.ndarray, "*planes height width"],
    mask: UInt8[np.ndarray, "*mask_planes mask_height mask_width"],
    sample: Sample,
) -> Shaped[np.ndarray, "*planes mask_height mask_width"]:
    """The prediction at the mask's size where its file is larger or smaller than the image.

    Raises DataError where the two have different aspect ratios.
    """
    (height, width), (mask_height, mask_width) = prediction.shape[-2:], mask.shape[-2:]
    if (height, width) == (mask_height, mask_width):
        return prediction
    if abs(height * mask_width / (width * mask_height) - 1) > ASPECT_TOLERANCE:
        raise DataError(
            f"{sample.image.name}: the image is {height}x{width} (height x width), its mask "
            f"{mask_height}x{mask_width}; run delineo check to see which is wrong"
        )
    rows = (np.arange(mask_height) + 0.5) * height // mask_height
    columns = (np.arange(mask_width) + 0.5) * width // mask_width
    return prediction[..., rows.astype(int)[:, None], columns.astype(int)]


def named_blocks(
    found: Mapping[str, Interval], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Intervals named like `dataset.iou` as {"dataset": {"iou": ..., "interval95": ...}, ...}."""
    blocks = {}
    for block in BLOCKS:
        scores = {
            name.removeprefix(f"{block}."): interval
            for name, interval in found.items()
            if name.startswith(f"{block}.")
        }
        if not scores:
            continue
        values = {name: interval.value for name, interval in scores.items()}
        low = name_scores({name: interval.low for name, interval in scores.items()}, classes)
        high = name_scores({name: interval.high for name, interval in scores.items()}, classes)
        blocks[block] = {
            **name_scores(values, classes),
            "interval95": {name: _join(low[name], high[name]) for name in scores},
        }
    return blocks


def _join(low: Any, high: Any) -> Any:
    """[low, high], or that for each class; None where there is no interval."""
    if isinstance(low, dict):
        return {name: _join(low[name], high[name]) for name in low}
    return None if low is None else [low, high]
