"""Models x losses: every cell a run of its own, resumed part by part, compared at the end."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_docs_tables import leaves, rows, unfold
from torch import Tensor
from typer.testing import CliRunner
from webpage import Page

import delineo
from delineo import Run, grid, training
from delineo.cli import app
from delineo.errors import ConfigError, DataError, InterruptionError, RunError
from delineo.evaluation import Evaluation
from delineo.grid import claim, compare_grid, read_grid
from delineo.models import SegNetConfig, UNetConfig
from delineo.recipe import Recipe
from delineo.report.comparison_page import MOST_TICKS, axis, standing, write_comparison_page

MakeShapes = Callable[..., Path]
GRID = """
grid:
  models:
    segnet: {form: basic, width: 2}
    strided: {name: unet, width: 2, depth: 1, down: stride}
  losses:
    bce: {bce: 1}
    dice: {dice: 1}
data: {image_size: [32, 32], workers: 0}
epochs: 1
epoch_size: 8
batch_size: 4
precision: fp32
"""
CELLS = ["segnet-bce", "segnet-dice", "strided-bce", "strided-dice"]


@pytest.fixture(scope="module")
def data(make_shapes: MakeShapes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("data") / "discs", 12)


@pytest.fixture(scope="module")
def recipe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "grid.yaml"
    path.write_text(GRID.replace("data: {", f"data: {{path: {data}, "))
    return path


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid that nothing interrupted."""
    out = tmp_path_factory.mktemp("grids") / "whole"
    compare_grid(recipe, out=out)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def changed(recipe: Path, old: str, new: str) -> Path:
    """The recipe with some of its text replaced, beside the original."""
    text = recipe.read_text()
    assert old in text
    path = recipe.with_name("changed.yaml")
    path.write_text(text.replace(old, new))
    return path


def weights(run: Path) -> dict[str, Tensor]:
    """The last weights, not the best: they depend on every step."""
    return torch.load(run / "last.pt", weights_only=True)["network"]


