"""Validation images whose logits the image itself holds, and what tuning makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from delineo.choosing import Scoring
from delineo.data.samples import DataFolder, Encoding, MaskFile, MaskLayers, Sample, Task
from delineo.decision import Decision
from delineo.prediction import Predictor
from delineo.progress import NoProgress
from delineo.recipe import Recipe
from delineo.trials import ValidationImages
from delineo.tuning import Tuning, fit

SIDE = 32
CLASSES = {"binary": ("disc",), "multilabel": ("a", "b"), "multiclass": ("a", "b", "c")}


class FirstChannels(nn.Module):
    """Logits that the image holds itself: channel k, in 32nds, from 128 at 0."""

    def __init__(self, outputs: int, factor: float = 1.0) -> None:
        super().__init__()
        self.outputs, self.factor = outputs, nn.Parameter(torch.tensor(factor))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, : self.outputs] * self.factor


def predictor_of(folder: DataFolder, factor: float = 1.0) -> Predictor:
    outputs = 1 if folder.task == "binary" else len(folder.classes)
    data = {"image_size": [SIDE, SIDE], "scale": 1.0, "mean": [128.0] * 3, "std": [32.0] * 3}
    recipe = Recipe.parse({"data": data, "precision": "fp32"})
    default = Decision.default(folder.task, folder.classes)
    return Predictor(FirstChannels(outputs, factor).eval(), recipe, folder, default)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_folder(
    root: Path, task: Task, logits: list[np.ndarray], masks: list[np.ndarray]
) -> DataFolder:
    """Images of logits (channels, height, width); masks as in memory, multi-label 0/1 layers."""
    samples = []
    for number, (values, mask) in enumerate(zip(logits, masks, strict=True)):
        pixels = np.zeros((*values.shape[1:], 3), np.uint8)
        pixels[..., : len(values)] = (values * 32 + 128).round().clip(0, 255).transpose(1, 2, 0)
        image = write(root / f"images/{number}.png", pixels)
        if task == "multilabel":
            layers = [
                write(root / f"masks/{number}-{k}.png", layer) for k, layer in enumerate(mask)
            ]
            source: Any = MaskLayers(tuple(layers))
        else:
            source = MaskFile(write(root / f"masks/{number}.png", mask))
        samples.append(Sample(str(number), image, source))
    values = {value: value for value in (*range(len(CLASSES[task]) + 1), 255)}
    ids = tuple(sample.id for sample in samples)
    return DataFolder(
        root, "test", task, CLASSES[task], 3, Encoding(values), tuple(samples), {"val": ids}
    )


def discs(number: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy logits around +-1 and the discs they come from."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = []
    for _ in range(number):
        row, column = random.uniform(8, SIDE - 8, 2)
        masks.append(((rows - row) ** 2 + (columns - column) ** 2 < 36).astype(np.uint8))
    logits = [2.0 * mask[None] - 1 + random.normal(0, 0.3, (1, SIDE, SIDE)) for mask in masks]
    return logits, masks


def tuned(folder: DataFolder, score: str = "per_image.mean_iou", factor: float = 1.0) -> Tuning:
    images = ValidationImages(predictor_of(folder, factor), folder, memory=10**8)
    return fit(images, Scoring(score, folder.task), NoProgress())
