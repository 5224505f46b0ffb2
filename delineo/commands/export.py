"""delineo export"""

from pathlib import Path
from typing import Annotated

import typer

from .console import print_text, write_json
from .options import JsonFile, RunFolder


def export(
    run: RunFolder,
    wanted: Annotated[
        str, typer.Option("--format", help="onnx, openvino, openvino-bf16, openvino-int8 or torch.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where it is written. [default: RUN/exports/FORMAT]"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Write a run in a form for other runtimes, proved to give the same masks."""
    from ..export import export_run
    from ..progress import show_progress
    from ..runtime import as_format

    with show_progress() as progress:
        folder, certificate = export_run(run, as_format(wanted), out, progress)
    write_json(json_file, certificate.to_json())
    print_text("\n".join(certificate.lines()))
    print_text(f"exported: {folder}\nnext: delineo predict {folder} IMAGE|FOLDER --out DIR")
