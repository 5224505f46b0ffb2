"""Mask pixels -> class indices, as the encoding of their folder says."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ..errors import DataError
from .facts import MaskFacts
from .jpeg_colors import NEAR, NEAR_SHARE, nearest_colors
from .mask_pixels import read_mask_pieces, read_mask_pixels
from .mask_values import Color, hexadecimal, shown
from .outlines import draw_mask
from .rasters import read_valid
from .rle import decode
from .samples import (
    IGNORE_INDEX,
    DataFolder,
    Encoding,
    MaskFile,
    MaskLayers,
    MaskOutlines,
    MaskPieces,
    MaskRuns,
    Sample,
)

_UNKNOWN = 254  # in lookup tables only; classes stop at 250


def read_mask(sample: Sample, folder: DataFolder, size: tuple[int, int]) -> ndarray:
    """The mask of a sample in memory, uint8: (height, width), multi-label (classes, height, width).

    `size` is (height, width) of the image: what run-length codes and absent layers are made at; a
    mask file keeps its own size. Raises DataError with the file or the id.
    """
    match sample.mask:
        case MaskFile(path):
            return _read_encoded([path], folder.encoding)
        case MaskPieces(paths):
            return _read_encoded(paths, folder.encoding)
        case MaskLayers(paths):
            layers = [
                np.zeros(size, np.uint8) if p is None else _read_encoded([p], folder.encoding)
                for p in paths
            ]
            if len({layer.shape for layer in layers}) > 1:
                sizes = ", ".join(sorted({f"{h} x {w}" for h, w in (la.shape for la in layers)}))
                raise DataError(f"{sample.id}: the masks of its classes differ in size: {sizes}")
            return np.stack(layers)
        case MaskRuns(runs):
            layers = _decoded(sample, runs, len(folder.classes), size)
            return layers[0] if folder.task == "binary" else layers
        case MaskOutlines(source=source):
            try:
                return draw_mask(sample.mask, folder.task, folder.classes, size)
            except DataError as error:
                raise DataError(f"{source}: {error}") from None


def read_sample(sample: Sample, folder: DataFolder) -> tuple[ndarray, ndarray]:
    """The image (height, width, channels) of a sample as it is, and its mask, to be ignored where
    the image holds no data. Raises DataError as `read_valid` and `read_mask`.
    """
    image, valid = read_valid(sample.image)
    mask = read_mask(sample, folder, (image.shape[0], image.shape[1]))
    if valid.all() or valid.shape != mask.shape[-2:]:
        return image, mask
    return image, np.where(valid, mask, np.uint8(IGNORE_INDEX))


def _read_encoded(paths: Sequence[Path], encoding: Encoding) -> ndarray:
    try:
        joined = read_mask_pieces(paths) if len(paths) > 1 else read_mask_pixels(paths[0])
        return encode_mask(joined, encoding)
    except DataError as error:
        if any(str(path) in str(error) for path in paths):
            raise
        raise DataError(f"{paths[0]}: {error}") from None


def _decoded(
    sample: Sample, runs: tuple[tuple[int, str], ...], count: int, size: tuple[int, int]
) -> ndarray:
    layers = np.zeros((count, *size), np.uint8)
    for index, text in runs:
        try:
            layers[index] |= decode(text, *size)
        except DataError as error:
            raise DataError(f"{sample.id}: {error}") from None
    return layers


def encode_mask(pixels: ndarray, encoding: Encoding) -> ndarray:
    """Raw pixels, (height, width) or (height, width, 3), -> (height, width) uint8 classes.

    Raises DataError for values and colours that the encoding does not name.
    """
    if encoding.nearest:
        return _encode_nearest(pixels, encoding)
    if pixels.ndim == 3:
        return _encode_colors(pixels, encoding)
    if encoding.threshold is not None:
        return (pixels > encoding.threshold).astype(np.uint8)
    values = encoding.values or _grey_values(encoding)
    if pixels.dtype not in (np.uint8, np.uint16):
        found, places = np.unique(pixels, return_inverse=True)
        encoded = _looked_up(found, values)
        return encoded[places].reshape(pixels.shape)
    table = np.full(np.iinfo(pixels.dtype).max + 1, _UNKNOWN, np.uint8)
    inside = [value for value in values if 0 <= value < len(table)]
    table[inside] = [values[value] for value in inside]
    encoded = table[pixels]
    if (encoded == _UNKNOWN).any():
        raise DataError(_not_known(np.unique(pixels[encoded == _UNKNOWN]).tolist(), values))
    return encoded


def _grey_values(encoding: Encoding) -> dict[int, int]:
    """What a grey mask means among colour masks."""
    return {c[0]: index for c, index in encoding.colors.items() if c[0] == c[1] == c[2]}


def _looked_up(found: ndarray, values: Mapping[int, int]) -> ndarray:
    unknown = [value for value in found.tolist() if value not in values]
    if unknown:
        raise DataError(_not_known(unknown, values))
    return np.array([values[value] for value in found.tolist()], np.uint8)


def _not_known(unknown: list[int], values: Mapping[int, int]) -> str:
    return (
        f"the mask holds {shown(unknown)}, known are {shown(sorted(values))}; "
        "correct the mask, or name the values in dataset.yaml"
    )


def _encode_colors(pixels: ndarray, encoding: Encoding) -> ndarray:
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colors = sorted(encoding.colors)
    known = np.array([c[0] << 16 | c[1] << 8 | c[2] for c in colors] or [-1], np.int32)
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    wrong = known[places] != codes
    if wrong.any():
        found = np.unique(pixels[wrong], axis=0)[:5].tolist()
        listed = ", ".join(hexadecimal((r, g, b)) for r, g, b in found)
        raise DataError(
            f"the mask holds the colours {listed}, which mean no class; "
            "correct the mask, or name them under colors in dataset.yaml"
        )
    return np.array([encoding.colors[c] for c in colors], np.uint8)[places]


def _encode_nearest(pixels: ndarray, encoding: Encoding) -> ndarray:
    colors = pixels if pixels.ndim == 3 else pixels[:, :, None].repeat(3, 2)
    found, places = np.unique(colors.reshape(-1, 3), axis=0, return_inverse=True)
    return nearest_classes(found, encoding)[places].reshape(pixels.shape[:2])


def nearest_classes(colors: ndarray, encoding: Encoding) -> ndarray:
    """(colors, 3) -> (colors,) uint8, the class index of the nearest colour of the encoding."""
    places, _ = nearest_colors(colors, list(encoding.colors))
    return np.array(list(encoding.colors.values()), np.uint8)[places]


def unknown_values(mask: MaskFacts, encoding: Encoding) -> tuple[int | Color, ...]:
    """Values or colours of a mask that the encoding has no class for, most pixels first."""
    if encoding.threshold is not None or mask.path is None:
        return tuple(mask.colors)
    if encoding.nearest and mask.lossy:
        return _too_far(mask, encoding)
    if mask.colors:
        return _left_over(mask.colors, encoding.colors)
    return _left_over(mask.values, encoding.values or _grey_values(encoding))


def _too_far(mask: MaskFacts, encoding: Encoding) -> tuple[Any, ...]:
    """Colours that are near to no class, if they are more than edges leave in a JPEG."""
    colors = colors_of(mask)
    _, distances = nearest_colors(np.array(list(colors)), list(encoding.colors))
    far = {color: n for (color, n), d in zip(colors.items(), distances, strict=True) if d > NEAR}
    if sum(far.values()) <= (1 - NEAR_SHARE) * sum(colors.values()):
        return ()
    return _left_over(far if mask.colors else {color[0]: n for color, n in far.items()}, {})


def _left_over(pixels: Mapping[Any, int], known: Mapping[Any, int]) -> tuple[Any, ...]:
    left = [value for value in pixels if value not in known]
    return tuple(sorted(left, key=lambda value: -pixels[value]))


def colors_of(mask: MaskFacts) -> Mapping[Color, int]:
    """RGB -> pixels, of grey masks too."""
    return mask.colors or {(v, v, v): pixels for v, pixels in mask.values.items()}
