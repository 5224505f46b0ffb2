"""Exports of runs: predicted with and without PyTorch, certified, whole or nothing at all."""

import dataclasses
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command import cli
from PIL import Image
from torch import nn

import delineo
from delineo import certificate, export
from delineo.certificate import certify
from delineo.data.samples import DataFolder
from delineo.errors import DataError, DiskFullError, RunError
from delineo.export import _whole_or_not_at_all, export_run
from delineo.files import write_atomically
from delineo.forms import fresh_export
from delineo.prediction import Predictor
from delineo.run import Run
from delineo.runtime import ExportedPredictor, Format, read_record

TINY = (
    "model.name=unet", "model.width=4", "model.depth=2", "data.image_size=[32,32]",
    "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    return delineo.train(make_shapes(root / "data", 12), TINY, out=root / "run").path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the processes that measure."""
    cost = {"seconds_per_image": 0.1, "peak_memory_mb": 100.0, "precision": "fp32"}
    monkeypatch.setattr(certificate, "measure", lambda path, images: cost)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from delineo.cli import main
sys.argv = ["delineo", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("wanted", ["onnx", "openvino"])
def test_an_export_predicts_without_pytorch(trained: Path, wanted: Format, tmp_path: Path) -> None:
    code, _, errors = cli("export", trained, "--format", wanted, "--json", tmp_path / "found.json")
    assert code == 0, errors
    exported = trained / "exports" / wanted
    found = json.loads((exported / "certificate.json").read_text())
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert found["mask_agreement"] >= 0.999
    assert found["largest_probability_difference"] < 0.05
    assert abs(found["score"]["gain"]) < 0.01
    for cost in found["cost"].values():
        assert cost["seconds_per_image"] > 0
        assert cost["peak_memory_mb"] > 20
    assert found["cost"]["export"]["peak_memory_mb"] < found["cost"]["pytorch"]["peak_memory_mb"]
    image = trained.parent / "data/images/disc00.png"
    more = ["--format", "coco", "--format", "geojson", "--table", tmp_path / "areas.csv"]
    command = [
        sys.executable, "-c", WITHOUT_TORCH, "predict", exported, image,
        "--out", tmp_path / "masks", *more,
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "areas.csv").exists()
    mask = np.asarray(Image.open(tmp_path / "masks/disc00.png"))
    theirs = Predictor.load(trained)(np.asarray(Image.open(image)))
    assert mask.shape == theirs.shape
    assert np.mean(mask == theirs) >= 0.999


SIGNAL_AFTER_TWO = """
import signal, sys
from pathlib import Path
from delineo.runtime import ExportedPredictor
signal.signal(signal.SIGTERM, lambda *_: print("received"))
first, second = (ExportedPredictor.load(Path(sys.argv[1])) for _ in range(2))
del first
del second
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.usefixtures("quick")
def test_a_signal_after_openvino_harms_nobody(trained: Path, tmp_path: Path) -> None:
    assert cli("export", trained, "--format", "openvino", "--out", tmp_path / "out")[0] == 0
    command = [sys.executable, "-X", "faulthandler", "-c", SIGNAL_AFTER_TWO, tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "received\n")


@pytest.mark.usefixtures("quick")
def test_an_export_is_evaluated_without_pytorch(trained: Path, tmp_path: Path) -> None:
    assert cli("export", trained, "--format", "openvino", "--out", tmp_path / "out")[0] == 0
    arguments = ["evaluate", tmp_path / "out", "--data", trained.parent / "data"]
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments, "--json", tmp_path / "without.json"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert cli(*arguments, "--json", tmp_path / "with.json")[0] == 0
    without, usual = ((tmp_path / f"{how}.json").read_text() for how in ("without", "with"))
    assert json.loads(without) == json.loads(usual)


@pytest.mark.usefixtures("quick")
def test_an_export_is_evaluated_on_data(trained: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "elsewhere", trained.parent / "data"
    assert cli("export", trained, "--format", "torch", "--out", out)[0] == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "certificate.json", "export.json", "model.pt",
    ]  # fmt: skip
    code, _, errors = cli("evaluate", out)
    assert code == 2
    assert "--data" in errors
    for path, name in ((out, "export"), (trained, "run")):
        file = tmp_path / f"{name}.json"
        code, _, errors = cli("evaluate", path, "--data", data, "--split", "val", "--json", file)
        assert code == 0, errors
    export, run = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("export", "run"))
    assert export["per_image"]["iou"]["foreground"] == pytest.approx(
        run["per_image"]["iou"]["foreground"], abs=0.01
    )


@pytest.mark.usefixtures("quick")
def test_int8_loses_little_or_is_not_kept(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    out = tmp_path / "int8"
    code, _, errors = cli("export", trained, "--format", "openvino-int8", "--out", out)
    if code == 0:
        found = json.loads((out / "certificate.json").read_text())
        assert found["score"]["gain"] >= -0.005
        assert 'element_type="i8"' in (out / "model.xml").read_text()
    else:
        assert "falls by" in errors
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_an_export_is_replaced_and_other_folders_are_not(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        export_run(trained, "torch", out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/file.txt").write_text("mine")
    with pytest.raises(RunError, match="is no export; choose another --out"):
        export_run(trained, "torch", tmp_path / "notes")


def test_two_at_the_same_time_leave_one_whole_export(tmp_path: Path) -> None:
    """As two first predictions of one run may."""

    def write(name: str) -> None:
        for _ in range(30):
            with _whole_or_not_at_all(tmp_path / "out") as part:
                for file in ("a", "b"):
                    (part / file).write_text(name)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, name) for name in "xy"]:
            done.result()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    first, second = ((tmp_path / "out" / file).read_text() for file in ("a", "b"))
    assert first == second


@pytest.mark.usefixtures("quick")
def test_what_changes_during_an_export_makes_it_stale(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, load = shutil.copytree(trained, tmp_path / "run"), Predictor.load

    def load_and_tune(*arguments: Any, **options: Any) -> Predictor:
        loaded = load(*arguments, **options)
        tuned = loaded.decision.model_copy(update={"temperature": 2.0})
        (run / "decision.json").write_text(tuned.model_dump_json())
        return loaded

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "load", load_and_tune)
        export_run(run, "torch")
    assert read_record(run / "exports/torch").decision.temperature == 1
    assert fresh_export(run, "torch") is None


def test_a_full_disk_leaves_the_earlier_export(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/export.json").touch()

    def write(path: Path, data: bytes | str) -> None:
        if path.name == "model.pt":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_atomically(path, data)

    monkeypatch.setattr(export, "write_atomically", write)
    with pytest.raises(DiskFullError, match="the disk is full, and nothing was exported"):
        export_run(trained, "torch", tmp_path / "out")
    assert [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*")] == [
        "out", "out/export.json",
    ]  # fmt: skip


def test_what_cannot_be_written_for_want_of_room_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(DiskFullError), _whole_or_not_at_all(tmp_path / "out"):
        raise RuntimeError("Can't open bin file.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_where_masks_differ_nothing_is_kept(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export_run(trained, "torch", out)
    before = (out / "certificate.json").read_bytes()
    right = ExportedPredictor.probabilities
    monkeypatch.setattr(
        ExportedPredictor, "probabilities", lambda self, image: 1 - right(self, image)
    )
    with pytest.raises(RunError, match="nothing was exported as torch: its masks agree"):
        export_run(trained, "torch", out)
    with pytest.raises(RunError, match="nothing was exported"):
        export_run(trained, "torch", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "certificate.json").read_bytes() == before


@pytest.mark.usefixtures("quick")
def test_a_certificate_counts_pixels(trained: Path, tmp_path: Path) -> None:
    """An export that fills one row of each mask, counted by hand."""
    export_run(trained, "torch", tmp_path / "out")
    predictor, run = Predictor.load(trained), Run.open(trained)

    class OneRow(ExportedPredictor):
        def probabilities(self, image: np.ndarray) -> np.ndarray:
            maps = predictor.probabilities(image).copy()
            maps[:, 3] = 1 - maps[:, 3]
            return maps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "ExportedPredictor", OneRow)
        found = certify(tmp_path / "out", run, predictor, run.folder())
    assert found.agreement == pytest.approx(47 / 48)
    assert found.problem() is not None
    as_int8 = dataclasses.replace(found, format="openvino-int8")
    (sample, *_) = run.folder().part("val")
    flipped = 1 - 2 * predictor.probabilities(np.asarray(Image.open(sample.image)))[:, 3]
    assert found.difference >= np.abs(flipped).max() - 1e-6
    lost = float(found.changes()[found.score].value)
    by_hand = np.mean(found.exported.image_scores()["mean_iou"]) - np.mean(
        found.pytorch.image_scores()["mean_iou"]
    )
    assert lost == pytest.approx(by_hand)
    assert (as_int8.problem() is not None) == (lost < -0.005)


# What cannot be


def test_an_unknown_format_is_a_wrong_usage(trained: Path) -> None:
    code, _, errors = cli("export", trained, "--format", "tflite")
    assert code == 2
    formats = "onnx, openvino, openvino-bf16, openvino-int8, torch"
    assert f"--format is one of {formats}, got 'tflite'" in errors


def test_a_missing_package_is_named(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, errors = cli("export", trained, "--format", "onnx")
    assert code == 2
    assert "pip install 'delineo[onnx]'" in errors


def test_an_export_needs_validation_images(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Run.folder

    def without(run: Run) -> DataFolder:
        found = folder(run)
        return dataclasses.replace(found, splits={**found.splits, "val": ()})

    monkeypatch.setattr(Run, "folder", without)
    with pytest.raises(DataError, match="has no validation images"):
        export_run(trained, "torch", tmp_path / "out")


def test_a_network_of_ones_own_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = nn.Conv2d(3, 1, 3, padding=1).state_dict()
    monkeypatch.setattr(Run, "best_weights", lambda run: own)
    with pytest.raises(RunError, match="a network that delineo models does not list"):
        export_run(trained, "torch", tmp_path / "out")
