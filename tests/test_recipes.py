"""The packaged recipes: found by name, true to what was published, run from real layouts."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import delineo
from delineo.cli import app
from delineo.data.contents import Contents, class_frequencies, class_shares
from delineo.data.rle import encode
from delineo.errors import ConfigError
from delineo.losses import LossConfig, build_loss
from delineo.models.resnet_unet import ResNetEncoder
from delineo.optim import PlateauState, lr_factor
from delineo.planning import median_frequency_weights
from delineo.recipe import PACKAGED, Recipe, find_recipe
from delineo.startup import balanced, load_recipe

CAMVID = Path(__file__).parents[2] / "shared/data/camvid"
SIZE = (40, 56)
TINY = (
    "data.image_size=[32,32]", "epochs=1", "epoch_size=4", "batch_size=2", "precision=fp32",
)  # fmt: skip


def pictures(count: int, channels: int = 3) -> list[np.ndarray]:
    """Noise, so that no two are alike."""
    random = np.random.default_rng(channels)
    shape = SIZE if channels == 1 else (*SIZE, channels)
    return [random.integers(0, 256, shape, np.uint8) for _ in range(count)]


def stripes(classes: list[int], place: int) -> np.ndarray:
    """A mask of upright stripes, one for each class, turned by `place`."""
    columns = np.arange(SIZE[1]) * len(classes) // SIZE[1] + place
    row = np.array(classes, np.uint8)[columns % len(classes)]
    return np.broadcast_to(row, SIZE).copy()


BLACK_AND_WHITE = [0, 0, 0, 255, 255, 255]
COLORS = [value for index in range(256) for value in (index, 0, 128)]


def save(array: np.ndarray, path: Path, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image.putpalette(palette)
    image.save(path)


def carvana(root: Path) -> Path:
    """Photographs and palette GIFs, two views of each car."""
    for index, picture in enumerate(pictures(16)):
        name = f"{index // 2:08x}cafe_{index % 2 + 1:02d}"
        save(picture, root / "train" / f"{name}.jpg")
        save(stripes([0, 1], index), root / "train_masks" / f"{name}_mask.gif", BLACK_AND_WHITE)
    return root


def tgs_salt(root: Path) -> Path:
    """Grey images and 16-bit masks, some of them empty."""
    for index, picture in enumerate(pictures(12, 1)):
        mask = stripes([0, 1], index) if index % 3 else np.zeros(SIZE, np.uint8)
        save(picture, root / "train/images" / f"{index:010x}.png")
        save(mask.astype(np.uint16) * 65535, root / "train/masks" / f"{index:010x}.png")
    return root


def voc(root: Path) -> Path:
    """The VOCdevkit tree: official lists, palette masks of three classes and the void border."""
    home = root / "VOCdevkit/VOC2012"
    names = [f"2007_{index:06d}" for index in range(12)]
    for index, picture in enumerate(pictures(12)):
        save(picture, home / "JPEGImages" / f"{names[index]}.jpg")
        mask = stripes([0, 255, 15, 255, 7], index)
        save(mask, home / "SegmentationClass" / f"{names[index]}.png", COLORS)
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:9]))
    (lists / "val.txt").write_text("\n".join(names[9:]))
    return root


def severstal(root: Path) -> Path:
    """A table of run-length codes, four kinds that may overlap, and sheets without any."""
    rows = ["ImageId,ClassId,EncodedPixels"]
    for index, picture in enumerate(pictures(14)):
        save(picture, root / "train_images" / f"{index:09x}.jpg")
        for defect in range(1, 5) if index % 7 else ():
            code = encode(stripes([0, 1, 0, 0], index + defect // 2))
            rows.append(f"{index:09x}.jpg,{defect},{code}")
    (root / "train.csv").write_text("\n".join(rows) + "\n")
    return root


def camvid(root: Path) -> Path:
    """Folders by part, masks of 0 to 10, and 11 where nothing is labelled."""
    names = "sky building pole road pavement tree signsymbol fence car pedestrian bicyclist"
    for index, picture in enumerate(pictures(12)):
        part = ("train", "train", "val", "test")[index % 4]
        save(picture, root / part / f"{index:04d}.png")
        save(stripes([*range(12)], index), root / f"{part}annot" / f"{index:04d}.png")
    (root / "classes.json").write_text(json.dumps(names.split()))
    return root


RESNET = ("model.depth=18", "model.decoder_widths=[4,4,4,4,4]")
RECIPES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "unet_carvana": (carvana, ("model.width=2",)),
    "unet_tgs_salt": (tgs_salt, ("model.width=2",)),
    "unet_voc": (voc, ("model.width=2",)),
    "resnet_unet_voc": (voc, RESNET),
    "resunet_severstal": (severstal, ("model.width=4",)),
    "segnet_camvid": (camvid, ("model.width=2",)),
}
"""Its layout, and what makes its network tiny."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "unet_carvana": {
        "data.image_size": (320, 480),
        "data.scale": "fit",
        "model.width": 64,
        "model.depth": 4,
        "model.up": "transpose",
        "loss.bce": 1,
        "optimizer.name": "adam",
        "optimizer.lr": 1e-4,
        "schedule.name": "cosine_restarts",
        "augmentation.horizontal_flip": 0.5,
        "augmentation.vertical_flip": 0.1,
        "epochs": 20,
        "batch_size": 16,
    },
    "unet_tgs_salt": {
        "data.image_size": (128, 128),
        "model.width": 16,
        "model.depth": 4,
        "model.up": "transpose",
        "loss.bce": 1,
        "optimizer.name": "adam",
        "schedule.name": "plateau",
        "schedule.patience": 5,
        "patience": 10,
        "monitor": "loss",
        "batch_size": 32,
    },
    "unet_voc": {
        "data.image_size": (224, 224),
        "data.class_windows": 0,
        "model.depth": 3,
        "loss.cross_entropy": 1,
        "loss.dice": 1,
        "augmentation.vertical_flip": 0,
    },
    "resnet_unet_voc": {
        "data.image_size": (224, 224),
        "data.class_windows": 0,
        "model.name": "resnet_unet",
        "loss.cross_entropy": 1,
        "loss.dice": 1,
    },
    "resunet_severstal": {
        "model.name": "resunet",
        "model.width": 32,
        "model.dilations": ((1, 3, 15, 31), (1, 3, 15, 31), (1, 3, 15), (1, 3, 15), (1,), (1,)),
    },
    "segnet_camvid": {
        "data.image_size": (360, 480),
        "model.form": "basic",
        "model.width": 64,
        "loss.cross_entropy": 1,
        "loss.class_weights": "median_frequency",
        "optimizer.name": "sgd",
        "optimizer.lr": 0.1,
        "optimizer.momentum": 0.9,
        "optimizer.nesterov": False,
        "schedule.name": "constant",
        "batch_size": 12,
        "monitor": "dataset.pixel_accuracy",
    },
}


