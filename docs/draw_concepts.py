"""Draws the figures of docs/concepts.md: python docs/draw_concepts.py

All numbers in them come from the layers themselves.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from torch.nn import functional as F

from delineo.models import UNetConfig
from delineo.models.summary import Level, layer_table
from delineo.models.views import image_view, windows

FOLDER = Path(__file__).with_name("concepts")

INK, MUTED, LINE, PAPER = "#1f2933", "#5f6c7b", "#c3ccd6", "#ffffff"
BLUE, ORANGE, GREEN, PURPLE = "#2f6fb0", "#d9711c", "#2f8f63", "#8256a8"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "delineo",
    "font.size": 12.0,
    "text.color": INK,
    "figure.facecolor": PAPER,
}
INCH = 0.36
"""Side of a square of one unit."""


def main(folder: Path = FOLDER) -> None:
    """Write every figure as SVG."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in figures().items():
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None}, bbox_inches="tight", pad_inches=0.1)


def figures() -> dict[str, Figure]:
    """Name -> figure, in the order of the page."""
    draw = (
        convolution,
        output_size,
        pooling,
        receptive_field,
        transposed_convolution,
        skip_connections,
        dilation,
    )
    return {function.__name__: function() for function in draw}


def convolve() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image with a brighter corner, a kernel for upright edges, and what it answers."""
    image = torch.full((6, 6), 2.0)
    image[2:, 3:] = 5
    kernel = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])
    answer = F.conv2d(image[None, None], kernel[None, None])[0, 0]
    return image.numpy(), kernel.numpy(), answer.numpy()


def convolution() -> Figure:
    """A window of the image, times the kernel, added up, is one value of the map."""
    image, kernel, answer = convolve()
    row, column = 2, 1
    axes = _canvas(19, 9.4)
    _matrix(axes, image, (0, 0), fill=_shades(-image, MUTED))
    _matrix(axes, kernel, (8.6, 1.5), fill=_tint(ORANGE, 0.8))
    _matrix(axes, answer, (14.2, 1), fill=_shades(answer, BLUE))
    _frame(axes, (column, row), 3, ORANGE)
    _frame(axes, (14.2 + column, 1 + row), 1, ORANGE)
    _sign(axes, 7.3, 3, "×")
    _sign(axes, 12.9, 3, "=")
    _caption(axes, (3, 6.6), "image", "6 × 6 pixels")
    _caption(axes, (10.1, 6.6), "kernel", "3 × 3 weights, learned")
    _caption(axes, (16.2, 6.6), "map", "4 × 4 values")
    terms = (image[row : row + 3, column : column + 3] * kernel).ravel()
    total = " ".join(f"{'−' if term < 0 else '+'} {abs(term):g}" for term in terms if term)
    axes.text(9.1, 8.6, f"{total} = {answer[row, column]:g}", color=ORANGE, ha="center")
    return axes.figure


SIZES = {"no padding": (1, 0), "padding 1": (1, 1), "padding 1, stride 2": (2, 1)}
"""(stride, padding) of three ways to move a 3x3 window over 6 pixels."""


def middles(stride: int, padding: int) -> list[int]:
    """Pixels on which the middle of the window comes to rest."""
    pairs = zip(*windows(6, size=3, stride=stride, padding=padding), strict=True)
    return [(low + high) // 2 for low, high in pairs if low >= -padding and high < 6 + padding]


def output_size() -> Figure:
    """Where the window's middle comes to rest: as many values does the map have."""
    axes = _canvas(25, 10, top=-1.2)
    for left, (name, (stride, padding)) in zip((0, 8.2, 17.4), SIZES.items(), strict=True):
        if padding:
            ring = _square((left - 1, -1), 8, fill=_tint(LINE, 0.75), edge=MUTED, style="--")
            axes.add_patch(ring)
        _matrix(axes, np.full((6, 6), np.nan), (left, 0), fill=_tint(BLUE, 0.88))
        rests = middles(stride, padding)
        _frame(axes, (left + rests[0] - 1, rests[0] - 1), 3, ORANGE)
        columns, rows = np.meshgrid(rests, rests)
        axes.plot(left + columns + 0.5, rows + 0.5, "o", color=BLUE, markersize=6)
        _caption(axes, (left + 3, 7.8), name, f"6 × 6  →  {len(rests)} × {len(rests)}")
    return axes.figure


