"""Loader processes: what goes wrong in them is told as it is, and they fit into their memory."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from delineo.data import loading
from delineo.data.augmentation import AugmentationConfig
from delineo.data.check import open_folder
from delineo.data.dataset import BatchOrder, DataConfig, TrainingWindows
from delineo.data.loading import processes_with_room, training_batches
from delineo.errors import DataError


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_vanishes_is_named_in_a_sentence(
    make_shapes: Callable[..., Path], tmp_path: Path, workers: int
) -> None:
    folder = open_folder(make_shapes(tmp_path / "discs", 10))
    data = DataConfig(image_size=(32, 32), scale="fit")
    samples = folder.part("train")
    windows = TrainingWindows(folder, samples, data, AugmentationConfig(), 0, 0)
    for sample in samples:
        sample.image.unlink()
    with pytest.raises(DataError) as raised:
        next(training_batches(windows, BatchOrder(len(samples), 4, 0, 1), workers))
    assert "Traceback" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


class Disk(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "processes"), [(2**30, 8), (8 * 3000, 8), (64_000, 8),
                                                 (10_000, 3), (2_000, 0)])  # fmt: skip
def test_processes_fit_into_shared_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, processes: int
) -> None:
    monkeypatch.setattr(loading, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(loading.shutil, "disk_usage", lambda _: Disk(free))
    assert processes_with_room(8, batch_bytes=1000) == processes


def test_where_memory_is_shared_otherwise_all_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loading, "SHARED_MEMORY", tmp_path / "none")
    assert processes_with_room(8, batch_bytes=2**40) == 8
