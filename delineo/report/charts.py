"""Charts as inline SVG whose colours and font are the page's own, in light and in dark."""

import io
import re
from collections.abc import Sequence
from itertools import count
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-ins that no chart uses for anything else; the page's variables take their places.
_INK, _MUTED, _GRID, _FIRST, _SECOND, _BAND = (
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
)
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
    _BAND: "var(--band)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "delineo",
    "font.size": 11.0,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_SIZE_INCHES = (4.6, 2.7)  # as wide as a phone shows it, so that text stays at its size there

FEW_IMAGES = 30
"""Below this number of images each is drawn as a dot, else they are counted in bins."""


def loss_chart(epochs: Sequence[dict[str, Any]]) -> str:
    """Training and validation loss over the epochs of metrics.jsonl."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("epoch", whole_numbers=True)
        numbers = [epoch["epoch"] for epoch in epochs]
        validated = [epoch for epoch in epochs if epoch.get("val")]
        _line(axes, numbers, [epoch["loss"] for epoch in epochs], _FIRST, "training")
        _line(
            axes,
            [epoch["epoch"] for epoch in validated],
            [epoch["val"]["loss"] for epoch in validated],
            _SECOND,
            "validation",
        )
        axes.set_ylim(bottom=0)
        _legend(axes)
        return _svg(figure, "Loss over epochs, in training and on the validation images")


def score_chart(epochs: Sequence[dict[str, Any]]) -> str:
    """Validation mean IoU over epochs, both averages, with the epoch whose weights were kept."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("epoch", whole_numbers=True)
        validated = [epoch for epoch in epochs if epoch.get("val")]
        numbers = [epoch["epoch"] for epoch in validated]
        for group, color, label in (
            ("dataset", _FIRST, "all pixels together"),
            ("per_image", _SECOND, "average of images"),
        ):
            scores = [epoch["val"][group]["mean_iou"] for epoch in validated]
            _line(axes, numbers, scores, color, label)
        best = [epoch["epoch"] for epoch in validated if epoch.get("best")]
        if best:
            axes.axvline(best[-1], color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        _legend(axes)
        return _svg(figure, "Mean IoU on the validation images over epochs")


def rate_chart(epochs: Sequence[dict[str, Any]]) -> str:
    """Learning rate at the end of each epoch."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("epoch", whole_numbers=True)
        rates = [epoch["lr"] for epoch in epochs]
        _line(axes, [epoch["epoch"] for epoch in epochs], rates, _FIRST, "learning rate")
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
        axes.yaxis.get_offset_text().set_color(_MUTED)
        return _svg(figure, "Learning rate over epochs")


def distribution_chart(
    scores: Sequence[float], mean: float | None, interval: Sequence[float] | None
) -> str:
    """How the images' scores (0 to 1) are spread, with their mean and its interval."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("mean IoU of an image")
        if interval:
            axes.axvspan(interval[0], interval[1], color=_BAND, linewidth=0)
        if mean is not None:
            axes.axvline(mean, color=_SECOND, linewidth=1.8)
        low = _left_edge(scores)
        if len(scores) < FEW_IMAGES:
            _dots(axes, scores, low)
        else:
            axes.hist(scores, bins=np.linspace(low, 1, 26).tolist(), color=_FIRST, rwidth=0.88)
            axes.set_ylabel("images")
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlim(low, 1)
        axes.grid(axis="x", visible=False)
        return _svg(figure, f"Distribution of the scores of {len(scores)} images")


def threshold_chart(
    thresholds: Sequence[float], scores: Sequence[float | None], chosen: float, best: float
) -> str:
    """A class's score over its threshold, with the threshold that masks are made with.

    Where another one scores best it has a ring: its gain could be chance.
    """
    values = np.array([np.nan if score is None else score for score in scores], float)
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("threshold")
        axes.plot(thresholds, values, color=_FIRST)
        axes.axvline(chosen, color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        at = dict(zip(thresholds, values, strict=True))
        axes.plot([chosen], [at[chosen]], "o", color=_SECOND, markersize=7, label="chosen")
        if best != chosen:
            axes.plot(
                [best], [at[best]], "o", color=_MUTED, markersize=7, fillstyle="none",
                label="best here, could be chance",
            )  # fmt: skip
        axes.set_xlim(0, 1)
        _legend(axes)
        return _svg(figure, f"Score over threshold; {chosen:.3f} is chosen")


def reliability_chart(before: dict[str, list[float]], after: dict[str, list[float]]) -> str:
    """True share over claimed probability by bin, before and after the temperature."""
    with mpl.rc_context(_STYLE):
        figure, axes = _figure("claimed probability")
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        for curve, color, label in ((before, _SECOND, "as trained"), (after, _FIRST, "tempered")):
            axes.plot(
                curve["probability"], curve["true_share"], color=color, label=label,
                marker="o", markersize=4,
            )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("share that is true")
        _legend(axes)
        return _svg(figure, "Share of pixels that are true over the probability claimed for them")


def _left_edge(scores: Sequence[float]) -> float:
    """The largest of 0, 0.1, ... 0.8 that leaves every score in view."""
    return float(np.clip(np.floor(min(scores, default=0) * 10 - 0.3) / 10, 0, 0.8))


def _dots(axes: Axes, scores: Sequence[float], low: float) -> None:
    """One dot for each image, those of nearly equal score on top of each other."""
    width = (1 - low) / 36
    heights: dict[int, count[int]] = {}
    columns = [int((score - low) / width) for score in sorted(scores)]
    levels = [next(heights.setdefault(column, count())) for column in columns]
    places = [low + (column + 0.5) * width for column in columns]
    axes.scatter(places, levels, s=52, color=_FIRST, linewidth=0, clip_on=False)
    axes.set_ylim(-0.6, max([*levels, 6]) + 1)
    axes.set_yticks([])


def _figure(x_label: str, whole_numbers: bool = False) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if whole_numbers:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure, axes


def _line(axes: Axes, x: Sequence[int], y: Sequence[float | None], color: str, label: str) -> None:
    """A line with a dot at its end, where the eye looks first."""
    values = np.array([np.nan if value is None else value for value in y], dtype=float)
    axes.plot(x, values, color=color, label=label, marker="o", markersize=4, markevery=[-1])


def _legend(axes: Axes) -> None:
    """Above the axes, where no line can cross it."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 0.99),
        ncols=2,
        handlelength=1.0,
        columnspacing=1.2,
        borderaxespad=0,
    )


def _svg(figure: Figure, description: str) -> str:
    """The figure as an `<svg>` element without size, ids of its own or fonts."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    text = re.sub(r"<g id=\"[^\"]*\">", "<g>", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    opening = re.search(r"viewBox=\"[^\"]*\"", text)
    assert opening is not None  # Matplotlib writes one
    body = text[text.index(">") + 1 :]
    return f'<svg {opening[0]} role="img" aria-label="{description}" class="chart">{body}'
