"""What a recipe leaves open: planned from the data, the machine and the budget."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plans import PIXEL, area, assert_complete, blob, duration, folder_of, planned, thin

from delineo.data.check import open_folder
from delineo.data.samples import DataFolder, Task
from delineo.data.sizing import scaled_size
from delineo.errors import ConfigError
from delineo.planning import LEAST_WINDOW_SIDE, class_weights, layer_weights, window_size
from delineo.probe import detail_kept, take_probe

BUDGETS = (20.0, 60.0, 300.0, 1200.0, 7200.0)


@pytest.fixture
def plain(tmp_path: Path) -> DataFolder:
    return folder_of(tmp_path / "plain", blob(420, 560))


@pytest.mark.parametrize("seconds", BUDGETS)
@pytest.mark.parametrize("pixel", [2e-8, 2e-7, 1e-6])
def test_plans_end_within_the_budget(plain: DataFolder, seconds: float, pixel: float) -> None:
    recipe = planned(plain, seconds, pixel)
    assert_complete(recipe)
    assert duration(recipe, plain, pixel) <= seconds
    if pixel * area(recipe) * 1500 < seconds / 3:
        assert duration(recipe, plain, pixel) > 0.6 * seconds, "time is left unused"


@pytest.mark.parametrize(("seconds", "pixel"), [(120.0, 6e-6), (1200.0, 2e-7)])
def test_whole_images_are_counted_where_training_is_in_windows(
    tmp_path: Path, seconds: float, pixel: float
) -> None:
    folder = thin(tmp_path / "thin")
    recipe = planned(folder, seconds, pixel)
    assert 0.5 * seconds < duration(recipe, folder, pixel) <= seconds


def test_a_large_validation_part_does_not_eat_the_budget(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, blob(420, 560), train=100, val=9000)
    recipe = planned(folder, 120.0)
    assert duration(recipe, folder) <= 120


def test_rounds_of_a_given_size_fill_the_budget(plain: DataFolder) -> None:
    for epoch_size in (40, 4000):
        recipe = planned(plain, 300.0, PIXEL, f"epoch_size={epoch_size}")
        assert recipe.epoch_size == epoch_size
        assert 150 < duration(recipe, plain) <= 300


def test_more_budget_never_means_smaller_images(plain: DataFolder) -> None:
    areas = [area(planned(plain, seconds)) for seconds in BUDGETS]
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]


def test_time_beyond_ample_windows_goes_into_larger_ones(plain: DataFolder) -> None:
    """A blob keeps all detail at 256 x 256, which then is enough until windows are ample."""
    needed, enough = 2_000, 256 * 256
    sides = []
    for windows in (1.2 * needed, 1.9 * needed, 3 * needed, 6 * needed):
        recipe = planned(plain, 1.3 * windows * enough * PIXEL)
        assert recipe.total_steps() * (recipe.batch_size or 0) > 0.9 * min(windows, 2 * needed)
        sides.append((area(recipe) / enough) ** 0.5)
    assert sides[:2] == pytest.approx([1, 1], abs=0.1)
    assert 1.1 < sides[2] < sides[3]


def test_a_slower_machine_never_gets_larger_images(plain: DataFolder) -> None:
    areas = [area(planned(plain, 300.0, pixel)) for pixel in (2e-8, 1e-7, 5e-7, 5e-6)]
    assert areas == sorted(areas, reverse=True)


def test_rare_classes_weigh_more_but_not_without_limit() -> None:
    weights = class_weights((0.9, 0.0999, 0.0001))
    assert weights[0] < weights[1] < weights[2]
    assert weights[2] == pytest.approx(10 * weights[0], rel=1e-3)
    assert sum(w * s for w, s in zip(weights, (0.9, 0.0999, 0.0001), strict=True)) == pytest.approx(
        1, abs=1e-3
    )


def test_the_normalisation_has_a_number_for_each_channel(plain: DataFolder) -> None:
    with pytest.raises(ConfigError, match=r"data\.mean must have one number for each of the 3"):
        planned(plain, None, PIXEL, "data.mean=[1,2]")
    assert planned(plain, None, PIXEL, "data.mean=[1]").data.mean == (1.0, 1.0, 1.0)


def test_a_budget_that_is_spent_already_still_gives_a_plan(plain: DataFolder) -> None:
    for seconds in (0.01, -30.0):
        recipe = planned(plain, seconds)
        assert_complete(recipe)
        assert recipe.total_steps() < 50


@pytest.mark.parametrize("seconds", [None, 120.0])
@pytest.mark.parametrize(
    "given",
    [
        {"data.image_size": (100, 60)},
        {"data.scale": 0.3},
        {"data.scale": "fit"},
        {"data.mean": (1.0, 2.0, 3.0)},
        {"data.std": (1.0, 2.0, 3.0)},
        {"batch_size": 3},
        {"epochs": 7},
        {"epochs": 5, "epoch_size": 50},
        {"epoch_size": 50},
        {"monitor": "dataset.mean_dice"},
        {"monitor": "loss"},
        {"loss.bce": 0.5},
    ],
    ids=str,
)
def test_what_is_given_is_never_overridden(
    plain: DataFolder, given: dict[str, object], seconds: float | None
) -> None:
    overrides = [f"{k}={list(v) if isinstance(v, tuple) else v}" for k, v in given.items()]
    recipe = planned(plain, seconds, PIXEL, *overrides)
    assert_complete(recipe)
    for key, value in given.items():
        section, _, name = key.rpartition(".")
        assert getattr(getattr(recipe, section) if section else recipe, name) == value


def test_without_a_budget_nothing_is_timed_and_small_folders_get_more_rounds(
    tmp_path: Path,
) -> None:
    few = planned(folder_of(tmp_path / "few", blob(200, 200), train=10))
    many = planned(folder_of(tmp_path / "many", blob(200, 200), train=3000))
    for recipe in (few, many):
        assert_complete(recipe)
        windows = recipe.total_steps() * (recipe.batch_size or 0)
        assert windows > 8_000 * 0.9
        assert windows * area(recipe) < 41_000 * 288**2
    assert (few.epochs or 0) * (few.epoch_size or 0) / 10 > 100


@pytest.mark.parametrize(("side", "passes"), [(101, 40), (200, 17)])
def test_without_a_budget_small_images_are_seen_more_often(
    tmp_path: Path, side: int, passes: int
) -> None:
    """As often as fits into the time of 40,000 windows of the usual size, and no more than 40."""
    recipe = planned(folder_of(tmp_path, blob(side, side), task="multiclass", train=3000))
    assert (recipe.epochs, recipe.epoch_size) == (passes, 3000)


@pytest.mark.parametrize("setting", ["data.image_size=[2048,2048]", "epoch_size=20000"])
def test_without_a_budget_there_is_an_epoch_at_least(plain: DataFolder, setting: str) -> None:
    assert planned(plain, None, PIXEL, setting).epochs == 1


def test_without_a_budget_one_class_gets_larger_windows_in_the_same_time(tmp_path: Path) -> None:
    """It needs to be seen less often, and is lost at its edges."""
    pixels = {}
    for task in ("binary", "multiclass"):
        folder = folder_of(tmp_path / task, blob(600, 800), task=task, train=420)
        recipe = planned(folder)
        pixels[task] = area(recipe) * (recipe.epochs or 0) * (recipe.epoch_size or 0)
        assert (area(recipe) > 400**2) == (task == "binary")
    assert pixels["binary"] == pytest.approx(pixels["multiclass"], rel=0.15)


def test_epochs_alone_are_rounds_over_all_images(plain: DataFolder) -> None:
    recipe = planned(plain, None, PIXEL, "epochs=3")
    assert (recipe.epochs, recipe.epoch_size) == (3, 100)


# Sizes


@pytest.mark.parametrize("shape", [(300, 300), (300, 600), (600, 300), (400, 300)])
def test_windows_have_the_shape_of_the_images(tmp_path: Path, shape: tuple[int, int]) -> None:
    recipe = planned(folder_of(tmp_path, blob(*shape)))
    height, width = recipe.data.image_size or (0, 0)
    assert recipe.data.scale == "fit"
    assert height % 32 == width % 32 == 0
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.2)


@pytest.mark.parametrize("shape", [(40, 1200), (1200, 40), (1, 300)])
def test_very_long_images_get_windows_that_can_be_trained(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    height, width = planned(folder_of(tmp_path, np.ones(shape, np.uint8))).data.image_size or (0, 0)
    assert min(height, width) >= 32
    assert max(height, width) <= 4.5 * min(height, width)


def test_small_images_are_not_blown_up(tmp_path: Path) -> None:
    recipe = planned(folder_of(tmp_path, blob(101, 101)), 3600.0)
    assert area(recipe) <= 160 * 160


def test_thin_structures_are_trained_on_in_windows(tmp_path: Path) -> None:
    folder = thin(tmp_path / "thin")
    recipe = planned(folder)
    assert isinstance(recipe.data.scale, float)
    assert recipe.data.scale >= 0.7
    view = scaled_size((600, 800), recipe.data.image_size or (0, 0), recipe.data.scale)
    assert view[0] * view[1] > 2 * area(recipe)
    assert detail_kept(take_probe(folder), recipe.data.image_size or (0, 0), "fit") < 0.92
    assert planned(folder_of(tmp_path / "thick", blob(600, 800))).data.scale == "fit"


def test_rare_layers_weigh_more_but_not_without_limit() -> None:
    assert layer_weights((1.0, 0.25, 0.01, 0.0)) == (1.0, 2.0, 4.0, 4.0)


def test_windows_are_large_enough_to_show_what_a_thing_lies_in(tmp_path: Path) -> None:
    hurried = planned(thin(tmp_path / "thin"), seconds=20.0)
    assert area(hurried) >= 0.8 * LEAST_WINDOW_SIDE**2


def test_the_window_is_about_as_large_as_asked_for(plain: DataFolder) -> None:
    probe = take_probe(plain)
    for side in (96, 128, 224, 288, 512):
        height, width = window_size(float(side), probe)
        assert height * width == pytest.approx(side * side, rel=0.35)


# Values


def test_ordinary_pictures_keep_the_values_of_the_packaged_weights(plain: DataFolder) -> None:
    data = planned(plain).data
    assert (data.mean, data.std) == ((127.0,) * 3, (128.0,) * 3)


@pytest.mark.parametrize(
    "image",
    [
        np.random.default_rng(0).integers(1000, 9000, (64, 64), np.uint16),
        np.random.default_rng(0).integers(0, 20, (64, 64, 3), np.uint8),
        np.random.default_rng(0).integers(100, 110, (64, 64, 3), np.uint8),
        np.random.default_rng(0).integers(230, 256, (64, 64), np.uint8),
    ],
    ids=["16-bit", "dark", "flat", "bright"],
)
def test_other_pictures_get_values_of_their_own(tmp_path: Path, image: np.ndarray) -> None:
    data = planned(folder_of(tmp_path, blob(64, 64), image)).data
    assert data.mean and data.std
    assert data.mean[0] == pytest.approx(image.mean(), rel=0.02)
    assert data.std[0] == pytest.approx(2 * image.std(), rel=0.05)


def test_a_black_folder_is_no_division_by_zero(tmp_path: Path) -> None:
    data = planned(folder_of(tmp_path, blob(64, 64), np.zeros((64, 64, 3), np.uint8))).data
    assert min(data.std or (0,)) > 0


# Tasks


@pytest.mark.parametrize(
    ("task", "losses", "monitor"),
    [
        ("binary", {"bce": 1, "dice": 1}, "per_image.mean_iou"),
        ("multiclass", {"cross_entropy": 1, "dice": 1}, "dataset.mean_iou"),
        ("multilabel", {"bce": 1, "dice": 1}, "dataset.mean_iou"),
    ],
)
@pytest.mark.parametrize("seconds", [None, 60.0])
def test_loss_and_score_follow_the_task(
    tmp_path: Path, task: Task, losses: dict[str, float], monitor: str, seconds: float | None
) -> None:
    recipe = planned(folder_of(tmp_path, blob(90, 120), task=task), seconds)
    assert_complete(recipe)
    assert recipe.monitor == monitor
    weights = {name: getattr(recipe.loss, name) for name in ("bce", "cross_entropy", "dice")}
    assert {name: weight for name, weight in weights.items() if weight} == losses


def test_a_loss_that_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss\.bce"):
        planned(folder_of(tmp_path, blob(60, 60), task="multiclass"), None, PIXEL, "loss.bce=1")


# Few images


@pytest.mark.parametrize("count", [3, 4, 5, 7, 10])
def test_tiny_folders_are_planned(
    make_shapes: Callable[..., Path], tmp_path: Path, count: int
) -> None:
    folder = open_folder(make_shapes(tmp_path / "data", count))
    assert folder.part("train") and folder.part("val")
    for seconds in (None, 60.0):
        recipe = planned(folder, seconds)
        assert_complete(recipe)
        assert recipe.total_steps() > 100
        assert recipe.data.scale == "fit"