def packaged(name: str, *overrides: str) -> Recipe:
    return load_recipe(f"recipes/{name}.yaml", overrides)


def value_of(recipe: Recipe, key: str) -> Any:
    value: Any = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_was_published(name: str) -> None:
    recipe = packaged(name)
    found = {key: value_of(recipe, key) for key in PUBLISHED[name]}
    assert found == PUBLISHED[name]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_leaves_nothing_open(name: str) -> None:
    """No trick of ours is on, and nothing that decides the training is planned."""
    recipe = packaged(name)
    assert (recipe.ema, recipe.clip_norm) == (0, 0)
    settings = recipe.model_dump()
    decided = [settings[key] for key in ("epochs", "batch_size")]
    decided += [settings["data"][key] for key in ("image_size", "scale", "mean", "std")]
    decided += [settings["optimizer"]["lr"], settings["optimizer"]["weight_decay"]]
    assert None not in decided
    assert recipe.monitor != "auto"
    text = (PACKAGED / f"{name}.yaml").read_text()
    assert all(f"  {key}: " in text for key in settings["augmentation"])


@pytest.mark.parametrize("name", RECIPES)
def test_the_commands_of_a_header_are_right(name: str) -> None:
    text = (PACKAGED / f"{name}.yaml").read_text().replace("\\\n# ", "")
    lines = [line for line in text.splitlines() if "delineo train" in line]
    commands = [shlex.split(line.removeprefix("#")) for line in lines]
    assert commands
    for _, verb, recipe, *settings, option, _ in commands:
        assert (verb, recipe, option) == ("train", f"recipes/{name}.yaml", "--out")
        assert load_recipe(recipe, settings).data.path == Path("DIR")
    assert "docs/reproduction.md" in text


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_on_its_layout_unedited(name: str, tmp_path: Path) -> None:
    make, tiny = RECIPES[name]
    data = make(tmp_path / "data")
    run = delineo.train(f"{name}.yaml", [f"data.path={data}", *TINY, *tiny], out=tmp_path / "run")
    [epoch] = run.epochs()
    assert epoch["step"] == 2
    assert run.best_file.exists()
    assert len(run.recipe().data.mean or ()) == run.dataset()["channels"]
    log = run.log_file.read_text()
    model = run.recipe().model.name
    assert f"{model} starts from scratch" in log
    assert "val loss -" not in log  # a monitored loss is said once, as it is


