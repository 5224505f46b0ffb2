"""Images larger than a network can take at once: windows of them, blended into one answer.

What a network answers near the edge of a window is spoiled by the padding there. So windows
overlap, a halo at each inner edge is thrown away, and where two windows still overlap, one fades
into the other. Windows begin on the network's grid, so that it pools the same pixels as in the
whole image.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field

from .config import Config
from .data.sizing import Scale, check_image, scaled_size
from .memory import bytes_for_networks

STRIDE = 32
"""Pixels of the view: a multiple of how much any network of the package shrinks."""
LARGEST_HALO = 128
"""Pixels of the view. Networks that reach farther hardly do: what is far away counts for little
(Luo et al. 2016, arXiv:1701.04128). What remains is measured in docs/any_size.md."""
RAMP = 32
"""Pixels of the view over which one window fades into the next, at least."""
WHOLE_BYTES, WINDOW_BYTES = 4 * 2**30, 768 * 2**20
"""What an image may take to be answered at once, and one window of a larger image."""
SMALL = 1024 * 1024
"""Pixels of the view that every network is given at once."""


class Footprint(Config):
    """What cutting images must know of a network; lengths are in pixels of its view."""

    reach: int | None = None
    """How far from a pixel lies what may change its answer, at most; None: not known, or as far as
    the image goes."""
    values: int = Field(default=512, ge=1)
    """Numbers in memory for each pixel while the network works, roughly."""

    @property
    def halo(self) -> int:
        return LARGEST_HALO if self.reach is None else min(self.reach, LARGEST_HALO)


@runtime_checkable
class Cuttable(Protocol):
    """A predictor as this module needs it."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def scale(self) -> Scale: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    def footprint(self) -> Footprint: ...

    def at_once(self, image: ndarray) -> ndarray: ...


def probabilities(predictor: Cuttable, image: ndarray) -> Float[ndarray, "classes height width"]:
    """Of an image in memory: at once where that fits, which is the usual case, else in windows.

    Where the network looks at whole images shrunk to one size, there is nothing to cut.
    """
    image = check_image(image)
    if predictor.scale == "fit" or _fits(predictor, image):
        return predictor.at_once(image)
    plan = plan_windows(predictor.footprint(), float(predictor.scale), len(predictor.classes))
    rows, columns = cut(image.shape[0], plan), cut(image.shape[1], plan)
    whole = np.empty((len(predictor.classes), *image.shape[:2]), np.float32)

    def answer(row: "Span", column: "Span") -> ndarray:
        pixels = image[row.start : row.stop, column.start : column.stop]
        return answer_window(predictor.at_once, pixels, row, column)

    above = None
    for row in rows:
        below = empty_carry(whole.shape[0], row, columns)
        for place, block in blend(row, columns, answer, above, below):
            whole[:, *place] = block
        above = below
    return whole


