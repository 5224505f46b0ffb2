"""What mask files hold: class indices, grey values or colours, in every pixel format."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image

from ..errors import DataError
from .images import as_pixels, guarded, upright
from .png import is_deep, read_deep
from .tiff import is_number, needs_tifffile, nodata_number, read_tiff

NO_DATA = -9999
"""What stands in masks for numbers that are none, as in geographic programs."""
_LARGEST = 2**31


def read_mask_pixels(path: Path) -> ndarray:
    """What a mask file holds: (height, width) integers, or (height, width, 3) uint8 for colours.

    Palette files give the index, unless every colour of the palette is grey: writers of GIF order
    such palettes as they like, so the grey value is given. 1-bit files give 0/1. RGB files without
    any colour give their grey value. Transparent pixels are 0; if nothing but the transparency
    varies, it is the mask. NaN, in TIFF, is NO_DATA. Raises DataError as `read_image`.
    """
    return guarded(path, _read_mask_pixels)


def read_mask_pieces(paths: Sequence[Path]) -> ndarray:
    """One mask, (height, width), from several that each show a part of it.

    Where every piece holds 0 and one other value, what is not 0 in any is foreground: 1, 255 or
    65535 if that is the largest value, else 255. Otherwise the largest value of each pixel holds.
    Raises DataError as `read_image`, and for pieces in colours or of different sizes.
    """
    pieces = [read_mask_pixels(path) for path in paths]
    for path, piece in zip(paths, pieces, strict=True):
        if piece.ndim == 3 or piece.shape != pieces[0].shape:
            raise DataError(
                f"{path} cannot be joined with the other masks of its image, such as {paths[0]}: "
                f"its shape is {piece.shape}, theirs {pieces[0].shape}; all must be grey and of "
                "one size"
            )
    joined = np.maximum.reduce(pieces)
    if any(((piece != 0) & (piece != piece.max())).any() for piece in pieces):
        return joined
    top = int(joined.max())
    foreground = np.uint16(65535) if top == 65535 else np.uint8(1 if top == 1 else 255)
    return (joined > 0) * foreground


def _read_mask_pixels(path: Path) -> ndarray:
    if needs_tifffile(path):
        return _without_grey_channels(read_tiff(path), path)
    with Image.open(path) as image:
        if is_deep(image):
            return _without_grey_channels(_opaque(read_deep(path)), path)
        turned = upright(image)
        match turned.mode:
            case "1":
                return np.array(turned).astype(np.uint8)
            case "P":
                return _palette_values(turned)
            case "L" | "I" | "I;16" | "I;16L" | "I;16B" | "F":
                return _without_grey_channels(as_pixels(turned), path)
            case "RGB":
                return _without_grey_channels(np.array(turned), path)
            case "LA" | "PA" | "RGBA":
                return _without_grey_channels(_opaque(np.array(turned.convert("RGBA"))), path)
        return _without_grey_channels(np.array(turned.convert("RGB")), path)


def _palette_values(image: Image.Image) -> ndarray:
    indices = np.array(image)
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    used = np.flatnonzero(np.bincount(indices.ravel(), minlength=len(colors)))
    grey = (colors == colors[:, :1]).all()
    if grey and used[-1] < len(colors) and len(np.unique(colors[used, 0])) == len(used):
        return colors[indices, 0]
    return indices


def _opaque(pixels: ndarray) -> ndarray:
    """(height, width, 2 to 4) -> without alpha, or alpha alone, (height, width, 1), if that is
    the mask.
    """
    if pixels.shape[2] == 3:
        return pixels
    color, alpha = pixels[:, :, :-1], pixels[:, :, -1:]
    if (color == color[0, 0]).all() and (alpha != alpha[0, 0]).any():
        return alpha
    return np.where(alpha == 0, np.uint8(0), color)


def _without_grey_channels(pixels: ndarray, path: Path) -> ndarray:
    """(height, width, 1) or grey (height, width, 3) -> (height, width); floats -> integers."""
    if pixels.shape[2] == 3:
        first, second, third = (pixels[:, :, channel] for channel in range(3))
        if not (np.array_equal(first, second) and np.array_equal(second, third)):
            return _eight_bit(pixels, path)
    elif pixels.shape[2] != 1:
        raise DataError(
            f"{path} has {pixels.shape[2]} channels; a mask has one, or three for colours"
        )
    values = pixels[:, :, 0]
    return np.ascontiguousarray(_whole(values, path) if values.dtype.kind == "f" else values)


def _whole(values: ndarray, path: Path) -> ndarray:
    """Floats as integers; NO_DATA for what is no number, or a no-data value that is no integer."""
    nodata = nodata_number(path)
    if nodata is not None and (not nodata.is_integer() or abs(nodata) > _LARGEST):
        values = np.where(is_number(values, nodata), np.float32(np.nan), values)
    whole = np.where(np.isfinite(values), values, np.float32(NO_DATA))
    if not np.array_equal(np.rint(whole), whole):
        raise DataError(f"{path} holds fractions; a mask holds whole numbers or colours")
    return whole.astype(np.int64)


def _eight_bit(colors: ndarray, path: Path) -> ndarray:
    """Colours of a deeper file as uint8. Raises DataError where that would change any."""
    if colors.dtype == np.uint8:
        return colors
    for scale in (1, 257, 256):  # how 16 bits are made of 8
        shallow = np.nan_to_num(colors // scale).clip(0, 255).astype(np.uint8)
        if np.array_equal(shallow.astype(np.float64) * scale, colors):
            return shallow
    raise DataError(
        f"{path} holds colours that 8 bits per channel cannot tell apart; "
        "save the mask as PNG with a palette or with 8 bits per channel"
    )
