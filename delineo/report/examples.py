"""The best, median and worst images of an evaluation, with mask, prediction and errors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.dataset import read_pair
from ..data.samples import DataFolder, Sample
from ..outputs import displayable
from .facts import Record, choose_examples
from .pictures import (
    Color,
    background_index,
    class_planes,
    data_uri,
    ignored_pixels,
    painted,
    painted_errors,
)

Predict = Callable[[np.ndarray], np.ndarray]
"""Image (height, width, channels) in the file's value range -> mask as a Predictor gives it."""


def examples(
    folder: DataFolder, evaluation: Record, predict: Predict, colors: list[Color]
) -> list[dict[str, Any]]:
    """Groups of pictures: {"title", "images": [{"id", "score", "pictures": [...]}]}."""
    ids, scores = evaluation["images"]["id"], evaluation["images"]["mean_iou"]
    samples = {sample.id: sample for sample in folder.samples}
    return [
        {
            "title": title,
            "images": [
                {"id": ids[index], "score": scores[index]}
                | _pictures(folder, samples[ids[index]], predict, colors)
                for index in chosen
                if ids[index] in samples
            ],
        }
        for title, chosen in choose_examples(scores).items()
    ]


def _pictures(
    folder: DataFolder, sample: Sample, predict: Predict, colors: list[Color]
) -> dict[str, Any]:
    """Size of the image and its four pictures as data URIs."""
    image, mask = read_pair(folder, sample)
    mask = _resized(mask, *image.shape[:2])
    prediction = predict(image)
    number = len(folder.classes)
    truth = class_planes(mask, folder.task, number)
    found = class_planes(prediction, folder.task, number)
    background = background_index(folder.task, folder.classes)
    ignored, picture = ignored_pixels(mask), displayable(image)
    height, width = picture.shape[:2]
    return {
        "height": height,
        "width": width,
        "ignored": bool(ignored.any()),
        "pictures": {
            "Image": data_uri(picture),
            "True mask": data_uri(painted(picture, truth, colors, background, ignored)),
            "Prediction": data_uri(
                painted(picture, found, colors, background, np.zeros_like(ignored))
            ),
            "Errors": data_uri(painted_errors(picture, truth, found, background, ignored)),
        },
    }


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask whose file has another size than the image, at the image's size."""
    rows = np.arange(height) * mask.shape[-2] // height
    columns = np.arange(width) * mask.shape[-1] // width
    return mask[..., rows[:, None], columns]