def pool() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map, the largest of each 2x2 values, and these put back where they were found."""
    values = torch.tensor([[1.0, 3, 2, 0], [5, 2, 1, 4], [0, 1, 6, 2], [2, 8, 3, 7]])
    pooled, places = F.max_pool2d(values[None, None], 2, return_indices=True)
    restored = F.max_unpool2d(pooled, places, 2)
    return values.numpy(), pooled[0, 0].numpy(), restored[0, 0].numpy()


FOUR = [[BLUE, ORANGE], [GREEN, PURPLE]]
"""A colour for each value of a 2x2 map."""


def pooling() -> Figure:
    """Down and, as SegNet does it, up again."""
    values, pooled, restored = pool()
    axes = _canvas(17.2, 6.4)
    pale, strong = _blocks(0.86), _blocks(0.55)
    kept = [[bool(value) for value in row] for row in restored]
    _matrix(axes, values, (0, 0), fill=_chosen(kept, strong, pale))
    _matrix(axes, pooled, (7.2, 1), fill=[row[::2] for row in strong[::2]])
    _matrix(axes, restored, (12.4, 0), fill=_chosen(kept, strong, [[PAPER] * 4] * 4))
    _arrow(axes, (4.5, 2), (6.7, 2), MUTED)
    _arrow(axes, (9.7, 2), (11.9, 2), MUTED)
    _caption(axes, (2, 4.7), "map", "4 × 4")
    _caption(axes, (8.2, 4.7), "max pooling", "the largest of each 2 × 2")
    _caption(axes, (14.4, 4.7), "unpooling", "back where they were")
    return axes.figure


def _blocks(white: float) -> list[list[Any]]:
    """Colours of 4x4 squares, one for each 2x2 of them."""
    return [[_tint(FOUR[row // 2][column // 2], white) for column in range(4)] for row in range(4)]


def _chosen(kept: Any, yes: Any, no: Any) -> list[list[Any]]:
    return [[yes[r][c] if kept[r][c] else no[r][c] for c in range(4)] for r in range(4)]


STACK = ("conv 3×3", "conv 3×3", "max pool /2", "conv 3×3", "conv 3×3")


def fields() -> list[tuple[int, int, int]]:
    """(first pixel, last pixel, distance between neighbours) seen by value 0 of each map."""
    views = [image_view()]
    for layer in STACK:
        height = views[-1].height
        taps = windows(height, 2, stride=2) if "pool" in layer else windows(height, 3, padding=1)
        views.append(views[-1].through(taps))
    return [
        (int(view.first[0]), int(view.last[0]), views[0].height // view.height) for view in views
    ]


def receptive_field() -> Figure:
    """One value on top, and below it all that it is made of, map by map."""
    seen = fields()
    span = (seen[-1][0] - 2, seen[-1][1] + 3)
    axes = _canvas(span[1] - span[0] + 12, 2 * len(seen) + 1, top=-1.6, left=span[0] - 6)
    for text, x in (("map after", span[0] - 0.6), ("one value sees", span[1] + 0.6)):
        axes.text(x, -0.8, text, ha="right" if x < 0 else "left", va="center", color=MUTED)
    for level, (first, last, step) in enumerate(seen):
        y, reached = 2 * (len(seen) - 1 - level), _reached(seen, level)
        _row_of_cells(axes, y, step, span, reached)
        name, count = ("the image", *STACK)[level], last - first + 1
        axes.text(span[0] - 0.6, y + 0.5, name, ha="right", va="center")
        axes.text(span[1] + 0.6, y + 0.5, _pixels(count), va="center", weight="bold")
        if level:
            _beam(axes, y + 1, reached, _reached(seen, level - 1))
    return axes.figure


def _pixels(count: int) -> str:
    return f"{count} pixel" + "s" * (count > 1)


def _beam(axes: Axes, y: float, upper: tuple[int, int], lower: tuple[int, int]) -> None:
    corners = [(upper[0], y), (upper[1], y), (lower[1], y + 1), (lower[0], y + 1)]
    axes.add_patch(Polygon(corners, closed=True, facecolor=_tint(ORANGE, 0.85), zorder=0))


def _reached(seen: Sequence[tuple[int, int, int]], level: int) -> tuple[int, int]:
    """From which pixel to which the values of one map lie that the topmost value depends on."""
    step = seen[level][2]
    first, last = seen[-1][0], seen[-1][1]
    return (first - seen[level][0], last - seen[level][1] + step)


def _row_of_cells(
    axes: Axes, y: float, step: int, span: tuple[int, int], marked: tuple[int, int]
) -> None:
    """Values that lie `step` pixels apart; those of the marked pixels in colour."""
    start = -(-span[0] // step) * step
    for x in range(start, span[1] - step + 1, step):
        inside = marked[0] <= x < marked[1]
        fill = _tint(ORANGE, 0.45) if inside else _tint(BLUE, 0.9)
        axes.add_patch(Rectangle((x, y), step, 1, facecolor=fill, edgecolor=LINE, linewidth=1))


def spread() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A 2x2 map, a kernel, and the 4x4 map that a transposed convolution makes of them."""
    values = torch.tensor([[1.0, 2], [3, 4]])
    kernel = torch.tensor([[3.0, 2], [2, 1]])
    larger = F.conv_transpose2d(values[None, None], kernel[None, None], stride=2)[0, 0]
    return values.numpy(), kernel.numpy(), larger.numpy()


