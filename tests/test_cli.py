"""The commands: what wrong usage gets, and what the right one prints and writes."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command import cli
from typer.testing import CliRunner

import delineo
from delineo.cli import app
from delineo.run import Run


@pytest.fixture(scope="session")
def shapes(make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shapes(tmp_path_factory.mktemp("data") / "shapes")


def test_help_names_every_command():
    code, output, _ = cli("--help")
    assert code == 0
    for command in ("check", "train", "evaluate", "predict", "serve", "compare", "report", "demo"):
        assert f" {command} " in output


def test_version():
    assert cli("--version") == (0, f"delineo {delineo.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("trian",),
        ("train",),
        ("train", "data"),
        ("train", "data", "--out", "run", "--epochs", "3"),
        ("evaluate", "run", "--split", "tset"),
        ("predict", "run", "--out", "masks"),
        ("compare",),
    ],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]):
    code, output, errors = cli(*arguments)
    assert code == 2
    assert output == ""
    assert "Usage:" in errors


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=1e-3", "lr: no such setting; did you mean optimizer.lr?"),
        ("epochs=many", "epochs: must be an integer, got 'many'"),
        (
            "data.image_size=256",
            "data.image_size: must be [height, width], such as [256, 256], got",
        ),
        ("resume", "settings are written key=value, such as epochs=30, got 'resume'"),
    ],
)
def test_a_wrong_setting_is_2_and_writes_nothing(
    shapes: Path, tmp_path: Path, setting: str, message: str
):
    code, _, errors = cli("train", shapes, setting, "--out", tmp_path / "run")
    assert code == 2
    assert errors.startswith("error: ")
    assert message in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_data_that_is_no_folder_is_2_for_every_command(tmp_path: Path, name: str):
    (tmp_path / "file").touch()
    (tmp_path / "recipe.yaml").write_text(f"data: {{path: {tmp_path / name}}}\n")
    given = tmp_path / name
    for arguments in (
        ("check", given),
        ("train", given, "--out", tmp_path / "run"),
        ("train", tmp_path / "recipe.yaml", "--out", tmp_path / "run"),
        ("evaluate", tmp_path / "run", "--data", given),
    ):
        code, _, errors = cli(*arguments)
        assert code == 2
        assert f"error: {given} " in errors
        assert "; " in errors
    assert not (tmp_path / "run").exists()


def test_a_folder_without_images(tmp_path: Path):
    for arguments in (("check", tmp_path), ("train", tmp_path, "--out", tmp_path / "run")):
        code, output, errors = cli(*arguments)
        assert code == 1
        assert str(tmp_path) in output + errors


def test_check_of_good_data(shapes: Path, tmp_path: Path):
    code, output, _ = cli("check", shapes, "--json", tmp_path / "new" / "check.json")
    assert code == 0
    assert "binary" in output
    record = json.loads((tmp_path / "new" / "check.json").read_text())
    assert not [finding for finding in record["findings"] if finding["severity"] == "error"]


def test_check_finds_a_truncated_file(make_shapes: Callable[..., Path], tmp_path: Path):
    folder = make_shapes(tmp_path / "shapes", count=12)
    broken = folder / "images" / "disc03.png"
    broken.write_bytes(broken.read_bytes()[:500])
    code, output, _ = cli("check", folder, "--json", tmp_path / "check.json")
    assert code == 1
    assert "disc03.png" in output
    assert "disc03.png" in (tmp_path / "check.json").read_text()


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "tune", "predict", "export", "compare", "report", "serve"]
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "does not exist"),
        ("file", "is a file"),
        ("empty", "is not a run: it has no recipe.yaml"),
        ("half", "is not a run: it has no dataset.json"),
    ],
)
def test_what_is_no_run_is_2_for_every_command(
    tmp_path: Path, shapes: Path, command: str, name: str, said: str
):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half/recipe.yaml").touch()
    run = tmp_path / name
    more = {
        "train": ["--resume", "--out", run],
        "predict": [shapes, "--out", tmp_path / "masks"],
        "export": ["--format", "torch"],
        "compare": [run],
    }
    named = shapes if command == "train" else run
    code, _, errors = cli(command, named, *more.get(command, []))
    assert code == 2
    assert errors.startswith(f"error: {run} {said}; give the folder that train wrote with --out")


def test_an_out_that_is_taken_is_1_for_every_command(tmp_path: Path, shapes: Path):
    grid = "grid: {models: {unet: {}}, losses: {dice: {dice: 1}}}\n"
    (tmp_path / "grid.yaml").write_text(f"data: {{path: {shapes}}}\n{grid}")
    for arguments in (("train", shapes), ("compare", tmp_path / "grid.yaml")):
        code, _, errors = cli(*arguments, "--out", shapes)
        assert code == 1
        assert f"error: {shapes} " in errors
    assert {path.name for path in shapes.iterdir()} == {"images", "masks"}


def test_a_bug_keeps_its_traceback_and_asks_for_a_report(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("delineo.data.check.check_folder", fail)
    result = CliRunner().invoke(app, ["check", "data"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert "report it" in result.exception.__notes__[0]


def test_a_place_that_cannot_be_written_is_no_bug(shapes: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    code, _, errors = cli("check", shapes, "--json", tmp_path / "file" / "check.json")
    assert code == 1
    assert f"error: {tmp_path / 'file'}" in errors
    assert "check the path and its permissions" in errors


def test_a_full_disk_is_no_bug(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, errors = cli("check", shapes, "--json", tmp_path / "check.json")
    assert code == 1
    assert "error: the disk is full. What was written before is whole; make room" in errors
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one short epoch."""
    run = tmp_path_factory.mktemp("runs") / "shapes"
    settings = ["epochs=1", "data.image_size=[64,64]", "model.name=unet", "model.width=4"]
    told = run.with_name("shapes.json")
    code, _, errors = cli("train", shapes, *settings, "--out", run, "--json", told)
    assert code == 0, errors
    return run


