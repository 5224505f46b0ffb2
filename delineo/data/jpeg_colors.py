"""Colour masks saved as JPEG or lossy WebP: which colours were drawn, and whether that can be told.

JPEG keeps brightness and colour apart. Along an edge brightness rings by some steps, and colour,
mostly kept at half the size, runs from one side to the other over a few pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from ..errors import DataError
from .mask_values import MOST_CLASSES, Color, hexadecimal, total

LOSSY = "JPEG or lossy WebP"
NEAR = 48
"""Largest distance in RGB from a class's colour at which a pixel certainly belongs to it."""
NEAR_SHARE = 0.75
"""Least share of the pixels of JPEG masks that are that near to some class's colour."""
LEAST_SHARE = 0.0005
"""Share of all pixels below which a colour that nobody has named is taken for noise."""
_CORE, _CORE_SHARE = 10, 0.5  # of what is near to a colour that was drawn, half is this near
_CHROMA_NOISE, _LUMA_NOISE = 24, 16
_ROUND = np.array([0, 64, 128, 192, 255])  # values that people draw with

_TO_YCBCR = np.array(  # ITU-R BT.601, as in JFIF
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)


def nearest_colors(
    colors: Shaped[np.ndarray, "colors 3"], known: Sequence[Color]
) -> tuple[Int64[np.ndarray, " colors"], Float64[np.ndarray, " colors"]]:
    """For each colour the place of the nearest known one, and the distance to it in RGB."""
    places = np.zeros(len(colors), np.int64)
    distances = np.full(len(colors), np.inf)
    for place, color in enumerate(known):
        apart = np.linalg.norm(colors.astype(np.float64) - color, axis=1)
        places[apart < distances] = place
        distances = np.minimum(distances, apart)
    return places, distances


def drawn_colors(flat: Sequence[Mapping[Color, int]]) -> list[Color]:
    """The colours that JPEG masks were drawn in, those of most pixels first.

    `flat` are pixels away from edges. A colour counts if most of what is near to it is very near.
    """
    colors, pixels = _counted(flat)
    least, sizes = LEAST_SHARE * pixels.sum(), {}
    while pixels.sum() > least:
        color = colors[pixels.argmax()]
        distances = np.linalg.norm(colors - color, axis=1)
        around, core = pixels[distances <= NEAR].sum(), pixels[distances <= _CORE].sum()
        if around >= least and core >= _CORE_SHARE * around:
            sizes[_rounded(color)] = around
        pixels[distances <= NEAR] = 0
    return sorted(sizes, key=lambda color: -sizes[color])


def refuse_unclear(known: Sequence[Color], histograms: Sequence[Mapping[Color, int]]) -> None:
    """Raises DataError where pixels may have been drawn in one of several colours, or in none."""
    if not 2 <= len(known) <= MOST_CLASSES:
        raise _unclear(f"{len(known)} colours stand out, which looks like no classes")
    for one, other in combinations(known, 2):
        if np.linalg.norm(np.subtract(one, other)) < NEAR:
            raise _unclear(f"{hexadecimal(one)} and {hexadecimal(other)} are too much alike")
    colors, pixels = _counted(histograms)
    near = pixels[nearest_colors(colors, known)[1] <= NEAR].sum() / pixels.sum()
    if near < NEAR_SHARE:
        listed = ", ".join(map(hexadecimal, known[:8]))
        raise _unclear(f"only {near:.0%} of the pixels are near to {listed}")


def edge_colors(known: Sequence[Color]) -> Iterator[tuple[Color, Color, Color]]:
    """Colours that blurred edges between two others run through, each with these two."""
    for color in known:
        sides = _sides(color, [other for other in known if other != color])
        if sides:
            yield color, *sides


def _unclear(why: str) -> DataError:
    return DataError(
        f"masks are {LOSSY}, which changes colours, and it cannot be told which were drawn: {why}. "
        "Export masks as PNG"
    )


def _counted(
    histograms: Sequence[Mapping[Color, int]],
) -> tuple[Shaped[np.ndarray, "colors 3"], Int64[np.ndarray, " colors"]]:
    """All colours and their pixels."""
    pixels = total(histograms)
    colors = np.array(list(pixels), np.int64).reshape(-1, 3)
    return colors, np.array(list(pixels.values()), np.int64)


def _rounded(color: Shaped[np.ndarray, "3"]) -> Color:
    """Each channel as it was probably drawn: 254 is 255."""
    nearest = _ROUND[np.abs(color[:, None] - _ROUND).argmin(1)]
    red, green, blue = np.where(np.abs(nearest - color) <= 4, nearest, color).tolist()
    return red, green, blue


def _sides(color: Color, others: Sequence[Color]) -> tuple[Color, Color] | None:
    """Two of the others whose blurred edges run through a colour; None if there are none."""
    for one, other in combinations(others, 2):
        start, end, middle = (_TO_YCBCR @ c for c in (one, other, color))
        way = end[1:] - start[1:]
        step = np.clip((middle[1:] - start[1:]) @ way / max(way @ way, 1), 0, 1)
        off = np.linalg.norm(start[1:] + step * way - middle[1:])
        low, high = sorted((start[0], end[0]))
        if off <= _CHROMA_NOISE and low - _LUMA_NOISE <= middle[0] <= high + _LUMA_NOISE:
            return one, other
    return None
