"""Run directories: never overwritten, whole after a kill, and they run no code."""

import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from delineo.data.samples import DataFolder, Encoding
from delineo.decision import Decision
from delineo.errors import ConfigError, DataError, DiskFullError, RunError
from delineo.files import write_atomically
from delineo.machine import PACKAGES
from delineo.recipe import Recipe
from delineo.run import Run

FOLDER = DataFolder(
    root=Path("data"),
    layout="images and masks",
    task="multiclass",
    classes=("ground", "tree"),
    channels=4,
    encoding=Encoding(values={0: 0, 7: 255}, colors={(1, 2, 3): 1, (9, 9, 9): 0}, threshold=None),
    samples=(),
    splits={"train": ("a", "b"), "val": ("c",)},
    assumptions=("7 is ignored",),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """What start_run leaves before the first epoch."""
    run = Run.create(tmp_path / "run")
    write_atomically(run.recipe_file, Recipe(seed=7).to_yaml())
    run.write_dataset(FOLDER, {"summary": {}})
    decision = Decision.default(FOLDER.task, FOLDER.classes)
    write_atomically(run.decision_file, decision.model_dump_json())
    return run


def test_a_run_is_made_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "new" / "deep"):
        assert Run.create(path).path.is_dir()


def test_what_is_there_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already exists; choose another --out or continue"):
        Run.create(run.path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name in ("file", "folder"):
        with pytest.raises(RunError, match=f"{name} already exists; choose another --out$"):
            Run.create(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_only_runs_are_opened(run: Run, tmp_path: Path) -> None:
    assert Run.open(run.path).path == run.path
    with pytest.raises(RunError, match="nowhere does not exist"):
        Run.open(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file is a file; give the folder that train wrote"):
        Run.open(tmp_path / "file")
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml"):
        Run.open(tmp_path)
    run.dataset_file.unlink()
    with pytest.raises(RunError, match=r"it has no dataset\.json"):
        Run.open(run.path)


def test_the_recipe_comes_back(run: Run) -> None:
    assert run.recipe() == Recipe(seed=7)
    recipe = Recipe.parse({"model": {"name": "unet", "width": 8}, "budget": "5m"})
    write_atomically(run.recipe_file, recipe.to_yaml())
    assert run.recipe() == recipe


def test_the_description_of_the_data_comes_back(run: Run) -> None:
    described = run.description()
    assert described.root == FOLDER.root.resolve()
    assert described == DataFolder(**{**vars(FOLDER), "root": described.root})


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"encoding": {}}', '{"encoding": 3}', "\x00"])
def test_a_broken_description_is_named(run: Run, text: str) -> None:
    run.dataset_file.write_text(text)
    with pytest.raises(RunError, match=r"dataset\.json"):
        run.description()


def test_data_that_has_gone_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no longer at .*data; put the folder back, or .* --data"):
        run.folder()


def test_images_that_have_gone_are_named(make_shapes, run: Run, tmp_path: Path) -> None:
    root = make_shapes(tmp_path / "data", 4)
    splits = {"train": ("disc00", "disc01"), "val": ("disc02",), "test": ("disc03",)}
    run.write_dataset(DataFolder(**{**vars(FOLDER), "root": root, "splits": splits}), {})
    assert [sample.id for sample in run.folder().part("train")] == ["disc00", "disc01"]
    for name in ("images", "masks"):
        (root / name / "disc03.png").unlink()
    with pytest.raises(DataError, match=r"1 images that .* are gone, such as disc03"):
        run.folder()


def test_thresholds_come_in_the_order_of_the_classes(run: Run) -> None:
    run.write_dataset(DataFolder(**{**vars(FOLDER), "task": "multilabel"}), {})
    text = '{"task": "multilabel", "thresholds": {"tree": 0.2, "ground": 0.7}}'
    run.decision_file.write_text(text)
    assert list(run.decision().thresholds.items()) == [("ground", 0.7), ("tree", 0.2)]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", RunError, "cannot be read"),
        ("[]", RunError, "holds no settings"),
        ('{"task": "binary", "thresholds": {"disc": 0.5}}', RunError, "of ground, tree"),
        ('{"task": "multiclass", "thresholds": {"tree": 0.5}}', RunError, "of tree"),
        ('{"task": "many"}', ConfigError, "task: must be one of"),
        ('{"task": "multiclass", "other": 1}', ConfigError, "other: no such setting"),
    ],
)
def test_a_decision_of_another_run_is_refused(
    run: Run, text: str, error: type[Exception], message: str
) -> None:
    run.decision_file.write_text(text)
    with pytest.raises(error, match=message) as raised:
        run.decision()
    assert "decision.json" in str(raised.value)


