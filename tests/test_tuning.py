"""Tuning: what is chosen, what is kept, what it is measured on, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import cli
from PIL import Image
from torch import nn

import delineo
from delineo.calibration import PixelSample, Reliability, fit_temperature, reliability
from delineo.choosing import BY_CLASS, Scoring, choose, deal, pick
from delineo.data.samples import DataFolder, Encoding, MaskFile, MaskLayers, Sample, Task
from delineo.decision import Decision, decide
from delineo.errors import ConfigError
from delineo.evaluation import Evaluation, evaluate
from delineo.metrics import CountTable
from delineo.prediction import Predictor
from delineo.progress import NoProgress
from delineo.recipe import Recipe
from delineo.trials import BINS, THRESHOLDS, ValidationImages, count_tables, threshold_tables
from delineo.tuning import Tuning, fit, score_name

SIDE = 32
CLASSES = {"binary": ("disc",), "multilabel": ("a", "b"), "multiclass": ("a", "b", "c")}


class FirstChannels(nn.Module):
    """Logits that the image holds itself: channel k, in 32nds, from 128 at 0."""

    def __init__(self, outputs: int, factor: float = 1.0) -> None:
        super().__init__()
        self.outputs, self.factor = outputs, nn.Parameter(torch.tensor(factor))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, : self.outputs] * self.factor


def predictor_of(folder: DataFolder, factor: float = 1.0) -> Predictor:
    outputs = 1 if folder.task == "binary" else len(folder.classes)
    data = {"image_size": [SIDE, SIDE], "scale": 1.0, "mean": [128.0] * 3, "std": [32.0] * 3}
    recipe = Recipe.parse({"data": data, "precision": "fp32"})
    default = Decision.default(folder.task, folder.classes)
    return Predictor(FirstChannels(outputs, factor).eval(), recipe, folder, default)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def make_folder(
    root: Path, task: Task, logits: list[np.ndarray], masks: list[np.ndarray]
) -> DataFolder:
    """Images of logits (channels, height, width); masks as in memory, multi-label 0/1 layers."""
    samples = []
    for number, (values, mask) in enumerate(zip(logits, masks, strict=True)):
        pixels = np.zeros((*values.shape[1:], 3), np.uint8)
        pixels[..., : len(values)] = (values * 32 + 128).round().clip(0, 255).transpose(1, 2, 0)
        image = write(root / f"images/{number}.png", pixels)
        if task == "multilabel":
            layers = [
                write(root / f"masks/{number}-{k}.png", layer) for k, layer in enumerate(mask)
            ]
            source: Any = MaskLayers(tuple(layers))
        else:
            source = MaskFile(write(root / f"masks/{number}.png", mask))
        samples.append(Sample(str(number), image, source))
    values = {value: value for value in (*range(len(CLASSES[task]) + 1), 255)}
    ids = tuple(sample.id for sample in samples)
    return DataFolder(
        root, "test", task, CLASSES[task], 3, Encoding(values), tuple(samples), {"val": ids}
    )


def discs(number: int, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noisy logits around +-1 and the discs they come from."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = []
    for _ in range(number):
        row, column = random.uniform(8, SIDE - 8, 2)
        masks.append(((rows - row) ** 2 + (columns - column) ** 2 < 36).astype(np.uint8))
    logits = [2.0 * mask[None] - 1 + random.normal(0, 0.3, (1, SIDE, SIDE)) for mask in masks]
    return logits, masks


def tuned(folder: DataFolder, score: str = "per_image.mean_iou", factor: float = 1.0) -> Tuning:
    images = ValidationImages(predictor_of(folder, factor), folder, memory=10**8)
    return fit(images, Scoring(score, folder.task), NoProgress())


def steps_of(tuning: Tuning, name: str) -> list[Any]:
    return [step for step in tuning.steps if step.step == name]


@pytest.mark.parametrize("score", ["per_image.mean_iou", "competition.tgs_precision"])
def test_a_threshold_that_is_off_is_found(tmp_path: Path, score: str):
    logits, masks = discs(12)
    folder = make_folder(tmp_path, "binary", [values - 1.5 for values in logits], masks)
    tuning = tuned(folder, score)
    (step,) = steps_of(tuning, "thresholds")
    assert step.kept
    assert step.interval[0] > 0.1
    # the discs' logits lie around -0.5, the ground's around -2.5, in units of the temperature
    between = -1.5 / tuning.decision.temperature
    assert tuning.decision.thresholds["disc"] == pytest.approx(1 / (1 + np.exp(-between)), abs=0.15)
    assert tuning.after > tuning.before + 0.1


def test_no_step_is_kept_where_there_is_nothing_to_gain(tmp_path: Path):
    _, masks = discs(12)
    random = np.random.default_rng(7)
    noise = [np.round(random.random(mask.shape) < 0.02).astype(np.uint8) for mask in masks]
    wrong = [mask ^ flipped for mask, flipped in zip(masks, noise, strict=True)]
    perfect = [8.0 * mask[None] - 4 for mask in masks]
    tuning = tuned(make_folder(tmp_path, "binary", perfect, wrong))
    assert not [step for step in tuning.steps if step.kept]
    default = Decision.default("binary", ("disc",))
    assert tuning.decision.model_copy(update={"temperature": 1.0}) == default
    assert (tuning.gain.value, tuning.gain.low, tuning.gain.high) == (0, 0, 0)


def test_what_is_chosen_by_noise_gains_nothing_on_unseen_images():
    """Many candidates that are all equally good: the best on all images always looks better."""
    kept, seen = 0, []
    for seed in range(40):
        random = np.random.default_rng(seed)
        tables = [table_of(random.integers(0, 101, (60, 1))) for _ in range(30)]
        choice = choose(tables, Scoring("per_image.mean_iou", "binary"))
        kept += int(choice.kept[0])
        once = np.ones((1, 60))
        scoring = Scoring("per_image.mean_iou", "binary")
        seen.append(
            scoring.overall(tables[choice.best[0]], once) - scoring.overall(tables[0], once)
        )
    assert np.mean(seen) > 0.05
    assert kept <= 5


def table_of(tp: np.ndarray) -> CountTable:
    """Images of 100 true pixels, of which so many are found, and 1000 in all."""
    found = tp.astype(float)
    valid = np.full(len(found), 1000.0)
    return CountTable(found, 0 * found, 100 - found, valid, valid - (100 - found).sum(1))


def test_a_choice_is_judged_by_images_that_did_not_make_it():
    """By hand: two images, each best under a way of its own, which is wrong for the other."""
    now = table_of(np.array([[50], [50]]))
    first, second = table_of(np.array([[90], [20]])), table_of(np.array([[20], [80]]))
    choice = choose([now, first, second], Scoring("dataset.mean_iou", "binary"))
    assert choice.best.tolist() == [1]
    assert float(choice.gain.value[0]) == pytest.approx((20 + 20) / 200 - 100 / 200)
    assert not choice.kept[0]


def test_groups_are_dealt_whole():
    groups = [None if i % 7 == 0 else f"car{i // 4}" for i in range(60)]
    folds = deal(60, groups)
    for name in set(groups) - {None}:
        assert len({folds[i] for i in range(60) if groups[i] == name}) == 1
    assert set(folds) == {0, 1, 2, 3, 4}
    assert set(deal(3, None)) == {0, 1, 2}
    assert deal(4, ["one"] * 4).tolist() == [0] * 4


def test_classes_choose_for_themselves():
    now = table_of(np.array([[50, 50]] * 20))
    other = table_of(np.array([[60, 40]] * 20))
    choice = choose([now, other], Scoring("dataset.mean_dice", "multilabel"))
    assert choice.best.tolist() == [1, 0]
    assert choice.kept.tolist() == [True, False]
    picked = pick([now, other], np.broadcast_to(choice.best, (20, 2)))
    assert picked.tp[0].tolist() == [60, 50]
    together = choose([now, other], Scoring("dataset.mean_dice", "multiclass"))
    assert together.best.tolist() == [0]


def test_a_class_in_no_mask_is_left_alone(tmp_path: Path):
    logits, masks = discs(8)
    both = [np.concatenate([values, values]) for values in logits]
    layers = [np.stack([mask, 0 * mask]) for mask in masks]
    tuning = tuned(make_folder(tmp_path, "multilabel", both, layers))
    assert tuning.absent == ("b",)
    assert all(not step.kept for step in tuning.steps if step.of == "b")
    assert tuning.decision.thresholds["b"] == 0.5
    assert "b is in no validation mask" in "\n".join(tuning.lines())


def test_speckles_and_pinholes_are_cleaned(tmp_path: Path):
    """Sure specks outside and pinholes inside, which no threshold can tell from discs."""
    _, masks = discs(12)
    random = np.random.default_rng(3)
    logits = []
    for mask in masks:
        values = 6.0 * mask - 3
        speck = random.random(mask.shape) < 0.02
        values[speck] *= -1
        logits.append(values[None].clip(-3.9, 3.9))
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks))
    kept = {step.step for step in tuning.steps if step.kept}
    assert "smallest_region" in kept
    assert "largest_hole" in kept
    assert tuning.after > tuning.before + 0.1
    rest = [step for step in tuning.steps if step.step in ("thresholds", "least_confidence")]
    assert not [step for step in rest if step.kept]


def test_the_gate_leaves_empty_images_empty(tmp_path: Path):
    """Images without a disc show a faint patch; the gate drops it, no threshold can."""
    logits, masks = discs(16)
    for number in range(0, 16, 2):
        masks[number] = 0 * masks[number]
        logits[number] = np.full((1, SIDE, SIDE), -2.0)
        logits[number][0, 5:9, 5:9] = 0.7
    for number in range(1, 16, 2):
        logits[number] = np.where(masks[number] == 1, 0.7, -2.0)[None]
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks), "per_image.mean_dice")
    kept = {step.step for step in tuning.steps if step.kept}
    assert kept & {"smallest_region", "smallest_area"}
    assert tuning.after == 1


def test_only_the_largest_for_exclusive_classes(tmp_path: Path):
    """A second blob of class b that is as large as the first one at times, but never true."""
    random = np.random.default_rng(0)
    logits, masks = [], []
    for _ in range(12):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[4:14, 4:14] = 1
        values = np.full((3, SIDE, SIDE), -2.0)
        values[0] = 1.0
        values[1, 4:14, 4:14] = 2.0
        side = int(random.integers(8, 10))
        values[1, 20 : 20 + side, 20 : 20 + side] = 2.0
        logits.append(values)
        masks.append(mask)
    tuning = tuned(make_folder(tmp_path, "multiclass", logits, masks), "dataset.mean_iou")
    assert {step.of for step in tuning.steps} == {None}
    assert tuning.decision.only_largest == {"a": True, "b": True, "c": True}
    assert tuning.after == pytest.approx(1)
    assert tuning.curves == {}


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_the_curve_is_what_decide_gives(tmp_path: Path, task: Task):
    """Probabilities at thresholds, ignored pixels, a mask of twice the size."""
    random = np.random.default_rng(0)
    number = len(CLASSES[task])
    logits = [np.round(random.normal(0, 1, (number, 8, 12)) * 4) / 4 for _ in range(3)]
    shape = (8, 12) if task == "binary" else (2, 8, 12)
    masks = [
        random.choice([0, 1, 255], shape, p=[0.6, 0.3, 0.1]).astype(np.uint8) for _ in range(3)
    ]
    masks[1] = masks[1].repeat(2, -1).repeat(2, -2)
    folder = make_folder(tmp_path, task, logits, masks)
    images = ValidationImages(predictor_of(folder), folder, memory=0)
    default = Decision.default(task, folder.classes)
    tables = threshold_tables(images, default, NoProgress())
    for index in (0, 1, 60, 254):
        threshold = THRESHOLDS[index] / BINS
        decision = default.model_copy(
            update={"thresholds": dict.fromkeys(folder.classes, threshold)}
        )
        (expected,) = count_tables(images, [decision], "", NoProgress())
        for ours, theirs in zip(tables[index], expected, strict=True):
            assert np.array_equal(ours, theirs)


def test_before_and_after_are_what_evaluate_gives(tmp_path: Path):
    logits, masks = discs(8)
    folder = make_folder(tmp_path, "binary", [values - 1.0 for values in logits], masks)
    tuning, predictor = tuned(folder), predictor_of(folder)
    for decision, score in (
        (predictor.decision, tuning.before),
        (tuning.decision, tuning.after),
    ):
        scores = evaluate(predictor.with_decision(decision), folder, "val").scores
        assert scores["per_image"]["mean_iou"] == pytest.approx(score)


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.5])
def test_the_temperature_undoes_a_factor(factor: float):
    """Truth drawn from sigmoid(logits), logits then multiplied: the factor is what is fitted."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(60_000, generator=random) * 2
    truth = (torch.rand(60_000, generator=random) < logits.sigmoid()).float()
    samples = [PixelSample(logits[i::3] * factor, truth[i::3]) for i in range(3)]
    assert fit_temperature(samples) == pytest.approx(factor, rel=0.04)
    several = torch.randn(20_000, 4, generator=random) * 2
    index = torch.multinomial(several.softmax(1), 1, generator=random)[:, 0]
    assert fit_temperature([PixelSample(several * factor, index)]) == pytest.approx(
        factor, rel=0.04
    )


