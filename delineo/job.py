"""Job: what a training works with, made of its recipe and data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from .data.dataset import (
    Batch,
    BatchOrder,
    TrainingWindows,
    class_presence,
    class_weights,
)
from .data.loading import SHARED_MEMORY, processes_with_room, training_batches
from .data.samples import DataFolder
from .decision import Decision
from .losses import LossFunction, build_loss
from .machine import cache_bytes, default_workers, describe_machine
from .optim import build_optimizer
from .pace import Pace
from .prediction import ModelFactory, Predictor, build_network
from .progress import Progress
from .recipe import Recipe
from .run import Run
from .state import State, average_of
from .validation import ValidationPart


@dataclass
class Job:
    """What stays the same during a training."""

    fabric: Fabric
    recipe: Recipe
    folder: DataFolder
    run: Run
    loss_function: LossFunction
    predictor: Predictor
    validation: ValidationPart
    batch_size: int
    pace: Pace
    progress: Progress
    started: float
    """Clock reading when this process began; State.seconds is what earlier ones took."""

    def say(self, text: str) -> None:
        """Tell the person who watches, and train.log."""
        self.progress.message(text)
        if self.fabric.is_global_zero:
            self.run.log(text)


def set_up(
    fabric: Fabric,
    recipe: Recipe,
    folder: DataFolder,
    run: Run,
    model: ModelFactory | None,
    progress: Progress,
    started: float,
) -> tuple[Job, State]:
    """Network, optimiser, loss and validation part, ready for the first step."""
    torch.manual_seed(recipe.seed)
    state = _first_state(fabric, recipe, build_network(recipe, folder, model))
    mine = folder.part("val")[fabric.global_rank :: fabric.world_size]
    job = Job(
        fabric=fabric,
        recipe=recipe,
        folder=folder,
        run=run,
        loss_function=build_loss(recipe.loss, folder.task),
        # what `tune` may have written since must not change how a resumed training goes on
        predictor=Predictor(
            state.average.module.eval(),
            recipe,
            folder,
            Decision.default(folder.task, folder.classes),
        ),
        validation=ValidationPart(folder, mine, cache_bytes(0.1), recipe.pixels_per_step()),
        batch_size=recipe.batch_size or 1,
        pace=Pace(),
        progress=progress,
        started=started,
    )
    if fabric.is_global_zero:
        run.write_environment(_environment(job))
    return job, state


def _first_state(fabric: Fabric, recipe: Recipe, network: nn.Module) -> State:
    optimizer = build_optimizer(network, recipe.optimizer)
    average = average_of(fabric.to_device(network), recipe.ema)
    wrapped, fabric_optimizer = fabric.setup(network, optimizer)
    return State(
        network=network,
        model=wrapped,
        average=average,
        optimizer=fabric_optimizer,
        total_steps=recipe.total_steps(),
        planned_steps=recipe.total_steps(),
        precision=fabric.strategy.precision,
    )


def _environment(job: Job) -> dict[str, Any]:
    return {
        **describe_machine(),
        "device": str(job.fabric.device),
        "processes": job.fabric.world_size,
        "precision": job.predictor.precision,
        "memory_format": "channels_last",
        "seed": job.recipe.seed,
    }


def make_batches(job: Job, state: State) -> Iterator[Batch]:
    """Training batches from the current step on, this process's share of each."""
    recipe, fabric = job.recipe, job.fabric
    samples = job.folder.part("train")
    workers = _workers(job) if recipe.data.workers is None else recipe.data.workers
    # each loader process of each training process keeps what it has read
    cache = cache_bytes(0.3) // (max(workers, 1) * fabric.world_size)
    windows = TrainingWindows(
        job.folder, samples, recipe.data, recipe.augmentation, recipe.seed, cache
    )
    order = BatchOrder(
        len(samples),
        job.batch_size,
        recipe.seed,
        state.step,
        class_weights(class_presence(job.folder, samples), recipe.data.rare_classes)
        if recipe.data.rare_classes
        else None,
        fabric.global_rank,
        fabric.world_size,
    )
    return training_batches(windows, order, workers)


def _workers(job: Job) -> int:
    """Loader processes, fewer where the memory that they share with the training is short."""
    wanted = default_workers()
    if wanted == 0:
        return 0
    size = job.recipe.data.image_size
    assert size is not None
    planes = len(job.folder.classes) if job.folder.task == "multilabel" else 1
    # all processes of a training share it, and together they take a batch; float32 at most
    batch_bytes = job.batch_size * size[0] * size[1] * (4 * job.folder.channels + planes)
    workers = processes_with_room(wanted, batch_bytes)
    if workers < wanted:
        job.say(
            f"{workers} loader processes instead of {wanted}: {SHARED_MEMORY} has no room for "
            "more; in a container, --shm-size=2g gives it some"
        )
    return workers
