"""delineo serve"""

from pathlib import Path
from typing import Annotated

import typer

from ..formats import Runtime
from .console import print_text, write_json
from .options import Augmentations

TIME = "%Y-%m-%d %H:%M:%S"


def serve(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN|EXPORT", help="What train or export wrote; several as one."),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
    tta: Augmentations = None,
    runtime: Annotated[
        Runtime,
        typer.Option(
            help="What a run is computed with. auto: on a processor its OpenVINO export, which is "
            "written first where there is none; else torch."
        ),
    ] = "auto",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Also write the address as JSON, once open."),
    ] = None,
) -> None:
    """Answer images with masks over HTTP, until it is stopped."""
    import logging

    from ..ensemble import as_augmentations, combine
    from ..forms import open_predictor
    from ..progress import show_progress
    from ..serving import listen, serve

    augmentations, names = as_augmentations(tta or []), [str(run) for run in runs]
    listener, url = listen(host, port)
    with listener:
        with show_progress() as progress:
            members = [open_predictor(run, runtime, progress, often=True) for run in runs]
        predictor = combine(members, augmentations)
        print_text(f"serving {', '.join(names)} at {url}, until Ctrl-C")
        print_text(f"try: curl --data-binary @IMAGE {url}/overlay --output overlay.png")
        write_json(json_file, {"url": url, "models": names})
        logging.basicConfig(format="%(asctime)s  %(message)s", datefmt=TIME, level=logging.INFO)
        serve(predictor, names, listener)
