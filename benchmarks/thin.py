"""A folder nobody has tuned on: thin cracks, about 1 % of the pixels, drawn on rough ground, of
four sizes. No configuration, budget=5m.

    python benchmarks/thin.py
"""

import tempfile
from pathlib import Path

import numpy as np
from common import record, train_and_test
from PIL import Image
from scipy.ndimage import gaussian_filter

IMAGES, SIZES = 60, ((480, 640), (512, 512), (640, 480), (600, 800))


def rough_ground(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Grey ground with structure at three scales, 0 to 255, (height, width)."""
    layers = [gaussian_filter(random.normal(0, 1, size), sigma) * sigma for sigma in (1, 6, 40)]
    return 130 + 22 * layers[0] + 14 * layers[1] + 18 * layers[2]


def crack(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """The pixels of one wandering line, 1 to 4 pixels wide: bool (height, width)."""
    mask = np.zeros(size, bool)
    position = random.uniform(0.1, 0.9, 2) * size
    angle, half_width = random.uniform(0, 2 * np.pi), random.uniform(0.5, 2)
    y, x = np.ogrid[-2:3, -2:3]
    for _ in range(int(random.uniform(300, 700))):
        angle += random.normal(0, 0.12)
        position += (np.sin(angle), np.cos(angle))
        row, column = (int(value) for value in position)
        if not (2 <= row < size[0] - 2 and 2 <= column < size[1] - 2):
            break
        mask[row - 2 : row + 3, column - 2 : column + 3] |= y**2 + x**2 <= half_width**2
    return mask


def write_folder(root: Path) -> Path:
    random = np.random.default_rng(7)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(IMAGES):
        size = SIZES[number % len(SIZES)]
        mask = np.logical_or.reduce([crack(random, size) for _ in range(random.integers(1, 4))])
        depth = gaussian_filter(mask.astype(float), 0.7) * random.uniform(45, 80)
        grey = (rough_ground(random, size) - depth).clip(0, 255).astype(np.uint8)
        Image.fromarray(grey).convert("RGB").save(root / "images" / f"{number:03d}.jpg", quality=92)
        Image.fromarray(mask.astype(np.uint8) * 255).save(root / "masks" / f"{number:03d}.png")
    return root


if __name__ == "__main__":
    folder = write_folder(Path(tempfile.mkdtemp()) / "cracks")
    record("folder-thin", train_and_test("folder-thin", folder, "budget=5m"))
