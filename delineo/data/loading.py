"""Batches of training windows, made ahead by loader processes."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import DelineoError
from .dataset import Batch, BatchOrder, TrainingWindows
from .randomness import derive_seed

SHARED_MEMORY = Path("/dev/shm")
"""Through which batches come; containers often allow 64 MB of it."""
AHEAD = 3  # batches that a process may have under way: two waiting, one that is made


def training_batches(windows: TrainingWindows, order: BatchOrder, workers: int) -> Iterator[Batch]:
    """Endless, over `order`; the same batches with any number of loader processes.

    Raises what a sample raises where it is read, DataError for one.
    """
    loader = DataLoader(
        _Told(windows),
        batch_sampler=order,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_prepare_process,
        generator=torch.Generator().manual_seed(derive_seed(order.seed, "workers")),
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, DelineoError):
            raise batch
        yield batch


class _Told(Dataset):
    """Windows, or why there is none: an error that is raised in a loader process comes with a
    traceback for its message.
    """

    def __init__(self, windows: TrainingWindows) -> None:
        self.windows = windows

    def __getitem__(self, item: tuple[int, int]) -> Batch | DelineoError:
        try:
            return self.windows[item]
        except DelineoError as error:
            return error


def collate(samples: list[Batch | DelineoError]) -> Batch | DelineoError:
    """Samples stacked along a new first axis, or the first of them that went wrong."""
    for sample in samples:
        if isinstance(sample, DelineoError):
            return sample
    return Batch(*(torch.stack(column) for column in zip(*samples, strict=True)))


def _prepare_process(_: int) -> None:
    # with a thread per core it would fight the training for every core
    torch.set_num_threads(1)
    # terminals and schedulers tell all processes, and the training wants to end its step first
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def processes_with_room(wanted: int, batch_bytes: int) -> int:
    """As many loader processes as the shared memory has room for, `wanted` at most."""
    if not SHARED_MEMORY.is_dir():
        return wanted
    return min(wanted, shutil.disk_usage(SHARED_MEMORY).free // (AHEAD * batch_bytes))