def test_calibration_of_a_network_that_is_too_sure(tmp_path: Path):
    """Masks drawn from sigmoid(logits); the network answers with three times the logits."""
    random = np.random.default_rng(0)
    logits = [np.round(random.normal(0, 0.4, (1, SIDE, SIDE)) * 32) / 32 for _ in range(8)]
    masks = [(random.random(z.shape) < 1 / (1 + np.exp(-z)))[0].astype(np.uint8) for z in logits]
    tuning = tuned(make_folder(tmp_path, "binary", logits, masks), factor=3.0)
    found = tuning.calibration
    assert found.kept
    assert found.temperature == pytest.approx(3, rel=0.25)
    assert tuning.decision.temperature == found.temperature
    before, after = found.reliability
    assert after.error() < 0.3 * before.error()
    assert found.loss[1] < found.loss[0]
    # by hand, over the same pixels
    claims = np.concatenate([1 / (1 + np.exp(-3 * z.ravel())) for z in logits])
    truth = np.concatenate([mask.ravel() for mask in masks])
    bins = np.minimum((claims * 15).astype(int), 14)
    error = sum(
        abs(claims[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean()
        for b in range(15)
        if (bins == b).any()
    )
    assert before.error() == pytest.approx(error, abs=1e-3)


def test_reliability_of_exclusive_classes_is_of_the_first_guess():
    maps = np.array([[[0.7, 0.2]], [[0.2, 0.5]], [[0.1, 0.3]]], np.float32)
    found = reliability(maps, np.array([[0, 255]], np.uint8), "multiclass")
    assert found.to_json() == {"probability": [0.7], "true_share": [1.0], "pixels": [1]}
    twice = found + reliability(maps, np.array([[1, 1]], np.uint8), "multiclass")
    assert twice.error() == pytest.approx((abs(1.4 - 1) + abs(0.5 - 1)) / 3)
    assert Reliability.of(np.array([1.0]), np.array([True])).error() == 0


def test_the_temperature_is_in_every_probability(tmp_path: Path):
    logits, masks = discs(1)
    folder = make_folder(tmp_path, "binary", logits, masks)
    image = np.asarray(Image.open(folder.samples[0].image))
    plain = predictor_of(folder)
    warm = plain.with_decision(plain.decision.model_copy(update={"temperature": 2.0}))
    odds = [np.log(p / (1 - p)) for p in (plain.probabilities(image), warm.probabilities(image))]
    assert np.allclose(odds[0], 2 * odds[1], atol=1e-4)
    assert plain.decision.temperature == 1
    assert np.array_equal(warm(image), decide(warm.probabilities(image), warm.decision))


@pytest.mark.parametrize(
    ("wanted", "monitor", "task", "name"),
    [
        (None, "auto", "binary", "per_image.mean_iou"),
        (None, "auto", "multiclass", "dataset.mean_iou"),
        (None, "loss", "multilabel", "dataset.mean_iou"),
        (None, "dataset.pixel_accuracy", "multiclass", "dataset.mean_iou"),
        (None, "dataset.mean_dice", "binary", "dataset.mean_dice"),
        ("competition.severstal_mean_dice", "auto", "multilabel", None),
    ],
)
def test_which_score(wanted: str | None, monitor: str, task: Task, name: str | None):
    assert score_name(wanted, monitor, task) == (name or wanted)


@pytest.mark.parametrize(
    ("wanted", "task"),
    [
        ("loss", "binary"),
        ("competition.tgs_precision", "multilabel"),
        ("competition.severstal_mean_dice", "multiclass"),
    ],
)
def test_scores_that_masks_do_not_have(wanted: str, task: Task):
    with pytest.raises(
        ConfigError, match=f"{task} masks cannot be tuned by '{wanted}'; choose one"
    ):
        score_name(wanted, "auto", task)


@pytest.fixture(scope="module")
def trained(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tuning")
    settings = ["model.name=unet", "model.width=2", "model.depth=1", "data.image_size=[32,32]"]
    run = delineo.train(
        make_shapes(root / "discs", 24),
        [*settings, "epochs=1", "epoch_size=16", "batch_size=4"],
        out=root / "run",
    )
    return run.path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_tune_writes_what_evaluate_then_applies(run: Path, tmp_path: Path):
    assert cli("evaluate", run)[0] == 0
    code, output, _ = cli("tune", run, "--json", tmp_path / "tuning.json")
    assert code == 0
    record = json.loads((run / "tuning.json").read_text())
    assert json.loads((tmp_path / "tuning.json").read_text()) == record
    decision = json.loads((run / "decision.json").read_text())
    assert record["decision"] == decision
    assert (record["split"], record["score"]) == ("val", "per_image.mean_iou")
    assert set(record["curves"]["foreground"]) == {"threshold", "score"}
    assert len(record["curves"]["foreground"]["score"]) == 255
    for word in ("temperature", "threshold", "smallest region", "gain", "next: delineo evaluate"):
        assert word in output
    assert cli("evaluate", run)[0] == 0
    assert Evaluation.load(run / "evaluation-test.json").decision == decision


def test_a_network_that_is_off_is_tuned_and_old_scores_are_named(run: Path, tmp_path: Path):
    """The head's bias is lowered by hand, so that 0.5 is the wrong threshold."""
    from safetensors.torch import load_file, save_file

    assert cli("evaluate", run)[0] == 0
    weights = load_file(run / "best.safetensors")
    name = [key for key in weights if key.endswith("bias")][-1]
    weights[name] = weights[name] - 1.0
    save_file(weights, run / "best.safetensors")
    code, output, _ = cli("tune", run, "--score", "dataset.mean_dice")
    assert code == 0
    assert "evaluation-test.json is of masks that were decided in another way" in output
    assert cli("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "decided in another way" in page
    assert cli("evaluate", run)[0] == 0
    code, output, _ = cli("tune", run, "--score", "dataset.mean_dice")
    assert "decided in another way" not in output
    assert cli("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "decided in another way" not in page
    assert "Score over threshold" in page
    assert "Reliability" in page


@pytest.mark.parametrize("split", ["test", "train", "tset"])
def test_there_is_no_way_to_tune_on_another_part(run: Path, split: str):
    before = (run / "decision.json").read_text()
    code, _, errors = cli("tune", run, "--split", split)
    assert code == 2
    assert f"got --split {split}" in errors
    assert "cannot judge" in errors
    assert (run / "decision.json").read_text() == before
    assert not (run / "tuning.json").exists()


def test_no_image_but_those_of_validation_is_read(run: Path):
    """Other parts' files may be gone."""
    record = json.loads((run / "dataset.json").read_text())
    data = shutil.copytree(record["path"], run.parent / "data")
    record["path"] = str(data)
    (run / "dataset.json").write_text(json.dumps(record))
    for part in ("train", "test"):
        for name in record["splits"][part]:
            (data / "images" / f"{name}.png").write_bytes(b"")
            (data / "masks" / f"{name}.png").write_bytes(b"")
    assert cli("tune", run)[0] == 0


def test_without_a_validation_part_a_sentence(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    record["splits"]["val"] = []
    (run / "dataset.json").write_text(json.dumps(record))
    code, _, errors = cli("tune", run)
    assert code == 1
    assert "has no validation images" in errors
    assert "splits.json" in errors


def test_without_the_data_a_sentence_that_helps(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    (run / "dataset.json").write_text(json.dumps(record | {"path": str(run / "gone")}))
    code, _, errors = cli("tune", run)
    assert code == 1
    assert "put the folder back" in errors
    assert "--data" not in errors


def test_a_score_that_is_none_is_2(run: Path):
    code, _, errors = cli("tune", run, "--score", "accuracy")
    assert code == 2
    assert "competition.tgs_precision" in errors


def test_one_validation_image_keeps_the_defaults(run: Path):
    record = json.loads((run / "dataset.json").read_text())
    record["splits"]["val"] = record["splits"]["val"][:1]
    (run / "dataset.json").write_text(json.dumps(record))
    before = json.loads((run / "decision.json").read_text())
    code, output, _ = cli("tune", run)
    assert code == 0
    assert "decided by the defaults" in output
    assert json.loads((run / "decision.json").read_text()) == before


def test_every_score_can_be_tuned_by(tmp_path: Path):
    logits, masks = discs(4)
    folder = make_folder(tmp_path, "binary", logits, masks)
    images = ValidationImages(predictor_of(folder), folder, memory=10**8)
    for name in BY_CLASS:
        tuning = fit(images, Scoring(name, "binary"), NoProgress())
        json.dumps(tuning.to_json(), allow_nan=False)
        scores = evaluate(images.predictor, folder, "val").scores
        block, _, key = name.partition(".")
        assert tuning.before == pytest.approx(scores[block][key])


def test_groups_widen_the_gain(tmp_path: Path):
    """Four copies of each image tell no more than one."""
    logits, masks = discs(6)
    folder = make_folder(tmp_path, "binary", [v - 1.0 for v in logits] * 4, masks * 4)
    images = ValidationImages(predictor_of(folder), folder, memory=10**8)
    groups = [f"car{i % 6}" for i in range(24)]
    widths = []
    for each in (None, groups):
        scoring = replace(Scoring("per_image.mean_iou", "binary"), groups=each)
        gain = fit(images, scoring, NoProgress()).gain
        widths.append(float(gain.high - gain.low))
    assert widths[1] > 1.5 * widths[0] > 0
