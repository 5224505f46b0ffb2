"""The page of a grid: it stands alone, shows every cell, and says what the differences mean."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webpage import Page

from delineo.report.comparison_page import MOST_TICKS, axis, standing, write_comparison_page


def test_the_page_stands_alone_and_shows_every_cell(whole_grid: Path):
    page = Page(whole_grid / "comparison.html")
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    text = (whole_grid / "comparison.html").read_text()
    assert "<script" not in text
    assert "@import" not in text
    record = json.loads((whole_grid / "comparison.json").read_text())
    for row in record["rows"]:
        assert f"{row['value']:.3f}" in page.text
        assert record["cells"][row["name"]]["model"] in page.text
    assert "delineo compare" in page.text
    assert len(record["rows"]) == text.count('class="interval"')


def test_names_cannot_become_markup(whole_grid: Path, tmp_path: Path):
    record = json.loads((whole_grid / "comparison.json").read_text())
    record["failed"] = {"segnet-x": "<b>broken</b>"}
    write_comparison_page(record, "<i>grid</i>", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;broken" in text
    assert "1 of 4 is missing" in text
    assert "<i>grid" not in text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_axis_shows_every_value_with_few_ticks(values: list[float]):
    low, high, ticks = axis(values)
    assert low <= min(values) + 1e-9
    assert high >= max(values) - 1e-9
    assert 0 <= low < high <= 1.001
    assert 2 <= len(ticks) <= MOST_TICKS
    assert (float(ticks[0]), float(ticks[-1])) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([], "no other cell"),
        (["worse"], "Better than the others by more than chance"),
        (["could be chance", "worse"], "no better than m with a: that lead could be chance. Its"),
        (["could be chance"] * 3, "no better than m with a, m with b or m with c: that lead"),
        (["could be chance"] * 4, "no better than 4 others: that lead could be chance."),
    ],
)
def test_how_the_others_stand_is_said_in_words(verdicts: list[str], sentence: str):
    names = ["best", *"abcd"[: len(verdicts)]]
    record = {
        "rows": [
            {"name": name, "verdict": verdict}
            for name, verdict in zip(names, ["reference", *verdicts], strict=True)
        ],
        "cells": {name: {"model": "m", "loss": name} for name in names},
    }
    assert sentence in standing(record)
