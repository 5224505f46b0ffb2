"""TIFF, BigTIFF and GeoTIFF through rasterio: windows of them, and which pixels hold data."""

import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from numpy import ndarray
from PIL import Image

from ..errors import DataError
from .images import guarded, read_image
from .tiff import as_float32, has_mask, missing_pixels

LARGEST_IMAGE = 2**25
"""Pixels of a TIFF that is still an image like any other; larger ones are scans."""
CACHE_MB = 160
_COORDINATES, _ORIENTATION = 34735, 274  # tags


def is_scan(path: Path) -> bool:
    """Whether a file is a TIFF that is read in windows: it is large, or has a coordinate system."""
    pixels, located = _header(path)
    return pixels > LARGEST_IMAGE or located


def is_large(path: Path) -> bool:
    """Whether a file is a scan that is not read at once."""
    return _header(path)[0] > LARGEST_IMAGE


def count_pixels(path: Path) -> int:
    """Height times width, from the beginning of a file. Raises DataError as `read_image`."""
    return _header(path)[0] or guarded(path, _count_pixels)


def _count_pixels(path: Path) -> int:
    # those that files of IMAGE_SUFFIXES have; Pillow would try forty others
    usual = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM")
    with Image.open(path, formats=usual) as image:
        return image.width * image.height


def _header(path: Path) -> tuple[int, bool]:
    """How many pixels a TIFF has, and whether it has a coordinate system."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return 0, False
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            return page.imagelength * page.imagewidth, _COORDINATES in page.tags
    except (OSError, ValueError, IndexError, KeyError, TypeError, struct.error):
        return 0, False  # whoever reads it as an image says what is wrong


def read_valid(
    path: Path,
) -> tuple[Shaped[ndarray, "height width channels"], Bool[ndarray, "height width"]]:
    """An image as `read_image` gives it, and which of its pixels hold data.

    Of GeoTIFF and large TIFF both are as `Raster` reads them, in which masks, transparency and
    floating-point pixels that are no number count; other TIFF have their no-data value alone.
    Raises DataError as `read_image` and `open_raster`.
    """
    scan = is_scan(path)
    if scan and guarded(path, has_mask):
        with open_raster(path) as raster:
            return raster.read(slice(0, raster.size[0]), slice(0, raster.size[1]))
    pixels = read_image(path)
    missing = missing_pixels(path, pixels)
    valid = np.ones(pixels.shape[:2], bool) if missing is None else ~missing
    return _filled(pixels, valid) if scan or missing is not None else (pixels, valid)


class Raster:
    """An open file. Windows are given as rows and columns."""

    def __init__(self, path: Path, dataset: Any) -> None:
        from rasterio.enums import ColorInterp, MaskFlags

        self.path, self._dataset = path, dataset
        self.size: tuple[int, int] = (dataset.height, dataset.width)
        kinds = zip(dataset.indexes, dataset.colorinterp, strict=True)
        self._bands = [band for band, kind in kinds if kind != ColorInterp.alpha]
        self._colors = _palette(dataset) if ColorInterp.palette in dataset.colorinterp else None
        self._masked = any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)

    @property
    def channels(self) -> int:
        """Without transparency; a palette has three."""
        return len(self._bands) if self._colors is None else 3

    def read(
        self, rows: slice, columns: slice
    ) -> tuple[Shaped[ndarray, "height width channels"], Bool[ndarray, "height width"]]:
        """Pixels, uint8, uint16 or float32, and which of them hold data.

        Where there is none, floating-point pixels are the mean of those in the window that do.
        Raises DataError where the file is damaged.
        """
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        return self._read(window=window, shape=None)

    def valid(self, rows: slice, columns: slice) -> Bool[ndarray, "height width"]:
        """Which pixels hold data."""
        if not self._masked and np.dtype(self._dataset.dtypes[0]).kind != "f":
            return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
        return self.read(rows, columns)[1]

    def shrunk(
        self, size: tuple[int, int]
    ) -> tuple[Shaped[ndarray, "height width channels"], Bool[ndarray, "height width"]]:
        """All of it as `read` gives it, averaged to `size` (height, width) while it is read."""
        return self._read(window=None, shape=size)

    def _read(self, window: Any, shape: tuple[int, int] | None) -> tuple[ndarray, ndarray]:
        from rasterio.enums import Resampling

        # colours of a palette have no mean
        how = Resampling.nearest if self._colors is not None else Resampling.bilinear
        options = {"window": window, "resampling": how}
        with naming_errors(self.path):
            pixels = self._dataset.read(
                self._bands, out_shape=(len(self._bands), *shape) if shape else None, **options
            )
            valid = np.ones(pixels.shape[1:], bool)
            if self._masked:
                valid = self._dataset.dataset_mask(out_shape=shape, **options) > 0
        if self._colors is not None:
            return self._colors[pixels[0]], valid
        if pixels.dtype not in (np.uint8, np.uint16):
            pixels = as_float32(pixels)
        return _filled(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), valid)

    def place(self) -> dict[str, Any]:
        """Where on earth it lies, as rasterio writes it."""
        points, system = self._dataset.gcps
        if points:
            return {"gcps": points, "crs": system}
        return {"crs": self._dataset.crs, "transform": self._dataset.transform}


def _filled(pixels: ndarray, valid: ndarray) -> tuple[ndarray, ndarray]:
    """Numbers that are none hold no data, and are the mean of the others."""
    if pixels.dtype.kind != "f":
        return pixels, valid
    valid = valid & np.isfinite(pixels).all(axis=2)
    if valid.all():
        return pixels, valid
    mean = pixels[valid].mean(axis=0) if valid.any() else np.zeros(pixels.shape[2], np.float32)
    return np.where(valid[:, :, None], pixels, mean.astype(np.float32)), valid


def _palette(dataset: Any) -> UInt8[ndarray, "256 3"]:
    colors = np.zeros((256, 3), np.uint8)
    for index, color in dataset.colormap(1).items():
        colors[index] = color[:3]
    return colors


@contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Raises DataError where the file cannot be read in windows or is damaged."""
    rasterio = _rasterio(path)
    _refuse_unreadable(path)
    with ExitStack() as stack:
        with naming_errors(path), quietly():
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_MB))
            dataset = stack.enter_context(rasterio.open(path, driver="GTiff"))
        if "complex" in dataset.dtypes[0]:
            raise DataError(f"{path} holds complex numbers; save their amplitude")
        yield Raster(path, dataset)


