"""How fast this machine trains and validates a recipe: a few real steps, timed."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn

from .data.samples import DataFolder
from .data.scaling import normalize
from .decision import Decision
from .errors import ConfigError, TrainingError
from .losses import build_loss
from .planning import Timing
from .prediction import ModelFactory, Predictor, build_network
from .recipe import Recipe
from .validation import ValidationPart, look_at

WARM_UP, TIMED = 2, 4
VALIDATION_IMAGES = 3
SHORTAGE = re.compile("out of memory|allocate memory|ALLOC_FAILED")
"""What PyTorch, CUDA and its libraries say where memory runs out."""


def time_steps(
    recipe: Recipe, folder: DataFolder, fabric: Fabric, model: ModelFactory | None
) -> Timing:
    """Time training steps on noise and validation on a few images, with a network thrown away."""
    network = build_network(recipe.without_pretrained(), folder, model).to(fabric.device)
    predictor = Predictor(network, recipe, folder, Decision.default(folder.task, folder.classes))
    return Timing(
        train_window=_time_training(network, predictor, recipe, folder),
        validate_image=_time_validation(network.eval(), predictor, recipe, folder),
    )


def _time_training(
    network: nn.Module, predictor: Predictor, recipe: Recipe, folder: DataFolder
) -> float:
    """Seconds per window."""
    assert recipe.data.image_size and recipe.batch_size
    loss_function = build_loss(recipe.loss, folder.task)
    images = torch.rand(recipe.batch_size, folder.channels, *recipe.data.image_size)
    layers = (len(folder.classes),) if folder.task == "multilabel" else ()
    target = torch.zeros(recipe.batch_size, *layers, *recipe.data.image_size, dtype=torch.uint8)
    images = images.to(predictor.device, memory_format=torch.channels_last)
    target = target.to(predictor.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)

    def step() -> None:
        with predictor.autocast():
            logits = network(normalize(images, predictor.mean, predictor.std))
        loss_function(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad()

    network.train()
    with single_values_explained(recipe), memory_explained(recipe, "while timing steps"):
        return _least_seconds(step, WARM_UP, TIMED) / recipe.batch_size


@contextmanager
def single_values_explained(recipe: Recipe) -> Iterator[None]:
    """Turns what batch norm says of one value per channel into ConfigError."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        height, width = recipe.data.image_size or (0, 0)
        raise ConfigError(
            f"batch_size={recipe.batch_size} with windows of {height} x {width} leaves batch norm "
            "one value per channel to take the variance of; raise batch_size to 2 or more, or "
            "data.image_size"
        ) from error


@contextmanager
def memory_explained(recipe: Recipe, when: str) -> Iterator[None]:
    """Turns running out of memory into TrainingError that names the settings to lower."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not SHORTAGE.search(str(error)):
            raise
        raise TrainingError(
            f"memory ran out {when}; lower batch_size (now {recipe.batch_size}) or "
            f"data.image_size (now {list(recipe.data.image_size or ())})"
        ) from error


def _time_validation(
    network: nn.Module, predictor: Predictor, recipe: Recipe, folder: DataFolder
) -> float:
    """Seconds per image that is in memory already."""
    samples = folder.part("train")[:VALIDATION_IMAGES]
    part = ValidationPart(folder, samples, 2**30, recipe.pixels_per_step())
    loss_function = build_loss(recipe.loss, folder.task)

    def look() -> None:
        look_at(predictor, part, loss_function)

    return _least_seconds(look, 1, 2) / len(part.samples)


def _least_seconds(job: Callable[[], None], warm_up: int, timed: int) -> float:
    """What the quickest took: other work on the machine only adds, and may end soon."""
    seconds = []
    for _ in range(warm_up + timed):
        start = time.perf_counter()
        job()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[warm_up:])
