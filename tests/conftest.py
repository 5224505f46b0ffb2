"""What many tests need: one thread, repeatable properties, a small folder of shapes.

Delineo is imported inside fixtures: jaxtyping cannot check what is imported before it is set up.
"""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from grids import GRID
from PIL import Image

# Two default-threaded processes on two cores are several times slower than two pinned ones.
torch.set_num_threads(1)
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("suite")


def draw_disc(
    rng: np.random.Generator, height: int = 48, width: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """An RGB image of one bright disc on a noisy ground, and its mask of 0 and 255."""
    rows, columns = np.mgrid[:height, :width]
    row, column = rng.uniform(12, height - 12), rng.uniform(12, width - 12)
    disc = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(6, 11) ** 2
    image = rng.normal(90, 12, (height, width, 3)) + disc[..., None] * (70, 40, -30)
    return image.clip(0, 255).astype(np.uint8), disc.astype(np.uint8) * 255


@pytest.fixture(scope="session")
def make_shapes() -> Callable[..., Path]:
    """make_shapes(folder, count=24): `images/` and `masks/` of discs; returns the folder."""

    def make(folder: Path, count: int = 24, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        for index in range(count):
            image, mask = draw_disc(rng)
            Image.fromarray(image).save(folder / "images" / f"disc{index:02d}.png")
            Image.fromarray(mask).save(folder / "masks" / f"disc{index:02d}.png")
        return folder

    return make


@pytest.fixture
def shapes(tmp_path: Path, make_shapes: Callable[..., Path]) -> Path:
    """Forty-eight discs, enough for parts that are not small."""
    return make_shapes(tmp_path / "data", count=48)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """tree("images/a.jpg masks/a.png"): empty files; layouts look at names alone."""

    def make(files: str) -> Path:
        for name in files.split():
            path = tmp_path / name.replace("%", " ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


@pytest.fixture
def in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every TIFF with coordinates is too large to be read at once."""
    from geotiffs import PLAN

    from delineo import finished_rows, scans

    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    monkeypatch.setattr(finished_rows, "ENLARGED_SIDE", 64)


@pytest.fixture(scope="session")
def data(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve discs, which no test changes."""
    return make_shapes(tmp_path_factory.mktemp("data") / "discs", 12)


@pytest.fixture(scope="session")
def grid_recipe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a small grid over `data`."""
    path = tmp_path_factory.mktemp("recipes") / "grid.yaml"
    path.write_text(GRID.replace("data: {", f"data: {{path: {data}, "))
    return path


@pytest.fixture(scope="session")
def whole_grid(grid_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid that nothing interrupted, which no test changes."""
    from delineo.grid import compare_grid

    out = tmp_path_factory.mktemp("grids") / "whole"
    compare_grid(grid_recipe, out=out)
    return out
