"""Small GeoTIFF scans for tests, and a predictor that answers with their channels."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from delineo.data.samples import Task
from delineo.data.sizing import Scale
from delineo.decision import Decision
from delineo.tiles import Footprint, Plan

PLACE = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}
PLAN = Plan(side=96, halo=0, step=64, scale=1.0)
CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "car"),
    "multilabel": ("hole", "crack"),
}


class Channels:
    """Class k is as probable as its channel is bright; "fit" answers at the size it is given."""

    def __init__(self, task: Task = "binary", scale: Scale = 1.0, channels: int = 3) -> None:
        self.task, self.scale, self.channels = task, scale, channels
        self.classes, self.image_size = CLASSES[task], (20, 30)
        self.decision = Decision.default(task, self.classes)
        self.calls = 0

    def footprint(self) -> Footprint:
        return Footprint(reach=0, values=1)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.moveaxis(image[:, :, : len(self.classes)], 2, 0).astype(np.float32) / 255

    def __call__(self, image: np.ndarray) -> np.ndarray:
        from delineo.decision import decide

        return decide(self.probabilities(image), self.decision)


def picture(height: int, width: int, bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, bands)).astype(dtype)


def save(path: Path, image: np.ndarray, **options: Any) -> Path:
    """As GeoTIFF of 16 x 16 blocks."""
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, **PLACE, **options}
    layout = {"height": image.shape[0], "width": image.shape[1], "count": image.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=image.dtype, **layout, **options) as file:
        file.write(np.moveaxis(image, 2, 0))
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def expected(image: np.ndarray, task: Task = "binary") -> np.ndarray:
    return Channels(task)(image)


class Killed(BaseException):
    pass
