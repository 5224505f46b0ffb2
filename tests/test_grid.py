"""Models x losses: every cell a run of its own, resumed part by part, compared at the end."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from grids import CELLS, changed
from test_docs_tables import leaves, rows, unfold
from torch import Tensor
from typer.testing import CliRunner
from webpage import Page

import delineo
from delineo import Run, grid, training
from delineo.cli import app
from delineo.errors import DataError, InterruptionError, RunError
from delineo.evaluation import Evaluation
from delineo.grid import claim, compare_grid, read_grid
from delineo.models import UNetConfig
from delineo.recipe import Recipe

MakeShapes = Callable[..., Path]


@pytest.fixture
def copy(whole_grid: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_grid, tmp_path / "copy")


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


def test_every_cell_is_an_ordinary_run_of_its_own_settings(whole_grid: Path):
    assert sorted(path.name for path in whole_grid.iterdir() if path.is_dir()) == CELLS
    for name in CELLS:
        settings = Run.open(whole_grid / name).recipe()
        model, loss = name.split("-")
        assert settings.model.name == {"segnet": "segnet", "strided": "unet"}[model]
        assert {"bce": settings.loss.bce, "dice": settings.loss.dice}[loss] == 1
        assert settings.loss.bce + settings.loss.dice == 1
    strided = Run.open(whole_grid / "strided-dice").recipe().model
    assert isinstance(strided, UNetConfig)
    assert (strided.down, strided.up) == ("stride", "transpose")


def test_a_cell_is_what_training_it_alone_gives(whole_grid: Path, tmp_path: Path):
    alone = delineo.train(whole_grid / "strided-bce.yaml", out=tmp_path / "alone")
    ours, theirs = weights(whole_grid / "strided-bce"), weights(alone.path)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_comparison_ranks_what_the_runs_scored(whole_grid: Path):
    record = json.loads((whole_grid / "comparison.json").read_text())
    ious = {}
    for name in CELLS:
        evaluation = Evaluation.load(whole_grid / name / "evaluation-test.json")
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


def test_parameters_are_those_of_the_network(whole_grid: Path):
    record = json.loads((whole_grid / "comparison.json").read_text())
    network = delineo.Predictor.load(whole_grid / "strided-bce").network
    assert record["cells"]["strided-bce"]["parameters"] == sum(
        parameter.numel() for parameter in network.parameters()
    )


def test_the_same_command_again_trains_nothing(grid_recipe: Path, copy: Path):
    before = written(copy)
    compare_grid(grid_recipe, out=copy)
    assert written(copy) == before


def test_what_is_missing_is_trained_again_and_nothing_else(
    grid_recipe: Path, whole_grid: Path, copy: Path
):
    shutil.rmtree(copy / "segnet-dice")
    for path in (copy / "strided-bce").iterdir():  # killed before its first step
        if path.name != "recipe.yaml":
            path.unlink()
    (copy / "strided-dice" / "evaluation-test.json").unlink()  # killed before it was scored
    before = written(copy)
    compare_grid(grid_recipe, out=copy)
    for name in CELLS:
        assert_same_runs(whole_grid / name, copy / name)
    after = written(copy)
    kept = [path for path in before if path.parent.name in ("segnet-bce", "strided-dice")]
    assert kept
    assert all(after[path] == before[path] for path in kept)


def test_a_cell_of_other_thresholds_is_scored_again(grid_recipe: Path, copy: Path):
    run = Run.open(copy / "segnet-bce")
    record = json.loads(run.decision_file.read_text())
    name = next(iter(record["thresholds"]))
    run.decision_file.write_text(json.dumps({**record, "thresholds": {name: 0.0}}))
    result = compare_grid(grid_recipe, out=copy)
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
    grid_recipe: Path, whole_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_in(patch, "segnet-dice")
        with pytest.raises(
            InterruptionError, match=f"go on with: delineo compare {grid_recipe} --out {out}"
        ):
            compare_grid(grid_recipe, out=out)
    assert (out / "segnet-bce" / "evaluation-test.json").exists()
    assert not (out / "strided-bce").exists()
    assert Run.open(out / "segnet-dice").last()["step"] == 1
    # scored by hand in between: not the score of the weights that it will have
    for name in ("best.safetensors", "evaluation-test.json"):
        shutil.copy(whole_grid / "segnet-dice" / name, out / "segnet-dice" / name)
    text = (out / "segnet-dice" / "evaluation-test.json").read_text()
    (out / "segnet-dice" / "evaluation-test.json").write_text(text.replace("1", "2"))
    compare_grid(grid_recipe, out=out)
    for name in CELLS:
        assert_same_runs(whole_grid / name, out / name)


def test_interrupted_while_it_scores(
    grid_recipe: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    def press_ctrl_c(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grid, "evaluate", press_ctrl_c)
    (copy / "segnet-bce" / "evaluation-test.json").unlink()
    result = CliRunner().invoke(app, ["compare", str(grid_recipe), "--out", str(copy)])
    assert result.exit_code == 1
    assert f"go on with: delineo compare {grid_recipe} --out {copy}" in result.stderr


@pytest.fixture(scope="module")
def lame(grid_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What the command says of a grid with a loss that binary masks do not have, and its folder."""
    out = tmp_path_factory.mktemp("grids") / "lame"
    path = changed(grid_recipe, "dice: {dice: 1}", "impossible: {cross_entropy: 1}")
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


