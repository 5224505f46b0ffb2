"""delineo evaluate"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from ..formats import Runtime
from .console import print_table, write_json
from .options import Augmentations, JsonFile, Split

if TYPE_CHECKING:
    from ..data.samples import DataFolder


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|EXPORT", help="What train or export wrote; several as one."),
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Another data folder than the run's own.")
    ] = None,
    split: Split = "test",
    tta: Augmentations = None,
    runtime: Annotated[
        Runtime | None,
        typer.Option(help="What runs are computed with. [default: torch]"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Score a run on masks that it was not trained on."""
    from ..data.check import open_folder
    from ..ensemble import as_augmentations, combine
    from ..evaluation import evaluate
    from ..forms import open_predictor
    from ..progress import show_progress
    from ..score_tables import competition_table, score_table

    ways = _ways(runs, runtime)
    if data is None:
        _refuse_exports(runs)
    with show_progress() as progress:
        folder = open_folder(data, progress) if data else _shared_folder(runs, split)
        members = [open_predictor(run, way, progress) for run, way in zip(runs, ways, strict=True)]
        predictor = combine(members, as_augmentations(tta or []))
        evaluation = evaluate(predictor, folder, split, progress)
    print_table(score_table(evaluation))
    if "competition" in evaluation.scores:
        print_table(competition_table(evaluation))
    write_json(json_file, evaluation.to_json())
    if data is None and ways == ["torch"] and not tta:
        from ..run import Run

        evaluation.save(Run.open(runs[0]).evaluation_file(split))


def _shared_folder(runs: Sequence[Path], split: Split) -> "DataFolder":
    from ..run import Run, shared_folder

    return shared_folder([Run.open(run) for run in runs], split)


def _ways(runs: Sequence[Path], runtime: Runtime | None) -> list[Runtime]:
    """What each is computed with: as asked for, else exports as they are and runs with PyTorch."""
    from ..runtime import is_export

    return [runtime or ("auto" if is_export(run) else "torch") for run in runs]


def _refuse_exports(runs: Sequence[Path]) -> None:
    from ..runtime import is_export

    for run in runs:
        if is_export(run):
            raise ConfigError(f"{run} is an export and knows of no data; name it with --data DATA")
