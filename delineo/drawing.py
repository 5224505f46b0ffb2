"""Masks drawn on images: all classes on one picture, or one row for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont

from .data.palette import Color, class_color

_PAPER: Color = (250, 250, 248)
_INK: Color = (32, 34, 38)
_PALE: Color = (120, 124, 130)
_FRAME: Color = (206, 208, 210)


def displayable(
    image: Shaped[np.ndarray, "height width channels"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Any image as RGB: its first three channels, stretched if not 8-bit."""
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (0.5, 99.5))
        image = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6) * 255, 0, 255)
    color = image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1].repeat(3, 2)
    return color.astype(np.uint8)


def draw_overlay(
    picture: UInt8[np.ndarray, "height width 3"],
    mask: UInt8[np.ndarray, "*planes height width"],
    opacity: float = 0.45,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with each class in its colour and an outline."""
    layers = mask if mask.ndim == 3 else [mask == value for value in np.unique(mask) if value]
    indices = range(1, len(mask) + 1) if mask.ndim == 3 else [v for v in np.unique(mask) if v]
    painted = picture.astype(np.float32)
    for index, layer in zip(indices, layers, strict=True):
        _paint(painted, np.asarray(layer, bool), class_color(int(index)), opacity)
    return painted.round().astype(np.uint8)


def _paint(
    picture: np.ndarray, inside: Bool[np.ndarray, "height width"], color: Color, opacity: float
) -> None:
    """Mix a colour into a region of a float picture, and draw the region's outline with it."""
    picture[inside] = (1 - opacity) * picture[inside] + opacity * np.array(color, np.float32)
    picture[outline(inside)] = color


def outline(inside: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The pixels of a region that touch its outside."""
    padded = np.pad(inside, 1, mode="edge")
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def draw_classes(
    picture: UInt8[np.ndarray, "height width 3"],
    layers: Sequence[Bool[np.ndarray, "height width"]],
    names: Sequence[str],
    opacity: float = 0.45,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The picture once per class, one below the other, each with a label and that class alone.

    `layers` and `names` begin with the class of colour index 1.
    """
    colors = [class_color(index + 1) for index in range(len(names))]
    height, width = picture.shape[:2]
    size = min(max(width // 60, 12), 28)
    shares = [_in_words(layer) for layer in layers]
    wide = max(_label_width(name, share, size) for name, share in zip(names, shares, strict=True))
    label, row = 2 * size, 2 * size + height + size // 2
    page = Image.new("RGB", (max(width, wide) + 2 * size, len(names) * row + size), _PAPER)
    for index, (layer, color) in enumerate(zip(layers, colors, strict=True)):
        top = index * row + size // 2
        _write_label(page, (size, top), color, names[index], shares[index], size)
        painted = picture.astype(np.float32)
        _paint(painted, layer, color, opacity)
        page.paste(Image.fromarray(painted.round().astype(np.uint8)), (size, top + label))
        frame = (size - 1, top + label - 1, size + width, top + label + height)
        ImageDraw.Draw(page).rectangle(frame, outline=_FRAME)
    return np.array(page)


def _in_words(layer: Bool[np.ndarray, "height width"]) -> str:
    """The share of the image that a class covers."""
    share = layer.mean()
    if share == 0:
        return "nothing found"
    return "less than 0.01 % of the image" if share < 1e-4 else f"{share:.2%} of the image"


def _label_width(name: str, share: str, size: int) -> int:
    """Pixels that `_write_label` takes: swatch, name, share."""
    return round(2.5 * size + _font(size).getlength(name) + _font(size).getlength(share))


def _write_label(
    page: Image.Image, at: tuple[int, int], color: Color, name: str, share: str, size: int
) -> None:
    """A swatch of the class's colour, its name, and paler the share, with the middle at 1 size."""
    left, middle = at[0], at[1] + size
    pen, half = ImageDraw.Draw(page), size // 2
    pen.rounded_rectangle((left, middle - half, left + 2 * half, middle + half), size // 5, color)
    name_left, font = left + round(1.5 * size), _font(size)
    pen.text((name_left, middle), name, _INK, font, anchor="lm")
    share_left = name_left + round(font.getlength(name) + size)
    pen.text((share_left, middle), share, _PALE, font, anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own, which has the letters of far more languages than Pillow's."""
    import matplotlib  # slow to import

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
