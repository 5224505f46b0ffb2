"""What the probe sees of the training images, and how much detail their masks keep."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from plans import blob, folder_of

from delineo.data.samples import MaskFile, Sample
from delineo.probe import Probe, detail_kept, take_probe


def test_detail_that_is_kept_by_hand(tmp_path: Path) -> None:
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 1
    assert detail_kept(take_probe(folder_of(tmp_path / "half", half)), (32, 32), "fit") == 1
    line = np.zeros((64, 64), np.uint8)
    line[:, 20:21] = 1
    assert detail_kept(take_probe(folder_of(tmp_path / "line", line)), (16, 16), "fit") <= 0.5
    empty = np.zeros((64, 64), np.uint8)
    assert detail_kept(take_probe(folder_of(tmp_path / "none", empty)), (16, 16), "fit") == 1


def test_a_rare_small_layer_counts_as_much_as_a_common_large_one() -> None:
    large, small = np.zeros((2, 64, 64), np.uint8), np.zeros((2, 64, 64), np.uint8)
    large[0, :, 32:] = 1
    small[1, 20, 20] = 1
    probe = Probe(((64, 64),) * 4, (127.0,), (50.0,), True, (large, large, large, small), 0.0)
    assert detail_kept(probe, (32, 32), "fit") <= 0.5


def test_the_probe_sees_every_kind_of_image_and_no_other_part(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, blob(30, 40), train=100, val=5)
    (tmp_path / "broken.png").write_bytes(b"never read")
    broken = Sample("broken", tmp_path / "broken.png", MaskFile(tmp_path / "broken.png"))
    samples = (*folder.samples, broken)
    splits = {**folder.splits, "val": ("broken",), "test": ("broken",)}
    folder = replace(folder, samples=samples, splits=splits)
    assert len(take_probe(folder).sizes) == 24


def test_the_probe_reaches_to_the_end(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, blob(30, 40), train=40)
    Image.fromarray(blob(50, 60)).save(tmp_path / "last-mask.png")
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(tmp_path / "last.png")
    last = Sample("39", tmp_path / "last.png", MaskFile(tmp_path / "last-mask.png"))
    samples = tuple(last if sample.id == "39" else sample for sample in folder.samples)
    assert take_probe(replace(folder, samples=samples)).sizes[-1] == (50, 60)
