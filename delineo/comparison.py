"""compare(): which of several evaluations is better, and whether it could be chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .errors import DataError
from .evaluation import Evaluation, named_blocks
from .intervals import paired_difference
from .metrics import CountTable


class Row(NamedTuple):
    """One line of a comparison: a score, and how it differs from that of the reference."""

    name: str
    value: float | None
    interval95: list[float] | None
    difference: float | None
    """Paired, on the same images; None for the reference itself."""
    difference_interval95: list[float] | None
    verdict: str
    """reference, better, worse, or could be chance."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several evaluations of the same images, each against one of them."""

    evaluations: dict[str, Evaluation]
    reference: str
    differences: dict[str, dict[str, dict[str, Any]]]
    """Of each but the reference: its scores minus the reference's, with `interval95`."""

    @property
    def block(self) -> str:
        """The average that ranks: `per_image` or `dataset`."""
        return _main_block(self.evaluations[self.reference])

    def rows(self) -> list[Row]:
        """Mean IoU of each evaluation, the highest first."""
        rows = [self._row(name) for name in self.evaluations]
        return sorted(rows, key=lambda row: -1.0 if row.value is None else row.value, reverse=True)

    def _row(self, name: str) -> Row:
        scores = self.evaluations[name].scores[self.block]
        value, interval = scores["mean_iou"], scores["interval95"]["mean_iou"]
        if name == self.reference:
            return Row(name, value, interval, None, None, "reference")
        difference = self.differences[name][self.block]
        bounds = difference["interval95"]["mean_iou"]
        return Row(name, value, interval, difference["mean_iou"], bounds, _verdict(bounds))

    def to_json(self) -> dict[str, Any]:
        """The rows, all scores and differences behind them, and what images they are of."""
        first = self.evaluations[self.reference]
        return {
            "split": first.part,
            "num_images": len(first.ids),
            "task": first.task,
            "classes": list(first.classes),
            "reference": self.reference,
            "score": f"{self.block}.mean_iou",
            "rows": [row._asdict() for row in self.rows()],
            "scores": {name: each.scores for name, each in self.evaluations.items()},
            "differences": self.differences,
        }


def compare(evaluations: Mapping[str, Evaluation], reference: str | None = None) -> Comparison:
    """Scores side by side with paired differences to `reference`, by default the best.

    Raises DataError where they are not evaluations of the same images with the same masks.
    """
    if not evaluations:
        raise DataError("there is nothing to compare; give two evaluations or more")
    names = list(evaluations)
    reference = reference or max(names, key=lambda name: _main_score(evaluations[name]))
    base = evaluations[reference]
    aligned = {
        name: _aligned(name, evaluations[name], reference, base)
        for name in names
        if name != reference
    }
    differences = {
        name: named_blocks(
            paired_difference(
                each.statistic(), base.statistic(), len(base.ids), groups=base.groups
            ),
            base.classes,
        )
        for name, each in aligned.items()
    }
    return Comparison(dict(evaluations), reference, differences)


def _aligned(name: str, ours: Evaluation, other: str, base: Evaluation) -> Evaluation:
    """`ours` with the images in the order of `base`."""
    if (ours.task, ours.classes) != (base.task, base.classes):
        raise DataError(f"{name} and {other} have different classes; compare runs on the same data")
    missing = set(ours.ids) ^ set(base.ids)
    if missing:
        raise DataError(
            f"{name} and {other} were not scored on the same images ({len(missing)} are in one "
            f"only, such as {min(missing)}); evaluate both on the same data and split"
        )
    position = {sample_id: row for row, sample_id in enumerate(ours.ids)}
    order = [position[sample_id] for sample_id in base.ids]
    table = CountTable(*(values[order] for values in ours.table))
    if not np.array_equal(table.tp + table.fn, base.table.tp + base.table.fn):
        raise DataError(f"the masks changed between {name} and {other}; evaluate both again")
    return Evaluation(ours.part, ours.task, ours.classes, base.ids, table, ours.confusion)


def _main_block(evaluation: Evaluation) -> str:
    """Per image for binary data, pooled otherwise, where a class may be in few images."""
    return "per_image" if evaluation.task == "binary" else "dataset"


def _main_score(evaluation: Evaluation) -> float:
    value = evaluation.scores[_main_block(evaluation)]["mean_iou"]
    return -1.0 if value is None else value


def _verdict(bounds: list[float] | None) -> str:
    if bounds is None or bounds[0] <= 0 <= bounds[1]:
        return "could be chance"
    return "better" if bounds[0] > 0 else "worse"