def _fits(predictor: Cuttable, image: ndarray) -> bool:
    size = (image.shape[0], image.shape[1])
    height, width = scaled_size(size, predictor.image_size, predictor.scale)
    if height * width <= SMALL:
        return True
    scale = float(predictor.scale)
    need = height * width * _per_pixel(predictor.footprint(), scale, len(predictor.classes))
    return need <= min(WHOLE_BYTES, bytes_for_networks() // 2)


class Plan(Config):
    """How images are cut. Lengths are in pixels of the view, which has `scale` for each of the
    file's, and `side` and `step` are on the network's grid there and in the file.
    """

    side: int
    """Height and width of what the network sees at a time."""
    halo: int
    """Thrown away at each inner edge."""
    step: int
    """From one window to the next."""
    scale: float


def plan_windows(footprint: Footprint, scale: float, num_classes: int) -> Plan:
    """The largest windows that take WINDOW_BYTES, or a quarter of the free memory if that is less.

    At least two steps of the grid lie between windows, however little memory there is.
    """
    grid, halo = _grid(scale), footprint.halo
    per_pixel = _per_pixel(footprint, scale, num_classes)
    most = (min(WINDOW_BYTES, bytes_for_networks() // 4) / per_pixel) ** 0.5
    least = -(-(2 * halo + RAMP + 2 * grid) // grid) * grid
    side = max(least, int(most) // grid * grid)
    step = (side - 2 * halo - RAMP) // grid * grid
    return Plan(side=side, halo=halo, step=step, scale=scale)


def _per_pixel(footprint: Footprint, scale: float, num_classes: int) -> float:
    """Bytes for each pixel of the view: the network's, and those of four probabilities per class
    and pixel of the file.
    """
    return 4 * footprint.values + 16 * num_classes / scale**2


def _grid(scale: float) -> int:
    """The multiple of STRIDE that is nearest to a whole number of the file's pixels."""
    multiples = range(STRIDE, 16 * STRIDE + 1, STRIDE)
    return min(multiples, key=lambda pixels: round(abs(pixels / scale - round(pixels / scale)), 6))


class Span(NamedTuple):
    """A window along one axis, in pixels of the file; as far as the next window takes over."""

    start: int
    stop: int
    first: int
    end: int
    """[first, end) is used."""
    rise: int
    """So many of the first pixels used are shared with the window before."""
    done: int
    """Where the next window begins to be used: pixels before are final with this one."""

    @property
    def weights(self) -> Float[ndarray, " used"]:
        """Of the pixels used; those of all windows sum to one."""
        weights = np.ones(self.end - self.first, np.float32)
        weights[: self.rise] = _rising(self.rise)
        fall = self.end - self.done
        weights[len(weights) - fall :] = 1 - _rising(fall)
        return weights


def _faded(block: ndarray, row: Span, column: Span) -> Float[ndarray, "classes height width"]:
    """Times the weights, most of which are one."""
    faded, below, right = block.copy(), row.done - row.first, column.done - column.first
    for part in (slice(row.rise), slice(below, None)):
        faded[:, part] *= row.weights[part, None]
    for part in (slice(column.rise), slice(right, None)):
        faded[:, :, part] *= column.weights[part]
    return faded


def _rising(length: int) -> Float[ndarray, " length"]:
    """Half a cosine from 0 to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))).astype("f4")


def cut(length: int, plan: Plan) -> list[Span]:
    """The windows along an axis of `length` pixels of the file; each overlaps the next alone."""

    def native(pixels: int) -> int:
        return round(pixels / plan.scale)

    starts = [0]
    while starts[-1] + native(plan.side) < length:
        starts.append(native(len(starts) * plan.step))
    firsts = [start + native(plan.halo) if start else 0 for start in starts] + [length]
    ends = [start + native(plan.side - plan.halo) for start in starts[:-1]] + [length]
    stops = [start + native(plan.side) for start in starts[:-1]] + [length]
    rises = [0] + [end - first for end, first in zip(ends, firsts[1:-1], strict=False)]
    rows = zip(starts, stops, firsts, ends, rises, firsts[1:], strict=False)
    return [Span(*row) for row in rows]


def answer_window(
    network: Callable[[ndarray], ndarray], pixels: ndarray, row: Span, column: Span
) -> Float[ndarray, "classes used_height used_width"]:
    """The probabilities of a window (height, width, channels) where they are used."""
    rows = slice(row.first - row.start, row.end - row.start)
    return network(pixels)[:, rows, column.first - column.start : column.end - column.start]


Answer = Callable[[Span, Span], ndarray]
"""(rows, columns) -> probabilities (classes, height, width) of that window, where they are used."""
Carry = Float[ndarray, "classes _ width"]
"""What a row of windows adds to the pixels that it shares with the row of windows below."""


def empty_carry(num_classes: int, row: Span, columns: list[Span]) -> Carry:
    """To be filled by `blend`."""
    return np.zeros((num_classes, row.end - row.done, columns[-1].end), np.float32)


def blend(
    row: Span, columns: list[Span], answer: Answer, above: Carry | None, below: Carry
) -> Iterator[tuple[tuple[slice, slice], Float[ndarray, "classes height width"]]]:
    """The final probabilities of a row of windows, block by block, each with its place.

    `above` is the carry of the row of windows above, None for the first; `below` is filled.
    """
    left = None
    for column in columns:
        block = _faded(answer(row, column), row, column)
        if left is not None:
            block[:, :, : left.shape[2]] += left
        kept, final = column.done - column.first, row.done - row.first
        block, left = block[:, :, :kept], block[:, :, kept:]
        place = slice(column.first, column.done)
        if above is not None:
            block[:, : above.shape[1]] += above[:, :, place]
        below[:, :, place] = block[:, final:]
        yield (slice(row.first, row.done), place), block[:, :final].clip(0, 1)
