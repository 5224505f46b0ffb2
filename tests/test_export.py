"""Exports: the masks of the run in another runtime, without PyTorch, or nothing at all."""

import dataclasses
import errno
import hashlib
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
import torch
from command import cli
from PIL import Image
from torch import Tensor, nn

import delineo
from delineo import certificate, export, measuring, runtime
from delineo.certificate import certify
from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample, Task
from delineo.data.scaling import resize_image, to_tensor
from delineo.data.sizing import resize_maps, resize_pixels
from delineo.decision import Decision
from delineo.errors import DataError, DiskFullError, RunError
from delineo.export import _whole_or_not_at_all, export_run, write_export
from delineo.files import write_atomically
from delineo.forms import fresh_export
from delineo.models import build_model
from delineo.models.segnet import pool_corners, unpool_corners
from delineo.prediction import Predictor
from delineo.recipe import Recipe
from delineo.run import Run
from delineo.runtime import ExportedPredictor, Format, read_record

FORMATS: tuple[Format, ...] = ("onnx", "openvino", "torch")
CLASSES = {"binary": ("disc",), "multiclass": ("a", "b", "c"), "multilabel": ("x", "y")}
NETWORKS = {
    "lite_unet": {"pretrained": False, "decoder_widths": [4, 4, 4, 4]},
    "unet": {"width": 4, "depth": 3},
    "unet strided": {"name": "unet", "width": 4, "depth": 2, "down": "stride", "up": "bilinear"},
    "segnet": {"width": 2},
    "segnet basic": {"name": "segnet", "form": "basic", "width": 2},
    "resunet": {"width": 4, "dilations": [[1, 3], [1], [1]]},
    "resnet_unet": {"depth": 18, "decoder_widths": [4, 4, 4, 4, 4]},
}
POOLING = {**NETWORKS["resunet"], "name": "resunet", "pyramid_pooling": True}
SIZES = [(32, 32), (37, 50), (5, 70), (1, 1)]
TINY = (
    "model.name=unet", "model.width=4", "model.depth=2", "data.image_size=[32,32]",
    "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32",
)  # fmt: skip


def predictor_of(
    settings: dict, task: Task = "multiclass", scale: float | str = 1.0, name: str = "unet"
) -> Predictor:
    """Random weights, and BatchNorm statistics as after a training."""
    recipe = Recipe.parse(
        {
            "model": {"name": name.split()[0], **settings},
            "data": {
                "image_size": [32, 32], "scale": scale,
                "mean": [120.0, 110.0, 100.0], "std": [60.0, 61.0, 62.0],
            },
            "precision": "fp32",
        }
    )  # fmt: skip
    classes = CLASSES[task]
    torch.manual_seed(0)
    network = build_model(recipe.model, 3, 1 if task == "binary" else len(classes))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    decision = Decision.default(task, classes).model_copy(update={"temperature": 1.5})
    described = DataFolder(Path(), "test", task, classes, 3, Encoding(), (), {})
    return Predictor(network.eval(), recipe, described, decision)


def folder_of(root: Path, task: Task = "multiclass", dtype: type = np.uint8) -> DataFolder:
    """One image, for training and validation."""
    file = root / "image.png"
    Image.fromarray(noise(40, 40)).save(file)
    if dtype == np.uint16:
        Image.fromarray(noise(40, 40)[..., 0].astype(dtype)).save(file)
    Image.fromarray(noise(40, 40)[..., 0] % 3).save(root / "mask.png")
    sample = Sample("image", file, MaskFile(root / "mask.png"))
    values = {0: 0, 1: 1, 2: 2}
    splits = {"train": ("image",), "val": ("image",)}
    encoding = Encoding(values=values)
    return DataFolder(root, "test", task, CLASSES[task], 3, encoding, (sample,), splits)


def exported_of(
    path: Path, wanted: Format, predictor: Predictor, dtype: type = np.uint8
) -> ExportedPredictor:
    write_export(path, wanted, predictor, folder_of(path, predictor.task, dtype))
    return ExportedPredictor.load(path)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, as random weights see little in pure noise."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


# The same masks


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_the_same_in_every_format(
    name: str, wanted: Format, tmp_path: Path
) -> None:
    predictor = predictor_of(NETWORKS[name], name=name)
    exported = exported_of(tmp_path, wanted, predictor)
    assert np.ptp(predictor.probabilities(noise(32, 32)), axis=(1, 2)).max() > 0.001
    for height, width in SIZES:
        image = noise(height, width)
        maps = predictor.probabilities(image)
        assert np.abs(exported.probabilities(image) - maps).max() < 1e-5, (height, width)
        assert np.mean(exported(image) == predictor(image)) > 0.999


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("wanted", FORMATS)
def test_every_task_at_other_sizes_of_view(task: Task, wanted: Format, tmp_path: Path) -> None:
    predictor = predictor_of(NETWORKS["unet"], task, "fit")
    exported = exported_of(tmp_path, wanted, predictor)
    assert (exported.task, exported.classes) == (task, predictor.classes)
    for height, width in [(32, 32), (100, 70), (20, 30), (3, 200)]:
        image, maps = noise(height, width), predictor.probabilities(noise(height, width))
        own = exported.probabilities(image)
        assert own.shape == maps.shape
        assert own.dtype == np.float32
        # pixels scaled by Pillow and by PyTorch may differ by one grey level
        assert np.abs(own - maps).max() < 0.01
        assert exported(image).shape == predictor(image).shape


