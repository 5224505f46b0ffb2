"""TIFF files that Pillow cannot hold: many bands, 16-bit colour, floating point."""

import math
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from PIL import Image, UnidentifiedImageError

from ..errors import DataError

_BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _NODATA = 258, 262, 274, 277, 42113  # tags
_CMYK = 5
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha


def needs_tifffile(path: Path) -> bool:
    """Whether a file is a TIFF that is not 1-bit or 8-bit grey, palette, RGB or CMYK."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with Image.open(path) as image:
            if image.format != "TIFF":
                return False
            tags: Any = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
            plain = tags.get(_SAMPLES, 1) in (1, 3) or tags.get(_PHOTOMETRIC) == _CMYK
            return not plain or max(tags.get(_BITS, (1,))) > 8
    except UnidentifiedImageError:
        return path.stat().st_size > 0


def read_tiff(path: Path) -> ndarray:
    """(height, width, channels): uint8, uint16 or float32, upright, without marked alpha.

    Raises DataError for stacks of pages, and for compressions that need rasterio where it is not
    installed.
    """
    import tifffile  # rarely needed, and slow to import

    with tifffile.TiffFile(path) as file:
        page, pixels = _first_page(file, path), _bands_last(file, path)
        extra = tuple(int(kind) for kind in getattr(page, "extrasamples", ()))
        turn = page.tags.valueof(_ORIENTATION, default=1)
    if extra and extra[-1] in _ALPHA and pixels.shape[2] > 1:
        pixels = pixels[:, :, :-1]
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = as_float32(pixels)
    return np.ascontiguousarray(_turned(pixels, int(turn)))


def tiff_orientation(path: Path) -> int:
    """1 (upright) to 8, as EXIF counts."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        value = int(_first_page(file, path).tags.valueof(_ORIENTATION, default=1))
    return value if value in range(1, 9) else 1


def nodata_value(path: Path) -> int | None:
    """The whole number that a TIFF calls no data; None where there is none. The file must be an
    image that can be read.
    """
    value = nodata_number(path)
    return int(value) if value is not None and value.is_integer() else None


def nodata_number(path: Path) -> float | None:
    """The same, whatever number it is; it may be NaN."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            text = _first_page(file, path).tags.valueof(_NODATA, default="")
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error):
        return None  # another kind of image is called .tif
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def missing_pixels(path: Path, image: ndarray) -> Bool[ndarray, "height width"] | None:
    """Where all bands of an image hold what its file calls no data; None: nowhere."""
    value = nodata_number(path)
    if value is None:
        return None
    missing = np.asarray(is_number(image, value).all(axis=2))
    return missing if missing.any() else None


def is_number(pixels: ndarray, value: float) -> ndarray:
    """Where pixels, of any shape, hold this number, as their type writes it, or NaN."""
    with np.errstate(over="ignore"):  # numbers of 64 bits may be beyond those of 32
        return np.isnan(pixels) if math.isnan(value) else pixels == value


def as_float32(pixels: ndarray) -> ndarray:
    """What is beyond its range is infinite."""
    with np.errstate(over="ignore"):
        return pixels.astype(np.float32)


def has_mask(path: Path) -> bool:
    """Whether transparency or a mask, in a TIFF or in NAME.tif.msk beside it, says what is data."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        extra = getattr(pages[0], "extrasamples", ())
        marked = any(kind in _ALPHA for kind in extra) or any(page.is_mask for page in pages)
    return marked or path.with_name(f"{path.name}.msk").exists()


def _first_page(file: Any, path: Path) -> Any:
    if not file.pages:
        raise DataError(f"{path} holds no page; replace or remove it")
    return file.pages[0]


def _bands_last(file: Any, path: Path) -> ndarray:
    series = file.series[0]
    axes, shape = series.axes, series.shape
    keep = [axis for axis, length in zip(axes, shape, strict=True) if length > 1]
    bands = [axis for axis in keep if axis in "SC"]
    if [axis for axis in keep if axis not in "SCYX"] or len(bands) > 1:
        raise DataError(
            f"{path} holds a stack of {' x '.join(map(str, shape))} (axes {axes}); "
            "save each page as a file of its own"
        )
    try:
        pixels = series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):  # what tifffile asks for where it cannot decode
            raise
        return _through_rasterio(path, file.pages[0].compression.name)
    height, width = pixels.shape[axes.index("Y")], pixels.shape[axes.index("X")]
    if bands and axes.index(bands[0]) < axes.index("Y"):
        return np.moveaxis(pixels.reshape(-1, height, width), 0, -1)
    return pixels.reshape(height, width, -1)


def _through_rasterio(path: Path, compression: str) -> ndarray:
    """(height, width, bands) of the first page, whatever its compression."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError:
        raise DataError(
            f"{path} is compressed with {compression}, which rasterio reads; install it with: "
            "pip install 'delineo[geo]'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as dataset:
                return np.moveaxis(dataset.read(), 0, -1)
        except RasterioError as error:
            raise DataError(f"{path} is damaged ({error}); replace or remove it") from None


def _turned(pixels: ndarray, orientation: int) -> ndarray:
    """Apply the EXIF orientation to (height, width, channels)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in (3, 4, 7, 8) else pixels
