"""delineo tune"""

from typing import Annotated

import typer

from ..errors import ConfigError
from .console import print_finding, print_table, print_text, write_json
from .options import JsonFile, RunFolder


def tune(
    run: RunFolder,
    score: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to gain in, such as per_image.mean_dice or competition.tgs_precision. "
            "[default: what the training was watched by]",
        ),
    ] = None,
    split: Annotated[str, typer.Option(hidden=True)] = "val",
    json_file: JsonFile = None,
) -> None:
    """Fit temperature, thresholds and clean-up of masks on the validation images."""
    from ..progress import show_progress
    from ..run import Run, stale_evaluations
    from ..tables import tuning_table
    from ..tuning import tune

    _refuse_other_parts(split)
    trained = Run.open(run)
    with show_progress() as progress:
        tuning = tune(trained, score, progress=progress)
    write_json(json_file, tuning.to_json())
    print_table(tuning_table(tuning))
    print_text("\n".join(tuning.lines()))
    for file in stale_evaluations(trained):
        print_finding(
            "warning", f"{file} is of masks that were decided in another way; evaluate again"
        )
    print_text(f"written: {trained.decision_file}\nnext: delineo evaluate {run}")


def _refuse_other_parts(split: str) -> None:
    if split != "val":
        raise ConfigError(
            f"tune looks at the validation part and at no other, got --split {split}: images that "
            "choose a threshold cannot judge it. Leave --split out, then run delineo evaluate"
        )
