"""Scores in a terminal."""

import io

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from delineo.comparison import compare
from delineo.evaluation import Evaluation
from delineo.metrics import Counts, tabulate
from delineo.score_tables import competition_table, score_table
from delineo.tables import comparison_table


def evaluation(hits: list[list[int]], classes: tuple[str, ...]) -> Evaluation:
    """Each image has 10 true pixels of each class, of which `hits` are found; nothing else is."""
    found = np.array(hits)
    counts = [Counts(row, 0 * row, 10 - row, 100, 100 - int((10 - row).sum())) for row in found]
    ids = tuple(f"image{index}" for index in range(len(hits)))
    task = "binary" if len(classes) == 1 else "multilabel"
    return Evaluation("test", task, classes, ids, tabulate(counts, len(classes)), None)


def text(table: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(table)
    return stream.getvalue()


def lines_with(table: Table, word: str) -> list[list[str]]:
    rows = [line.replace("│", " ").split() for line in text(table).splitlines()]
    return [row for row in rows if word in row]


def test_binary_scores_without_a_mean_row():
    shown = text(score_table(evaluation([[5], [10]], ("lesion",))))
    assert shown.startswith("test: 2 images")
    assert "mean" not in shown
    assert shown.count("lesion") == 2
    assert shown.count("0.750 [0.500, 1.000]") == 2


def test_a_class_and_the_mean_of_several():
    table = score_table(evaluation([[10, 0], [10, 0]], ("[road]", "sky")))
    assert lines_with(table, "[road]")[0][1] == "1.000"
    assert lines_with(table, "mean")[0][1] == "0.500"


def test_a_class_that_is_nowhere_has_no_score():
    empty = Counts(np.array([3, 0]), np.array([0, 0]), np.array([0, 0]), 9, 9)
    scored = Evaluation("test", "multilabel", ("a", "b"), ("x",), tabulate([empty], 2), None)
    assert lines_with(score_table(scored), "b")[0] == ["b", "-", "-", "-", "-"]


def test_competition_scores_of_one_class_and_of_several():
    shown = text(competition_table(evaluation([[5], [10]], ("salt",))))
    assert "TGS Salt: mean precision over IoU 0.50 to 0.95" in shown
    assert "0.500 [0.000, 1.000]" in shown  # 0.5 is above none of the thresholds
    several = competition_table(evaluation([[10, 0], [10, 0]], ("[hole]", "scratch")))
    assert "TGS" not in text(several)
    assert lines_with(several, "[hole]")[0][1] == "1.000"
    assert lines_with(several, "scratch")[0][1] == "0.000"


@pytest.mark.parametrize(("hits", "verdict"), [(9, "worse"), (10, "could be chance")])
def test_comparison(hits: int, verdict: str):
    runs = {
        "runs/best": evaluation([[10]] * 8, ("car",)),
        "runs/[other]": evaluation([[hits]] * 8, ("car",)),
    }
    shown = text(comparison_table(compare(runs, "runs/best")))
    assert "runs/[other]" in shown
    assert verdict in shown
    assert f"{hits / 10 - 1:+.3f}" in shown
