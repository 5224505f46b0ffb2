"""delineo demo"""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where data and run are written.")
    ] = Path("delineo-demo"),
) -> None:
    """Train, judge and use a model on slices of a brain template that comes with the install."""
    from ..demo import run_demo
    from ..progress import show_progress

    with show_progress() as progress:
        run_demo(out, progress=progress)
