"""Receptive fields: which rows of the image each row of a map depends on.

The usual recurrence (Araujo et al. 2019, doi:10.23915/distill.00021) holds for encoders. Above an
upsampling, neighbouring rows see windows of different heights, so each row is followed by itself.
The image is taken to go on beyond its borders, and all rows repeat after `PERIOD` rows of it.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

PERIOD = 1024  # a multiple of every network's stride

Rows: TypeAlias = Int64[np.ndarray, "_"]
Taps: TypeAlias = tuple[Rows, Rows]
"""First and last row of a map that each row of the next one is made of."""


@dataclass(frozen=True)
class View:
    """First and last row of the image that each row of a map depends on, for one period."""

    first: Rows
    last: Rows

    @property
    def height(self) -> int:
        """Rows of the map in one period."""
        return len(self.first)

    @property
    def field(self) -> int:
        """Rows of the image that the row with the widest view depends on."""
        return int((self.last - self.first).max()) + 1

    @property
    def reach(self) -> int:
        """For a map with a row for each of the image: how far from a row those lie that it depends
        on, at most."""
        rows = np.arange(self.height)
        return int(max((rows - self.first).max(), (self.last - rows).max()))

    def through(self, taps: Taps) -> "View":
        """The view of the map that a layer with these taps makes."""
        low, high = taps
        return View(_at(self.first, low), _at(self.last, high))

    def joined(self, other: "View") -> "View":
        """The view of a map whose rows are made of both."""
        return View(np.minimum(self.first, other.first), np.maximum(self.last, other.last))


def image_view() -> View:
    """Each row of the image is itself."""
    return View(np.arange(PERIOD), np.arange(PERIOD))


def _at(values: Rows, rows: Rows) -> Rows:
    """`values` of any rows, those of other periods too."""
    return values[rows % len(values)] + rows // len(values) * PERIOD


def windows(height: int, size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Taps:
    """Taps of a convolution or a pooling over `size` rows."""
    low = np.arange(height // stride) * stride - padding
    return low, low + (size - 1) * dilation


def transposed(height: int, size: int, stride: int, padding: int = 0) -> Taps:
    """Taps of a transposed convolution: row i is spread over `size` rows from i * stride on."""
    fine = np.arange(height * stride) + padding
    return -((size - 1 - fine) // stride), fine // stride


def repeated(height: int, factor: int) -> Taps:
    """Taps of an upsampling that repeats each row."""
    coarse = np.arange(height * factor) // factor
    return coarse, coarse


def blended(height: int, factor: int) -> Taps:
    """Taps of a bilinear upsampling."""
    fine = np.arange(height * factor)
    low = (2 * fine + 1 - factor) // (2 * factor)
    return low, low + 1


def nudged(height: int, rows: int) -> Taps:
    """Taps of a bilinear resizing to `rows` more, or fewer, than there are: one, or none."""
    low = np.arange(height) - (rows >= 0)
    return low, low + 1


def shifted(height: int, rows: int) -> Taps:
    """Taps of a padding with that many rows on top."""
    moved = np.arange(height) - rows
    return moved, moved