def test_a_line_that_a_kill_tore_is_left_out(run: Run) -> None:
    assert run.epochs() == []
    for epoch in (1, 2, 3):
        run.log_epoch({"epoch": epoch, "loss": 0.1})
    whole = run.metrics_file.read_text()
    for cut in range(1, len(whole.splitlines()[-1])):
        run.metrics_file.write_text(whole[: -1 - cut])
        assert [record["epoch"] for record in run.epochs()] == [1, 2]
    run.forget_epochs_after(1)
    run.log_epoch({"epoch": 2, "loss": 0.2})
    assert [json.loads(line)["epoch"] for line in run.metrics_file.read_text().splitlines()] == [
        1,
        2,
    ]


def test_weights_come_back(run: Run) -> None:
    with pytest.raises(RunError, match="no weights yet"):
        run.best_weights()
    weights = {"a": torch.randn(3, 4), "b": torch.tensor(5)}
    run.save_best(weights)
    for name, tensor in run.best_weights().items():
        assert torch.equal(tensor, weights[name])
    run.best_file.write_bytes(run.best_file.read_bytes()[:20])
    with pytest.raises(RunError, match=r"best\.safetensors cannot be read"):
        run.best_weights()


def test_the_state_comes_back(run: Run) -> None:
    assert run.last() is None
    run.save_last({"step": 3, "network": {"weight": torch.ones(2)}})
    saved = run.last()
    assert saved is not None
    assert saved["step"] == 3
    assert torch.equal(saved["network"]["weight"], torch.ones(2))
    assert not list(run.path.glob("*.part"))


def test_a_full_disk_keeps_what_is_there_and_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.save_last({"step": 3})
    run.save_best({"a": torch.ones(1)})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def hidden(*_: object) -> None:
        """As torch.save tells it."""
        try:
            full()
        except OSError:
            raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904

    for place, fails in (("os.fsync", full), ("torch.save", hidden)):
        monkeypatch.setattr(place, fails)
        with pytest.raises(DiskFullError, match=r"run: the disk is full.*make room.*--resume"):
            run.save_last({"step": 4})
    with pytest.raises(DiskFullError, match="the disk is full"):
        run.save_best({"a": torch.zeros(1)})
    assert not list(run.path.glob("*.part")) + list(run.path.glob("*.tmp"))
    assert run.last() == {"step": 3}
    assert torch.equal(run.best_weights()["a"], torch.ones(1))


def test_other_troubles_of_saving_are_no_full_disk(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run.save_last({"step": 4})


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_state_or_weights_that_would_run_code_are_refused(run: Run, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"step": Trap(sprung)}, run.last_file)
    with pytest.raises(RunError, match=r"last\.pt cannot be read"):
        run.last()
    for file, read in ((run.last_file, run.last), (run.best_file, run.best_weights)):
        file.write_bytes(pickle.dumps(Trap(sprung)))
        with pytest.raises(RunError, match=f"{file.name} cannot be read") as raised:
            read()
        assert "weights_only" not in str(raised.value)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))  # the trap is a real one
    assert sprung.exists()


def test_the_log_has_the_time_and_the_environment_the_machine(run: Run) -> None:
    run.log("one")
    run.log("two")
    lines = run.log_file.read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == ["one", "two"]
    run.write_environment({"seed": 7})
    record = json.loads(run.environment_file.read_text())
    assert record["seed"] == 7
    assert record["packages"]["torch"] == torch.__version__
    assert record["packages"].keys() == set(PACKAGES)
    assert None not in record["packages"].values()
