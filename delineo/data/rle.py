"""Run-length codes as competitions write them, "start length start length ...", and COCO's.

Positions count from 1, down each column, then on to the next column.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from ..errors import DataError

_EMPTY = ("", "-1", "nan", "NaN")


def decode(text: str, height: int, width: int) -> ndarray:
    """(height, width) bool. An empty text, "-1" or "nan" is an empty mask. Raises DataError."""
    if text.strip() in _EMPTY:
        return np.zeros((height, width), bool)
    starts, ends = _parse(text, height, width)
    edges = np.stack([starts, ends], 1).ravel()
    lengths = np.diff(edges, prepend=0, append=height * width)
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def encode(mask: ndarray) -> str:
    """The code of the pixels of (height, width) that are not 0; "" if there are none."""
    return encode_strips([mask], len(mask))


def encode_strips(strips: Iterable[ndarray], height: int) -> str:
    """The same of a mask in strips, from top to bottom, of which each is looked at once."""
    edges = run_edges(np.concatenate(list(_steps(strips, height))))
    starts, ends = edges[::2].tolist(), edges[1::2].tolist()
    return " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends, strict=True))


def _steps(strips: Iterable[ndarray], height: int) -> Iterator[Int64[ndarray, " steps"]]:
    """Where the mask changes down each column, and at its end, counted as `run_edges` does."""
    top, above = 0, np.zeros((1, 1), bool)
    for strip in strips:
        shown = np.concatenate([np.broadcast_to(above, (1, strip.shape[1])), strip != 0])
        rows, columns = np.nonzero(shown[1:] != shown[:-1])
        yield columns * height + rows + top
        top, above = top + len(strip), shown[-1:]
    yield np.flatnonzero(above[0]) * height + height


def run_edges(steps: Int64[ndarray, " steps"]) -> Int64[ndarray, " edges"]:
    """Where runs of whole images start and end in turn, from where they do in single columns.

    Pixels are counted from 0, down each column. A run that ends with its column goes on where the
    next one begins at the top: of both steps nothing is left.
    """
    edges, times = np.unique(steps, return_counts=True)
    return edges[times == 1]


def _parse(text: str, height: int, width: int) -> tuple[ndarray, ndarray]:
    """0-based starts and ends of the runs, in order."""
    words = text.split()
    if not all(word.isdecimal() for word in words):
        wrong = next(word for word in words if not word.isdecimal())
        raise DataError(f"run-length code holds {wrong!r}; it is made of numbers above 0")
    if len(words) % 2:
        raise DataError(
            f"run-length code has {len(words)} numbers; each run takes two, start and length"
        )
    numbers = np.array(words, np.int64).reshape(-1, 2)
    runs = numbers[np.argsort(numbers[:, 0], kind="stable")]
    starts, ends = runs[:, 0] - 1, runs.sum(1) - 1
    _check(runs, ends, height, width)
    return starts, ends


def _check(runs: ndarray, ends: ndarray, height: int, width: int) -> None:
    if runs.min() < 1:
        start, length = runs[(runs < 1).any(1)][0]
        raise DataError(
            f"run-length code has the run {start} {length}; positions and lengths count from 1"
        )
    if ends.max() > height * width:
        raise DataError(
            f"run-length code reaches pixel {ends.max()}, the image has {height * width} "
            f"({height} x {width}); was the image resized after the code was made?"
        )
    overlap = np.flatnonzero(runs[1:, 0] - 1 < ends[:-1])
    if len(overlap):
        first, second = runs[overlap[0]], runs[overlap[0] + 1]
        raise DataError(
            f"run-length code has overlapping runs, {first[0]} {first[1]} and "
            f"{second[0]} {second[1]}"
        )


def decode_counts(runs: Int64[ndarray, " runs"], height: int, width: int) -> ndarray:
    """(height, width) bool from COCO's run lengths: outside, inside, outside ... by columns.

    Raises DataError where they do not cover the image.
    """
    if runs.sum() != height * width or runs.min() < 0:
        raise DataError(
            f"run lengths cover {runs.sum():,} pixels, the image has {height * width:,} "
            f"({height} x {width})"
        )
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def expand_counts(text: str) -> Int64[ndarray, " runs"]:
    """COCO's compressed run lengths: 5 bits per character, lowest first, from the fourth run on as
    difference to the last but one. Raises DataError for other characters.
    """
    codes = np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise DataError("compressed run lengths are cut off or hold foreign characters")
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    if place.max() > 11:
        raise DataError("compressed run lengths are cut off or hold foreign characters")
    numbers = np.add.reduceat((codes & 31) << 5 * place, first)
    numbers -= np.where(codes[last] & 16, np.int64(1) << 5 * (last - first + 1), 0)
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs
