"""Folders of discs that tests spoil, and what the check finds in them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from delineo.data.check import Checkup
from delineo.data.findings import Finding


def image_file(root: Path, index: int) -> Path:
    return root / "images" / f"disc{index:02}.png"


def mask_file(root: Path, index: int) -> Path:
    return root / "masks" / f"disc{index:02}.png"


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    Image.fromarray(change(read(path))).save(path)


def rewrite_masks(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in (root / "masks").iterdir():
        rewrite(path, change)


def in_two_classes(mask: np.ndarray) -> np.ndarray:
    """0/255 -> 0 background, 1 the left of the disc, 2 its right."""
    inside = (mask > 0).astype(np.uint8)
    inside[:, 32:] *= 2
    return inside


def found(checkup: Checkup, code: str) -> Finding:
    """The one finding of a code."""
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def codes(checkup: Checkup, *severities: str) -> set[str]:
    return {finding.code for finding in checkup.findings if finding.severity in severities}


def write_splits(root: Path, **parts: range) -> None:
    named = {part: [f"disc{index:02}" for index in numbers] for part, numbers in parts.items()}
    (root / "splits.json").write_text(json.dumps(named))


def make_codes(root: Path, rows: list[str]) -> Path:
    (root / "train_images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(25):
        pixels = rng.integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(root / "train_images" / f"s{index:02}.jpg")
    (root / "train.csv").write_text("\n".join(["ImageId,ClassId,EncodedPixels", *rows]) + "\n")
    return root
