"""delineo train"""

import os
from pathlib import Path
from typing import Annotated

import typer

from .console import print_text, write_json
from .options import JsonFile

EPILOG = (
    "Settings most people change: budget=5m  epochs=30  batch_size=16  seed=7  "
    "data.image_size=[256,256]  model.name=unet  model.width=16  loss.dice=1  "
    "optimizer.name=adam  optimizer.lr=1e-4  schedule.name=cosine"
)


def train(
    source: Annotated[
        Path, typer.Argument(metavar="DATA|RECIPE.yaml", help="Data folder, or a recipe.")
    ],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Where the run is written.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="Settings to change.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Train a model; the best weights by validation score are kept."""
    from ..progress import show_progress
    from ..training import train

    with show_progress() as progress:
        run = train(source, settings or [], out=out, resume=resume, progress=progress)
    if json_file and os.environ.get("RANK", "0") == "0":  # others may not see the run's files
        write_json(json_file, run.outcome())
    print_text(f"trained: {run.path}\nnext: delineo evaluate {run.path}")
