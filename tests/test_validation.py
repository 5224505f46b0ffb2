"""The score during training: the same as evaluate's; and the watch for collapse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image

from delineo.data.samples import DataFolder, Encoding, MaskFile, MaskLayers, Sample, Task
from delineo.decision import Decision, decide
from delineo.evaluation import evaluate
from delineo.losses import LossConfig, build_loss
from delineo.prediction import Predictor, build_network
from delineo.recipe import Recipe
from delineo.validation import Validation, ValidationPart, default_mask, validate

CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "car"),
    "multilabel": ("hole", "crack"),
}
TASKS = list(CLASSES)


def folder_of(root: Path, task: Task, count: int = 4, uneven: int = 3) -> DataFolder:
    """Random images and masks whose heights differ by `uneven`, some pixels ignored, the first
    mask empty."""
    random, samples = np.random.default_rng(0), []

    def save(name: str, pixels: np.ndarray) -> Path:
        Image.fromarray(pixels.astype(np.uint8)).save(root / name)
        return root / name

    for number in range(count):
        size = 20 + uneven * number, 31
        image = save(f"{number}.png", random.integers(0, 256, (*size, 3)))
        values = random.choice([0, 0, 1, 2, 9] if task == "multiclass" else [0, 0, 1, 9], size)
        if task == "multilabel":
            paths = [save(f"{number}-{k}.png", np.roll(values, k)) for k in range(2)]
            source = MaskLayers((paths[0], paths[1] if number else None))
        else:
            source = MaskFile(save(f"{number}-mask.png", values * bool(number)))
        samples.append(Sample(str(number), image, source))
    encoding = Encoding(values={0: 0, 1: 1, 2: 2, 9: 255})
    ids = tuple(sample.id for sample in samples)
    return DataFolder(root, "test", task, CLASSES[task], 3, encoding, tuple(samples), {"val": ids})


def predictor_of(folder: DataFolder) -> Predictor:
    data = {"image_size": [32, 32], "scale": "fit", "mean": [127.0] * 3, "std": [128.0] * 3}
    model = {"name": "unet", "width": 4, "depth": 2}
    recipe = Recipe.parse({"data": data, "model": model, "precision": "fp32"})
    torch.manual_seed(3)
    network = build_network(recipe, folder, None).eval()
    return Predictor(network, recipe, folder, Decision.default(folder.task, folder.classes))


def look(
    folder: DataFolder, cache: int = 2**30, times: int = 1, batch_pixels: int = 32 * 32
) -> Validation:
    predictor = predictor_of(folder)
    part = ValidationPart(folder, folder.part("val"), cache, batch_pixels)
    loss, fabric = build_loss(LossConfig(), folder.task), Fabric(accelerator="cpu", devices=1)
    return [validate(predictor, part, loss, fabric) for _ in range(times)][-1]


@pytest.mark.parametrize("task", TASKS)
def test_validation_scores_as_evaluation_does(tmp_path: Path, task: Task) -> None:
    folder = folder_of(tmp_path, task)
    validation = look(folder)
    evaluation = evaluate(predictor_of(folder), folder, "val")
    assert validation.num_images == 4
    for block in ("dataset", "per_image"):
        expected = {k: v for k, v in evaluation.scores[block].items() if k != "interval95"}
        assert validation.scores[block].keys() == expected.keys()
        for name, value in expected.items():
            assert validation.scores[block][name] == pytest.approx(value, nan_ok=True), name
    assert np.isfinite(validation.loss)


@pytest.mark.parametrize("task", TASKS)
def test_the_cache_changes_nothing(tmp_path: Path, task: Task) -> None:
    folder = folder_of(tmp_path, task)
    assert look(folder, times=2) == look(folder, cache=0) == look(folder, cache=20_000, times=2)


@pytest.mark.parametrize("task", TASKS)
def test_images_of_one_size_are_looked_at_together(tmp_path: Path, task: Task) -> None:
    folder = folder_of(tmp_path, task, count=5, uneven=0)
    part, predictor = ValidationPart(folder, folder.part("val"), 0, 1), predictor_of(folder)
    view = part.view_and_mask(0, predictor)[0]
    one_by_one, in_pairs = look(folder, batch_pixels=1), view[0].numel() * 2
    assert [len(batch) for batch in part.batches(predictor)] == [1] * 5
    part.batch_pixels = in_pairs
    assert [len(batch) for batch in part.batches(predictor)] == [2, 2, 1]
    together = look(folder, batch_pixels=in_pairs)
    assert together.scores == one_by_one.scores
    assert together.loss == pytest.approx(one_by_one.loss)


def test_images_of_different_sizes_are_not(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "binary", uneven=30)
    part = ValidationPart(folder, folder.part("val"), 0, 10**9)
    sizes = [len(batch) for batch in part.batches(predictor_of(folder))]
    assert sizes == [1] * 4


@pytest.mark.parametrize("task", TASKS)
def test_the_default_mask_is_the_default_decision(task: Task) -> None:
    classes = CLASSES[task]
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75])  # so few that classes are often alike
    probabilities = levels[torch.randint(4, (len(classes), 40, 30))]
    expected = decide(probabilities.numpy(), Decision.default(task, classes))
    assert np.array_equal(default_mask(probabilities, task).numpy(), expected)


@pytest.mark.parametrize("task", TASKS)
def test_shares_are_of_the_pixels_that_count(tmp_path: Path, task: Task) -> None:
    folder = folder_of(tmp_path, task)
    validation = look(folder)
    assert tuple(validation.true_share) == tuple(validation.predicted_share) == CLASSES[task]
    if task == "multiclass":
        assert sum(validation.true_share.values()) == pytest.approx(1, abs=1e-5)
        assert sum(validation.predicted_share.values()) == pytest.approx(1, abs=1e-5)
    else:
        assert all(0.15 < share < 0.4 for share in validation.true_share.values())


def validation_of(task: Task, true: tuple[float, ...], predicted: tuple[float, ...]) -> Validation:
    names = tuple("abcd"[: len(true)])
    return Validation(
        task=task,
        num_images=3,
        loss=0.7,
        scores={
            "dataset": {"mean_iou": None, "pixel_accuracy": 0.9},
            "per_image": {"mean_iou": 0.4},
        },
        true_share=dict(zip(names, true, strict=True)),
        predicted_share=dict(zip(names, predicted, strict=True)),
    )


@pytest.mark.parametrize(
    ("task", "true", "predicted", "collapsed"),
    [
        # the foreground alone
        ("binary", (0.2,), (0.0,), True),
        ("binary", (0.2,), (1.0,), True),
        ("binary", (0.2,), (0.05,), False),
        ("binary", (0.003,), (0.0,), True),
        ("binary", (0.003,), (0.001,), False),
        ("binary", (0.0,), (0.0,), False),
        ("binary", (1.0,), (1.0,), False),
        # shares of the classes, one in all
        ("multiclass", (0.7, 0.2, 0.1), (1.0, 0.0, 0.0), True),
        ("multiclass", (0.7, 0.2, 0.1), (0.0, 0.9995, 0.0005), True),
        ("multiclass", (0.7, 0.2, 0.1), (0.9, 0.1, 0.0), False),
        ("multiclass", (1.0, 0.0, 0.0), (1.0, 0.0, 0.0), False),
        # each class of all pixels
        ("multilabel", (0.05, 0.1), (0.0, 0.0), True),
        ("multilabel", (0.0, 0.001), (0.0, 0.0), True),
        ("multilabel", (0.05, 0.1), (0.0, 0.2), False),
        ("multilabel", (0.0, 0.0), (0.0, 0.0), False),
    ],
)
def test_collapse_is_one_class_everywhere(
    task: Task, true: tuple[float, ...], predicted: tuple[float, ...], collapsed: bool
) -> None:
    assert validation_of(task, true, predicted).collapsed() == collapsed


def test_the_advice_says_what_is_seen_and_what_to_do() -> None:
    advice = validation_of("multiclass", (0.25, 0.75), (0.0, 1.0)).collapse_advice(3)
    assert "for 3 epochs" in advice
    assert "predicted: a 0 %, b 100 %" in advice
    assert "masks: a 25 %, b 75 %" in advice
    for remedy in ("loss.dice=1", "data.rare_classes=1", "optimizer.lr", "delineo check"):
        assert remedy in advice
    # the keys that it names exist
    Recipe.parse({}, overrides=["loss.dice=1", "data.rare_classes=1", "optimizer.lr=1e-4"])


def test_the_monitored_score_is_better_when_higher() -> None:
    validation = validation_of("binary", (0.2,), (0.2,))
    assert validation.monitored("loss") == -0.7
    assert validation.monitored("per_image.mean_iou") == 0.4
    assert validation.monitored("dataset.mean_iou") == 0
    assert validation.monitored("dataset.pixel_accuracy") == 0.9