def test_the_options_of_resunet_train(tmp_path: Path) -> None:
    options = ["model.pyramid_pooling=true", "loss={tanimoto: 1}", "model.width=4"]
    data = severstal(tmp_path / "data")
    run = delineo.train(
        "resunet_severstal.yaml", [f"data.path={data}", *TINY, *options], out=tmp_path / "run"
    )
    assert run.dataset()["task"] == "multilabel"
    assert run.dataset()["classes"] == ["1", "2", "3", "4"]


def test_warm_restarts_of_carvana_come_after_ten_epochs() -> None:
    schedule = packaged("unet_carvana").schedule
    rates = [lr_factor(schedule, step, 20, PlateauState()) for step in range(20)]
    cycle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, expected = cycle(optimizer, T_0=10), []
    for _ in range(20):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx(expected)


def test_a_file_on_disk_comes_before_a_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("unet_voc.yaml", "recipes/unet_voc.yaml"):
        assert find_recipe(Path(name)) == PACKAGED / "unet_voc.yaml"
    (tmp_path / "unet_voc.yaml").write_text("epochs: 3\n")
    assert load_recipe("unet_voc.yaml", ()).epochs == 3
    assert load_recipe("recipes/unet_voc.yaml", ()).epochs == 100


def test_weights_for_a_network_that_takes_none_name_those_that_do() -> None:
    with pytest.raises(ConfigError, match=r"to model\.name=lite_unet or model\.name=resnet_unet$"):
        load_recipe("unet_voc.yaml", ["model.pretrained=w.pth"])


