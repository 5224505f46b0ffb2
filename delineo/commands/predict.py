"""delineo predict"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import ConfigError
from ..formats import Runtime
from .console import print_error, print_text, write_json
from .options import Augmentations, JsonFile


def predict(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN|EXPORT...", help="What train or export wrote; several as one."),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|FOLDER|'PATTERN'|@LIST",
            help="Also patterns such as 'photos/**/*.jpg', and @list.txt with a path per line.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the masks are written.")],
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also pictures with the mask drawn on them.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also 16-bit maps, 65535 = certain.")
    ] = False,
    class_overlays: Annotated[
        bool,
        typer.Option("--class-overlays", help="Also each image once per class, as one picture."),
    ] = False,
    class_masks: Annotated[
        bool, typer.Option("--class-masks", help="Also a mask of 0 and 255 for each class.")
    ] = False,
    rle: Annotated[
        Literal["severstal", "severstal-joined", "tgs"] | None,
        typer.Option(help="Also submission.csv: run-length codes as that competition wants them."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="Also the objects for other programs: coco, coco-polygons, yolo or geojson; may "
            "be given several times.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also areas and counts as .csv or .parquet."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip images that this model has finished in DIR.")
    ] = False,
    tta: Augmentations = None,
    runtime: Annotated[
        Runtime,
        typer.Option(
            help="What a run is computed with. auto: on a processor its OpenVINO export, where "
            "that was certified or many images make it worth while; else torch."
        ),
    ] = "auto",
    json_file: JsonFile = None,
) -> None:
    """Write a mask for each image, at the image's own size."""
    from ..ensemble import as_augmentations, combine
    from ..forms import open_predictor, origin_of, worth_exporting
    from ..inputs import find_images
    from ..outputs import predict_files
    from ..progress import show_progress
    from ..targets import Wanted, as_object_formats

    objects = as_object_formats(formats or [])
    wanted = Wanted(overlay, class_overlays, class_masks, probabilities, rle, objects, table)
    runs, images = _runs_and_images(run, images)
    files = [source.path for source in find_images(images, out)]
    with show_progress() as progress:
        often = worth_exporting(files)
        members = [open_predictor(each, runtime, progress, often=often) for each in runs]
        predictor = combine(members, as_augmentations(tta or []))
        if len(runs) > 1:
            progress.message(f"{len(runs)} runs: the mean of probabilities and of decisions")
        origin = origin_of(runs, tta or [], runtime)
        predictions = predict_files(predictor, images, out, wanted, progress, resume, origin)
    _report(predictions, out, resume, json_file)


def _runs_and_images(run: Path, rest: list[str]) -> tuple[list[Path], list[str]]:
    """Runs come first; what follows the last of them are images."""
    from ..forms import is_model, leading_models

    if not is_model(run) and any(is_model(Path(each)) for each in rest):
        raise ConfigError(f"{run} is neither a run nor an export; those come first, then images")
    runs = [run, *leading_models(rest)]
    images = rest[len(runs) - 1 :]
    if not images:
        raise ConfigError(
            f"{', '.join(map(str, runs))} are runs, and there are no images; add them"
        )
    return runs, images


def _report(predictions: Any, out: Path, resume: bool, json_file: Path | None) -> None:
    """Say what `outputs.predict_files` did; exit code 1 where an image failed."""
    from ..data.findings import counted

    failed = {str(path): reason for path, reason in predictions.failed.items()}
    done, kept = ([str(path) for path in paths] for paths in (predictions.done, predictions.kept))
    write_json(json_file, {"done": done, "kept": kept, "failed": failed})
    before = f", {len(kept)} of them from before" if resume else ""
    print_text(f"{counted(len(done), 'mask')} in {out}{before}")
    for file in predictions.tables:
        print_text(f"table: {file}")
    for path, reason in failed.items():
        print_error(reason if path in reason else f"{path}: {reason}")
    if failed:
        raise typer.Exit(1)
