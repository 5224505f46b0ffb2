"""compare_grid(): every model of a grid with every loss, trained, scored and compared.

Each pair is a cell: an ordinary run directory DIR/MODEL-LOSS, and beside it MODEL-LOSS.yaml, the
recipe that was asked for, by which a later call knows whether the cell is still the one it means.
"""

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field

from .comparison import Comparison, compare
from .config import Config
from .data.samples import PARTS, Part
from .errors import ConfigError, DataError, DelineoError, InterruptionError, RunError
from .evaluation import Evaluation, evaluate
from .files import write_atomically
from .prediction import Predictor, build_network
from .progress import NoProgress, Progress
from .recipe import Recipe, find_recipe
from .report import write_comparison_page
from .run import Run, stale_evaluations
from .training import train
from .yamlfile import read_yaml


def _as_part_of_a_folder_name(name: str) -> str:
    if re.fullmatch(r"[\w.+]+", name):
        return name
    # no hyphen: it stands between model and loss
    raise ValueError(f"the name becomes part of a folder's: letters, digits, _ . +, got {name!r}")


AxisName = Annotated[str, AfterValidator(_as_part_of_a_folder_name)]


class Axes(Config):
    """The models and losses of a grid; each pair is trained."""

    models: dict[AxisName, dict[str, Any]] = Field(min_length=1)
    """A recipe's section `model` for each name; without `name` in it, it is the network's name."""
    losses: dict[AxisName, dict[str, Any]] = Field(min_length=1)
    """A recipe's section `loss` for each name."""


class GridFile(Config):
    """What a grid's YAML holds beside an ordinary recipe without `model` and `loss`."""

    grid: Axes


@dataclass(frozen=True)
class Cell:
    """One training of a grid."""

    model: str
    loss: str
    recipe: Recipe
    """As asked for: what it leaves open is planned when the training begins."""
    run: Run

    @property
    def name(self) -> str:
        return f"{self.model}-{self.loss}"

    @property
    def asked_file(self) -> Path:
        """Where `recipe` is written down: beside the run, whose own recipe is the planned one."""
        return self.run.path.with_name(f"{self.name}.yaml")


@dataclass(frozen=True, eq=False)
class GridComparison:
    """What came out of a grid."""

    out: Path
    cells: tuple[Cell, ...]
    comparison: Comparison | None
    """Of the cells that are finished; None where none is."""
    failed: dict[str, str]
    """Why, by the name of the cell."""
    command: str
    """What repeats it, or goes on with it."""

    @property
    def page(self) -> Path:
        return self.out / "comparison.html"

    def to_json(self) -> dict[str, Any]:
        """What comparison.json holds."""
        compared = self.comparison
        finished = [cell for cell in self.cells if compared and cell.name in compared.evaluations]
        return {
            **(compared.to_json() if compared else {}),
            "models": list(dict.fromkeys(cell.model for cell in self.cells)),
            "losses": list(dict.fromkeys(cell.loss for cell in self.cells)),
            "cells": {cell.name: _facts(cell) for cell in finished},
            "failed": self.failed,
            "command": self.command,
        }

    def save(self) -> None:
        """Write comparison.json and, where there is something to show, comparison.html."""
        record = self.to_json()
        text = json.dumps(record, indent=1, allow_nan=False)
        write_atomically(self.out / "comparison.json", text + "\n")
        if self.comparison:
            write_comparison_page(record, self.out.resolve().name, self.page)


def compare_grid(
    source: Path | str,
    overrides: Sequence[str] = (),
    *,
    out: Path | str,
    part: Part = "test",
    progress: Progress | None = None,
) -> GridComparison:
    """Train what is not trained yet, score what is not scored yet, compare, and write it to `out`.

    `overrides` are `key=value` for all cells, or `grid.models.NAME.key=value` for one model.
    A cell that fails is named in the result, and the others are finished.

    Raises ConfigError for impossible settings, RunError where `out` holds something else or a cell
    of other settings, DataError where the data has errors, InterruptionError with how to go on.
    """
    shown, out = progress or NoProgress(), Path(out)
    command = shlex.join(["delineo", "compare", str(source), *overrides, "--out", str(out)])
    cells = read_grid(source, overrides, out)
    claim(out, cells)
    try:
        evaluations, failed = finish_all(cells, part, shown)
    except (InterruptionError, KeyboardInterrupt) as error:
        raise InterruptionError(f"stopped before all was done; go on with: {command}") from error
    comparison = compare(evaluations) if evaluations else None
    result = GridComparison(out, cells, comparison, failed, command)
    result.save()
    return result


def read_grid(source: Path | str, overrides: Sequence[str], out: Path) -> tuple[Cell, ...]:
    """The cells of a grid's YAML, model by model.

    Raises ConfigError where it is none, or where a cell's settings are wrong.
    """
    path = find_recipe(Path(source))
    values = read_yaml(path)
    _refuse_what_is_no_grid(path, values)
    of_grid = [override for override in overrides if override.startswith("grid.")]
    of_cells = [override for override in overrides if not override.startswith("grid.")]
    axes = GridFile.parse({"grid": values.pop("grid")}, str(path), of_grid).grid
    cells = tuple(
        Cell(
            model,
            loss,
            Recipe.parse(
                {**values, "model": {"name": model, **chosen}, "loss": weights},
                f"{path}, {model}-{loss}",
                of_cells,
            ),
            Run(out / f"{model}-{loss}"),
        )
        for model, chosen in axes.models.items()
        for loss, weights in axes.losses.items()
    )
    _refuse_equal_cells(path, cells)
    return cells


