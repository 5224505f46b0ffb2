"""The charts of the report: drawn from any numbers, in the colours of the page."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from delineo.report.charts import (
    distribution_chart,
    loss_chart,
    reliability_chart,
    score_chart,
    threshold_chart,
)


def epoch(number: int, **changes: Any) -> dict[str, Any]:
    scores = {"mean_iou": None}
    val = {"loss": 0.5, "dataset": scores, "per_image": scores}
    return {"epoch": number, "loss": 0.4, "lr": 0.1, "val": val} | changes


CURVE = {"probability": [0.02, 0.97], "true_share": [0.0, 0.9], "pixels": [10, 5]}
NOTHING: dict[str, list[float]] = {"probability": [], "true_share": [], "pixels": []}


@pytest.mark.parametrize(
    "draw",
    [
        lambda: loss_chart([epoch(1)]),
        lambda: loss_chart([epoch(1, val=None), epoch(2)]),
        lambda: score_chart([epoch(1), epoch(2)]),
        lambda: distribution_chart([], None, None),
        lambda: distribution_chart([0.0, 1.0, 1.0], 0.67, [0.0, 1.0]),
        lambda: distribution_chart([0.5] * 100, 0.5, None),
        lambda: threshold_chart([0.25, 0.5, 0.75], [0.1, None, 0.3], 0.5, 0.75),
        lambda: threshold_chart([0.25, 0.5], [None, None], 0.5, 0.5),
        lambda: reliability_chart(CURVE, CURVE),
        lambda: reliability_chart(NOTHING, NOTHING),
    ],
)
def test_charts_take_the_colours_of_the_page_from_any_numbers(draw: Callable[[], str]) -> None:
    chart = draw()
    assert chart.startswith("<svg viewBox")
    assert chart.rstrip().endswith("</svg>")
    assert "var(--" in chart
    assert not re.search(r"#[0-9a-f]{6}\b(?!\")", chart)
    assert "font-family" not in chart
