"""Image files <-> arrays, every pixel format. Arrays are (height, width, channels).

Pictures come upright: the EXIF orientation is applied, to masks as well.
"""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ..errors import DataError, ShapeError
from ..files import write_atomically
from .palette import class_palette
from .png import is_deep, read_deep
from .tiff import needs_tifffile, read_tiff, tiff_orientation

LOSSY_SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".webp"))
"""Endings, in lower case, of files whose pixels may differ from what was drawn."""

IMAGE_SUFFIXES = LOSSY_SUFFIXES | frozenset(
    (".png", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".pgm", ".ppm", ".pnm")
)
"""Endings, in lower case, of the files that count as images."""

# What Pillow and tifffile raise on damaged files.
_UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
    struct.error,
    zlib.error,
    RuntimeError,  # those of imagecodecs, with which tifffile decodes where it is installed
    MemoryError,
    Image.DecompressionBombError,
)


def read_image(path: Path) -> ndarray:
    """(height, width, channels): uint8, uint16, or float32 for whatever else a file holds.

    1-bit images are 0/255, palettes become RGB, CMYK becomes RGB. Transparency is dropped (in TIFF,
    where a fourth band may be data, only if it is marked as such). Of several frames the first is
    read. Raises DataError, with the file's name, for files that are damaged or no image.
    """
    return guarded(path, _read_image)


def read_orientation(path: Path) -> int:
    """The EXIF orientation, 1 (upright) to 8. Raises DataError as `read_image`."""
    return guarded(path, _orientation)


def count_pictures(path: Path) -> int:
    """Frames of an animation, pages of a TIFF; 1 for a file of one picture or that is damaged.

    What cameras put behind a photograph in a JPEG is no picture of its own.
    """
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            return _count_pages(path)
        with Image.open(path) as image:
            return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except _UNREADABLE:
        return 1


def _count_pages(path: Path) -> int:
    """Without overviews and masks of what is data."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        return sum(not (page.is_reduced or page.is_mask) for page in pages)


def write_mask(
    path: Path, mask: ndarray, palette: bytes | None = None, notes: Mapping[str, str] | None = None
) -> None:
    """Write class indices, (height, width) uint8, as an index PNG, in one step.

    `palette` is r, g, b of index 0, 1, ...; the default shows each class in its `class_color`.
    `notes` go into the file as texts.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise ShapeError(
            f"a mask is (height, width) of uint8, got {mask.shape} of {mask.dtype}; "
            "write one file per class for several layers"
        )
    image = Image.fromarray(mask).convert("L")
    image.putpalette(class_palette() if palette is None else palette)
    _write(path, image, notes)


def read_written_mask(path: Path) -> tuple[ndarray, dict[str, str]]:
    """What `write_mask` wrote: the mask, (height, width) uint8, and its notes.

    Raises DataError as `read_image`, and for files that are no index PNG.
    """
    mask, notes = guarded(path, _read_with_notes)
    if mask is None:
        raise DataError(f"{path} is not a mask that predict wrote; move it away")
    return mask, notes


def write_image(path: Path, image: ndarray) -> None:
    """Write (height, width, 1 or 3) uint8 in the format of the file's suffix, in one step."""
    if image.ndim != 3 or image.shape[2] not in (1, 3) or image.dtype != np.uint8:
        raise ShapeError(
            "an image to be written is (height, width, 1 or 3) of uint8, "
            f"got {image.shape} of {image.dtype}"
        )
    _write(path, Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image))


def write_probabilities(path: Path, probabilities: ndarray) -> None:
    """Write (height, width) values in [0, 1] as a 16-bit PNG, 65535 for 1, in one step."""
    if probabilities.ndim != 2:
        raise ShapeError(
            f"a map is (height, width), got {probabilities.shape}; write one per class"
        )
    scaled = np.rint(np.clip(probabilities, 0, 1).astype(np.float64) * 65535)
    _write(path, Image.fromarray(scaled.astype(np.uint16)))


def _read_with_notes(path: Path) -> tuple[ndarray | None, dict[str, str]]:
    with Image.open(path) as image:
        mask = np.array(image) if (image.format, image.mode) == ("PNG", "P") else None
        texts = {str(key): text for key, text in image.info.items() if isinstance(text, str)}
        return mask, texts


def _write(path: Path, image: Image.Image, notes: Mapping[str, str] | None = None) -> None:
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: {path.suffix or 'no suffix'} is no image format; use .png")
    buffer = io.BytesIO()
    options: dict[str, Any] = {"PNG": {"compress_level": 3}, "JPEG": {"quality": 92}}.get(kind, {})
    if notes:
        options = {**options, "pnginfo": _texts(notes)}
    image.save(buffer, format=kind, **options)
    write_atomically(path, buffer.getvalue())


def _texts(notes: Mapping[str, str]) -> PngInfo:
    texts = PngInfo()
    for key, text in notes.items():
        texts.add_text(key, text)
    return texts


def guarded(path: Path, read: Any) -> Any:
    """`read(path)` with what goes wrong turned into a DataError that names the file."""
    try:
        return read(path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not an image") from None
    except PermissionError:
        raise DataError(f"{path} may not be read; change its permissions") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        advice = "cut it into tiles, or save it as TIFF, which is read in windows"
        raise DataError(f"{path} is too large: {str(error).rstrip('.')}; {advice}") from None
    except UnidentifiedImageError:
        reason = "is empty" if path.stat().st_size == 0 else "is not an image of a known format"
        raise DataError(f"{path} {reason}; replace or remove it") from None
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is damaged ({reason}); replace or remove it") from None


def _read_image(path: Path) -> ndarray:
    if needs_tifffile(path):
        return read_tiff(path)
    with Image.open(path) as image:
        if is_deep(image):
            return _without_alpha(read_deep(path))
        turned = upright(image)
        mode = _MODES.get(turned.mode, turned.mode)
        return as_pixels(turned if mode == turned.mode else turned.convert(mode))


# Pillow's pixel format -> the one that is read; whatever is not named stays.
_MODES = {
    "1": "L",
    "LA": "L",
    "La": "L",
    "P": "RGB",
    "PA": "RGB",
    "RGBA": "RGB",
    "RGBa": "RGB",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}


def _without_alpha(pixels: ndarray) -> ndarray:
    """(height, width, 2 to 4) -> (height, width, 1 or 3)."""
    return np.ascontiguousarray(pixels[:, :, : 1 if pixels.shape[2] == 2 else 3])


def as_pixels(image: Image.Image) -> ndarray:
    """(height, width, channels): uint8, uint16 or float32."""
    pixels = _integers(np.array(image))
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = pixels.astype(np.float32)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _integers(pixels: ndarray) -> ndarray:
    """32-bit integers become uint16 where they fit: Pillow widens some 16-bit files."""
    if pixels.dtype.kind == "i" and pixels.min() >= 0 and pixels.max() <= 65535:
        return pixels.astype(np.uint16)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        return pixels.astype(np.uint16, copy=False)  # big-endian to native
    return pixels


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _orientation(path: Path) -> int:
    if needs_tifffile(path):
        return tiff_orientation(path)
    with Image.open(path) as image:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1
