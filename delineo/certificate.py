"""certify(): an export, in its own runtime, against PyTorch in fp32 on validation images."""

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .data.encoding import read_sample
from .data.samples import DataFolder, Sample
from .decision import decide
from .errors import DataError, RunError
from .evaluation import Evaluation, at_mask_size, named_blocks
from .files import write_atomically
from .intervals import Interval, paired_difference
from .machine import describe_machine
from .measuring import measure
from .metrics import Counts, count
from .prediction import Predictor
from .progress import NoProgress, Progress
from .run import Run
from .runtime import ExportedPredictor, Format
from .tuning import score_name

AT_MOST = 200
"""Validation images that are predicted; of more, so many are taken at even distances."""
TIMED = 8
"""Images that are timed."""
LEAST_AGREEMENT = 0.999
"""Share of mask pixels that a float format must have in common with PyTorch."""
LARGEST_LOSS = 0.005
"""Of the score: what int8 may lose."""

PACKAGES = {
    "onnx": ("torch", "onnx", "onnxruntime"),
    "openvino": ("torch", "onnx", "openvino"),
    "openvino-bf16": ("torch", "onnx", "openvino"),
    "openvino-int8": ("torch", "onnx", "openvino", "nncf"),
    "torch": ("torch",),
}


@dataclass(frozen=True, eq=False)
class Certificate:
    """How an export agrees with the PyTorch model that it was made of."""

    format: Format
    pytorch: Evaluation
    exported: Evaluation
    available: int
    """Validation images there are."""
    agreement: float
    """Share of mask pixels that are the same."""
    difference: float
    """Largest difference of a probability."""
    score: str
    """Name of the score that int8 is held to, such as per_image.mean_iou."""
    cost: dict[str, dict[str, Any]]
    """Of `pytorch` and `export`, as `measure` gives it."""

    def changes(self) -> dict[str, Interval]:
        """Of all scores: the export's minus PyTorch's, paired on the same images."""
        return paired_difference(
            self.exported.statistic(),
            self.pytorch.statistic(),
            len(self.pytorch.ids),
            groups=self.pytorch.groups,
        )

    def problem(self) -> str | None:
        """Why the export must not be used, in words; None where it may be."""
        if self.format == "openvino-int8":
            change = float(self.changes()[self.score].value)
            if change >= -LARGEST_LOSS:
                return None
            return (
                f"{self.score} on validation falls by {-100 * change:.2f} points, more than "
                f"{100 * LARGEST_LOSS:g}; export with --format openvino, which keeps the scores"
            )
        if self.agreement >= LEAST_AGREEMENT:
            return None
        return (
            f"its masks agree with PyTorch's in {100 * self.agreement:.3f} % of the pixels, fewer "
            f"than {100 * LEAST_AGREEMENT:g} %; use another --format"
        )

    def to_json(self) -> dict[str, Any]:
        """What certificate.json holds."""
        changes = self.changes()
        return {
            "format": self.format,
            "split": "val",
            "num_images": len(self.pytorch.ids),
            "available_images": self.available,
            "compared_with": "PyTorch, fp32, on the CPU",
            "mask_agreement": self.agreement,
            "largest_probability_difference": self.difference,
            "score": {"name": self.score, **changes[self.score].to_json()},
            "limits": {"mask_agreement": LEAST_AGREEMENT, "score_loss_of_int8": LARGEST_LOSS},
            "scores": {"pytorch": self.pytorch.scores, "export": self.exported.scores},
            "score_changes": named_blocks(changes, self.pytorch.classes),
            "cost": self.cost,
            "versions": versions(self.format),
            "machine": describe_machine(),
        }

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(self.to_json(), allow_nan=False, indent=1))

    def lines(self) -> list[str]:
        """The findings, in words."""
        change, own, base = self.changes()[self.score], self.cost["export"], self.cost["pytorch"]
        bounds = "" if np.isnan(change.low) else f" [{change.low:+.4f}, {change.high:+.4f}]"
        agreed = f"{100 * self.agreement:.4f} % of the pixels of {len(self.pytorch.ids)} images"
        return [
            f"on validation: masks agree in {agreed}",
            f"{self.score} changes by {float(change.value):+.4f}{bounds}",
            f"probabilities differ by {self.difference:.2g} at most",
            f"{_spell_cost(own)}; the run in PyTorch, {base['precision']}: {_spell_cost(base)}",
        ]


