"""Which form of a run predicts: the fastest that gives the same masks, or PyTorch and why."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import cli
from PIL import Image

import delineo
from delineo import certificate, forms
from delineo.errors import ConfigError, DataError, RunError
from delineo.export import source_of
from delineo.forms import WORTH_IMAGES, fresh_export, open_predictor, worth_exporting
from delineo.prediction import Predictor
from delineo.progress import NoProgress
from delineo.run import Run
from delineo.runtime import ExportedPredictor, computes_in_bf16

TINY = (
    "model.name=unet", "model.width=2", "model.depth=2", "data.image_size=[32,32]",
    "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32",
)  # fmt: skip


class Lines(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forms")
    return delineo.train(make_shapes(root / "data", 12), TINY, out=root / "run").path


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to export, without the processes that measure."""
    cost = {"seconds_per_image": 0.1, "peak_memory_mb": 100.0, "precision": "fp32"}
    monkeypatch.setattr(certificate, "measure", lambda path, images: cost)
    return shutil.copytree(trained, tmp_path / "run")


def image(trained: Path) -> Path:
    return trained.parent / "data/images/disc00.png"


def wrong_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ExportedPredictor.probabilities
    monkeypatch.setattr(
        ExportedPredictor, "probabilities", lambda self, pixels: 1 - right(self, pixels)
    )


def never(*arguments: object, **options: object) -> None:
    raise AssertionError("this was not to be called")


def test_many_images_are_worth_an_export(trained: Path) -> None:
    assert worth_exporting([image(trained)] * WORTH_IMAGES)
    assert not worth_exporting([image(trained)] * (WORTH_IMAGES - 1))


def test_predict_exports_a_run_for_many_images(
    run: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "WORTH_IMAGES", 2)
    first, second = sorted((trained.parent / "data/images").iterdir())[:2]
    for images, exported in (([first], False), ([first, second], True)):
        code, _, errors = cli("predict", run, *images, "--out", tmp_path / "masks")
        assert code == 0, errors
        assert (run / "exports/openvino").exists() == exported


def test_what_is_used_once_is_not_exported(run: Path) -> None:
    lines = Lines()
    assert isinstance(open_predictor(run, "auto", lines), Predictor)
    assert lines.said == []
    assert not (run / "exports").exists()


def test_large_images_are_worth_one(tmp_path: Path) -> None:
    scan = tmp_path / "scan.tif"
    with scan.open("wb") as file:
        file.truncate(forms.WORTH_BYTES - 1)
    assert not worth_exporting([scan])
    assert worth_exporting([scan, Path(__file__)])
    assert not worth_exporting([tmp_path / "missing.png"])


def test_what_is_used_often_is_exported_once(
    run: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, pixels = Lines(), np.asarray(Image.open(image(trained)))
    predictor = open_predictor(run, "auto", lines, often=True)
    assert isinstance(predictor, ExportedPredictor)
    assert lines.said == [f"exporting {run} as openvino, once, for faster predictions"]
    assert (run / "exports/openvino/certificate.json").exists()
    theirs = Predictor.load(run)
    assert np.mean(predictor(pixels) == theirs(pixels)) >= 0.999
    monkeypatch.setattr(forms, "_export", never)
    again = open_predictor(run, "auto", lines)
    assert isinstance(again, ExportedPredictor)
    assert len(lines.said) == 1
    assert isinstance(open_predictor(run, "torch"), Predictor)
    # what the export does not take, PyTorch does
    halves = pixels.astype(np.float32) + np.float32(0.5)
    assert np.array_equal(again.probabilities(halves), theirs.probabilities(halves))
    # but nobody guesses the scale of 16-bit pixels
    for each in (again, theirs):
        with pytest.raises(DataError, match="16-bit pixels, the model was trained on 8-bit ones"):
            each.probabilities(pixels.astype(np.uint16))


@pytest.mark.parametrize("changed", ["best.safetensors", "decision.json"])
def test_a_stale_export_is_made_anew(run: Path, changed: str) -> None:
    open_predictor(run, often=True)
    (name,) = Run.open(run).decision().thresholds
    if changed == "decision.json":
        decision = json.loads((run / changed).read_text())
        decision["thresholds"][name] = 0.25
        (run / changed).write_text(json.dumps(decision))
    else:
        Run.open(run).save_best({k: v * 1.01 for k, v in Run.open(run).best_weights().items()})
    assert fresh_export(run, "openvino") is None
    assert isinstance(open_predictor(run), Predictor)
    lines = Lines()
    anew = open_predictor(run, "auto", lines, often=True)
    assert isinstance(anew, ExportedPredictor)
    assert len(lines.said) == 1
    assert anew.decision == Run.open(run).decision()
    assert fresh_export(run, "openvino") == run / "exports/openvino"


def test_without_the_data_pytorch_predicts(run: Path) -> None:
    record = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps({**record, "path": "/nowhere"}))
    lines = Lines()
    assert isinstance(open_predictor(run, "auto", lines, often=True), Predictor)
    assert lines.said[1] == (
        f"predicting with PyTorch, as {run} cannot be had as OpenVINO: "
        f"the data of {run} is no longer at /nowhere"
    )