def _refuse_what_is_no_grid(path: Path, values: dict[Any, Any]) -> None:
    if "grid" not in values:
        raise ConfigError(
            f"{path} has no `grid` of models and losses; train it with delineo train, "
            "or compare the runs it gave"
        )
    for key, axis in (("model", "models"), ("loss", "losses")):
        if key in values:
            raise ConfigError(
                f"{path}: {key} stands beside grid.{axis}, which says it for each cell; "
                f"move its settings there"
            )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "a grid is trained by one process; start delineo compare without torchrun"
        )


def _refuse_equal_cells(path: Path, cells: Sequence[Cell]) -> None:
    for index, cell in enumerate(cells):
        for other in cells[:index]:
            if cell.recipe == other.recipe:
                raise ConfigError(
                    f"{path}: {other.name} and {cell.name} have the same settings; give each model "
                    "and loss of the grid its own, and one cell others with "
                    f"grid.models.{cell.model}.KEY=VALUE or grid.losses.{cell.loss}.KEY=VALUE"
                )


def claim(out: Path, cells: Sequence[Cell]) -> None:
    """Make `out` the place of this grid, with what is asked of each cell.

    Raises ConfigError without a data folder, and RunError where `out` holds something that is not
    of this grid. Nothing is written then.
    """
    if cells[0].recipe.data.path is None:
        raise ConfigError("the recipe names no data: add data.path=FOLDER")
    known = any(cell.asked_file.exists() for cell in cells)
    if out.exists() and not known and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} holds something else than this grid; choose another --out")
    for cell in cells:
        _refuse_another_recipe(cell)
    out.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        cell.recipe.save(cell.asked_file)


def _refuse_another_recipe(cell: Cell) -> None:
    """Raises RunError where the run of a cell was begun with other settings than now."""
    path = cell.run.path
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not cell.asked_file.exists():
        raise RunError(f"{path} is not of this grid; move it away, or choose another --out")
    before = Recipe.load(cell.asked_file)
    if before != cell.recipe:
        raise RunError(
            f"{path} was trained with other settings: {_changes(before, cell.recipe)}; "
            "set them back, delete that folder to train it anew, or choose another --out"
        )


def _changes(before: Recipe, now: Recipe) -> str:
    """The first settings that differ: `optimizer.lr was 0.001 and is 0.01`."""
    old, new = _flat(before.model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    shown = [f"{key} was {old.get(key)} and is {new.get(key)}" for key in changed[:3]]
    return ", ".join([*shown, *(["..."] if len(changed) > 3 else [])])


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections -> dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def finish_all(
    cells: Sequence[Cell], part: Part, progress: Progress
) -> tuple[dict[str, Evaluation], dict[str, str]]:
    """Evaluations by cell, and by cell why there is none."""
    evaluations: dict[str, Evaluation] = {}
    failed: dict[str, str] = {}
    for number, cell in enumerate(cells, start=1):
        progress.message(f"{cell.name}: {number} of {len(cells)}")
        try:
            evaluations[cell.name] = finish(cell, part, progress)
        except (InterruptionError, DataError):
            raise  # the data is the same for all cells
        except Exception as error:
            failed[cell.name] = _reason(error, cell)
            progress.message(f"{cell.name} failed: {failed[cell.name]}")
    return evaluations, failed


def finish(cell: Cell, part: Part, progress: Progress) -> Evaluation:
    """Train and score one cell, each as far as it is not done yet."""
    run, scores = cell.run, cell.run.evaluation_file(part)
    last = run.last()
    if last is None or not last["finished"]:
        _train(cell, progress)
    if not scores.exists() or scores in stale_evaluations(run):
        evaluate(Predictor.load(run), run.folder(), part, progress).save(scores)
    return Evaluation.load(scores)


def _train(cell: Cell, progress: Progress) -> None:
    """Begin the training of a cell, or go on with it."""
    run = cell.run
    for part in PARTS:  # scores of weights that are about to change
        run.evaluation_file(part).unlink(missing_ok=True)
    made = (run.dataset_file, run.decision_file, run.recipe_file)
    begun = all(file.exists() for file in made)
    if not begun:  # what was killed while it made the run has left some
        for file in made:
            file.unlink(missing_ok=True)
    train(cell.recipe, out=run.path, resume=begun, progress=progress)


def _reason(error: Exception, cell: Cell) -> str:
    if isinstance(error, DelineoError | OSError):
        return str(error)
    alone = f"delineo train {cell.asked_file} --out FOLDER"
    return f"{type(error).__name__}: {error}; see where with {alone}"


def _facts(cell: Cell) -> dict[str, Any]:
    """What a finished cell is, and what it took."""
    epochs = cell.run.epochs()
    return {
        "model": cell.model,
        "loss": cell.loss,
        "run": cell.run.path.name,
        "parameters": _num_parameters(cell.run),
        "epochs": epochs[-1]["epoch"],
        "seconds": epochs[-1]["seconds"],
    }


def _num_parameters(run: Run) -> int:
    with torch.device("meta"):  # shapes without numbers
        network = build_network(run.recipe().without_pretrained(), run.description(), None)
    return sum(parameter.numel() for parameter in network.parameters())
