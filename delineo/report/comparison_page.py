"""write_comparison_page(): a grid of models and losses as one self-contained HTML page."""

import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from ..files import write_atomically
from .cautions import FEW_IMAGES, WIDE_INTERVAL, Caution
from .facts import GROUPS, Record
from .page import template

LOSS_STYLES = 6
"""Colours and shapes of dots in comparison.css; a seventh loss starts again."""
MOST_TICKS = 9
MOST_NAMED = 3


def write_comparison_page(record: Record, title: str, path: Path) -> None:
    """Write what comparison.json holds as a page; one cell at least must be finished."""
    page = template("comparison.html").render(
        title=title,
        written=date.today(),
        record=record,
        average=GROUPS[_block(record)],
        best=record["rows"][0],
        standing=standing(record),
        chart=chart(record),
        rows=[_row(record, row) for row in record["rows"]],
        cautions=list(cautions(record)),
        styles={loss: index % LOSS_STYLES for index, loss in enumerate(record["losses"])},
    )
    write_atomically(path, page)


def standing(record: Record) -> str:
    """How the other cells compare with the best, in words."""
    others = record["rows"][1:]
    if not others:
        return "There is no other cell to compare it with."
    alike = [_spelled(record, row) for row in others if row["verdict"] == "could be chance"]
    worse = len(others) - len(alike)
    text = "Better than the others by more than chance explains."
    if alike:
        listed = f"{len(alike)} others" if len(alike) > MOST_NAMED else _one_of(alike)
        text = f"It may be no better than {listed}: that lead could be chance."
    if alike and worse:
        text += f" Its lead over the other {worse} is more than that."
    return text


def _one_of(names: list[str]) -> str:
    """a, b or c"""
    *before, last = names
    return f"{', '.join(before)} or {last}" if before else last


def _spelled(record: Record, row: Record) -> str:
    cell = record["cells"][row["name"]]
    return f"{cell['model']} with {cell['loss']}"


def chart(record: Record) -> dict[str, Any]:
    """Dots and intervals, model by model: places in percent of the chart's width."""
    rows = {row["name"]: row for row in record["rows"]}
    low, high, ticks = axis(_ends(record["rows"]))

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    groups = [
        {
            "model": model,
            "lines": [
                {"loss": loss, **_line(rows.get(f"{model}-{loss}"), place)}
                for loss in record["losses"]
            ],
        }
        for model in record["models"]
    ]
    marks = [(label, place(float(label))) for label in ticks]
    return {"groups": groups, "ticks": marks, "best": place(record["rows"][0]["value"])}


def _line(row: Record | None, place: Any) -> dict[str, Any]:
    """One dot with its interval; `value` is None where there is no score."""
    if row is None or row["value"] is None:
        return {"value": None}
    start, end = row["interval95"] or (row["value"], row["value"])
    return {
        **{key: row[key] for key in ("value", "interval95", "verdict")},
        "dot": place(row["value"]),
        "left": place(start),
        "width": round(place(end) - place(start), 2),
    }


def _ends(rows: list[Record]) -> list[float]:
    """All scores, and where their intervals begin and end."""
    known = [row for row in rows if row["value"] is not None]
    return [end for row in known for end in (row["value"], *(row["interval95"] or ()))]


def axis(values: list[float]) -> tuple[float, float, list[str]]:
    """Ends of a scale of scores that shows all `values`, and its tick labels."""
    low, high = min(values), max(values)
    for step in (0.01, 0.02, 0.05, 0.1, 0.2):
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first < MOST_TICKS:
            break
    if first == last:  # one value, on a tick: room below it, or above where there is none
        first, last = (first - 1, last) if first else (0, 1)
    return first * step, last * step, [f"{tick * step:.2f}" for tick in range(first, last + 1)]


def _row(record: Record, row: Record) -> dict[str, Any]:
    """A line of the table: scores, what the cell is, and what it took."""
    scores = record["scores"][row["name"]][_block(record)]
    return {**row, **record["cells"][row["name"]], "mean_dice": scores["mean_dice"]}


def _block(record: Record) -> str:
    return record["score"].partition(".")[0]


def cautions(record: Record) -> Iterator[Caution]:
    """What to be careful about before a winner is declared."""
    best, number = record["rows"][0], record["num_images"]
    if record["failed"]:
        all_cells = len(record["models"]) * len(record["losses"])
        are, they = ("is", "It") if len(record["failed"]) == 1 else ("are", "They")
        yield Caution(
            f"{len(record['failed'])} of {all_cells} {are} missing",
            f"{they} failed: {', '.join(record['failed'])}. Why is said below the table.",
        )
    if record["split"] == "test":
        yield Caution(
            "The best of many is flattered",
            "Whoever comes first of several on these images was lucky as well. Choose by "
            "validation (--split val) and quote the test score of that choice.",
        )
    else:
        yield Caution(
            f"Scored on {record['split']} images",
            "These images took part in the making of the models, so the scores are too kind.",
        )
    yield Caution(
        "One training each",
        "Another seed gives other weights. The intervals say how scores change with other images, "
        "not with other seeds.",
    )
    low, high = best["interval95"] or (None, None)
    if number < FEW_IMAGES or (low is not None and high - low > WIDE_INTERVAL):
        yield Caution(
            f"Only {number} images were scored",
            "The differences to the best are known better than the scores, since all cells were "
            "scored on the same images; more images tell more.",
        )
