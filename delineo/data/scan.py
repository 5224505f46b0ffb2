"""One parallel pass over all files of a data folder: what `Facts` are known of each sample."""

import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..progress import NoProgress, Progress
from .drawn import DrawnFacts, drawn_facts
from .facts import Facts, FileError, ImageFacts, MaskFacts, image_facts, mask_facts
from .geotags import Placement, read_placement
from .images import count_pictures, read_orientation
from .layouts import Layout
from .mask_pixels import NO_DATA, read_mask_pieces, read_mask_pixels
from .rasters import read_valid
from .rle import decode
from .samples import (
    MaskFile,
    MaskLayers,
    MaskOutlines,
    MaskPieces,
    MaskRuns,
    MaskSource,
    Sample,
)
from .tiff import nodata_value

__all__ = ["Facts", "FileError", "ImageFacts", "MaskFacts", "scan"]


def scan(layout: Layout, progress: Progress | None = None) -> dict[str, Facts]:
    """Read every file once. Broken files are told in `Facts.errors`; nothing is raised."""
    progress = progress or NoProgress()
    # Pillow and hashlib let go of the interpreter while they work: threads, which unlike
    # processes need no guarded __main__ in the script that calls
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
    facts: dict[str, Facts] = {}
    progress.start("looking at every file", total=len(layout.samples))
    pool = ThreadPoolExecutor(workers)
    try:
        known_in_order = pool.map(read_facts, layout.samples)
        for sample, known in zip(layout.samples, known_in_order, strict=True):
            facts[sample.id] = known
            progress.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C need not wait for the files that are left
        progress.finish()
    return facts


def read_facts(sample: Sample) -> Facts:
    """The facts of one sample."""
    errors: list[FileError] = []
    image = None
    try:
        pixels, valid = read_valid(sample.image)
        image = image_facts(pixels, _orientation(sample.image))
        missing = 1 - np.count_nonzero(valid) / valid.size
        image = replace(image, placement=_geo_tags(sample.image)[0], missing=missing)
    except DataError as error:
        errors.append(FileError(sample.image, "unreadable", str(error)))
    masks = tuple(_mask_facts(sample, image, errors))
    drawn = _drawn_facts(sample.mask, image, errors)
    broken = {error.path for error in errors}
    several = tuple(p for p in _files(sample) if p not in broken and count_pictures(p) > 1)
    return Facts(image, masks, tuple(errors), drawn, several)


def _files(sample: Sample) -> Iterator[Path]:
    """Image files of the picture and its mask."""
    yield sample.image
    match sample.mask:
        case MaskFile(path):
            yield path
        case MaskPieces(paths) | MaskLayers(paths):
            yield from filter(None, paths)
        case MaskRuns() | MaskOutlines():
            pass


def _orientation(path: Path) -> int:
    # of a PNG the answer takes decoding it a second time, and cameras write none
    return 1 if path.suffix.lower() == ".png" else read_orientation(path)


def _mask_facts(
    sample: Sample, image: ImageFacts | None, errors: list[FileError]
) -> Iterator[MaskFacts]:
    match sample.mask:
        case MaskFile(path):
            yield from _try(lambda: read_mask_pixels(path), path, None, errors)
        case MaskPieces(paths):
            yield from _try(lambda: read_mask_pieces(paths), paths[0], None, errors)
        case MaskLayers(paths):
            for layer, path in enumerate(paths):
                if path is not None:
                    yield from _try(lambda path=path: read_mask_pixels(path), path, layer, errors)
        case MaskRuns(runs) if image is not None:
            for layer, text in runs:
                try:
                    pixels = decode(text, image.height, image.width)
                except DataError as error:
                    errors.append(FileError(sample.image, "bad-run-length", str(error)))
                else:
                    yield mask_facts(pixels, None, layer)
        case MaskRuns() | MaskOutlines():
            pass


def _drawn_facts(
    mask: MaskSource, image: ImageFacts | None, errors: list[FileError]
) -> DrawnFacts | None:
    if not isinstance(mask, MaskOutlines) or image is None:
        return None
    try:
        return drawn_facts(mask, (image.height, image.width))
    except DataError as error:
        errors.append(FileError(mask.source, "bad-outline", str(error)))
        return None


def _try(
    read: Callable[[], np.ndarray], path: Path, layer: int | None, errors: list[FileError]
) -> Iterator[MaskFacts]:
    """The facts of a mask file, or nothing and one more error."""
    try:
        facts = mask_facts(read(), path, layer)
    except DataError as error:
        errors.append(FileError(path, "unreadable", str(error)))
        return
    placement, nodata = _geo_tags(path)
    nodata = NO_DATA if NO_DATA in facts.values else nodata
    yield replace(facts, placement=placement, nodata=nodata)


def _geo_tags(path: Path) -> tuple[Placement | None, int | None]:
    """Place on the map and no-data value; none where a .tif holds another kind of image."""
    try:
        return read_placement(path), nodata_value(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error):
        return None, None
