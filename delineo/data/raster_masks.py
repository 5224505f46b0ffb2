"""Masks of scans as GeoTIFF with the coordinates of the scan: written, and read back in strips."""

import errno
import json
import shutil
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from ..errors import DataError
from .palette import class_palette
from .rasters import Raster, naming_errors, quietly
from .samples import IGNORE_INDEX

BLOCK = 256
"""Side of the squares in which masks are stored."""
_WRITTEN_BY = "DELINEO"
_NOTE = "MEAN_PROBABILITY"


def refuse_to_replace(files: Sequence[Path]) -> None:
    """Raises DataError where one of them is there and no mask that `write_rasters` wrote."""
    import rasterio

    for file in files:
        if not file.exists():
            continue
        with naming_errors(file), quietly(), rasterio.open(file) as dataset:
            if _WRITTEN_BY not in dataset.tags():
                raise DataError(
                    f"{file} is there already and no mask that predict wrote; choose another --out"
                )


Strips = Iterable[UInt8[ndarray, "layers height width"]]
Certainty = Sequence[float | None]
"""The mean probability of each class over its pixels; None where it has none or it is not known."""


def read_strips(files: Sequence[Path]) -> Iterator[UInt8[ndarray, "layers height width"]]:
    """The masks that `write_rasters` wrote, BLOCK rows at a time. Raises DataError where damaged.

    Each strip opens the files anew: what GDAL would keep in memory is the size of a mask.
    """
    top, height = 0, 1
    while top < height:
        strip, height = _read_rows(files, top)
        yield strip
        top += BLOCK


def _read_rows(files: Sequence[Path], top: int) -> tuple[ndarray, int]:
    """A strip, and how many rows there are."""
    import rasterio

    rows, height = [], 0
    for file in files:
        with naming_errors(file), quietly(), rasterio.open(file) as dataset:
            height = dataset.height
            end = min(top + BLOCK, height)
            rows.append(dataset.read(1, window=((top, end), (0, dataset.width))))
    return np.stack(rows), height


def read_size(file: Path) -> tuple[int, int]:
    """Height and width of a mask."""
    import rasterio

    with naming_errors(file), quietly(), rasterio.open(file) as dataset:
        return dataset.height, dataset.width


def read_certainty(file: Path) -> list[float | None]:
    """Of the classes in a mask's file. Raises DataError where `write_rasters` did not write it."""
    import rasterio

    with naming_errors(file), quietly(), rasterio.open(file) as dataset:
        tags = dataset.tags()
    if _NOTE not in tags:
        raise DataError(
            f"{file} is not a mask that predict wrote; move it away, and it is predicted anew"
        )
    return json.loads(tags[_NOTE])


def write_rasters(
    raster: Raster, files: Sequence[Path], strips: Strips, certainty: Certainty
) -> None:
    """Write masks, one file for each layer of `strips`, which are rows from top to bottom.

    Tiled and compressed GeoTIFF, with the coordinates of `raster`, 255 for no data, and colours
    where there is one file, which then has the `certainty` of all classes. All appear at the end,
    or none. Raises OSError where the disk is full, DataError where they cannot be written
    otherwise.
    """
    notes = [[value] for value in certainty] if len(files) > 1 else [list(certainty)]
    parts = [file.with_name(f".{uuid.uuid4().hex}.tmp") for file in files]
    try:
        sums = _write(raster, parts, strips, notes)
        for part, own in zip(parts, sums, strict=True):
            _check(part, own)
        for part, file in zip(parts, files, strict=True):
            part.replace(file)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


Sums = list[tuple[int, int, int]]
"""First and last row of each strip, and its checksum."""


def _write(
    raster: Raster, parts: list[Path], strips: Strips, notes: Sequence[Certainty]
) -> list[Sums]:
    from rasterio.errors import RasterioError

    sums: list[Sums] = [[] for _ in parts]
    try:
        with ExitStack() as stack:
            pairs = zip(parts, notes, strict=True)
            opened = [stack.enter_context(_create(raster, *pair)) for pair in pairs]
            if len(opened) == 1:
                colors = np.frombuffer(class_palette(), np.uint8).reshape(-1, 3).tolist()
                opened[0].write_colormap(1, dict(enumerate(map(tuple, colors))))
            top = 0
            for strip in strips:
                window = ((top, top + strip.shape[1]), (0, strip.shape[2]))
                for dataset, layer, own in zip(opened, strip, sums, strict=True):
                    dataset.write(layer, 1, window=window)
                    own.append((*window[0], zlib.crc32(np.ascontiguousarray(layer).data)))
                top = window[0][1]
    except RasterioError as error:
        raise _unwritten(parts[0], str(error.__cause__ or error)) from error
    return sums


def _unwritten(part: Path, reason: str) -> Exception:
    """GDAL does not say whether it was the room on the disk."""
    text = f"the mask could not be written to {part.parent}: {reason}"
    full = shutil.disk_usage(part.parent).free < BLOCK**2
    return OSError(errno.ENOSPC, text) if full else DataError(f"{text}; is the disk in order?")


@contextmanager
def _create(raster: Raster, part: Path, note: Certainty) -> Iterator[Any]:
    import rasterio

    height, width = raster.size
    layout = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": height, "width": width}
    form = {
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
        "zlevel": 3,
        "num_threads": "all_cpus",
    }
    place = {**raster.place(), "nodata": IGNORE_INDEX}
    with quietly(), rasterio.open(part, "w", BIGTIFF="IF_SAFER", **layout, **form, **place) as new:
        new.update_tags(**{_WRITTEN_BY: "mask", _NOTE: json.dumps(note)})
        yield new


def _check(part: Path, sums: Sums) -> None:
    """GDAL may say nothing where the last blocks found no room on the disk."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with quietly(), rasterio.open(part) as dataset:
            for top, end, expected in sums:
                rows = dataset.read(1, window=((top, end), (0, dataset.width)))
                if zlib.crc32(rows) != expected:
                    raise _unwritten(part, "what is on the disk is something else")
    except RasterioError as error:
        raise _unwritten(part, str(error.__cause__ or error)) from error