def transposed_convolution() -> Figure:
    """Each value becomes the kernel, as strong as the value."""
    values, kernel, larger = spread()
    axes = _canvas(15.7, 6.4)
    wide = _blocks(0.55)
    _matrix(axes, values, (0.4, 1), fill=[row[::2] for row in wide[::2]])
    _matrix(axes, kernel, (5.6, 1), fill=_tint(ORANGE, 0.8))
    _matrix(axes, larger, (10.8, 0), fill=wide)
    for corner in ((10.8, 0), (12.8, 0), (10.8, 2), (12.8, 2)):
        _frame(axes, corner, 2, INK, width=1.2)
    _sign(axes, 4.0, 2, "×")
    _sign(axes, 9.2, 2, "=")
    _caption(axes, (1.4, 4.7), "map", "2 × 2")
    _caption(axes, (6.6, 4.7), "kernel", "2 × 2 weights, learned")
    _caption(axes, (12.8, 4.7), "larger map", "4 × 4: stride 2")
    return axes.figure


def skip_connections() -> Figure:
    """U-Net of width 16 for 128x128 pixels: down on the left, up on the right, skips across."""
    table = layer_table(UNetConfig(width=16), in_channels=3, num_classes=1, size=(128, 128))
    levels = {level.name: level for level in table.levels}
    down = [levels[name] for name in ("first", *(f"encoder.{n}" for n in range(4)))]
    up = [levels[f"decoder.{3 - n}"] for n in range(4)]
    axes = _canvas(31, 18, left=-7.5, top=-2.6)
    for row, (encoder, decoder) in enumerate(zip(down[:4], up, strict=True)):
        _box(axes, encoder, (0, 3.4 * row), BLUE, side=-1)
        _box(axes, decoder, (16, 3.4 * row), GREEN, side=1)
        _arrow(
            axes, (_half(encoder) + 0.2, 3.4 * row), (16 - _half(decoder) - 0.2, 3.4 * row), ORANGE
        )
    for row in range(3):
        _arrow(axes, (0, 3.4 * row + 0.8), (0, 3.4 * row + 2.6), BLUE)
        _arrow(axes, (16, 3.4 * row + 2.6), (16, 3.4 * row + 0.8), GREEN)
    _box(axes, down[4], (8, 13.0), BLUE, side=0)
    _arrow(axes, (0.4, 11.0), (8 - _half(down[4]) - 0.2, 13.0), BLUE)
    _arrow(axes, (8 + _half(down[4]) + 0.2, 13.0), (15.6, 11.0), GREEN)
    for text, place, color in (
        ("2 conv 3×3 in each box", (8, -1.6), INK),
        ("skip: joined by concatenation", (8, -0.35), ORANGE),
        ("max pool /2", (0.3, 1.7), BLUE),
        ("transposed conv ×2", (15.7, 1.7), GREEN),
    ):
        align = {0.3: "left", 15.7: "right"}.get(place[0], "center")
        axes.text(*place, text, color=color, ha=align, va="center", fontsize=11)
    return axes.figure


def _half(level: Level) -> float:
    """Half the width of a level's box: the finer the map, the wider."""
    return 2.0 + 0.35 * np.log2(level.width / 8)


