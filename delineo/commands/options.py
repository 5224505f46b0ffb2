"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that train wrote.")]
Split = Annotated[
    Literal["train", "val", "test"], typer.Option(help="The part of the data to score.")
]
Augmentations = Annotated[
    list[str] | None,
    typer.Option(
        "--tta",
        help="Take the mean over views of each image: mirror, flips (both ways) or scales (three "
        "sizes); as many times slower. May be given twice.",
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")
]
