"""Recipes of grids: what may be overridden, what is refused, and the published one."""

from pathlib import Path

import pytest
from grids import GRID

import delineo
from delineo.errors import ConfigError
from delineo.grid import compare_grid, read_grid
from delineo.models import SegNetConfig, UNetConfig


def test_overrides_are_for_all_cells_or_for_one_model(grid_recipe: Path, tmp_path: Path):
    settings = ["model.width=3", "epochs=7", "grid.models.strided.depth=2", "loss.focal_gamma=1"]
    cells = {cell.name: cell.recipe for cell in read_grid(grid_recipe, settings, tmp_path)}
    assert {each.model.model_dump()["width"] for each in cells.values()} == {3}
    assert {each.epochs for each in cells.values()} == {7}
    assert {each.loss.focal_gamma for each in cells.values()} == {1}
    assert cells["strided-bce"].model.model_dump()["depth"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["epohcs=3"], r"grid\.yaml, segnet-bce: epohcs: no such setting; did you mean epochs\?"),
        (["model.depth=2"], r"segnet-bce: model\.depth: no such setting; it belongs to model"),
        (["grid.modles.a.width=2"], r"grid\.modles: no such setting; did you mean grid\.models\?"),
        (["grid.models.segnt={}"], r"segnt-bce: model\.name: .*did you mean segnet\?"),
        (["grid.losses={}"], r"grid\.losses: must have at least 1 item"),
        (["grid.losses.a-b.bce=1"], r"grid\.losses\.a-b: the name becomes part of a folder's"),
        (["grid.losses.bce=1"], r"grid\.losses\.bce: is a section, got 1"),
        (["model={name: unet}"], r"segnet-bce and strided-bce have the same settings"),
        (["loss={dice: 1}"], r"segnet-bce and segnet-dice have the same settings"),
        (["data.path=null"], r"names no data: add data\.path=FOLDER"),
    ],
)
def test_wrong_settings_name_what_is_right(
    grid_recipe: Path, tmp_path: Path, settings: list[str], message: str
):
    with pytest.raises(ConfigError, match=message):
        compare_grid(grid_recipe, settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_train_of_a_grid_says_how_it_is_trained(grid_recipe: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=f"train it with delineo compare {grid_recipe} --out DIR"):
        delineo.train(grid_recipe, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 3", "has no `grid` of models and losses; train it with delineo train"),
        (GRID + "model: {width: 3}", r"model stands beside grid\.models"),
        (GRID + "loss: {bce: 3}", r"loss stands beside grid\.losses"),
        ("grid:", "grid: is a section, got nothing"),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        compare_grid(path, out=tmp_path / "out")


def test_a_grid_takes_one_process(
    grid_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="without torchrun"):
        compare_grid(grid_recipe, out=tmp_path / "out")


def test_the_published_grid_is_as_published(tmp_path: Path):
    cells = read_grid("ph2_comparison.yaml", ["data.path=ph2"], tmp_path)
    models = {cell.model: cell.recipe.model for cell in cells}
    assert len(cells) == 9
    assert models == {
        "segnet": SegNetConfig(form="vgg16", width=64),
        "unet": UNetConfig(down="max_pool", up="bilinear"),
        "unet2": UNetConfig(down="stride", up="transpose"),
    }
    for cell in cells:
        loss = cell.recipe.loss
        used = {"bce": loss.bce, "dice": loss.dice, "focal": loss.focal}
        assert used == {name: float(name == cell.loss) for name in used}
        assert cell.recipe.data.image_size == (256, 256)
        assert cell.recipe.optimizer.name == "adam"


def test_the_published_grid_shrinks_for_slow_machines(tmp_path: Path):
    settings = ["data.path=ph2", "model.width=16", "data.image_size=[128,128]"]
    cells = read_grid("recipes/ph2_comparison.yaml", settings, tmp_path)
    assert {cell.recipe.model.model_dump()["width"] for cell in cells} == {16}
