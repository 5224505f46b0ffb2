"""delineo compare"""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .console import print_error, print_table, print_text, write_json
from .options import JsonFile, Split

EPILOG = (
    "delineo compare runs/a runs/b compares runs that were evaluated. "
    "delineo compare GRID.yaml data.path=DATA --out DIR trains each model of the grid with each "
    "loss, scores and compares them; the same command again goes on where it was stopped."
)


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...|GRID.yaml", help="Runs, or models and losses to train."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the runs of a grid are written.")
    ] = None,
    split: Split = "test",
    json_file: JsonFile = None,
) -> None:
    """Say which of several runs is better, and whether the difference could be chance."""
    if Path(runs[0]).suffix in (".yaml", ".yml"):
        _compare_grid(runs[0], runs[1:], out, split, json_file)
    elif out:
        raise ConfigError("--out is for a grid; compare of runs writes what --json FILE names")
    else:
        _compare_runs([Path(run) for run in runs], split, json_file)


def _compare_grid(
    recipe: str, settings: list[str], out: Path | None, split: Split, json_file: Path | None
) -> None:
    """Exit code 1 where a cell failed; those that did not are compared."""
    from ..grid import compare_grid
    from ..progress import show_progress
    from ..tables import comparison_table

    if out is None:
        raise ConfigError(f"compare {recipe} trains a grid: say where with --out DIR")
    with show_progress() as progress:
        result = compare_grid(recipe, settings, out=out, part=split, progress=progress)
    write_json(json_file, result.to_json())
    if result.comparison:
        print_table(comparison_table(result.comparison))
        print_text(f"comparison: {result.page}")
    for name, reason in result.failed.items():
        print_error(f"{name} failed: {reason}")
    if result.failed:
        raise typer.Exit(1)


def _compare_runs(runs: list[Path], split: Split, json_file: Path | None) -> None:
    from ..comparison import compare
    from ..evaluation import Evaluation
    from ..run import Run
    from ..tables import comparison_table

    files = {str(run): Run.open(run).evaluation_file(split) for run in runs}
    if len(files) < 2:
        raise ConfigError(f"compare needs two runs or more, got {len(files)}")
    comparison = compare({name: Evaluation.load(file) for name, file in files.items()})
    write_json(json_file, comparison.to_json())
    print_table(comparison_table(comparison))
