"""Run: what a training leaves on disk, and the only place that knows its file names."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from .data.layouts import find_layout
from .data.samples import PARTS, DataFolder, Encoding, Part
from .decision import Decision, decided_otherwise
from .errors import DataError, DiskFullError, NoRunError, RunError
from .files import disk_is_full, open_atomically, write_atomically
from .machine import package_versions
from .recipe import Recipe


class Run:
    """A run directory. Create one with `Run.create`, read one with `Run.open`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    recipe_file = property(lambda self: self.path / "recipe.yaml")
    dataset_file = property(lambda self: self.path / "dataset.json")
    environment_file = property(lambda self: self.path / "environment.json")
    metrics_file = property(lambda self: self.path / "metrics.jsonl")
    log_file = property(lambda self: self.path / "train.log")
    best_file = property(lambda self: self.path / "best.safetensors")
    decision_file = property(lambda self: self.path / "decision.json")
    tuning_file = property(lambda self: self.path / "tuning.json")
    last_file = property(lambda self: self.path / "last.pt")
    report_file = property(lambda self: self.path / "report.html")

    def evaluation_file(self, part: str) -> Path:
        return self.path / f"evaluation-{part}.json"

    @classmethod
    def create(cls, path: Path) -> "Run":
        """Make an empty run directory. Raises RunError where anything is there already."""
        cls.refuse_taken(path)
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @staticmethod
    def refuse_taken(path: Path) -> None:
        """Raises RunError where `path` holds anything: nothing is ever overwritten."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            hint = " or continue it with --resume" if (path / "recipe.yaml").exists() else ""
            raise RunError(f"{path} already exists; choose another --out{hint}")

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run. Raises NoRunError where `path` is none."""
        run = cls(path)
        if not run.path.is_dir():
            kind = "is a file" if run.path.exists() else "does not exist"
            raise NoRunError(f"{path} {kind}; give the folder that train wrote with --out")
        for needed in (run.recipe_file, run.dataset_file):
            if not needed.exists():
                raise NoRunError(
                    f"{path} is not a run: it has no {needed.name}; "
                    "give the folder that train wrote with --out"
                )
        return run

    def recipe(self) -> Recipe:
        return Recipe.load(self.recipe_file)

    def dataset(self) -> dict[str, Any]:
        """The contents of dataset.json."""
        return _read_json(self.dataset_file)

    def write_dataset(self, folder: DataFolder, details: dict[str, Any]) -> None:
        """Write dataset.json: what the model was trained on, and `details` of the check."""
        encoding = asdict(folder.encoding)
        encoding["values"] = {str(key): value for key, value in folder.encoding.values.items()}
        encoding["colors"] = [[*rgb, index] for rgb, index in folder.encoding.colors.items()]
        record = {
            "path": str(folder.root.resolve()),
            "layout": folder.layout,
            "task": folder.task,
            "classes": list(folder.classes),
            "channels": folder.channels,
            "encoding": encoding,
            "splits": {part: list(ids) for part, ids in folder.splits.items()},
            "assumptions": list(folder.assumptions),
            **details,
        }
        write_atomically(self.dataset_file, json.dumps(record, indent=1))

    def description(self) -> DataFolder:
        """What dataset.json says of the data, without samples: needs no data on disk."""
        try:
            return _described(self.dataset())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self.dataset_file} is not what train wrote ({error!r}); train again"
            ) from error

    def folder(self) -> DataFolder:
        """The data that this run was trained on, with the splits it was trained with."""
        described = self.description()
        if not described.root.exists():
            raise DataError(
                f"the data of {self.path} is no longer at {described.root}; put the folder "
                "back, or name another with delineo evaluate --data FOLDER"
            )
        samples = find_layout(described.root).samples
        missing = {i for ids in described.splits.values() for i in ids} - {s.id for s in samples}
        if missing:
            raise DataError(
                f"{described.root} has changed: {len(missing)} images that {self.path} was trained "
                f"with are gone, such as {min(missing)}; put them back, or give --data FOLDER"
            )
        return replace(described, samples=samples)

    def decision(self) -> Decision:
        """Raises RunError where decision.json is missing, broken or of another run."""
        described = self.description()
        return Decision.read(self.decision_file).for_classes(described.task, described.classes)

    def log(self, text: str) -> None:
        """Append a line with the time to train.log."""
        with self.log_file.open("a") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")

    def log_epoch(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics_file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def epochs(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, but for one that a killed training did not finish."""
        if not self.metrics_file.exists():
            return []
        records = []
        for line in self.metrics_file.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def outcome(self) -> dict[str, Any]:
        """What a training came to, for programs; `best` is the line of the weights that are kept,
        None where no epoch had a score.

        Seconds are those of all sittings. Raises RunError where no epoch is finished.
        """
        epochs = self.epochs()
        if not epochs:
            raise RunError(f"{self.path} has no weights yet; let train finish an epoch")
        return {
            "run": str(self.path),
            "epochs": len(epochs),
            "seconds": epochs[-1]["seconds"],
            "monitor": self.recipe().monitor,
            "best": next((record for record in reversed(epochs) if record["best"]), None),
        }

    def forget_epochs_after(self, epoch: int) -> None:
        """Drop the lines of epochs that a resumed training will go through again."""
        kept = [record for record in self.epochs() if record["epoch"] <= epoch]
        write_atomically(self.metrics_file, "".join(json.dumps(record) + "\n" for record in kept))

    def save_best(self, weights: dict[str, Tensor]) -> None:
        """Write best.safetensors whole or not at all. Raises DiskFullError."""
        whole = {name: tensor.contiguous() for name, tensor in weights.items()}
        with self._room():
            write_atomically(self.best_file, save(whole))

    def best_weights(self) -> dict[str, Tensor]:
        try:
            return load_file(self.best_file)
        except FileNotFoundError:
            raise RunError(f"{self.path} has no weights yet; let train finish an epoch") from None
        except Exception as error:
            raise RunError(f"{self.best_file} cannot be read ({error}); train again") from error

    def save_last(self, state: dict[str, Any]) -> None:
        """Write last.pt whole or not at all. Raises DiskFullError."""
        with self._room(), open_atomically(self.last_file) as file:
            torch.save(state, file)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Turns the system's word for a full disk into a sentence."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            # torch.save hides what the system said behind an error of its own
            said = error if isinstance(error, OSError) else error.__context__
            if not disk_is_full(said):
                raise
            raise DiskFullError(
                f"{self.path}: the disk is full. What was written before is whole; make room, "
                "then go on with train --resume"
            ) from error

    def last(self) -> dict[str, Any] | None:
        """The state to resume from; None where none was written yet. Loading runs no code."""
        if not self.last_file.exists():
            return None
        try:
            return torch.load(self.last_file, map_location="cpu", weights_only=True)
        except Exception as error:
            # torch's own words advise to load it as code
            raise RunError(
                f"{self.last_file} cannot be read: it is damaged, or holds more than numbers, "
                "which are not loaded since they could run code; train into another folder"
            ) from error

    def write_environment(self, details: dict[str, Any]) -> None:
        """Write environment.json: versions, machine, command line, git state."""
        record = {
            "command": sys.argv,
            "python": sys.version.split()[0],
            "packages": package_versions(),
            "threads": torch.get_num_threads(),
            "git": _git_state(),
            **details,
        }
        write_atomically(self.environment_file, json.dumps(record, indent=1))


def stale_evaluations(run: Run) -> list[Path]:
    """The run's evaluation files whose masks its decision.json would not make again."""
    files = [run.evaluation_file(part) for part in PARTS]
    decision = run.decision()
    return [
        file
        for file in files
        if file.exists() and decided_otherwise(json.loads(file.read_text()), decision)
    ]


def shared_folder(runs: Sequence[Run], part: Part) -> DataFolder:
    """The data of runs that are judged together.

    Raises DataError where `part` of the first is not that of the others, which may have been
    trained on it.
    """
    first = runs[0].description()
    for run in runs[1:]:
        other = run.description()
        if (other.root, set(other.splits[part])) != (first.root, set(first.splits[part])):
            raise DataError(
                f"{run.path} has other {part} images than {runs[0].path}, so it may be that one of "
                "them was trained on images that are to judge it; give --data with others"
            )
    return runs[0].folder()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); train again") from error


def _described(record: dict[str, Any]) -> DataFolder:
    """dataset.json as a DataFolder without samples."""
    encoding = record["encoding"]
    return DataFolder(
        root=Path(record["path"]),
        layout=record["layout"],
        task=record["task"],
        classes=tuple(record["classes"]),
        channels=record["channels"],
        encoding=Encoding(
            values={int(key): value for key, value in encoding["values"].items()},
            colors={(r, g, b): index for r, g, b, index in encoding["colors"]},
            threshold=encoding["threshold"],
            nearest=encoding.get("nearest", False),
        ),
        samples=(),
        splits={part: tuple(ids) for part, ids in record["splits"].items()},
        assumptions=tuple(record["assumptions"]),
    )


def _git_state() -> str | None:
    """Commit of the working folder, with "-dirty" where it has changes; None outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
