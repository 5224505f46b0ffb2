"""Small annotated folders for tests: squares on noise, told by outlines."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from command import cli
from PIL import Image

SIDE = 32
TINY = ("epochs=1", "epoch_size=4", "batch_size=2", "data.image_size=[32,32]", "model.name=unet",
        "model.width=2", "model.depth=1")  # fmt: skip

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels."""


def save_image(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    """A grey noise image of `size` (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(noise).save(path)


def corners(box: Box) -> list[float]:
    """x, y of the four corners, flat."""
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def square(mask: np.ndarray, box: Box, value: int = 1) -> None:
    left, top, right, bottom = box
    mask[top:bottom, left:right] = value


def annotation(number: int, image: int, category: int, shape: Any, **more: Any) -> dict[str, Any]:
    given = {"id": number, "image_id": image, "category_id": category, "segmentation": shape}
    return {**given, "iscrowd": 0, **more}


def coco(
    images: list[str], categories: dict[int, str], annotations: list[dict[str, Any]]
) -> dict[str, Any]:
    """The content of a COCO file; images are numbered from 1."""
    listed = [
        {"id": number, "file_name": name, "width": SIDE, "height": SIDE}
        for number, name in enumerate(images, start=1)
    ]
    named = [{"id": key, "name": name} for key, name in categories.items()]
    return {"images": listed, "categories": named, "annotations": annotations}


def assert_commands_end_well(folder: Path, run: Path) -> None:
    """check, a short train and evaluate end well from the command line."""
    for arguments in (
        ["check", folder],
        ["train", folder, *TINY, "--out", run],
        ["evaluate", run],
    ):
        code, output, errors = cli(*arguments)
        assert code == 0, output + errors


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
