"""Evaluations of image files: native size, shards, JSON, broken input."""

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from delineo.data.samples import DataFolder, Encoding, MaskFile, MaskLayers, Sample, Task
from delineo.errors import DataError, RunError
from delineo.evaluation import Evaluation, count_images, evaluate
from delineo.metrics import empty_policy
from delineo.progress import NoProgress

SHARED = Path(__file__).parents[2] / "shared/data"
SIZE = (8, 12)
CLASSES = {"binary": ("disc",), "multiclass": ("sky", "road", "car"), "multilabel": ("a", "b")}
VALUES = {
    "binary": {0: 0, 255: 1},
    "multiclass": {0: 0, 1: 1, 2: 2, 9: 255},
    "multilabel": {0: 0, 255: 1},
}


class Memory:
    """A predictor that knows its answers by the grey of the image's first pixel."""

    def __init__(self, task: Task, answers: list[np.ndarray], classes: tuple | None = None) -> None:
        self.task, self.classes = task, classes or CLASSES[task]
        self.answers = answers

    def __call__(self, image: np.ndarray) -> np.ndarray:
        assert image.shape == (*SIZE, 3)
        return self.answers[image[0, 0, 0]]


def write_image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_folder(root: Path, task: Task, masks: list[np.ndarray]) -> DataFolder:
    """Image i is a flat grey i; masks hold the values of their files (layers: 0/1)."""
    samples = []
    for number, mask in enumerate(masks):
        image = write_image(root / f"images/{number}.png", np.full((*SIZE, 3), number, np.uint8))
        if task == "multilabel":
            layers = enumerate(mask * np.uint8(255))
            paths = [write_image(root / f"masks/{number}-{k}.png", layer) for k, layer in layers]
            source = MaskLayers(tuple(paths))
        else:
            source = MaskFile(write_image(root / f"masks/{number}.png", mask))
        samples.append(Sample(str(number), image, source))
    return DataFolder(
        root=root,
        layout="test",
        task=task,
        classes=CLASSES[task],
        channels=3,
        encoding=Encoding(values=VALUES[task]),
        samples=tuple(samples),
        splits={"test": tuple(sample.id for sample in samples)},
    )


def random_masks(task: Task, seed: int, number: int = 5) -> list[np.ndarray]:
    """Masks in memory, without ignored pixels."""
    random = np.random.default_rng(seed)
    shape = (2, *SIZE) if task == "multilabel" else SIZE
    top = 3 if task == "multiclass" else 2
    return [random.integers(top, size=shape, dtype=np.uint8) for _ in range(number)]


def on_disk(task: Task, masks: list[np.ndarray]) -> list[np.ndarray]:
    return [mask * np.uint8(255) for mask in masks] if task == "binary" else masks


@pytest.fixture(params=["binary", "multiclass", "multilabel"])
def task(request) -> Task:
    return request.param


@pytest.fixture
def folder(tmp_path: Path, task: Task) -> DataFolder:
    return make_folder(tmp_path, task, on_disk(task, random_masks(task, seed=0)))


@pytest.fixture
def evaluation(folder: DataFolder, task: Task) -> Evaluation:
    return evaluate(Memory(task, random_masks(task, seed=1)), folder, "test")


def test_a_perfect_model_scores_1_with_no_doubt(folder, task):
    scores = evaluate(Memory(task, random_masks(task, seed=0)), folder, "test").scores
    for block in ("dataset", "per_image"):
        assert scores[block]["mean_iou"] == 1
        assert scores[block]["interval95"]["mean_dice"] == [1, 1]
        assert scores[block]["interval95"]["iou"] == {name: [1, 1] for name in CLASSES[task]}


def test_scores_by_hand(tmp_path):
    mask, guess = np.zeros((2, *SIZE), np.uint8)
    mask[:, :6] = 255
    guess[:4] = 1
    folder = make_folder(tmp_path, "binary", [mask])
    scores = evaluate(Memory("binary", [guess]), folder, "test").scores["dataset"]
    assert scores["iou"] == {"disc": pytest.approx(24 / 72)}
    assert scores["pixel_accuracy"] == pytest.approx(0.5)


def test_the_contract_of_the_file(evaluation, task):
    record = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert record["split"] == "test"
    assert record["num_images"] == 5
    assert record["classes"] == list(CLASSES[task])
    per_class, means = {"iou", "dice", "precision", "recall"}, {"mean_iou", "mean_dice"}
    for block in (record["dataset"], record["per_image"]):
        names = per_class | means | {"pixel_accuracy"}
        assert set(block) == names | {"interval95"}
        assert set(block["interval95"]) == names
        for name in per_class:
            assert set(block[name]) == set(block["interval95"][name]) == set(CLASSES[task])
        for name in means:
            low, high = block["interval95"][name]
            assert 0 < low < block[name] < high < 1
    assert record["empty_policy"] == empty_policy(task)
    assert (record["confusion"] is None) == (task != "multiclass")
    assert record["images"]["id"] == ["0", "1", "2", "3", "4"]
    pixels = SIZE[0] * SIZE[1] * (2 if task == "multilabel" else 1)
    assert record["images"]["valid"] == [pixels] * 5


def test_what_is_saved_is_what_is_loaded(evaluation, tmp_path):
    path = tmp_path / "evaluation-test.json"
    evaluation.save(path)
    assert Evaluation.load(path).to_json() == evaluation.to_json()