def assert_same_runs(ours: Path, theirs: Path) -> None:
    first, second = weights(ours), weights(theirs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    scores = [(run / "evaluation-test.json").read_text() for run in (ours, theirs)]
    assert scores[0] == scores[1]


def written(folder: Path) -> dict[Path, int]:
    """When each file of the runs in a folder was written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {path: path.stat().st_mtime_ns for path in files}


def test_every_cell_is_an_ordinary_run_of_its_own_settings(whole: Path):
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == CELLS
    for name in CELLS:
        settings = Run.open(whole / name).recipe()
        model, loss = name.split("-")
        assert settings.model.name == {"segnet": "segnet", "strided": "unet"}[model]
        assert {"bce": settings.loss.bce, "dice": settings.loss.dice}[loss] == 1
        assert settings.loss.bce + settings.loss.dice == 1
    strided = Run.open(whole / "strided-dice").recipe().model
    assert isinstance(strided, UNetConfig)
    assert (strided.down, strided.up) == ("stride", "transpose")


def test_a_cell_is_what_training_it_alone_gives(whole: Path, tmp_path: Path):
    alone = delineo.train(whole / "strided-bce.yaml", out=tmp_path / "alone")
    ours, theirs = weights(whole / "strided-bce"), weights(alone.path)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_comparison_ranks_what_the_runs_scored(whole: Path):
    record = json.loads((whole / "comparison.json").read_text())
    ious = {}
    for name in CELLS:
        evaluation = Evaluation.load(whole / name / "evaluation-test.json")
        ious[name] = float(evaluation.image_scores()["mean_iou"].mean())
    shown = {row["name"]: row["value"] for row in record["rows"]}
    assert shown == pytest.approx(ious)
    assert list(shown.values()) == sorted(ious.values(), reverse=True)
    best = record["rows"][0]["name"]
    assert record["reference"] == best
    for row in record["rows"][1:]:
        assert row["difference"] == pytest.approx(ious[row["name"]] - ious[best])
    assert record["cells"]["segnet-dice"]["loss"] == "dice"
    assert record["failed"] == {}


def test_parameters_are_those_of_the_network(whole: Path):
    record = json.loads((whole / "comparison.json").read_text())
    network = delineo.Predictor.load(whole / "strided-bce").network
    assert record["cells"]["strided-bce"]["parameters"] == sum(
        parameter.numel() for parameter in network.parameters()
    )


def test_the_same_command_again_trains_nothing(recipe: Path, copy: Path):
    before = written(copy)
    compare_grid(recipe, out=copy)
    assert written(copy) == before


def test_what_is_missing_is_trained_again_and_nothing_else(recipe: Path, whole: Path, copy: Path):
    shutil.rmtree(copy / "segnet-dice")
    for path in (copy / "strided-bce").iterdir():  # killed before its first step
        if path.name != "recipe.yaml":
            path.unlink()
    (copy / "strided-dice" / "evaluation-test.json").unlink()  # killed before it was scored
    before = written(copy)
    compare_grid(recipe, out=copy)
    for name in CELLS:
        assert_same_runs(whole / name, copy / name)
    after = written(copy)
    kept = [path for path in before if path.parent.name in ("segnet-bce", "strided-dice")]
    assert kept
    assert all(after[path] == before[path] for path in kept)


def test_a_cell_of_other_thresholds_is_scored_again(recipe: Path, copy: Path):
    run = Run.open(copy / "segnet-bce")
    record = json.loads(run.decision_file.read_text())
    name = next(iter(record["thresholds"]))
    run.decision_file.write_text(json.dumps({**record, "thresholds": {name: 0.0}}))
    result = compare_grid(recipe, out=copy)
    assert result.comparison is not None
    everywhere = result.comparison.evaluations["segnet-bce"]
    assert everywhere.scores["dataset"]["recall"][name] == 1
    assert everywhere.scores["per_image"]["mean_iou"] < 0.5


def stop_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As Ctrl-C after the first step of a cell."""
    monkeypatch.setattr(
        training, "someone_wants_to_stop", lambda job, signals: job.run.path.name == name
    )


def test_an_interrupted_grid_says_how_to_go_on_and_ends_the_same(
    recipe: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_in(patch, "segnet-dice")
        with pytest.raises(
            InterruptionError, match=f"go on with: delineo compare {recipe} --out {out}"
        ):
            compare_grid(recipe, out=out)
    assert (out / "segnet-bce" / "evaluation-test.json").exists()
    assert not (out / "strided-bce").exists()
    assert Run.open(out / "segnet-dice").last()["step"] == 1
    # scored by hand in between: not the score of the weights that it will have
    for name in ("best.safetensors", "evaluation-test.json"):
        shutil.copy(whole / "segnet-dice" / name, out / "segnet-dice" / name)
    text = (out / "segnet-dice" / "evaluation-test.json").read_text()
    (out / "segnet-dice" / "evaluation-test.json").write_text(text.replace("1", "2"))
    compare_grid(recipe, out=out)
    for name in CELLS:
        assert_same_runs(whole / name, out / name)


def test_interrupted_while_it_scores(recipe: Path, copy: Path, monkeypatch: pytest.MonkeyPatch):
    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "evaluate", press_ctrl_c)
    (copy / "segnet-bce" / "evaluation-test.json").unlink()
    result = CliRunner().invoke(app, ["compare", str(recipe), "--out", str(copy)])
    assert result.exit_code == 1
    assert f"go on with: delineo compare {recipe} --out {copy}" in result.stderr


@pytest.fixture(scope="module")
def lame(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What the command says of a grid with a loss that binary masks do not have, and its folder."""
    out = tmp_path_factory.mktemp("grids") / "lame"
    path = changed(recipe, "dice: {dice: 1}", "impossible: {cross_entropy: 1}")
    arguments = ["compare", str(path), "--out", str(out), "--json", str(out / "copy.json")]
    return CliRunner().invoke(app, arguments), out


def test_a_cell_that_fails_is_named_and_the_others_are_finished(lame: tuple[Any, Path]):
    result, out = lame
    assert result.exit_code == 1
    for model in ("segnet", "strided"):
        assert f"error: {model}-impossible failed: loss.cross_entropy=1 does not" in result.stderr
        assert f"{model}-bce" in result.stdout
        assert (out / f"{model}-bce" / "evaluation-test.json").exists()
    assert "Traceback" not in result.stderr
    record = json.loads((out / "comparison.json").read_text())
    assert list(record["failed"]) == ["segnet-impossible", "strided-impossible"]
    assert json.loads((out / "copy.json").read_text()) == record
    text = Page(out / "comparison.html").text
    assert "2 of 4 are missing" in text
    assert "strided-impossible loss.cross_entropy=1 does not fit binary masks" in text


def test_a_failed_cell_may_be_given_other_settings(lame: tuple[Any, Path], recipe: Path):
    path = changed(recipe, "dice: {dice: 1}", "impossible: {dice: 1}")
    cells = read_grid(path, [], lame[1])
    claim(lame[1], cells)
    assert all(Recipe.load(cell.asked_file) == cell.recipe for cell in cells)


def test_an_unexpected_error_is_named_with_how_to_see_more(
    recipe: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(grid, "train", fail)
    shutil.rmtree(copy / "segnet-bce")
    result = compare_grid(recipe, out=copy)
    assert list(result.failed) == ["segnet-bce"]
    alone = f"delineo train {copy / 'segnet-bce.yaml'}"
    assert result.failed["segnet-bce"].startswith("ZeroDivisionError: by nothing; see where with")
    assert alone in result.failed["segnet-bce"]
    assert result.comparison is not None
    assert len(result.comparison.rows()) == 3


def test_a_grid_of_failures_only_compares_nothing(recipe: Path, tmp_path: Path):
    path = changed(recipe, "bce: {bce: 1}\n    dice: {dice: 1}", "no: {cross_entropy: 1}")
    result = CliRunner().invoke(app, ["compare", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "strided-no failed" in result.stderr
    assert not (tmp_path / "out" / "comparison.html").exists()


def test_broken_data_stops_the_grid_at_once(make_shapes: MakeShapes, recipe: Path, tmp_path: Path):
    folder = make_shapes(tmp_path / "broken", 6)
    (folder / "images" / "disc00.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="nothing was trained"):
        compare_grid(recipe, [f"data.path={folder}"], out=tmp_path / "out")
    assert not any(path.is_dir() for path in (tmp_path / "out").iterdir())


def test_overrides_are_for_all_cells_or_for_one_model(recipe: Path, tmp_path: Path):
    settings = ["model.width=3", "epochs=7", "grid.models.strided.depth=2", "loss.focal_gamma=1"]
    cells = {cell.name: cell.recipe for cell in read_grid(recipe, settings, tmp_path)}
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
    recipe: Path, tmp_path: Path, settings: list[str], message: str
):
    with pytest.raises(ConfigError, match=message):
        compare_grid(recipe, settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_train_of_a_grid_says_how_it_is_trained(recipe: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=f"train it with delineo compare {recipe} --out DIR"):
        delineo.train(recipe, out=tmp_path / "out")


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


def test_a_cell_of_other_settings_is_refused(recipe: Path, copy: Path):
    before, asked = written(copy), (copy / "segnet-bce.yaml").read_text()
    settings = ["epochs=2", "optimizer.lr=0.1"]
    with pytest.raises(
        RunError, match=r"segnet-bce was .*lr was None and is 0\.1, epochs was 1 and is 2; set"
    ):
        compare_grid(recipe, settings, out=copy)
    assert written(copy) == before
    assert (copy / "segnet-bce.yaml").read_text() == asked
    shutil.rmtree(copy / "segnet-bce")
    with pytest.raises(RunError, match="segnet-dice was trained with other settings"):
        compare_grid(recipe, settings, out=copy)


def test_a_grid_may_grow(recipe: Path, copy: Path):
    path = changed(recipe, "dice: {dice: 1}", "dice: {dice: 1}\n    focal: {focal: 1}")
    cells = read_grid(path, [], copy)
    claim(copy, cells)
    assert len(cells) == 6
    assert (copy / "segnet-focal.yaml").exists()


def test_a_place_that_holds_something_else_is_refused(recipe: Path, data: Path, copy: Path):
    with pytest.raises(RunError, match="holds something else than this grid"):
        compare_grid(recipe, out=data)
    assert sorted(path.name for path in data.iterdir()) == ["images", "masks"]
    (copy / "segnet-bce.yaml").unlink()
    with pytest.raises(RunError, match="segnet-bce is not of this grid"):
        compare_grid(recipe, out=copy)


def test_a_grid_takes_one_process(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="without torchrun"):
        compare_grid(recipe, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{recipe}"], "say where with --out DIR"),
        (["{whole}/segnet-bce", "{whole}/segnet-dice", "--out", "x"], "--out is for a grid"),
        (["nowhere.yaml", "--out", "x"], "nowhere.yaml does not exist"),
    ],
)
def test_wrong_usage_is_2(recipe: Path, whole: Path, arguments: list[str], message: str):
    filled = [argument.format(recipe=recipe, whole=whole) for argument in arguments]
    result = CliRunner().invoke(app, ["compare", *filled])
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_command_shows_the_table_and_where_the_page_is(recipe: Path, copy: Path):
    result = CliRunner().invoke(app, ["compare", str(recipe), "--out", str(copy)])
    assert result.exit_code == 0, result.stderr
    assert all(name in result.stdout for name in CELLS)
    assert "reference" in result.stdout
    assert f"comparison: {copy / 'comparison.html'}" in result.stdout


def test_cells_compare_as_runs_do(whole: Path):
    runs = [str(whole / name) for name in CELLS]
    assert CliRunner().invoke(app, ["compare", *runs]).exit_code == 0


def test_another_part_is_scored_beside_the_test_part(recipe: Path, copy: Path):
    result = compare_grid(recipe, out=copy, part="val")
    assert result.comparison is not None
    assert result.to_json()["split"] == "val"
    assert "too kind" in Page(result.page).text
    for name in CELLS:
        assert (copy / name / "evaluation-val.json").exists()
        assert (copy / name / "evaluation-test.json").exists()


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


def test_the_page_stands_alone_and_shows_every_cell(whole: Path):
    page = Page(whole / "comparison.html")
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    text = (whole / "comparison.html").read_text()
    assert "<script" not in text
    assert "@import" not in text
    record = json.loads((whole / "comparison.json").read_text())
    for row in record["rows"]:
        assert f"{row['value']:.3f}" in page.text
        assert record["cells"][row["name"]]["model"] in page.text
    assert "delineo compare" in page.text
    assert len(record["rows"]) == text.count('class="interval"')


def test_names_cannot_become_markup(whole: Path, tmp_path: Path):
    record = json.loads((whole / "comparison.json").read_text())
    record["failed"] = {"segnet-x": "<b>broken</b>"}
    write_comparison_page(record, "<i>grid</i>", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;broken" in text
    assert "1 of 4 is missing" in text
    assert "<i>grid" not in text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_the_axis_shows_every_value_with_few_ticks(values: list[float]):
    low, high, ticks = axis(values)
    assert low <= min(values) + 1e-9
    assert high >= max(values) - 1e-9
    assert 0 <= low < high <= 1.001
    assert 2 <= len(ticks) <= MOST_TICKS
    assert (float(ticks[0]), float(ticks[-1])) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([], "no other cell"),
        (["worse"], "Better than the others by more than chance"),
        (["could be chance", "worse"], "no better than m with a: that lead could be chance. Its"),
        (["could be chance"] * 3, "no better than m with a, m with b or m with c: that lead"),
        (["could be chance"] * 4, "no better than 4 others: that lead could be chance."),
    ],
)
def test_how_the_others_stand_is_said_in_words(verdicts: list[str], sentence: str):
    names = ["best", *"abcd"[: len(verdicts)]]
    record = {
        "rows": [
            {"name": name, "verdict": verdict}
            for name, verdict in zip(names, ["reference", *verdicts], strict=True)
        ],
        "cells": {name: {"model": "m", "loss": name} for name in names},
    }
    assert sentence in standing(record)


def without_names(value: Any) -> Any:
    """A record with each cell's name replaced by CELL."""
    if not isinstance(value, dict):
        return value
    names = {key: "CELL" if "-" in key else key for key in value}
    return {names[key]: without_names(inner) for key, inner in value.items()}


def test_comparison_json_has_the_keys_shown(lame: tuple[Any, Path]):
    record = json.loads((lame[1] / "comparison.json").read_text())
    record["scores"] = dict.fromkeys(record["scores"])  # told with evaluation-test.json
    record["differences"] = dict.fromkeys(record["differences"])
    shown = {key for row in rows("comparison.md", "comparison.json") for key in unfold(row[0])}
    assert shown == set(leaves(without_names(record)))
