"""Predictor: any image in, a mask of its size out; nothing but the run's own files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import delineo
from delineo.data.samples import DataFolder, Encoding, Task
from delineo.data.sizing import scaled_size
from delineo.decision import Decision, decide
from delineo.errors import DataError, MemoryFullError, RunError, ShapeError
from delineo.prediction import Predictor, build_network, probabilities_of
from delineo.recipe import Recipe
from delineo.run import Run

SIZES = [(1, 1), (1, 300), (300, 1), (37, 53)]
TINY = (
    "model.name=unet", "model.width=4", "model.depth=2", "data.image_size=[32,32]",
    "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32",
)  # fmt: skip


def predictor_of(
    task: Task, channels: int = 3, scale: float | str = "fit", network: nn.Module | None = None
) -> Predictor:
    """A predictor with random weights, or a network of one's own."""
    classes = {"binary": ("disc",), "multiclass": ("a", "b", "c"), "multilabel": ("x", "y")}[task]
    recipe = Recipe.parse(
        {
            "model": {"name": "unet", "width": 4, "depth": 2},
            "data": {
                "image_size": [32, 32], "scale": scale,
                "mean": [127.0] * channels, "std": [128.0] * channels,
            },
            "precision": "fp32",
        }
    )  # fmt: skip
    folder = DataFolder(Path(), "test", task, classes, channels, Encoding(), (), {})
    torch.manual_seed(0)
    network = network or build_network(recipe, folder, None)
    return Predictor(network.eval(), recipe, folder, Decision.default(task, classes))


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_masks_have_the_size_of_the_image(task: Task, size: tuple[int, int]) -> None:
    predictor = predictor_of(task)
    image = noise(*size, 3)
    maps, mask = predictor.probabilities(image), predictor(image)
    planes = {"binary": 1, "multiclass": 3, "multilabel": 2}[task]
    assert maps.shape == (planes, *size)
    assert maps.dtype == np.float32
    assert mask.shape == ((2, *size) if task == "multilabel" else size)
    assert mask.dtype == np.uint8
    assert mask.max() < max(2, len(predictor.classes))
    assert ((maps >= 0) & (maps <= 1)).all()
    if task == "multiclass":
        assert np.allclose(maps.sum(0), 1, atol=1e-5)
        assert np.array_equal(mask, maps.argmax(0))
    else:
        assert np.array_equal(mask, (maps >= 0.5)[0 if task == "binary" else slice(None)])


@pytest.mark.parametrize("scale", ["fit", 0.5, 2.0])
def test_every_scale_gives_masks_of_native_size(scale: float | str) -> None:
    assert predictor_of("binary", scale=scale)(noise(37, 53, 3)).shape == (37, 53)


@pytest.mark.parametrize(
    "image",
    [noise(20, 30), noise(20, 30, 1), noise(20, 30, 3), noise(20, 30, 4),
     noise(20, 30, 3, dtype=np.uint16), noise(20, 30, 3, dtype=np.float64)],
    ids=["2-D", "grey", "RGB", "RGBA", "16-bit", "float"],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_image_is_taken(image: np.ndarray, channels: int) -> None:
    assert predictor_of("binary", channels)(image).shape == (20, 30)


def test_equal_values_in_other_types_give_the_same() -> None:
    predictor, image = predictor_of("binary", scale=1.0), noise(20, 30, 3)
    expected = predictor.probabilities(image)
    for dtype in (np.uint16, np.int32, np.float32):
        assert np.array_equal(predictor.probabilities(image.astype(dtype)), expected)
    image.setflags(write=False)
    assert np.array_equal(predictor.probabilities(image), expected)
    grey = predictor.probabilities(noise(20, 30))
    assert np.array_equal(predictor.probabilities(np.stack([noise(20, 30)] * 3, 2)), grey)


@pytest.mark.parametrize("shape", [(5,), (0, 5, 3), (2, 3, 4, 5), ()])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"an image is \(height, width, channels\)"):
        predictor_of("binary")(np.zeros(shape, np.uint8))


