"""What some training images are like: sizes, values, and how much detail masks have."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from .data.dataset import read_pair
from .data.samples import IGNORE_INDEX, DataFolder
from .data.scaling import resize_mask, size_of
from .data.sizing import scaled_size

PROBE_IMAGES = 24


@dataclass(frozen=True)
class Probe:
    """What some training images are like."""

    sizes: tuple[tuple[int, int], ...]
    """(height, width) of each."""
    mean: tuple[float, ...]
    """Of each channel, in the files' units."""
    std: tuple[float, ...]
    eight_bit: bool
    masks: tuple[np.ndarray, ...]
    read_seconds: float
    """What reading one image and its mask takes."""


def take_probe(folder: DataFolder) -> Probe:
    """Read some training images, evenly spread over the training part."""
    samples = folder.part("train")
    places = np.linspace(0, len(samples) - 1, min(PROBE_IMAGES, len(samples)))
    chosen = [samples[place] for place in places.round().astype(int)]
    started = time.perf_counter()
    pairs = [read_pair(folder, sample) for sample in chosen]
    read_seconds = (time.perf_counter() - started) / len(pairs)
    values = np.concatenate([_some_pixels(image) for image, _ in pairs]).astype(np.float64)
    return Probe(
        sizes=tuple(size_of(mask) for _, mask in pairs),
        mean=tuple(values.mean(0).tolist()),
        std=tuple(values.std(0).clip(min=1e-6).tolist()),
        eight_bit=all(image.dtype == np.uint8 for image, _ in pairs),
        masks=tuple(mask for _, mask in pairs),
        read_seconds=read_seconds,
    )


def _some_pixels(image: np.ndarray) -> np.ndarray:
    pixels = image.reshape(-1, image.shape[2])
    return pixels[:: 1 + len(pixels) // 50_000]


def detail_kept(probe: Probe, image_size: tuple[int, int], scale: str | float) -> float:
    """IoU of the masks with themselves after scaling down and up again, 0 to 1.

    The mean over images of each class, then over classes: one that is rare and small counts as
    much as one that is everywhere.
    """
    scores: dict[int, list[float]] = {}
    for mask in probe.masks:
        size = scaled_size(size_of(mask), image_size, scale)
        tensor = torch.from_numpy(mask)
        again = resize_mask(resize_mask(tensor, size), size_of(mask)).numpy()
        for index, iou in _ious(mask, again).items():
            scores.setdefault(index, []).append(iou)
    return float(np.mean([np.mean(each) for each in scores.values()])) if scores else 1.0


def _ious(mask: np.ndarray, again: np.ndarray) -> dict[int, float]:
    """IoU of each class that is present (binary: of the foreground)."""
    if mask.ndim == 3:
        layers = {index: (mask[index] == 1, again[index] == 1) for index in range(len(mask))}
    else:
        present = [int(value) for value in np.unique(mask) if value != IGNORE_INDEX]
        values = [1] if present in ([0, 1], [0], [1]) else present
        layers = {value: (mask == value, again == value) for value in values}
    return {
        index: float((before & after).sum() / (before | after).sum())
        for index, (before, after) in layers.items()
        if before.any()
    }
