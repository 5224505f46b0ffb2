"""PNG with 16 bits per colour channel, of which Pillow by itself gives the upper 8."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image, ImageOps

# Pillow's name of the file's bytes -> names under which it unpacks their upper and lower halves.
_HALVES = {
    "RGB;16B": ("RGB;16B", "RGB;16L"),
    "RGBA;16B": ("RGBA;16B", "RGBA;16L"),
}
_GREY_WITH_ALPHA = "LA;16B"  # four bytes per pixel, as many as 8-bit RGBA has


def is_deep(image: Any) -> bool:
    """Whether an image that was just opened is such a PNG."""
    return image.format == "PNG" and _packing(image) in (*_HALVES, _GREY_WITH_ALPHA)


def read_deep(path: Path) -> ndarray:
    """(height, width, 2 to 4) uint16, upright; of two or four channels the last is alpha."""
    with Image.open(path) as image:
        packing = _packing(image)
    if packing == _GREY_WITH_ALPHA:
        halves = _unpacked(path, "RGBA")
        return _joined(halves[:, :, 0::2], halves[:, :, 1::2])
    upper, lower = _HALVES[packing]
    return _joined(_unpacked(path, upper), _unpacked(path, lower))


def _packing(image: Any) -> str:
    return image.tile[0][3] if image.tile else ""


def _unpacked(path: Path, packing: str) -> ndarray:
    """The pixels as uint8, unpacked from the file's bytes in another way than Pillow would."""
    with Image.open(path) as image:
        file: Any = image
        file.tile = [(*file.tile[0][:3], packing)]
        return np.array(ImageOps.exif_transpose(file))


def _joined(upper: ndarray, lower: ndarray) -> ndarray:
    return upper.astype(np.uint16) << 8 | lower