def test_train_tells_programs_what_it_came_to(trained: Path):
    told = json.loads(trained.with_name("shapes.json").read_text())
    line = json.loads((trained / "metrics.jsonl").read_text())
    seconds, monitor = line["seconds"], "per_image.mean_iou"
    assert told == {
        "run": str(trained), "epochs": 1, "seconds": seconds, "monitor": monitor, "best": line,
    }  # fmt: skip


def test_of_several_processes_the_first_tells_programs(
    trained: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = tmp_path / "told.json"
    for rank, written in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        assert cli("train", shapes, "--out", trained, "--resume", "--json", told)[0] == 0
        assert told.exists() == written


def test_demo_tells_programs_what_it_came_to(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert cli("evaluate", trained)[0] == 0
    monkeypatch.setattr("delineo.demo.run_demo", lambda *_, **__: Run(trained))
    assert cli("demo", "--out", tmp_path, "--json", tmp_path / "demo.json")[0] == 0
    told = json.loads((tmp_path / "demo.json").read_text())
    assert told["run"] == str(trained)
    assert told["test"] == json.loads((trained / "evaluation-test.json").read_text())


def test_a_run_is_not_overwritten(shapes: Path, trained: Path):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    code, _, errors = cli("train", shapes, "--out", trained)
    assert code == 1
    assert errors.startswith(f"error: {trained} already exists")
    assert "--resume" in errors
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_evaluate_prints_and_writes_the_scores(trained: Path, tmp_path: Path):
    code, output, _ = cli("evaluate", trained, "--json", tmp_path / "scores.json")
    assert code == 0
    assert "IoU [95 %]" in output
    assert json.loads((tmp_path / "scores.json").read_text())["split"] == "test"
    assert (trained / "evaluation-test.json").exists()


def test_scores_that_cannot_be_kept_are_printed(trained: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(_: object, path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("delineo.evaluation.Evaluation.save", refused)
    code, printed, errors = cli("evaluate", trained)
    assert code == 1
    assert "average of images" in printed
    assert f"error: {trained}" in errors.replace("\n", "")
    assert "Read-only file system" in errors


def test_evaluate_on_a_part_that_is_not_there(trained: Path, tmp_path: Path):
    record = json.loads((trained / "dataset.json").read_text())
    record["splits"]["test"] = []
    copy = copy_of(trained, tmp_path / "run")
    (copy / "dataset.json").write_text(json.dumps(record))
    code, _, errors = cli("evaluate", copy)
    assert code == 1
    assert "test" in errors


def test_predict_goes_on_past_what_it_cannot_read(trained: Path, shapes: Path, tmp_path: Path):
    images = tmp_path / "images"
    images.mkdir()
    for name in ("disc00.png", "disc01.png"):
        (images / name).write_bytes((shapes / "images" / name).read_bytes())
    (images / "broken.png").write_bytes(b"no image")
    masks = tmp_path / "masks"
    code, output, errors = cli(
        "predict", trained, images, "--out", masks, "--json", tmp_path / "done.json"
    )
    assert code == 1
    assert errors.count("broken.png") == 1
    assert "2 masks" in output
    record = json.loads((tmp_path / "done.json").read_text())
    assert len(record["done"]) == 2
    assert [Path(path).name for path in record["failed"]] == ["broken.png"]


def test_predict_of_an_image_that_is_not_there(trained: Path, tmp_path: Path):
    code, _, errors = cli("predict", trained, tmp_path / "none.png", "--out", tmp_path / "masks")
    assert code == 2
    assert "none.png does not exist" in errors


def test_runs_come_before_images(trained: Path, shapes: Path, tmp_path: Path):
    image = shapes / "images" / "disc00.png"
    code, _, errors = cli("predict", image, trained, "--out", tmp_path / "masks")
    assert code == 2
    said = f"error: {image} is neither a run nor an export; those come first, then images"
    assert said in errors.replace("\n", "")


def test_report_is_one_file(trained: Path, tmp_path: Path):
    code, output, _ = cli("report", trained, "--json", tmp_path / "written.json")
    assert code == 0
    assert str(trained / "report.html") in output
    written = json.loads((tmp_path / "written.json").read_text())
    assert written == {"report": str(trained / "report.html")}


def copy_of(run: Path, copy: Path) -> Path:
    copy.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_compare(trained: Path, tmp_path: Path):
    assert cli("evaluate", trained)[0] == 0
    other = copy_of(trained, tmp_path / "other")
    code, output, _ = cli("compare", trained, other, "--json", tmp_path / "compare.json")
    assert code == 0
    assert "other" in output
    assert "could be chance" in output
    assert json.loads((tmp_path / "compare.json").read_text())["split"] == "test"


def test_compare_needs_two(trained: Path):
    code, _, errors = cli("compare", trained, trained)
    assert code == 2
    assert "two runs or more, got 1" in errors


def test_compare_needs_evaluations(trained: Path, tmp_path: Path):
    runs = [copy_of(trained, tmp_path / name) for name in ("a", "b")]
    (runs[0] / "evaluation-test.json").unlink(missing_ok=True)
    code, _, errors = cli("compare", *runs)
    assert code == 1
    assert "delineo evaluate" in errors