@pytest.mark.parametrize("path", ["unet_vok.yaml", "recipes/unet_vok.yaml", "mine/unet_voc.yaml"])
def test_a_missing_recipe_names_the_nearest(path: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", path, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert f"{path} does not exist; did you mean recipes/unet_voc.yaml?" in result.stderr
    assert "unet_carvana.yaml" in result.stderr


CONTENTS = [Contents((60, 40), 0, 100), Contents((100, 0), 100, 200), Contents((90, 10), 0, 100)]
"""Pixels of two classes in three images; the second image has ignored pixels too."""


def test_median_frequency_weights_by_hand() -> None:
    """The second class has 50 of the 200 pixels of its two images, the first 250 of 300."""
    frequencies = class_frequencies(CONTENTS, ["ground", "crack"])
    assert frequencies == {"ground": pytest.approx(250 / 300), "crack": pytest.approx(50 / 200)}
    assert class_shares(CONTENTS, ["ground", "crack"])["crack"] == pytest.approx(50 / 300)
    median = (250 / 300 + 50 / 200) / 2
    expected = (median * 300 / 250, median * 200 / 50)
    assert median_frequency_weights(frequencies.values()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.skipif(not CAMVID.exists(), reason="needs ../shared/data/camvid")
def test_median_frequency_weights_are_those_of_segnets_program() -> None:
    """segnet_basic_train.prototxt: within a fifth, but for signs."""
    theirs = [0.2595, 0.1826, 4.564, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
    contents = []
    for path in (CAMVID / "trainannot").iterdir():
        pixels = np.bincount(np.array(Image.open(path)).ravel(), minlength=12).tolist()
        contents.append(Contents(tuple(pixels[:11]), pixels[11], sum(pixels)))
    frequencies = class_frequencies(contents, [str(index) for index in range(11)])
    ratios = np.array(median_frequency_weights(frequencies.values())) / theirs
    assert ratios[6] == pytest.approx(0.4, abs=0.01)
    assert np.delete(ratios, 6) == pytest.approx(1.1, abs=0.1)


def test_class_weights_by_name_become_numbers(tmp_path: Path) -> None:
    """Every class stands in every mask of the layout, so the weights are about alike."""
    data, (_, tiny) = camvid(tmp_path / "data"), RECIPES["segnet_camvid"]
    run = delineo.train(
        "segnet_camvid.yaml", [f"data.path={data}", *TINY, *tiny], out=tmp_path / "run"
    )
    masks = [np.array(Image.open(path)) for path in (data / "trainannot").iterdir()]
    frequencies = np.bincount(np.stack(masks).ravel(), minlength=12)[:11].astype(float)
    expected = np.median(frequencies) / frequencies
    assert run.recipe().loss.class_weights == pytest.approx(expected, abs=1e-4)


def test_class_weights_by_name_need_a_training_part() -> None:
    loss = LossConfig(cross_entropy=1, class_weights="median_frequency")
    with pytest.raises(ConfigError, match="one number for each class"):
        build_loss(loss, "multiclass")


@pytest.mark.parametrize(
    "loss",
    [
        LossConfig(focal_tversky=1),
        LossConfig(tversky=1, dice=1),
        LossConfig(cross_entropy=1, class_weights="median_frequency"),
    ],
)
def test_a_loss_that_must_see_each_class(loss: LossConfig) -> None:
    classes, seen = ("ground", "crack"), balanced(loss, CONTENTS, ("ground", "crack"))
    assert seen.class_weights is None or len(seen.class_weights) == 2
    with pytest.raises(ConfigError, match="no training mask shows crack"):
        balanced(loss, CONTENTS[1:2], classes)


def test_class_weights_are_counted_before_anything_is_spent() -> None:
    loss = LossConfig(cross_entropy=1, class_weights=(1, 2, 3))
    with pytest.raises(ConfigError, match=r"each class, 2 in all \(ground, crack\), got 3"):
        balanced(loss, CONTENTS, ("ground", "crack"))
    loss = LossConfig(cross_entropy=1, class_weights=(1, 2))
    assert balanced(loss, CONTENTS, ("ground", "crack")) == loss


def test_other_losses_may_miss_a_class() -> None:
    loss = LossConfig(dice=1, cross_entropy=1)
    assert balanced(loss, CONTENTS[1:2], ("ground", "crack")) == loss


@pytest.mark.parametrize(
    ("make", "recipe", "absent"),
    [(voc, "unet_voc", "aeroplane, bicycle"), (severstal, "resunet_severstal", "1, 2, 3, 4;")],
)
def test_focal_tversky_without_a_class_spends_nothing(
    make: Callable[[Path], Path], recipe: str, absent: str, tmp_path: Path
) -> None:
    data = make(tmp_path / "data")
    if make is severstal:
        clean, others = ["000000000", "000000007"], [f"{index:09x}" for index in range(1, 7)]
        parts = {"train": clean, "val": others[:3], "test": others[3:]}
        (data / "splits.json").write_text(json.dumps(parts))
    arguments = [f"{recipe}.yaml", f"data.path={data}", "loss={focal_tversky: 1}"]
    result = CliRunner().invoke(app, ["train", *arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert f"no training mask shows {absent}" in result.stderr
    assert "loss.focal_tversky" in result.stderr
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_spend_nothing(tmp_path: Path) -> None:
    """Refused before the data is looked at."""
    torch.save(ResNetEncoder(18, 3).state_dict(), tmp_path / "weights.pth")
    arguments = [
        "resnet_unet_voc.yaml", "data.path=nowhere", f"model.pretrained={tmp_path}/weights.pth",
    ]  # fmt: skip
    result = CliRunner().invoke(app, ["train", *arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "weights.pth holds the weights of another network, a ResNet-18" in result.stderr
    assert not (tmp_path / "run").exists()


def test_pretrained_weights_are_said_and_used(tmp_path: Path) -> None:
    torch.manual_seed(1)
    weights = ResNetEncoder(18, 3).state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    settings = [f"data.path={voc(tmp_path / 'data')}", f"model.pretrained={tmp_path}/weights.pth"]
    settings += [*TINY, *RESNET, "optimizer.encoder_lr_scale=0"]
    run = delineo.train("resnet_unet_voc.yaml", settings, out=tmp_path / "run")
    assert (
        f"resnet_unet starts from the weights in {tmp_path}/weights.pth" in run.log_file.read_text()
    )
    kept = run.best_weights()["encoder.layer1.0.conv1.weight"]
    torch.testing.assert_close(kept, weights["layer1.0.conv1.weight"])