def test_a_failed_cell_may_be_given_other_settings(lame: tuple[Any, Path], grid_recipe: Path):
    path = changed(grid_recipe, "dice: {dice: 1}", "impossible: {dice: 1}")
    cells = read_grid(path, [], lame[1])
    claim(lame[1], cells)
    assert all(Recipe.load(cell.asked_file) == cell.recipe for cell in cells)


def test_an_unexpected_error_is_named_with_how_to_see_more(
    grid_recipe: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(grid, "train", fail)
    shutil.rmtree(copy / "segnet-bce")
    result = compare_grid(grid_recipe, out=copy)
    assert list(result.failed) == ["segnet-bce"]
    alone = f"delineo train {copy / 'segnet-bce.yaml'}"
    assert result.failed["segnet-bce"].startswith("ZeroDivisionError: by nothing; see where with")
    assert alone in result.failed["segnet-bce"]
    assert result.comparison is not None
    assert len(result.comparison.rows()) == 3


def test_a_grid_of_failures_only_compares_nothing(grid_recipe: Path, tmp_path: Path):
    path = changed(grid_recipe, "bce: {bce: 1}\n    dice: {dice: 1}", "no: {cross_entropy: 1}")
    result = CliRunner().invoke(app, ["compare", str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "strided-no failed" in result.stderr
    assert not (tmp_path / "out" / "comparison.html").exists()


def test_broken_data_stops_the_grid_at_once(
    make_shapes: MakeShapes, grid_recipe: Path, tmp_path: Path
):
    folder = make_shapes(tmp_path / "broken", 6)
    (folder / "images" / "disc00.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="nothing was trained"):
        compare_grid(grid_recipe, [f"data.path={folder}"], out=tmp_path / "out")
    assert not any(path.is_dir() for path in (tmp_path / "out").iterdir())


def test_a_cell_of_other_settings_is_refused(grid_recipe: Path, copy: Path):
    before, asked = written(copy), (copy / "segnet-bce.yaml").read_text()
    settings = ["epochs=2", "optimizer.lr=0.1"]
    with pytest.raises(
        RunError, match=r"segnet-bce was .*lr was None and is 0\.1, epochs was 1 and is 2; set"
    ):
        compare_grid(grid_recipe, settings, out=copy)
    assert written(copy) == before
    assert (copy / "segnet-bce.yaml").read_text() == asked
    shutil.rmtree(copy / "segnet-bce")
    with pytest.raises(RunError, match="segnet-dice was trained with other settings"):
        compare_grid(grid_recipe, settings, out=copy)


def test_a_grid_may_grow(grid_recipe: Path, copy: Path):
    path = changed(grid_recipe, "dice: {dice: 1}", "dice: {dice: 1}\n    focal: {focal: 1}")
    cells = read_grid(path, [], copy)
    claim(copy, cells)
    assert len(cells) == 6
    assert (copy / "segnet-focal.yaml").exists()


def test_a_place_that_holds_something_else_is_refused(grid_recipe: Path, data: Path, copy: Path):
    with pytest.raises(RunError, match="holds something else than this grid"):
        compare_grid(grid_recipe, out=data)
    assert sorted(path.name for path in data.iterdir()) == ["images", "masks"]
    (copy / "segnet-bce.yaml").unlink()
    with pytest.raises(RunError, match="segnet-bce is not of this grid"):
        compare_grid(grid_recipe, out=copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{recipe}"], "say where with --out DIR"),
        (["{whole}/segnet-bce", "{whole}/segnet-dice", "--out", "x"], "--out is for a grid"),
        (["nowhere.yaml", "--out", "x"], "nowhere.yaml does not exist"),
    ],
)
def test_wrong_usage_is_2(grid_recipe: Path, whole_grid: Path, arguments: list[str], message: str):
    filled = [argument.format(recipe=grid_recipe, whole=whole_grid) for argument in arguments]
    result = CliRunner().invoke(app, ["compare", *filled])
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_command_shows_the_table_and_where_the_page_is(grid_recipe: Path, copy: Path):
    result = CliRunner().invoke(app, ["compare", str(grid_recipe), "--out", str(copy)])
    assert result.exit_code == 0, result.stderr
    assert all(name in result.stdout for name in CELLS)
    assert "reference" in result.stdout
    assert f"comparison: {copy / 'comparison.html'}" in result.stdout


def test_cells_compare_as_runs_do(whole_grid: Path):
    runs = [str(whole_grid / name) for name in CELLS]
    assert CliRunner().invoke(app, ["compare", *runs]).exit_code == 0


def test_another_part_is_scored_beside_the_test_part(grid_recipe: Path, copy: Path):
    result = compare_grid(grid_recipe, out=copy, part="val")
    assert result.comparison is not None
    assert result.to_json()["split"] == "val"
    assert "too kind" in Page(result.page).text
    for name in CELLS:
        assert (copy / name / "evaluation-val.json").exists()
        assert (copy / name / "evaluation-test.json").exists()


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
