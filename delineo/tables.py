"""Scores as tables that people read in a terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from .comparison import Comparison
from .evaluation import Evaluation

_BLOCKS = {"dataset": "all pixels together", "per_image": "average of images"}


def score_table(evaluation: Evaluation) -> Table:
    """Both averages of each class: IoU and Dice with 95 % intervals, precision and recall."""
    title = f"{evaluation.part}: {len(evaluation.ids)} images"
    table = _table(title, "", "IoU [95 %]", "Dice [95 %]", "precision", "recall")
    for block, meaning in _BLOCKS.items():
        scores = evaluation.scores[block]
        table.add_row(Text(meaning, style="bold"))
        for name in evaluation.classes:
            table.add_row(Text(f"  {name}"), *_of_class(scores, name))
        if len(evaluation.classes) > 1:
            table.add_row("  mean", _mean(scores, "mean_iou"), _mean(scores, "mean_dice"))
        table.add_section()
    return table


def comparison_table(comparison: Comparison) -> Table:
    """Runs, the best first, each with its paired difference to the reference."""
    first = comparison.evaluations[comparison.reference]
    block = "per_image" if first.task == "binary" else "dataset"
    title = f"{first.part}: mean IoU, {_BLOCKS[block]}, {len(first.ids)} images"
    table = _table(title, "run", "mean IoU [95 %]", "difference [95 %]", "")
    for row in comparison.rows(block):
        value = _cell(row.value, row.interval)
        difference = _cell(row.difference, row.difference_interval, "+")
        table.add_row(Text(row.name), value, difference, row.verdict)
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold")


def _of_class(scores: dict[str, Any], name: str) -> list[str]:
    """The cells of one class."""
    intervals = scores["interval95"]
    wide = [
        _cell(scores[score][name], _bounds(intervals, score, name)) for score in ("iou", "dice")
    ]
    return [*wide, _cell(scores["precision"][name]), _cell(scores["recall"][name])]


def _bounds(intervals: dict[str, Any], score: str, name: str) -> list[float] | None:
    return (intervals[score] or {}).get(name)


def _mean(scores: dict[str, Any], score: str) -> str:
    return _cell(scores[score], scores["interval95"][score])


def _cell(value: float | None, bounds: list[float] | None = None, sign: str = "") -> str:
    """0.893 [0.871, 0.912], less what is not known; with "+", differences show their sign."""
    if value is None:
        return "-"
    spans = "" if bounds is None else f" \\[{bounds[0]:{sign}.3f}, {bounds[1]:{sign}.3f}]"
    return f"{value:{sign}.3f}{spans}"