def _rasterio(path: Path) -> Any:
    try:
        import rasterio
    except ImportError:
        raise DataError(
            f"{path} is a GeoTIFF or a scan of more than {LARGEST_IMAGE // 10**6} million pixels; "
            "rasterio, which reads it, is not installed: pip install 'delineo[geo]'"
        ) from None
    return rasterio


def _refuse_unreadable(path: Path) -> None:
    """What rasterio would notice late, or not at all."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        page = pages[0]
        pieces = zip(page.dataoffsets, page.databytecounts, strict=True)
        end = max((start + length for start, length in pieces), default=0)
        turned = page.tags.valueof(_ORIENTATION, default=1) != 1
        stacked = sum(not other.is_reduced and not other.is_mask for other in pages)
    if end > (size := path.stat().st_size):
        raise DataError(
            f"{path} is damaged: it was cut off at byte {size} of at least {end}; copy it again"
        )
    if stacked > 1:
        raise DataError(f"{path} holds a stack of {stacked}; save each page as a file of its own")
    if turned:
        raise DataError(
            f"{path} is stored turned (tag Orientation), which GeoTIFF and scans may not be; "
            "save it upright"
        )


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """rasterio's errors as a DataError that names the file."""
    from rasterio.errors import RasterioError

    try:
        yield
    except RasterioError as error:
        reason = str(error.__cause__ or error)
        raise DataError(f"{path} is damaged ({reason}); replace or remove it") from None


@contextmanager
def quietly() -> Iterator[None]:
    """Files without coordinates are no reason to warn."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
