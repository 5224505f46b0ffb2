"""Means of probabilities, over runs and over views, against means taken by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command import cli
from PIL import Image

import delineo
from delineo.data.images import read_image
from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample, Task
from delineo.decision import Decision, decide
from delineo.ensemble import Ensemble, as_augmentations, combine, mean_decision, views_of
from delineo.errors import ConfigError
from delineo.export import write_export
from delineo.models import build_model
from delineo.prediction import Predictor
from delineo.recipe import Recipe
from delineo.runtime import ExportedPredictor, MaskPredictor

CLASSES: dict[Task, tuple[str, ...]] = {"binary": ("a",), "multiclass": ("a", "b", "c")}
TINY = ("model.name=unet", "model.width=2", "model.depth=2", "data.image_size=[32,32]",
        "epochs=1", "epoch_size=8", "batch_size=4", "precision=fp32")  # fmt: skip


def predictor_of(seed: int = 0, task: Task = "multiclass", scale: float | str = "fit") -> Predictor:
    torch.manual_seed(seed)
    data = {"image_size": [24, 32], "scale": scale, "mean": [120.0] * 3, "std": [60.0] * 3}
    model = {"name": "unet", "width": 2, "depth": 2}
    recipe = Recipe.parse({"model": model, "data": data, "precision": "fp32"})
    classes = CLASSES[task]
    network = build_model(recipe.model, 3, 1 if task == "binary" else len(classes)).eval()
    described = DataFolder(Path(), "test", task, classes, 3, Encoding(), (), {})
    return Predictor(network, recipe, described, Decision.default(task, classes))


def image(height: int = 40, width: int = 30) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    members = [predictor_of(seed) for seed in range(3)]
    maps = np.stack([member.probabilities(image()) for member in members])
    assert np.ptp(maps, axis=0).max() > 0.01
    ensemble = Ensemble(members)
    assert ensemble.probabilities(image()) == pytest.approx(maps.mean(0), abs=1e-6)
    assert ensemble.probabilities(image()).dtype == np.float32
    assert np.array_equal(ensemble(image()), maps.mean(0).argmax(0))
    assert (ensemble.task, ensemble.classes, ensemble.channels) == (
        "multiclass",
        ("a", "b", "c"),
        3,
    )


def test_runs_for_other_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiclass masks of a, b, c and binary masks of a"):
        Ensemble([predictor_of(), predictor_of(task="binary")])


def test_the_mean_of_decisions() -> None:
    default = Decision.default("binary", ("a",))
    assert mean_decision([default, default]) is default

    def made(threshold: float, smallest: int, largest: bool) -> Decision:
        values = {"thresholds": {"a": threshold}, "smallest_region": {"a": smallest}}
        return default.model_copy(
            update={**values, "only_largest": {"a": largest}, "temperature": 2.0}
        )

    mean = mean_decision([made(0.2, 10, True), made(0.4, 21, True), made(0.6, 30, False)])
    assert mean.thresholds == pytest.approx({"a": 0.4})
    assert mean.smallest_region == {"a": 20}
    assert mean.only_largest == {"a": True}
    assert mean.temperature == 1.0
    assert mean_decision([made(0.2, 0, True), made(0.2, 0, False)]).only_largest == {"a": False}
    maps = np.full((1, 3, 3), 0.45, np.float32)
    assert decide(maps, mean).sum() == 0
    assert decide(np.full((1, 5, 5), 0.45, np.float32), mean).sum() == 25


@pytest.mark.parametrize("scale", ["fit", 1.0])
def test_flips_are_turned_back(scale: float | str) -> None:
    predictor = predictor_of(scale=scale)
    by_hand = []
    for rows in (1, -1):
        for columns in (1, -1):
            flipped = np.ascontiguousarray(image()[::rows, ::columns])
            by_hand.append(predictor.probabilities(flipped)[:, ::rows, ::columns])
    four = combine([predictor], ["flips"])
    assert four.probabilities(image()) == pytest.approx(np.mean(by_hand, 0), abs=1e-6)
    two = combine([predictor], ["mirror"])
    assert two.probabilities(image()) == pytest.approx(np.mean(by_hand[:2], 0), abs=1e-6)
    # a mirrored image has a mirrored mask then, which is not so without
    mirrored = np.ascontiguousarray(image()[:, ::-1])
    assert two.probabilities(mirrored) == pytest.approx(
        two.probabilities(image())[:, :, ::-1], abs=1e-6
    )
    assert np.abs(predictor.probabilities(mirrored)[:, :, ::-1] - by_hand[0]).max() > 1e-3
    assert two(image()).shape == (40, 30)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (40, 1)])
def test_an_image_of_one_row_is_flipped_too(size: tuple[int, int]) -> None:
    predictor = predictor_of(scale=1.0)
    four = combine([predictor], ["flips"]).probabilities(image(*size))
    pixels = image(*size)
    turns = [
        (slice(None, None, rows), slice(None, None, columns))
        for rows in (1, -1)
        for columns in (1, -1)
    ]
    by_hand = [predictor.probabilities(pixels[turn].copy())[:, *turn] for turn in turns]
    assert four == pytest.approx(np.mean(by_hand, 0), abs=1e-6)


@pytest.mark.parametrize(("scale", "sides"), [("fit", (24, 32)), (0.5, (20, 15))])
def test_scales_change_what_the_network_sees(scale: float | str, sides: tuple[int, int]) -> None:
    predictor = predictor_of(scale=scale)
    pixels = image(*((24, 32) if scale == "fit" else (40, 30)))
    views = [predictor.at_scale(factor).view(pixels).shape[1:] for factor in (0.75, 1.0, 1.25)]
    assert views[1] == sides
    for view, factor in zip(views, (0.75, 1.0, 1.25), strict=True):
        assert view == tuple(round(side * factor) for side in sides)
    maps = [predictor.at_scale(factor).probabilities(pixels) for factor in (0.75, 1.0, 1.25)]
    own = combine([predictor], ["scales"]).probabilities(pixels)
    assert own == pytest.approx(np.mean(maps, 0), abs=1e-6)
    assert len(views_of(predictor, ["flips", "scales"])) == 12
    assert len(views_of(predictor, ["mirror", "flips"])) == 4


def test_an_unknown_augmentation_is_named() -> None:
    assert as_augmentations(["scales", "mirror"]) == ["scales", "mirror"]
    with pytest.raises(ConfigError, match="--tta is one of mirror, flips, scales, got 'turns'"):
        as_augmentations(["turns"])


def test_exports_are_augmented_alike(tmp_path: Path) -> None:
    predictor = predictor_of(scale=1.0)
    file = tmp_path / "image.png"
    Image.fromarray(image()).save(file)
    sample = Sample("image", file, MaskFile(file))
    parts = {"train": ("image",)}
    folder = DataFolder(
        tmp_path, "test", "multiclass", CLASSES["multiclass"], 3, Encoding(), (sample,), parts
    )
    write_export(tmp_path, "torch", predictor, folder)
    exported = ExportedPredictor.load(tmp_path)
    for ways in (["flips"], ["scales"]):
        theirs = combine([predictor], ways).probabilities(image())
        assert np.abs(combine([exported], ways).probabilities(image()) - theirs).max() < 0.01
    assert combine([exported], []) is exported
    assert isinstance(combine([exported, predictor], ["mirror"]), Ensemble)


def test_scans_are_cut_for_the_most_demanding_member() -> None:
    one, two = predictor_of(scale=0.5), predictor_of(1, scale=1.0)
    both = Ensemble([one, two])
    assert both.scale == 0.5
    # at the scale of the one, a pixel of the view is four of the other's
    assert both.footprint().values == 4 * two.footprint().values
    assert both.footprint().reach == one.footprint().reach == two.footprint().reach
    assert isinstance(both, MaskPredictor)
    views = combine([predictor_of(scale="fit")], ["scales", "mirror"])
    assert (views.scale, views.image_size) == ("fit", (30, 40))


# Commands


@pytest.fixture(scope="module")
def runs(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("ensemble")
    data = make_shapes(root / "data", 12)
    return [
        delineo.train(data, [*TINY, f"seed={seed}"], out=root / f"run{seed}").path
        for seed in (1, 2)
    ]


def test_the_command_takes_runs_before_images(runs: list[Path], tmp_path: Path) -> None:
    images = runs[0].parent / "data/images"
    out = tmp_path / "masks"
    code, _, errors = cli(
        "predict", *runs, images, "--out", out, "--tta", "mirror", "--probabilities"
    )
    assert code == 0, errors
    assert len(list(out.glob("disc??.png"))) == 12
    members = [combine([Predictor.load(run)], ["mirror"]) for run in runs]
    expected = Ensemble(members).probabilities(read_image(images / "disc00.png"))
    (file,) = out.glob("disc00_probability_*.png")
    assert read_image(file)[..., 0] / 65535 == pytest.approx(expected[0], abs=1e-3)
    code, _, errors = cli("predict", *runs, "--out", out)
    assert code == 2
    assert "no images" in errors


def test_what_ships_is_judged_alike(runs: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    code, _, errors = cli("evaluate", *runs, "--split", "val", "--tta", "flips", "--json", file)
    assert code == 0, errors
    run = delineo.Run.open(runs[0])
    members = [combine([Predictor.load(path)], ["flips"]) for path in runs]
    expected = delineo.evaluate(Ensemble(members), run.folder(), "val")
    assert json.loads(file.read_text())["per_image"] == expected.to_json()["per_image"]
    # of the run alone is only what the run alone does
    assert not run.evaluation_file("val").exists()


def test_runs_of_other_parts_are_not_judged_together(runs: list[Path], tmp_path: Path) -> None:
    record = json.loads((runs[1] / "dataset.json").read_text())
    splits = record["splits"]
    swapped = {**splits, "train": splits["train"][1:] + splits["test"], "test": splits["train"][:1]}
    other = tmp_path / "other"
    other.mkdir()
    for name in ("recipe.yaml", "decision.json", "best.safetensors"):
        (other / name).write_bytes((runs[1] / name).read_bytes())
    (other / "dataset.json").write_text(json.dumps({**record, "splits": swapped}))
    code, _, errors = cli("evaluate", runs[0], other)
    assert code == 1
    assert "one of them was trained on images that are to judge it" in errors
