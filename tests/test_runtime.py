"""Exports in every format: the same masks in another runtime, or a file that is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from delineo import certificate, runtime
from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample, Task
from delineo.decision import Decision
from delineo.errors import DataError, RunError
from delineo.export import write_export
from delineo.models import build_model
from delineo.prediction import Predictor
from delineo.recipe import Recipe
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


@pytest.mark.parametrize("wanted", ["onnx", "openvino"])
def test_what_a_format_cannot_say_is_a_sentence(wanted: Format, tmp_path: Path) -> None:
    predictor = predictor_of(POOLING)
    with pytest.raises(RunError, match=f"cannot be written as {wanted}.*--format torch"):
        exported_of(tmp_path, wanted, predictor)


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


def test_formats_have_files() -> None:
    assert runtime.MODEL_FILES.keys() == certificate.PACKAGES.keys()
