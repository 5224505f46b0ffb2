"""delineo check"""

from pathlib import Path
from typing import Annotated

import typer

from .console import print_finding, print_text, write_json
from .options import JsonFile


def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of images and masks.")],
    json_file: JsonFile = None,
) -> None:
    """Find what is wrong with a data folder before anything is spent on it."""
    from ..data.check import check_folder
    from ..progress import show_progress

    with show_progress() as progress:
        checkup = check_folder(data, progress)
    write_json(json_file, checkup.to_json())
    print_text("\n".join(checkup.lines()))
    for finding in checkup.findings:
        print_finding(finding.severity, finding.text())
    if not checkup.ok:
        raise typer.Exit(1)
