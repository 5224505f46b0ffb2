"""Masks of scans, TIFF that no memory holds, and of GeoTIFF: read, predicted, written in windows.

Rows of windows that are finished lie in a folder beside the mask until all are there, so that what
was killed goes on where it stopped. The mask appears whole, at the end.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from .data.raster_masks import Certainty, refuse_to_replace, write_rasters
from .data.rasters import LARGEST_IMAGE, Raster, open_raster
from .data.samples import IGNORE_INDEX
from .data.sizing import match_channels, refuse_bands, resize_maps, scaled_size
from .decision import decide, without_clean_up
from .errors import DataError
from .exclusive_regions import exclusive_strips, ranked
from .finished_rows import Parts, Row
from .maskfiles import as_means, sum_probabilities
from .pipeline import in_thread
from .progress import NoProgress, Progress
from .regions import Strips, cleaned_strips, highest
from .runtime import MaskPredictor
from .tiles import Carry, Span, answer_window, blend, cut, empty_carry


def predict_scan(
    predictor: MaskPredictor,
    path: Path,
    files: Sequence[Path],
    progress: Progress | None = None,
) -> None:
    """Write the mask of a TIFF as GeoTIFF: class indices, or for multi-label one file per class
    with 0 and 1. Where the scan holds no data the mask is 255.

    The same call again continues what was killed. Raises DataError where the file is damaged, does
    not fit the model, or would be overwritten; OSError where the mask cannot be written.
    """
    with open_raster(path) as raster:
        refuse_bands(path, raster.channels, predictor.channels)
        refuse_to_replace(files)
        files[0].parent.mkdir(parents=True, exist_ok=True)
        if raster.size[0] * raster.size[1] <= LARGEST_IMAGE:
            mask, certainty = _at_once(predictor, raster)
            write_rasters(raster, files, [mask], certainty)
        else:
            _in_windows(predictor, raster, files, progress or NoProgress())


def _at_once(
    predictor: MaskPredictor, raster: Raster
) -> tuple[UInt8[np.ndarray, "layers _ _"], Certainty]:
    pixels, valid = raster.read(slice(0, raster.size[0]), slice(0, raster.size[1]))
    maps = predictor.probabilities(match_channels(pixels, predictor.channels))
    # nothing is found where there is no data, so that no region grows through it
    found = np.where(valid, maps, np.float32(0))
    mask = _blanked(decide(found, predictor.decision), valid)
    return mask, as_means(sum_probabilities(mask, found, predictor.task))


def _blanked(
    mask: UInt8[np.ndarray, "*layers _ _"], valid: Bool[np.ndarray, "_ _"]
) -> UInt8[np.ndarray, "layers _ _"]:
    """With 255 where there is no data."""
    layers = mask.reshape(-1, *valid.shape)
    return layers if valid.all() else np.where(valid, layers, np.uint8(IGNORE_INDEX))


def _in_windows(
    predictor: MaskPredictor, raster: Raster, files: Sequence[Path], progress: Progress
) -> None:
    """Rows of windows one after the other, those from an earlier call as they are."""
    cleaned = bool(predictor.decision.clean_ups())
    # what a class loses in the cleaning goes to the next: so all of them are kept, in their order
    layers = len(predictor.classes) if cleaned else len(files)
    parts = Parts.open(files[0], predictor, raster, layers)
    try:
        _predict_rows(predictor, raster, parts, progress)
    except DataError:
        parts.remove()
        raise
    # whose pixels they are is known after the cleaning, their probabilities are no longer
    certainty = [None] * len(predictor.classes) if cleaned else as_means(parts.sums())
    write_rasters(raster, files, _cleaned(predictor, parts, progress), certainty)
    parts.remove()


def _cleaned(
    predictor: MaskPredictor, parts: Parts, progress: Progress
) -> Iterator[UInt8[np.ndarray, "layers _ width"]]:
    """The finished rows after the steps of the decision that look at the whole mask."""
    clean_ups = predictor.decision.clean_ups()
    if not clean_ups:
        return parts.strips()
    progress.message("cleaning regions across all windows")

    def layer(index: int) -> Strips:
        return lambda: (strip[index] == 1 for strip in parts.strips())

    sure = parts.confidences() or [1.0] * len(clean_ups)
    if predictor.task == "multiclass":
        return (mask[None] for mask in exclusive_strips(parts.strips, clean_ups, sure))
    layers = [
        cleaned_strips(layer(index), clean_up, sure[index])
        for index, clean_up in enumerate(clean_ups)
    ]
    together = zip(parts.strips(), *(strips() for strips in layers), strict=True)
    return (_blanked(np.stack(own).astype(np.uint8), old[0] != 255) for old, *own in together)


def _predict_rows(
    predictor: MaskPredictor, raster: Raster, parts: Parts, progress: Progress
) -> None:
    """Predict what is not finished; the row of windows before it again, for what it shares."""
    rows, columns = (cut(length, parts.plan) for length in raster.size)
    begin = next((row for row in range(len(rows)) if not parts.file(row).exists()), len(rows))
    if begin:
        progress.message(f"{raster.path.name}: {begin} of {len(rows)} rows of windows are there")
    todo = list(enumerate(rows))[max(begin - 1, 0) :] if begin < len(rows) else []
    places = [(row, column) for _, row in todo for column in columns]
    progress.start(raster.path.name, total=len(places), unit="windows")
    with closing(Windows(predictor, raster, places)) as windows:
        above = None
        for index, row in todo:
            below = empty_carry(len(predictor.classes), row, columns)
            found = _predict_row(windows, parts, row, columns, above, below, progress)
            if index >= begin:
                parts.write(index, found)
            above = below
    progress.finish()


def _predict_row(
    windows: "Windows",
    parts: Parts,
    row: Span,
    columns: list[Span],
    above: Carry | None,
    below: Carry,
    progress: Progress,
) -> Row:
    mask = np.empty((parts.layers, row.done - row.first, parts.width), np.uint8)
    top, sums = np.zeros((len(below), 0), np.float32), np.zeros((len(below), 2))
    for place, block in blend(row, columns, windows.answer, above, below):
        found = block if windows.valid.all() else np.where(windows.valid, block, np.float32(0))
        own = _blanked(decide(found, windows.thresholds), windows.valid)
        ranking = len(own) < parts.layers  # of exclusive classes whose regions will be cleaned
        mask[:, :, place[1]] = _blanked(ranked(found), windows.valid) if ranking else own
        sums += sum_probabilities(own, found, windows.thresholds.task)
        if parts.confident:
            together = np.concatenate([top, found.reshape(len(found), -1)], axis=1)
            top = highest(together, parts.confident)
        progress.advance()
    return Row(mask, top, sums)


Window = tuple[Span, Span]
"""Rows and columns."""
Pixels = tuple[Window, np.ndarray | None, Bool[np.ndarray, "_ _"]]
"""A window, what the network is shown of it, and which of its final pixels hold data."""


class Windows:
    """What the predictor answers to windows in the given order, one ahead in a thread of its own;
    another one reads.
    """

    def __init__(self, predictor: MaskPredictor, raster: Raster, windows: Sequence[Window]) -> None:
        self._predictor, self._raster = predictor, raster
        self.thresholds = without_clean_up(predictor.decision)
        self.valid = np.zeros((0, 0), bool)
        """Which pixels that the last answer is final for hold data."""
        self._whole = _shrunk_answer(predictor, raster) if predictor.scale == "fit" else None
        read = self._read_pixels if self._whole is None else self._read_mask
        self._read: Any = in_thread(read, windows)
        self._answers: Any = in_thread(self._answer, self._read, ahead=1)

    def close(self) -> None:
        """Wait for the threads, which must not read a file that was closed."""
        self._answers.close()
        self._read.close()

    def answer(self, row: Span, column: Span) -> Float[np.ndarray, "classes _ _"]:
        """Probabilities where they are used. The windows are asked for in their order."""
        found, self.valid = next(self._answers)
        return found

    def _answer(
        self, read: Pixels
    ) -> tuple[Float[np.ndarray, "classes _ _"], Bool[np.ndarray, "_ _"]]:
        (row, column), pixels, valid = read
        used = slice(row.first, row.end), slice(column.first, column.end)
        if self._whole is not None:
            return resize_maps(self._whole, self._raster.size, *used), valid
        if pixels is None:
            shape = (len(self._predictor.classes), row.end - row.first, column.end - column.first)
            return np.zeros(shape, np.float32), valid
        return answer_window(self._predictor.probabilities, pixels, row, column), valid

    def _read_pixels(self, window: Window) -> Pixels:
        """Of a window without data, nothing."""
        row, column = window
        pixels, valid = self._raster.read(
            slice(row.start, row.stop), slice(column.start, column.stop)
        )
        rows = slice(row.first - row.start, row.done - row.start)
        final = valid[rows, column.first - column.start : column.done - column.start]
        found = match_channels(pixels, self._predictor.channels) if valid.any() else None
        return window, found, final

    def _read_mask(self, window: Window) -> Pixels:
        row, column = window
        valid = self._raster.valid(slice(row.first, row.done), slice(column.first, column.done))
        return window, None, valid


def _shrunk_answer(
    predictor: MaskPredictor, raster: Raster
) -> Float[np.ndarray, "classes height width"]:
    """Of a network that looks at whole images: its answer at the size at which it looks."""
    size = scaled_size(raster.size, predictor.image_size, predictor.scale)
    pixels, _ = raster.shrunk(size)
    return predictor.probabilities(match_channels(pixels, predictor.channels))
