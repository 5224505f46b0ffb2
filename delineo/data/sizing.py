"""Channels and size of an image as a network sees it, and back, without PyTorch.

`scaling` does the same to tensors. Both shrink with antialiasing, and agree to one of 255 grey
levels; probabilities come back to the file's size alike to float rounding.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray
from PIL import Image

from ..errors import DataError, ShapeError

DEPTHS = {"uint8": "8-bit", "uint16": "16-bit"}
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode "L"

Scale = float | str
"""Pixels of the network's view per pixel of the file, or "fit": equal area to the image size.
Ensembles of both kinds have "mixed"."""


def check_image(image: ndarray) -> ndarray:
    """The image as (height, width, channels); one of (height, width) is taken as grey.

    Raises ShapeError where there are other axes, DataError where pixels are no finite numbers.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or 0 in image.shape:
        raise ShapeError(f"an image is (height, width, channels), got {image.shape}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise DataError("the image has NaN or infinite pixels; fill them with a number")
    return image


def match_channels(image: ndarray, channels: int) -> ndarray:
    """(height, width, any) -> (height, width, channels): grey to RGB, RGB to grey, RGBA to RGB."""
    have = image.shape[2]
    if have == channels:
        return image
    if have == 4 and channels in (1, 3):
        return match_channels(image[:, :, :3], channels)
    if have == 2 and channels == 1:
        return image[:, :, :1]
    if have == 1:
        return np.repeat(image, channels, axis=2)
    if have == 3 and channels == 1:
        grey = image.astype(np.float32) @ np.array(LUMINANCE, np.float32)
        whole = grey if image.dtype.kind == "f" else np.rint(grey)
        return whole.astype(image.dtype)[:, :, None]
    raise DataError(
        f"an image has {have} channels, the model takes {channels}; "
        "give images of the kind it was trained on"
    )


def refuse_bands(path: Path, have: int, wanted: int) -> None:
    """Raises DataError where an image file has bands that the model would not see.

    `have` is counted without alpha: a fourth band that is not marked as such is data, such as
    infrared.
    """
    if have == 1 or have == wanted or (have == 3 and wanted == 1):
        return
    raise DataError(
        f"{path} has {have} bands, the model takes {wanted}; give the bands it was trained "
        "on, or mark a band of transparency as such (gdal_translate -colorinterp_4 alpha)"
    )


def refuse_depth(image: ndarray, trained_on: Collection[str]) -> None:
    """Raises DataError for 8-bit pixels where a model knows 16-bit ones alone, and the reverse.

    `trained_on` names types of pixels; empty: not known. Floating-point pixels may have any range.
    """
    own, known = str(image.dtype), set(trained_on)
    if not known or own in known or not {own} | known <= DEPTHS.keys():
        return
    theirs = DEPTHS[known.pop()]
    raise DataError(
        f"an image has {DEPTHS[own]} pixels, the model was trained on {theirs} ones; convert it to "
        "their range"
    )


def scaled_size(
    size: tuple[int, int], image_size: tuple[int, int], scale: Scale
) -> tuple[int, int]:
    """Height and width at which the network looks at an image of `size` (height, width).

    "fit" keeps the image's aspect ratio and gives it the area of `image_size`.
    """
    height, width = size
    if scale == "fit":
        factor = (image_size[0] * image_size[1] / (height * width)) ** 0.5
        # the usual case, one size for all images, must hit image_size exactly
        near = (round(height * factor), round(width * factor))
        if abs(near[0] - image_size[0]) <= 8 and abs(near[1] - image_size[1]) <= 8:
            return image_size
        return max(1, near[0]), max(1, near[1])
    return max(1, round(height * float(scale))), max(1, round(width * float(scale)))


def rescaled(
    image_size: tuple[int, int], scale: Scale, factor: float
) -> tuple[tuple[int, int], Scale]:
    """Image size and scale of a network that sees everything `factor` times as large."""
    if scale != "fit":
        return image_size, float(scale) * factor
    height, width = image_size
    return (max(1, round(height * factor)), max(1, round(width * factor))), scale


def resize_pixels(
    image: Shaped[ndarray, "height width channels"], size: tuple[int, int]
) -> Shaped[ndarray, "new_height new_width channels"]:
    """uint8 or float32 pixels, bilinear with antialiasing; the dtype stays."""
    if image.shape[:2] == size:
        return image
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return _resized(image, size)
    return np.stack([_resized(plane, size) for plane in np.moveaxis(image, 2, 0)], axis=2)


def _resized(
    pixels: Shaped[ndarray, "height width *rgb"], size: tuple[int, int]
) -> Shaped[ndarray, "new_height new_width *rgb"]:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def resize_maps(
    maps: Float[ndarray, "classes height width"],
    size: tuple[int, int],
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Float[ndarray, "classes new_height new_width"]:
    """Bilinear, without antialiasing where it shrinks: a threshold follows, edges stay sharp.

    `rows` and `columns` are those of the new `size` that are wanted.
    """
    if maps.shape[1:] == size:
        return maps[:, rows, columns]
    above, below, share = _neighbours(maps.shape[1], size[0], rows)
    tall = maps[:, above] * (1 - share[:, None]) + maps[:, below] * share[:, None]
    left, right, share = _neighbours(maps.shape[2], size[1], columns)
    return tall[:, :, left] * (1 - share) + tall[:, :, right] * share


def _neighbours(have: int, wanted: int, part: slice) -> tuple[ndarray, ndarray, ndarray]:
    """The two old rows between which each new one lies, and how far it is towards the second."""
    centres = (np.arange(wanted)[part] + 0.5) * (have / wanted) - 0.5
    inside = centres.clip(0, have - 1)
    first = inside.astype(int)
    return first, np.minimum(first + 1, have - 1), (inside - first).astype(np.float32)


def pad_to_least(
    image: Shaped[ndarray, "height width channels"], least: int
) -> Shaped[ndarray, "padded_height padded_width channels"]:
    """Repeat the last row and column until both sides have `least` pixels."""
    height, width = image.shape[:2]
    missing = ((0, max(least - height, 0)), (0, max(least - width, 0)), (0, 0))
    return np.pad(image, missing, mode="edge") if missing[0][1] or missing[1][1] else image