def test_shares_of_several_processes_make_the_same_evaluation(folder, task, evaluation):
    predictor = Memory(task, random_masks(task, seed=1))
    shares = [count_images(predictor, folder, folder.samples[rank::2]) for rank in (1, 0)]
    merged = Evaluation.of(folder, "test", shares[0] | shares[1])
    assert merged.to_json() == evaluation.to_json()


def test_ignored_pixels_are_not_scored(tmp_path):
    mask = random_masks("multiclass", seed=0)[0]
    guess = mask.copy()
    mask[:2], guess[:2] = 9, 1
    folder = make_folder(tmp_path, "multiclass", [mask])
    evaluation = evaluate(Memory("multiclass", [guess]), folder, "test")
    assert evaluation.scores["dataset"]["pixel_accuracy"] == 1
    assert evaluation.table.valid.tolist() == [72]


@pytest.mark.parametrize("factor", [2, 0.5])
def test_masks_are_compared_at_their_own_size(tmp_path, factor):
    guess = np.zeros(SIZE, np.uint8)
    guess[2:6, 4:8] = 1
    height, width = (int(length * factor) for length in SIZE)
    mask = np.zeros((height, width), np.uint8)
    mask[int(2 * factor) : int(6 * factor), int(4 * factor) : int(8 * factor)] = 255
    evaluation = evaluate(
        Memory("binary", [guess]), make_folder(tmp_path, "binary", [mask]), "test"
    )
    assert evaluation.scores["dataset"]["mean_iou"] == 1
    assert evaluation.table.valid.tolist() == [height * width]


def test_a_mask_of_another_shape_names_the_image(tmp_path):
    folder = make_folder(tmp_path, "binary", [np.zeros(SIZE[::-1], np.uint8)])
    with pytest.raises(DataError, match=r"0\.png: the image is 8x12.*mask 12x8; run delineo check"):
        evaluate(Memory("binary", [np.zeros(SIZE, np.uint8)]), folder, "test")


def test_an_empty_part_is_refused(folder, task):
    with pytest.raises(DataError, match="has no val images"):
        evaluate(Memory(task, []), folder, "val")


def test_a_model_of_other_classes_is_refused(tmp_path):
    folder = make_folder(tmp_path, "multiclass", random_masks("multiclass", 0))
    for model in (Memory("binary", []), Memory("multiclass", [], ("sky", "car", "road"))):
        with pytest.raises(DataError, match=r"masks of sky, road, car, the model predicts"):
            evaluate(model, folder, "test")


def test_the_foreground_may_have_another_name(tmp_path):
    folder = make_folder(tmp_path, "binary", [np.zeros(SIZE, np.uint8)])
    model = Memory("binary", [np.zeros(SIZE, np.uint8)], ("lesion",))
    assert evaluate(model, folder, "test").classes == ("disc",)


def test_progress_advances_image_by_image_and_ends_on_errors(folder, task):
    class Recorder(NoProgress):
        events: list[str] = []  # noqa: RUF012

        def start(self, task: str, total: int | None = None, unit: str = "images") -> None:
            self.events.append(f"start {total}")

        def advance(self, n: int = 1, **fields: float | str) -> None:
            self.events.append("advance")

        def finish(self) -> None:
            self.events.append("finish")

    recorder = Recorder()
    answers = random_masks(task, seed=1)
    evaluate(Memory(task, answers), folder, "test", recorder)
    assert recorder.events == ["start 5", *["advance"] * 5, "finish"]
    recorder.events.clear()
    with pytest.raises(IndexError):
        evaluate(Memory(task, answers[:2]), folder, "test", recorder)
    assert recorder.events == ["start 5", "advance", "advance", "finish"]


def test_image_scores_name_the_worst_image(folder, task):
    answers = random_masks(task, seed=0)
    answers[3] = 1 - answers[3] % 2
    ious = evaluate(Memory(task, answers), folder, "test").image_scores()["mean_iou"]
    assert ious.argmin() == 3
    assert (np.delete(ious, 3) == 1).all()


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"images": {"id": []}, "classes": []}'])
def test_a_file_that_is_no_evaluation_is_refused(tmp_path, text):
    path = tmp_path / "evaluation-test.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunError, match=r"evaluation-test\.json.*run delineo evaluate"):
        Evaluation.load(path)


class DarkPixels:
    """A rule in place of a network: what is darker than the image's mean is lesion."""

    task: Task = "binary"
    classes = ("lesion",)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        grey = image.mean(axis=2)
        return (grey < grey.mean()).astype(np.uint8)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_real_photographs_score_what_scikit_learn_says():
    root = SHARED / "ph2"
    ids = json.loads((root / "splits.json").read_text())["test"][:6]
    samples = tuple(
        Sample(name, root / f"images/{name}.jpg", MaskFile(root / f"masks/{name}_lesion.png"))
        for name in ids
    )
    folder = DataFolder(
        root=root,
        layout="images and masks",
        task="binary",
        classes=("lesion",),
        channels=3,
        encoding=Encoding(values=VALUES["binary"]),
        samples=samples,
        splits={"test": tuple(ids)},
    )
    scores = evaluate(DarkPixels(), folder, "test").scores["per_image"]
    expected = [
        sklearn.metrics.jaccard_score(
            np.asarray(Image.open(root / f"masks/{name}_lesion.png")).ravel() > 0,
            DarkPixels()(np.asarray(Image.open(root / f"images/{name}.jpg"))).ravel() > 0,
        )
        for name in ids
    ]
    assert scores["mean_iou"] == pytest.approx(np.mean(expected))