def test_what_fails_its_certificate_is_not_tried_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        wrong_masks(patch)
        lines = Lines()
        assert isinstance(open_predictor(run, "auto", lines, often=True), Predictor)
        assert "its masks agree with PyTorch's in" in lines.said[1]
        with pytest.raises(RunError, match="nothing was exported as openvino"):
            open_predictor(run, "openvino")
    lines = Lines()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "_export", never)
        assert isinstance(open_predictor(run, "auto", lines, often=True), Predictor)
    assert len(lines.said) == 1
    assert "its masks agree with PyTorch's in" in lines.said[0]
    assert [file.name for file in (run / "exports").iterdir()] == ["refused.json"]
    # who asks for it, and other weights, get another try
    assert isinstance(open_predictor(run, "openvino"), ExportedPredictor)
    Run.open(run).save_best({k: v * 1.01 for k, v in Run.open(run).best_weights().items()})
    assert isinstance(open_predictor(run, "auto", often=True), ExportedPredictor)


def test_a_broken_export_gives_way_to_pytorch(run: Path) -> None:
    open_predictor(run, "openvino")
    (run / "exports/openvino/model.xml").write_text("nothing")
    lines = Lines()
    assert isinstance(open_predictor(run, "auto", lines), Predictor)
    assert "model.xml cannot be read" in lines.said[0]


@pytest.mark.parametrize("what", ["no openvino", "a GPU"])
def test_where_openvino_is_no_gain_pytorch_predicts(
    run: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "a GPU":
        monkeypatch.setattr(forms, "has_gpu", lambda: True)
    else:
        monkeypatch.setattr(forms, "find_spec", lambda name: None)
    assert isinstance(open_predictor(run, often=True), Predictor)


def test_a_runtime_that_is_asked_for_is_exported(run: Path) -> None:
    predictor = open_predictor(run, "onnx")
    assert isinstance(predictor, ExportedPredictor)
    assert predictor.record.format == "onnx"
    assert open_predictor(run / "exports/onnx", "onnx").classes == predictor.classes
    with pytest.raises(ConfigError, match="is an export as onnx and runs as nothing else"):
        open_predictor(run / "exports/onnx", "torch")


def test_bf16_comes_first_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in ((False, ("openvino",)), (True, ("openvino-bf16", "openvino"))):
        monkeypatch.setattr(forms, "computes_in_bf16", lambda has=has: has)
        assert forms._candidates() == expected


@pytest.mark.skipif(computes_in_bf16(), reason="this processor multiplies in bf16")
def test_bf16_is_refused_where_it_could_not_be_judged(run: Path) -> None:
    with pytest.raises(ConfigError, match="does not multiply in bf16"):
        open_predictor(run, "openvino-bf16")


CACHED = """
import sys
sys.modules["torch"] = None
from delineo.cli import main
sys.argv = ["delineo", "predict", *sys.argv[1:]]
main()
"""


def test_an_exported_run_predicts_without_importing_pytorch(
    run: Path, trained: Path, tmp_path: Path
) -> None:
    open_predictor(run, "openvino")
    command = [sys.executable, "-c", CACHED, run, image(trained), "--out", tmp_path / "masks"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "masks/disc00.png").exists()


def test_the_command_takes_a_runtime(run: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    code, _, errors = cli("predict", run, image(trained), "--out", out, "--runtime", "onnx")
    assert code == 0, errors
    assert (run / "exports/onnx/certificate.json").exists()


def test_what_a_run_is_known_by_is_what_its_exports_note(run: Path) -> None:
    origin = forms.origin_of([run], ["mirror"], "torch")
    (model,) = origin.models
    assert model.files == source_of(Run.open(run))
    assert str(origin) == f"{run} --tta mirror --runtime torch"
    described = Run.open(run).description()
    exported = {"format": "onnx", "task": described.task, "classes": described.classes}
    sizes = {"channels": 3, "pixels": "uint8", "image_size": [32, 32], "scale": 1, "smallest": 1}
    noted = {"source": model.files, "decision": json.loads((run / "decision.json").read_text())}
    (run / "export.json").write_text(json.dumps({**exported, **sizes, **noted}))
    (model,) = forms.origin_of([run], []).models
    assert model.files == {**source_of(Run.open(run)), "format": "onnx"}
