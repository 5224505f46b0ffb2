"""delineo demo"""

from pathlib import Path
from typing import Annotated

import typer

from .console import write_json
from .options import JsonFile


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where data and run are written.")
    ] = Path("delineo-demo"),
    json_file: JsonFile = None,
) -> None:
    """Train, judge and use a model on slices of a brain template that comes with the install."""
    from ..demo import run_demo
    from ..evaluation import Evaluation
    from ..progress import show_progress

    with show_progress() as progress:
        run = run_demo(out, progress=progress)
    test = Evaluation.load(run.evaluation_file("test"))
    write_json(json_file, {**run.outcome(), "test": test.to_json()})
