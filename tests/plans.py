"""Folders and machines that plans are made for, and what a plan takes on them."""

from pathlib import Path

import numpy as np
from PIL import Image

from delineo.data.samples import DataFolder, Encoding, MaskFile, MaskLayers, Sample, Task
from delineo.data.sizing import scaled_size
from delineo.planning import Timer, Timing, plan
from delineo.recipe import Recipe

PIXEL = 2e-7  # seconds of training per pixel: 13 ms for a window of 256 x 256
CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "car"),
    "multilabel": ("hole", "crack"),
}


def blob(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return ((rows / height - 0.5) ** 2 + (columns / width - 0.5) ** 2 < 0.1).astype(np.uint8)


def folder_of(
    root: Path,
    mask: np.ndarray,
    image: np.ndarray | None = None,
    task: Task = "binary",
    train: int = 100,
    val: int = 20,
) -> DataFolder:
    """One image and its mask, many times over."""
    root.mkdir(exist_ok=True)
    if image is None:
        image = np.random.default_rng(0).integers(0, 256, (*mask.shape, 3), np.uint8)
    Image.fromarray(image).save(root / "image.png", compress_level=0)
    Image.fromarray(mask).save(root / "mask.png")
    path = root / "mask.png"
    source = MaskLayers((path, path)) if task == "multilabel" else MaskFile(path)
    samples = tuple(Sample(str(i), root / "image.png", source) for i in range(train + val))
    ids = tuple(sample.id for sample in samples)
    channels = image.shape[2] if image.ndim == 3 else 1
    return DataFolder(
        root, "test", task, CLASSES[task], channels, Encoding(values={0: 0, 1: 1, 2: 2}),
        samples, {"train": ids[:train], "val": ids[train:]},
    )  # fmt: skip


def timer(pixel: float = PIXEL, validation: float = 0.2) -> Timer:
    """A machine that takes so long per trained pixel; a validated one costs a share of it."""

    def time(recipe: Recipe, folder: DataFolder) -> Timing:
        assert recipe.batch_size
        return Timing(pixel * area(recipe), validation * pixel * view_area(recipe, folder))

    return time


def shares_of(folder: DataFolder) -> tuple[float, ...]:
    """As if every class covered as many pixels as any other."""
    return (1 / len(folder.classes),) * len(folder.classes)


def never(recipe: Recipe, folder: DataFolder) -> Timing:
    raise AssertionError("without a budget nothing is timed")


def planned(
    folder: DataFolder, seconds: float | None = None, pixel: float = PIXEL, *overrides: str
) -> Recipe:
    recipe = Recipe.parse({}, overrides=overrides)
    clock = never if seconds is None else timer(pixel)
    return plan(recipe, folder, shares_of(folder), clock, seconds)


def area(recipe: Recipe) -> int:
    assert recipe.data.image_size
    return recipe.data.image_size[0] * recipe.data.image_size[1]


def view_area(recipe: Recipe, folder: DataFolder) -> int:
    """Pixels that the network sees of an image in validation."""
    assert recipe.data.image_size and recipe.data.scale
    with Image.open(folder.samples[0].image) as image:
        size = image.height, image.width
    height, width = scaled_size(size, recipe.data.image_size, recipe.data.scale)
    return height * width


def duration(recipe: Recipe, folder: DataFolder, pixel: float = PIXEL) -> float:
    """What the plan takes by the timer's word."""
    assert recipe.batch_size and recipe.epochs
    images = recipe.epochs * len(folder.part("val"))
    windows = recipe.total_steps() * recipe.batch_size
    return pixel * (windows * area(recipe) + 0.2 * images * view_area(recipe, folder))


def assert_complete(recipe: Recipe) -> None:
    data = recipe.data
    assert data.image_size and data.scale and data.mean and data.std
    assert recipe.epochs and recipe.epoch_size and recipe.batch_size
    assert recipe.monitor != "auto"
    Recipe.parse(recipe.model_dump(mode="json"))  # valid, as it will be read from the run


def thin(root: Path) -> DataFolder:
    """Lines of two pixels in 600 x 800, which would be lost at 288 x 384."""
    mask = np.zeros((600, 800), np.uint8)
    for start in range(50, 550, 99):
        mask[start : start + 2, 25:750] = 1
    return folder_of(root, mask)
