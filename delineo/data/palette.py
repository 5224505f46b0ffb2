"""One colour per class, far apart for people with and without colour vision deficiency."""

from functools import cache

import numpy as np
from numpy import ndarray

Color = tuple[int, int, int]

# Okabe and Ito's colours for all kinds of colour vision, after black for the background.
_FIRST: tuple[Color, ...] = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (170, 60, 190),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
_IGNORED: Color = (224, 224, 224)

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
_PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
_DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


def class_color(index: int) -> Color:
    """RGB of a class index 0 to 254, or of 255, ignored pixels. Index 0, background, is black.

    Layers and the foreground of binary masks, which have no background among them, take index
    1 on.
    """
    return _colors()[index]


def class_palette() -> bytes:
    """r, g, b of all 256 indices, as PNG palettes take them."""
    return bytes(value for color in _colors() for value in color)


@cache
def _colors() -> tuple[Color, ...]:
    """The first ones, then each time the colour that is farthest from all before it."""
    steps = np.arange(0, 256, 17)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    candidates = _seen(grid)
    chosen = [*_FIRST, _IGNORED]
    nearest = np.full(len(grid), np.inf)
    for color in _seen(np.array(chosen)):
        nearest = np.minimum(nearest, _distance(candidates, color))
    while len(chosen) < 256:
        best = int(nearest.argmax())
        chosen.append((int(grid[best, 0]), int(grid[best, 1]), int(grid[best, 2])))
        nearest = np.minimum(nearest, _distance(candidates, candidates[best]))
    chosen.remove(_IGNORED)
    return (*chosen, _IGNORED)


def _distance(candidates: ndarray, color: ndarray) -> ndarray:
    """(colors, eyes, 3) to (eyes, 3): the least over the three kinds of eyes.

    The common kind counts half, so that colours which only it tells apart still come late.
    """
    apart = np.linalg.norm(candidates - color, axis=-1)
    return np.minimum(apart[:, 0], 1.5 * apart[:, 1:].min(1)) + 0.1 * apart[:, 0]


def _seen(rgb: ndarray) -> ndarray:
    """(colors, 3) of 0..255 -> (colors, 3 kinds of eyes, 3) in OKLab, lightness counted half."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    eyes = [linear, *(linear @ np.array(matrix).T for matrix in (_PROTANOPIA, _DEUTERANOPIA))]
    return np.stack([_oklab(np.clip(colors, 0, 1)) for colors in eyes], 1) * [0.5, 1, 1]


def _oklab(linear: ndarray) -> ndarray:
    """Linear RGB -> OKLab (Björn Ottosson, 2020)."""
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.array(to_cones).T) @ np.array(to_lab).T
