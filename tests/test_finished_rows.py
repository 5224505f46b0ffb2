"""Scans killed, damaged or on a full disk: finished rows go on, and no half mask is left."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from geotiffs import PLAN, Channels, Killed, expected, picture, read, save

from delineo import finished_rows, scans
from delineo.data.sizing import Scale
from delineo.errors import DataError
from delineo.scans import predict_scan


@pytest.mark.usefixtures("in_windows")
@pytest.mark.parametrize("scale", [1.0, "fit"])
def test_what_was_killed_goes_on_to_the_same_file(
    tmp_path: Path, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = save(tmp_path / "scan.tif", picture(300, 150)), tmp_path / "mask.tif"
    whole = Channels(scale=scale)
    predict_scan(whole, path, [target])
    first = target.read_bytes()
    target.unlink()
    real, count = finished_rows.write_atomically, 0

    def killing(file: Path, data: bytes | str) -> None:
        nonlocal count
        count += 1
        if count == 6:
            raise Killed
        real(file, data)

    monkeypatch.setattr(finished_rows, "write_atomically", killing)
    with pytest.raises(Killed):
        predict_scan(Channels(scale=scale), path, [target])
    assert not target.exists()
    # whatever memory there is now, the windows stay as they are
    monkeypatch.setattr(
        finished_rows, "plan_windows", lambda *_: PLAN.model_copy(update={"side": 128})
    )
    again = Channels(scale=scale)
    predict_scan(again, path, [target])
    assert target.read_bytes() == first
    assert again.calls < whole.calls or scale == "fit"
    assert {file.name for file in tmp_path.iterdir()} == {"scan.tif", "mask.tif"}


KILLED = """
import os, signal, sys
from pathlib import Path
from geotiffs import PLAN, Channels
from delineo import finished_rows, scans

class Mortal(Channels):
    def probabilities(self, image):
        if self.calls == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().probabilities(image)

scans.LARGEST_IMAGE, finished_rows.plan_windows = 0, lambda *_: PLAN
finished_rows.ENLARGED_SIDE = 64
scans.predict_scan(Mortal(), Path("scan.tif"), [Path("mask.tif")])
"""


@pytest.mark.usefixtures("in_windows")
def test_a_process_that_was_killed_leaves_rows_that_are_not_done_again(tmp_path: Path) -> None:
    path, target = save(tmp_path / "scan.tif", picture(300, 150)), tmp_path / "mask.tif"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", KILLED]
    killed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not target.exists()
    rest, whole = Channels(), Channels()
    predict_scan(rest, path, [target])
    predict_scan(whole, path, [tmp_path / "whole.tif"])
    assert 0 < whole.calls - rest.calls <= 8
    assert target.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"scan.tif", "mask.tif", "whole.tif"}


@pytest.mark.usefixtures("in_windows")
def test_another_decision_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(200, 70)
    path, target = save(tmp_path / "scan.tif", image), tmp_path / "mask.tif"
    real = scans.write_rasters
    monkeypatch.setattr(scans, "write_rasters", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        predict_scan(Channels(), path, [target])
    monkeypatch.setattr(scans, "write_rasters", real)
    other = Channels()
    other.decision = other.decision.model_copy(update={"thresholds": {"disc": 0.9}})
    predict_scan(other, path, [target])
    assert np.array_equal(read(target), other(image))


@pytest.mark.usefixtures("in_windows")
def test_a_damaged_block_leaves_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", picture(300, 64), compress="deflate")
    spoiled = bytearray(path.read_bytes())
    spoiled[-9000:-3000] = bytes(6000)
    path.write_bytes(spoiled)
    with pytest.raises(DataError, match=r"scan\.tif is damaged"):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])
    assert [file.name for file in tmp_path.iterdir()] == ["scan.tif"]


@pytest.mark.usefixtures("in_windows")
def test_a_full_disk_leaves_no_half_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = save(tmp_path / "scan.tif", picture(300, 64)), tmp_path / "mask.tif"
    real, count = finished_rows.write_atomically, 0

    def full(file: Path, data: bytes | str) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        real(file, data)

    monkeypatch.setattr(finished_rows, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        predict_scan(Channels(), path, [target])
    assert not target.exists()
    predict_scan(Channels(), path, [target])
    assert np.array_equal(read(target), expected(picture(300, 64)))