def certify(
    path: Path, run: Run, reference: Predictor, folder: DataFolder, progress: Progress | None = None
) -> Certificate:
    """Predict validation images with the export in `path` and with `reference`, and compare.

    Raises DataError where there are no validation images.
    """
    exported, samples = ExportedPredictor.load(path), validation_samples(folder)
    progress, pairs = progress or NoProgress(), []
    progress.start("certify", len(samples))
    for sample in samples:
        pairs.append(_compare(exported, reference, sample, folder))
        progress.advance()
    progress.finish()
    judged = replace(folder, splits={"val": tuple(sample.id for sample in samples)})
    timed = [sample.image for sample in _evenly(samples, TIMED)]
    return Certificate(
        format=exported.record.format,
        pytorch=_evaluation(judged, [pair.reference for pair in pairs], reference),
        exported=_evaluation(judged, [pair.exported for pair in pairs], reference),
        available=len(folder.splits["val"]),
        agreement=sum(pair.same for pair in pairs) / sum(pair.pixels for pair in pairs),
        difference=max(pair.difference for pair in pairs),
        score=score_name(None, run.recipe().monitor, folder.task),
        cost={"pytorch": measure(run.path, timed), "export": measure(path, timed)},
    )


@dataclass(frozen=True)
class _Pair:
    """One image predicted by both."""

    reference: Counts
    exported: Counts
    same: int
    pixels: int
    difference: float


def _compare(
    exported: ExportedPredictor, reference: Predictor, sample: Sample, folder: DataFolder
) -> _Pair:
    image, mask = read_sample(sample, folder)
    maps = [predictor.probabilities(image) for predictor in (reference, exported)]
    masks = [decide(each, reference.decision) for each in maps]
    difference = float(np.abs(maps[0] - maps[1]).max())
    if not np.isfinite(difference):
        raise RunError(f"the export gives no finite probabilities for {sample.image}")
    counts = [
        count(at_mask_size(each, mask, sample), mask, len(folder.classes), folder.task)
        for each in masks
    ]
    same = int(np.count_nonzero(masks[0] == masks[1]))
    return _Pair(counts[0], counts[1], same, masks[0].size, difference)


def _evaluation(folder: DataFolder, counts: list[Counts], predictor: Predictor) -> Evaluation:
    by_id = dict(zip(folder.splits["val"], counts, strict=True))
    return Evaluation.of(folder, "val", by_id, predictor.decision)


def validation_samples(folder: DataFolder) -> list[Sample]:
    """Raises DataError where the run has no validation part."""
    samples = folder.part("val")
    if not samples:
        raise DataError(
            f"{folder.root} has no validation images, and an export is judged on them; name some "
            "in splits.json and train again"
        )
    return _evenly(samples, AT_MOST)


def _evenly(samples: Sequence[Sample], number: int) -> list[Sample]:
    """At most so many, at even distances."""
    places = np.linspace(0, len(samples) - 1, min(number, len(samples)))
    return [samples[place] for place in places.round().astype(int)]


def versions(wanted: Format) -> dict[str, str]:
    """Of Python and of the packages that wrote and ran the export."""
    found = {"python": platform.python_version()}
    for package in ("delineo", *PACKAGES[wanted], "numpy", "pillow"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _spell_cost(cost: dict[str, Any]) -> str:
    return f"{1000 * cost['seconds_per_image']:.1f} ms per image, {cost['peak_memory_mb']:.0f} MB"