def _box(axes: Axes, level: Level, middle: tuple[float, float], color: str, side: int) -> None:
    """Channels inside; to its left (-1), right (1) or below (0) its size and what a value sees."""
    x, y = middle
    half = _half(level)
    axes.add_patch(
        Rectangle(
            (x - half, y - 0.65), 2 * half, 1.3, facecolor=_tint(color, 0.72), edgecolor=color
        )
    )
    axes.text(x, y, f"{level.channels} channels", ha="center", va="center", weight="bold")
    align = {-1: "right", 0: "center", 1: "left"}[side]
    place, top = x + side * (half + 0.3), y - 0.33 if side else y + 1.2
    size, seen = f"{level.height} × {level.width}", f"sees {level.receptive_field}"
    axes.text(place, top, size, ha=align, va="center", fontsize=11)
    axes.text(place, top + 0.75, seen, ha=align, va="center", fontsize=11, color=MUTED)


DILATIONS = (1, 3, 15)


def dilation() -> Figure:
    """The same nine weights, further and further apart."""
    side = 33
    axes = _canvas(3 * side + 8.8, side + 7.5, unit=0.09)
    for place, rate in enumerate(DILATIONS):
        left, middle = place * (side + 4), side // 2
        low, high = windows(side, 3, padding=rate, dilation=rate)
        first, last = int(low[middle]), int(high[middle])
        axes.add_patch(_square((left, 0), side, fill=_tint(BLUE, 0.93), edge=LINE))
        axes.add_patch(
            _square((left + first, first), last - first + 1, fill=_tint(ORANGE, 0.8), edge=ORANGE)
        )
        for row in range(first, last + 1, rate):
            for column in range(first, last + 1, rate):
                axes.add_patch(_square((left + column, row), 1, fill=ORANGE, edge=ORANGE))
        span = last - first + 1
        _caption(
            axes, (left + side / 2, side + 2), f"dilation {rate}", f"{span} × {span} pixels", 2.6
        )
    return axes.figure


def _canvas(
    width: float, height: float, left: float = -0.4, top: float = -0.4, unit: float = INCH
) -> Axes:
    """Axes in units of squares, y downwards, with nothing around them."""
    figure = Figure(figsize=(width * unit, height * unit))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, left + width)
    axes.set_ylim(top + height, top)
    axes.set_aspect("equal")
    axes.axis("off")
    return axes


def _matrix(
    axes: Axes,
    values: np.ndarray,
    corner: tuple[float, float],
    fill: str | tuple[float, ...] | Sequence[Sequence[Any]],
) -> None:
    """A grid of squares with their values; `fill` is one colour, or one for each."""
    for (row, column), value in np.ndenumerate(values):
        x, y = corner[0] + column, corner[1] + row
        color = fill[row][column] if isinstance(fill, list) else fill
        axes.add_patch(_square((x, y), 1, fill=color, edge=LINE))
        if not np.isnan(value):
            axes.text(x + 0.5, y + 0.52, f"{value:g}".replace("-", "−"), ha="center", va="center")


def _square(
    corner: tuple[float, float], side: float, fill: Any, edge: str, style: str = "-"
) -> Rectangle:
    return Rectangle(
        corner, side, side, facecolor=fill, edgecolor=edge, linewidth=1, linestyle=style
    )


def _sign(axes: Axes, x: float, y: float, text: str) -> None:
    axes.text(x, y, text, fontsize=20, ha="center", va="center")


def _frame(
    axes: Axes, corner: tuple[float, float], side: float, color: str, width: float = 2.6
) -> None:
    axes.add_patch(
        Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=width, zorder=4)
    )


def _caption(
    axes: Axes, place: tuple[float, float], title: str, below: str, line: float = 0.85
) -> None:
    axes.text(*place, title, ha="center", va="center", weight="bold")
    axes.text(place[0], place[1] + line, below, ha="center", va="center", color=MUTED, fontsize=11)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=16, linewidth=1.8, color=color,
            shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _tint(color: str, white: float) -> tuple[float, float, float]:
    """A colour with that share of white."""
    red, green, blue = (white + (1 - white) * part for part in to_rgb(color))
    return red, green, blue


def _shades(values: np.ndarray, color: str) -> list[list[tuple[float, float, float]]]:
    """The larger the value, the more colour."""
    low, high = values.min(), values.max()
    return [[_tint(color, 0.95 - 0.5 * (v - low) / (high - low)) for v in row] for row in values]


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
