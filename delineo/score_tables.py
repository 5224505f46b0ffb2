"""Scores as tables that people read in a terminal."""

from typing import Any

from rich.table import Table
from rich.text import Text

from .data.findings import counted
from .evaluation import Evaluation

BLOCKS = {"dataset": "all pixels together", "per_image": "average of images"}


def score_table(evaluation: Evaluation) -> Table:
    """Both averages of each class: IoU and Dice with 95 % intervals, precision and recall."""
    title = f"{evaluation.part}: {counted(len(evaluation.ids), 'image')}"
    table = plain_table(title, "", "IoU [95 %]", "Dice [95 %]", "precision", "recall")
    for block, meaning in BLOCKS.items():
        scores = evaluation.scores[block]
        table.add_row(Text(meaning, style="bold"))
        for name in evaluation.classes:
            table.add_row(Text(f"  {name}"), *_of_class(scores, name))
        if len(evaluation.classes) > 1:
            table.add_row("  mean", _mean(scores, "mean_iou"), _mean(scores, "mean_dice"))
        table.add_section()
    return table


def competition_table(evaluation: Evaluation) -> Table:
    """The scores by the rules of the two competitions, with 95 % intervals."""
    scores = evaluation.scores["competition"]
    table = plain_table("by the rules of competitions", "", "score [95 %]")
    if "tgs_precision" in scores:
        name = "TGS Salt: mean precision over IoU 0.50 to 0.95"
        table.add_row(name, _mean(scores, "tgs_precision"))
    table.add_row("Severstal: mean Dice", _mean(scores, "severstal_mean_dice"))
    if len(evaluation.classes) > 1:
        for name, value in scores["severstal_dice"].items():
            table.add_row(
                Text(f"  {name}"),
                score_cell(value, _bounds(scores["interval95"], "severstal_dice", name)),
            )
    return table


def plain_table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold")


def _of_class(scores: dict[str, Any], name: str) -> list[str]:
    """The cells of one class."""
    intervals = scores["interval95"]
    wide = [
        score_cell(scores[score][name], _bounds(intervals, score, name))
        for score in ("iou", "dice")
    ]
    return [*wide, score_cell(scores["precision"][name]), score_cell(scores["recall"][name])]


def _bounds(intervals: dict[str, Any], score: str, name: str) -> list[float] | None:
    return (intervals[score] or {}).get(name)


def _mean(scores: dict[str, Any], score: str) -> str:
    return score_cell(scores[score], scores["interval95"][score])


def score_cell(value: float | None, bounds: list[float] | None = None, sign: str = "") -> str:
    """0.893 [0.871, 0.912], less what is not known; with "+", differences show their sign."""
    if value is None:
        return "-"
    spans = "" if bounds is None else f" \\[{bounds[0]:{sign}.3f}, {bounds[1]:{sign}.3f}]"
    return f"{value:{sign}.3f}{spans}"
