"""Small folders of masks for tests: bars of values or colours, scanned, inferred and read back."""

from pathlib import Path

import numpy as np
from PIL import Image

from delineo.data.encoding import read_mask
from delineo.data.facts import Facts
from delineo.data.inferred import Inferred, infer_encoding
from delineo.data.layouts import Layout, find_layout
from delineo.data.samples import DataFolder
from delineo.data.scan import scan

SIZE = (24, 32)


def save(root: Path, masks: dict[str, np.ndarray], suffix: str = ".png") -> Path:
    """images/ID.png and masks/ID.png for each mask; a name with / makes layers."""
    for name, pixels in masks.items():
        image, mask = root / f"images/{name.rpartition('/')[2]}.png", root / f"masks/{name}{suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(image)
        Image.fromarray(pixels).save(mask)
    return root


def blocks(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask of vertical bars; the first value has most pixels."""
    mask = np.full(SIZE, values[0], dtype)
    for index, value in enumerate(values[1:]):
        mask[:, 16 + index * 2 : 18 + index * 2] = value
    return mask


def look(root: Path) -> tuple[Layout, dict[str, Facts], Inferred, DataFolder]:
    layout = find_layout(root)
    facts = scan(layout)
    inferred = infer_encoding(layout, facts)
    task, classes, encoding, assumptions = inferred
    samples = layout.samples
    folder = DataFolder(root, "", task, classes, 3, encoding, samples, {}, assumptions)
    return layout, facts, inferred, folder


def read_all(folder: DataFolder) -> dict[str, np.ndarray]:
    return {sample.id: read_mask(sample, folder, SIZE) for sample in folder.samples}


RED, BLACK, BLUE = (200, 0, 0), (0, 0, 0), (0, 0, 90)


def paint(mask: np.ndarray, *colors: tuple[int, int, int]) -> np.ndarray:
    return np.array(colors, np.uint8)[mask]