@pytest.mark.parametrize("wanted", FORMATS)
def test_batches_of_any_number_and_size(wanted: Format, tmp_path: Path) -> None:
    predictor = predictor_of(NETWORKS["unet"])
    session = exported_of(tmp_path, wanted, predictor).session
    for number, height, width in [(1, 24, 40), (3, 41, 33), (5, 8, 8)]:
        batch = np.stack([noise(height, width, seed) for seed in range(number)])
        apart = np.concatenate([session(each[None]) for each in batch])
        assert session(batch).shape == (number, 3, height, width)
        assert np.abs(session(batch) - apart).max() < 1e-5


@pytest.mark.parametrize("wanted", FORMATS)
def test_16_bit_images_keep_their_values(wanted: Format, tmp_path: Path) -> None:
    predictor = predictor_of(NETWORKS["unet"])
    exported = exported_of(tmp_path, wanted, predictor, np.uint16)
    assert exported.record.pixels == "float32"
    image = noise(37, 50).astype(np.uint16) * 2 + 1
    difference = exported.probabilities(image) - predictor.probabilities(image)
    assert np.abs(difference).max() < 1e-5


def test_8_bit_images_are_refused_by_a_model_of_16_bit_ones(tmp_path: Path) -> None:
    predictor = predictor_of(NETWORKS["unet"])
    predictor.trained_on = ("uint16",)
    exported = exported_of(tmp_path, "torch", predictor, np.uint16)
    for each in (predictor, exported):
        with pytest.raises(DataError, match="8-bit pixels, the model was trained on 16-bit ones"):
            each(noise(20, 20))
        assert each(noise(20, 20).astype(np.uint16)).shape == (20, 20)
        assert each(noise(20, 20).astype(np.float32)).shape == (20, 20)


def test_16_bit_images_are_refused_by_a_model_of_8_bit_ones(tmp_path: Path) -> None:
    exported = exported_of(tmp_path, "onnx", predictor_of(NETWORKS["unet"]))
    with pytest.raises(DataError, match="takes 8-bit images"):
        exported(noise(20, 20).astype(np.uint16))


@pytest.mark.parametrize("size", [(5, 7), (16, 31), (90, 64), (1, 1), (33, 200)])
def test_pixels_are_scaled_as_pytorch_does(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (33, 64, 3), dtype=np.uint8)
    for pixels, tolerance in ((image, 1), (image.astype(np.float32), 1e-3)):
        theirs = resize_image(to_tensor(pixels), size).permute(1, 2, 0).numpy()
        own = resize_pixels(pixels, size)
        assert own.dtype == pixels.dtype
        assert np.abs(own.astype(float) - theirs.astype(float)).max() <= tolerance


@pytest.mark.parametrize("size", [(5, 7), (16, 31), (90, 64), (1, 1), (33, 200)])
def test_maps_are_scaled_as_pytorch_does(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((2, 33, 64), dtype=np.float32)
    theirs = nn.functional.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear")[0]
    assert np.abs(resize_maps(maps, size) - theirs.numpy()).max() < 1e-5


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 3)])
def test_corners_are_pooling_indices(size: tuple[int, int]) -> None:
    # few values, so that many corners are equal
    x = torch.randint(0, 3, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float()
    largest, indices = nn.functional.max_pool2d(x, 2, return_indices=True)
    own, places = pool_corners(x)
    assert torch.equal(own, largest)
    values: Tensor = torch.randn_like(largest)
    theirs = nn.functional.max_unpool2d(values, indices, (2, 2), output_size=size)
    assert torch.equal(unpool_corners(values, places, size), theirs)


@pytest.mark.parametrize("wanted", ["onnx", "openvino"])
def test_what_a_format_cannot_say_is_a_sentence(wanted: Format, tmp_path: Path) -> None:
    predictor = predictor_of(POOLING)
    with pytest.raises(RunError, match=f"cannot be written as {wanted}.*--format torch"):
        exported_of(tmp_path, wanted, predictor)


# Runs


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
sys.argv = ["delineo", "predict", *sys.argv[1:]]
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
        sys.executable, "-c", WITHOUT_TORCH, exported, image, "--out", tmp_path / "masks", *more,
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


def test_a_broken_export_is_named(tmp_path: Path) -> None:
    exported_of(tmp_path, "torch", predictor_of(NETWORKS["unet"]))
    (tmp_path / "model.pt").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"model\.pt cannot be read"):
        ExportedPredictor.load(tmp_path)
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(RunError, match=r"export\.json is not what export wrote") as raised:
        read_record(tmp_path)
    assert "(format: Field required)" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_copy_that_is_not_what_was_certified_is_refused(tmp_path: Path) -> None:
    """A changed weight would give other masks without a word."""
    exported_of(tmp_path, "torch", predictor_of(NETWORKS["unet"]))
    model = tmp_path / "model.pt"
    whole = model.read_bytes()
    assert read_record(tmp_path).files == {"model.pt": hashlib.sha256(whole).hexdigest()}
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for damaged in (bytes(changed), whole[:-1], b""):
        model.write_bytes(damaged)
        with pytest.raises(RunError, match=r"model\.pt cannot be read: .* not the file that was"):
            ExportedPredictor.load(tmp_path)
    model.unlink()
    with pytest.raises(RunError, match="copy the whole folder again"):
        ExportedPredictor.load(tmp_path)


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"could not be measured: .*does not exist"):
        measuring.measure(tmp_path / "nothing", [])


def test_costs_are_measured_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export knows none, and PyTorch on one would be no comparison."""
    seen: dict[str, str] = {}

    def fake_run(command: list[str], env: dict[str, str], **_: object) -> SimpleNamespace:
        seen.update(env)
        return SimpleNamespace(returncode=0, stdout='{"seconds_per_image": 1}')

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(measuring.subprocess, "run", fake_run)
    measuring.measure(tmp_path, [])
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["PATH"]


def test_formats_have_files() -> None:
    assert runtime.MODEL_FILES.keys() == certificate.PACKAGES.keys()
