"""Pictures people look at: masks and errors painted over the image, as embeddable data."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from ..data.declared import BACKGROUND_NAMES, VOID_NAMES
from ..data.palette import Color, class_color
from ..data.samples import IGNORE_INDEX, Task

LONGEST_SIDE = 480
"""Pixels of the longer side of a picture in the page."""

# From Wong 2011 (doi:10.1038/nmeth.1618): told apart with every kind of colour vision.
CORRECT: Color = (86, 180, 233)
EXTRA: Color = (213, 94, 0)
MISSED: Color = (240, 228, 66)
CONFUSED: Color = (255, 255, 255)
UNSCORED: Color = (110, 110, 118)
BACKGROUND: Color = (140, 140, 148)

_PAINT_OPACITY = 0.6
_DIMMED = 0.55  # of the image's brightness remain below errors, so that white stands out


def background_index(task: Task, classes: Sequence[str]) -> int | None:
    """The class of a multi-class task that means "nothing here"; it is left unpainted."""
    if task != "multiclass":
        return None
    names = (*BACKGROUND_NAMES, *VOID_NAMES)
    return next((i for i, name in enumerate(classes) if name.lower() in names), None)


def class_colors(
    task: Task, classes: Sequence[str], own: Sequence[Sequence[int]] = ()
) -> list[Color]:
    """A colour for each class: the data set's own (red, green, blue, class index) if it has any.

    Else the colours of predicted masks, but background grey, since black says nothing here.
    """
    number, background = len(classes), background_index(task, classes)
    first = 0 if task == "multiclass" else 1
    colors = {index: class_color(index + first or number) for index in range(number)}
    for red, green, blue, index in reversed(own):
        colors[index] = (red, green, blue)
    if background is not None:
        colors[background] = BACKGROUND
    return [colors[index] for index in range(number)]


def error_legend(task: Task, classes: Sequence[str], ignored: bool) -> list[tuple[Color, str, str]]:
    """(colour, name, meaning) of what can occur in error pictures of a task."""
    found = (CORRECT, "found", "true and predicted")
    objects = [
        (EXTRA, "added", "predicted, but not true: false positive"),
        (MISSED, "missed", "true, but not predicted: false negative"),
    ]
    confused = (CONFUSED, "confused", "taken for another class")
    unscored = (UNSCORED, "not scored", "marked to be ignored")
    without_background = task == "multiclass" and background_index(task, classes) is None
    return [
        found,
        *([] if without_background else objects),
        *([] if task == "binary" else [confused]),
        *([unscored] if ignored else []),
    ]


def css(color: Color) -> str:
    return f"rgb({color[0]} {color[1]} {color[2]})"


def class_planes(
    mask: UInt8[np.ndarray, "*planes height width"], task: Task, num_classes: int
) -> Bool[np.ndarray, "classes height width"]:
    """Where each class is; ignored pixels are in none."""
    if task == "multilabel":
        return mask == 1
    if task == "binary":
        return (mask == 1)[None]
    return mask == np.arange(num_classes, dtype=np.uint8)[:, None, None]


def painted(
    picture: UInt8[np.ndarray, "height width 3"],
    planes: Bool[np.ndarray, "classes height width"],
    colors: Sequence[Color],
    background: int | None,
    ignored: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with every class but the background in its colour, later ones on top."""
    result = picture.astype(np.float32)
    for index, (plane, color) in enumerate(zip(planes, colors, strict=True)):
        if index != background:
            _blend(result, plane, color, _PAINT_OPACITY)
    _blend(result, ignored, UNSCORED, 0.8)
    return result.astype(np.uint8)


def painted_errors(
    picture: UInt8[np.ndarray, "height width 3"],
    truth: Bool[np.ndarray, "classes height width"],
    prediction: Bool[np.ndarray, "classes height width"],
    background: int | None,
    ignored: Bool[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The dimmed picture with pixels found, added, missed and taken for another class."""
    objects = [index for index in range(len(truth)) if index != background]
    wanted, found = truth[objects] & ~ignored, prediction[objects] & ~ignored
    extra, missed = (found & ~wanted).any(0), (wanted & ~found).any(0)
    correct = (found & wanted).any(0) & ~extra & ~missed
    result = picture * _DIMMED
    _blend(result, correct, CORRECT, 0.45)
    _blend(result, extra & ~missed, EXTRA, 0.9)
    _blend(result, missed & ~extra, MISSED, 0.9)
    _blend(result, extra & missed, CONFUSED, 0.9)
    _blend(result, ignored, UNSCORED, 0.8)
    return result.astype(np.uint8)


def ignored_pixels(
    mask: UInt8[np.ndarray, "*planes height width"],
) -> Bool[np.ndarray, "height width"]:
    """Pixels that are not scored for any class."""
    planes = mask if mask.ndim == 3 else mask[None]
    return (planes == IGNORE_INDEX).all(0)


def data_uri(picture: UInt8[np.ndarray, "height width 3"]) -> str:
    """The picture, at most LONGEST_SIDE pixels on its longer side, as a WebP data URI."""
    image = Image.fromarray(picture)
    # Scaled after painting, so that lines thinner than a pixel fade instead of vanishing.
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=84, use_sharp_yuv=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _blend(picture: np.ndarray, where: Any, color: Color, opacity: float) -> None:
    """Mix a colour into the pixels of a float picture where a (height, width) mask is true."""
    picture[where] = picture[where] * (1 - opacity) + np.array(color) * opacity