def test_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="5 channels, the model takes 3"):
        predictor_of("binary")(noise(8, 8, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_number_are_refused(value: float) -> None:
    image = noise(8, 8, 3, dtype=np.float32)
    image[3, 3, 0] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        predictor_of("binary")(image)


class Echo(nn.Module):
    """Logits that are the first channel of the normalised image."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(tuple(images.shape))
        return images[:, :1] * 10 + self.unused


def test_the_network_sees_the_planned_size_and_range() -> None:
    network = Echo()
    predictor = predictor_of("binary", network=network)
    image = np.zeros((60, 90, 3), np.uint8)
    image[:, 45:] = 254
    maps = predictor.probabilities(image)
    assert network.sizes == [(1, 3, *scaled_size((60, 90), (32, 32), "fit"))]
    assert maps[0, 30, 5] == pytest.approx(torch.tensor(-1270 / 128).sigmoid().item(), abs=1e-5)
    assert np.array_equal(predictor(image)[:, [0, 40, 49, 89]], np.tile([0, 0, 1, 1], (60, 1)))


def test_images_are_scaled_before_they_go_to_the_device() -> None:
    """PyTorch resizes uint8 with antialiasing on processors alone."""
    predictor, device = predictor_of("binary"), torch.device("meta")
    predictor.device, predictor.network = device, predictor.network.to(device)
    predictor.mean, predictor.std = predictor.mean.to(device), predictor.std.to(device)
    view = predictor.view(noise(64, 64, 3))
    assert view.device.type == "cpu"
    assert predictor.logits(view[None]).device.type == "meta"


def test_a_gpu_without_memory_is_told() -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    predictor = predictor_of("binary")
    predictor.network.register_forward_pre_hook(full)
    with pytest.raises(MemoryFullError, match="no memory left for 20 x 30 pixels"):
        predictor(noise(20, 30, 3))


def test_nothing_is_learned_from_predicting() -> None:
    predictor = predictor_of("multiclass")
    before = {k: v.clone() for k, v in predictor.network.state_dict().items()}
    first = predictor.probabilities(noise(20, 20, 3))
    assert np.array_equal(predictor.probabilities(noise(20, 20, 3)), first)
    assert all(torch.equal(before[k], v) for k, v in predictor.network.state_dict().items())


def test_probabilities_by_task() -> None:
    logits = torch.randn(2, 3, 4, 5)
    assert torch.allclose(probabilities_of(logits, "multiclass").sum(1), torch.ones(2, 4, 5))
    assert torch.equal(probabilities_of(logits, "multilabel"), logits.sigmoid())


def test_deciding_by_hand() -> None:
    maps = np.array([[[0.2, 0.6]], [[0.4, 0.6]], [[0.3, 0.1]]], np.float32)
    assert decide(maps, Decision(task="multiclass")).tolist() == [[1, 0]]
    layers = Decision(task="multilabel", thresholds={"a": 0.2, "b": 0.5, "c": 0.9})
    assert decide(maps, layers).tolist() == [[[1, 1]], [[0, 1]], [[0, 0]]]
    assert decide(maps[:1], Decision(task="binary", thresholds={"a": 0.6})).tolist() == [[0, 1]]


# Runs


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prediction")
    torch.set_num_threads(1)
    return delineo.train(make_shapes(root / "data", 12), TINY, out=root / "run").path


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The run, to be spoiled."""
    return shutil.copytree(trained, tmp_path / "copy")


def disc(trained: Path) -> np.ndarray:
    return np.asarray(Image.open(trained.parent / "data/images/disc00.png"))


def test_a_loaded_run_predicts(trained: Path) -> None:
    predictor = Predictor.load(trained)
    assert predictor.task == "binary"
    assert not predictor.network.training
    assert predictor(disc(trained)).shape == (48, 64)
    again = Predictor.load(Run.open(trained), device="cpu")
    assert np.array_equal(predictor(disc(trained)), again(disc(trained)))


def test_thresholds_of_the_run_are_respected(copy: Path, trained: Path) -> None:
    maps = Predictor.load(copy).probabilities(disc(trained))
    file = copy / "decision.json"
    decision = json.loads(file.read_text())
    (name,) = decision["thresholds"]
    for threshold in (0.0, float(np.median(maps)), 1.0):
        file.write_text(json.dumps({**decision, "thresholds": {name: threshold}}))
        mask = Predictor.load(copy)(disc(trained))
        assert np.array_equal(mask, maps[0] >= np.float32(threshold))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("recipe.yaml", "is not a run"),
        ("dataset.json", "is not a run"),
        ("decision.json", r"decision\.json cannot be read"),
        ("best.safetensors", "has no weights yet; let train finish an epoch"),
    ],
)
def test_what_is_missing_is_named(copy: Path, file: str, message: str) -> None:
    (copy / file).unlink()
    with pytest.raises(RunError, match=message):
        Predictor.load(copy)


def test_weights_of_another_network_are_named(copy: Path) -> None:
    recipe = Run.open(copy).recipe()
    other = recipe.model_copy(update={"model": recipe.model.model_copy(update={"width": 8})})
    (copy / "recipe.yaml").write_text(other.to_yaml())
    with pytest.raises(RunError, match=r"best\.safetensors holds weights of another network"):
        Predictor.load(copy)
    (copy / "recipe.yaml").write_text(Recipe(data=recipe.data).to_yaml())
    with pytest.raises(RunError, match=r"another network than model\.name=lite_unet"):
        Predictor.load(copy)


def test_weights_of_a_network_of_ones_own_need_it(copy: Path) -> None:
    Run(copy).save_best(nn.Conv2d(3, 1, 3, padding=1).state_dict())
    with pytest.raises(RunError, match="load with the `model`"):
        Predictor.load(copy)
    own = Predictor.load(
        copy, model=lambda channels, outputs: nn.Conv2d(channels, outputs, 3, padding=1)
    )
    assert own(noise(9, 9, 3)).shape == (9, 9)


def test_predicting_needs_neither_the_data_nor_last_pt(copy: Path) -> None:
    record = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**record, "path": "/nowhere"}))
    (copy / "last.pt").write_bytes(b"not to be read")
    assert Predictor.load(copy)(noise(20, 30, 3)).shape == (20, 30)
