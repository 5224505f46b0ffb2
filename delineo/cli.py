"""The commands: one thin function per verb that parses, calls and prints.

Whatever is slow to import is imported inside its command, so that --help answers at once.
"""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from .errors import ConfigError, DelineoError


class Commands(TyperGroup):
    """Turns errors into one clean sentence and an exit code: 2 wrong usage, 1 a failure."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _complain(str(error))
            raise typer.Exit(2) from error
        except DelineoError as error:
            _complain(str(error))
            raise typer.Exit(1) from error
        except OSError as error:
            if error.filename is None:
                raise
            _complain(f"{error.filename}: {error.strerror}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            _complain("interrupted; what was written so far is whole")
            raise typer.Exit(130) from error
        except Exception as error:
            error.add_note("This is a bug in Delineo. Please report it with the lines above.")
            raise


app = typer.Typer(
    cls=Commands,
    help="From a folder of images and masks to a segmentation model you can trust and ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> bool:
    if asked:
        from . import __version__

        typer.echo(f"delineo {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def delineo(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")
]
RuntimeName = Literal["auto", "torch", "onnx", "openvino", "openvino-bf16", "openvino-int8"]
RuntimeChoice = Annotated[
    RuntimeName,
    typer.Option(
        "--runtime",
        help="What a run is computed with. auto: on a processor its OpenVINO export, where that "
        "was certified or many images make it worth while; else torch.",
    ),
]
Augmentations = Annotated[
    list[str] | None,
    typer.Option(
        "--tta",
        help="Take the mean over views of each image: mirror, flips (both ways) or scales (three "
        "sizes); as many times slower. May be given twice.",
    ),
]
Split = Annotated[
    Literal["train", "val", "test"], typer.Option(help="The part of the data to score.")
]


@app.command()
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of images and masks.")],
    json_file: JsonFile = None,
) -> None:
    """Find what is wrong with a data folder before anything is spent on it."""
    from .data.check import check_folder
    from .progress import show_progress

    with show_progress() as progress:
        checkup = check_folder(data, progress)
    _write_json(json_file, checkup.to_json())
    _print("\n".join(checkup.lines()))
    for finding in checkup.findings:
        _say(finding.severity, finding.text())
    if not checkup.ok:
        raise typer.Exit(1)


@app.command(
    epilog="Settings most people change: budget=5m  epochs=30  batch_size=16  seed=7  "
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
) -> None:
    """Train a model; the best weights by validation score are kept."""
    from .progress import show_progress
    from .training import train

    with show_progress() as progress:
        run = train(source, settings or [], out=out, resume=resume, progress=progress)
    _print(f"trained: {run.path}\nnext: delineo evaluate {run.path}")


@app.command()
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
        RuntimeName | None,
        typer.Option(help="What runs are computed with. [default: torch]"),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Score a run on masks that it was not trained on."""
    from .data.check import open_folder
    from .ensemble import as_augmentations, combine
    from .evaluation import evaluate, shared_folder
    from .forms import open_predictor
    from .progress import show_progress
    from .run import Run
    from .runtime import is_export
    from .tables import competition_table, score_table

    for run in runs:
        if is_export(run) and data is None:
            raise ConfigError(f"{run} is an export and knows of no data; name it with --data DATA")
    with show_progress() as progress:
        opened = [] if data else [Run.open(run) for run in runs]
        folder = open_folder(data, progress) if data else shared_folder(opened, split)
        ways: list[RuntimeName] = [
            runtime or ("auto" if is_export(run) else "torch") for run in runs
        ]
        members = [open_predictor(run, way, progress) for run, way in zip(runs, ways, strict=True)]
        predictor = combine(members, as_augmentations(tta or []))
        evaluation = evaluate(predictor, folder, split, progress)
    if data is None and ways == ["torch"] and not tta:
        evaluation.save(opened[0].evaluation_file(split))
    _write_json(json_file, evaluation.to_json())
    _show(score_table(evaluation))
    if "competition" in evaluation.scores:
        _show(competition_table(evaluation))


@app.command()
def tune(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that train wrote.")],
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
    from .evaluation import stale_evaluations
    from .progress import show_progress
    from .run import Run
    from .tables import tuning_table
    from .tuning import tune

    if split != "val":
        raise ConfigError(
            f"tune looks at the validation part and at no other, got --split {split}: images that "
            "choose a threshold cannot judge it. Leave --split out, then run delineo evaluate"
        )
    trained = Run.open(run)
    with show_progress() as progress:
        tuning = tune(trained, score, progress=progress)
    _write_json(json_file, tuning.to_json())
    _show(tuning_table(tuning))
    _print("\n".join(tuning.lines()))
    for file in stale_evaluations(trained):
        _say("warning", f"{file} is of masks that were decided in another way; evaluate again")
    _print(f"written: {trained.decision_file}\nnext: delineo evaluate {run}")


@app.command()
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
        bool, typer.Option("--resume", help="Skip images that have all their files in DIR.")
    ] = False,
    tta: Augmentations = None,
    runtime: RuntimeChoice = "auto",
    json_file: JsonFile = None,
) -> None:
    """Write a mask for each image, at the image's own size."""
    from .ensemble import as_augmentations, combine
    from .forms import leading_models, open_predictor
    from .inputs import find_images
    from .outputs import predict_files
    from .progress import show_progress
    from .targets import Wanted, as_object_formats

    objects = as_object_formats(formats or [])
    wanted = Wanted(overlay, class_overlays, probabilities, rle, objects, table)
    runs = [run, *leading_models(images)]
    images = images[len(runs) - 1 :]
    if not images:
        raise ConfigError(
            f"{', '.join(map(str, runs))} are runs, and there are no images; add them"
        )
    files = [source.path for source in find_images(images, out)]
    with show_progress() as progress:
        members = [open_predictor(each, runtime, progress, images=files) for each in runs]
        predictor = combine(members, as_augmentations(tta or []))
        if len(runs) > 1:
            progress.message(f"{len(runs)} runs: the mean of probabilities and of decisions")
        summary = predict_files(predictor, images, out, wanted, progress, resume)
    failed = {str(path): reason for path, reason in summary.failed.items()}
    done, kept = ([str(path) for path in paths] for paths in (summary.done, summary.kept))
    _write_json(json_file, {"done": done, "kept": kept, "failed": failed})
    before = f", {len(kept)} of them from before" if resume else ""
    _print(f"{len(done)} masks in {out}{before}")
    for file in summary.tables:
        _print(f"table: {file}")
    for path, reason in failed.items():
        _complain(reason if path in reason else f"{path}: {reason}")
    if failed:
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that train wrote.")],
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
    from .export import export_run
    from .progress import show_progress
    from .runtime import as_format

    with show_progress() as progress:
        folder, certificate = export_run(run, as_format(wanted), out, progress)
    _write_json(json_file, certificate.to_json())
    _print("\n".join(certificate.lines()))
    _print(f"exported: {folder}\nnext: delineo predict {folder} IMAGE|FOLDER --out DIR")


@app.command(
    epilog="delineo compare runs/a runs/b compares runs that were evaluated. "
    "delineo compare GRID.yaml data.path=DATA --out DIR trains each model of the grid with each "
    "loss, scores and compares them; the same command again goes on where it was stopped."
)
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN...|GRID.yaml", help="Runs, or models and losses to train."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the runs of a grid are written.")
    ] = None,
    split: Split = "test",
    json_file: JsonFile = None,
) -> None:
    """Say which of several runs is better, and whether the difference could be chance."""
    if Path(runs[0]).suffix in (".yaml", ".yml"):
        _compare_grid(runs[0], runs[1:], out, split, json_file)
    elif out:
        raise ConfigError("--out is for a grid; compare of runs writes what --json FILE names")
    else:
        _compare_runs([Path(run) for run in runs], split, json_file)


def _compare_grid(
    recipe: str,
    settings: list[str],
    out: Path | None,
    split: Literal["train", "val", "test"],
    json_file: Path | None,
) -> None:
    """Exit code 1 where a cell failed; those that did not are compared."""
    from .grid import compare_grid
    from .progress import show_progress
    from .tables import comparison_table

    if out is None:
        raise ConfigError(f"compare {recipe} trains a grid: say where with --out DIR")
    with show_progress() as progress:
        result = compare_grid(recipe, settings, out=out, part=split, progress=progress)
    _write_json(json_file, result.to_json())
    if result.comparison:
        _show(comparison_table(result.comparison))
        _print(f"comparison: {result.page}")
    for name, reason in result.failed.items():
        _complain(f"{name} failed: {reason}")
    if result.failed:
        raise typer.Exit(1)


def _compare_runs(
    runs: list[Path], split: Literal["train", "val", "test"], json_file: Path | None
) -> None:
    from .comparison import compare
    from .evaluation import Evaluation
    from .run import Run
    from .tables import comparison_table

    files = {str(run): Run.open(run).evaluation_file(split) for run in runs}
    if len(files) < 2:
        raise ConfigError(f"compare needs two runs or more, got {len(files)}")
    comparison = compare({name: Evaluation.load(file) for name, file in files.items()})
    _write_json(json_file, comparison.to_json())
    _show(comparison_table(comparison))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that train wrote.")],
) -> None:
    """Write the run's report.html anew."""
    from .report import write_report

    _print(f"report: {write_report(run)}")


@app.command(
    epilog="Example: delineo models unet model.width=16 --size 128x128. Weights are not needed."
)
def models(
    network: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this one level by level.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="model.KEY=VALUE", help="Settings to change.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="HEIGHTxWIDTH", help="Of the image, in pixels. [default: 256x256]"),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the image.")] = 3,
    classes: Annotated[int, typer.Option(min=1, help="Classes; 1 for binary.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """List the networks, or print the layers of one: shapes, parameters, multiply-adds."""
    from . import tables
    from .models.catalogue import choose_network, list_networks
    from .models.summary import layer_table

    if network:
        config = choose_network(network, settings or [])
        layers = layer_table(config, channels, classes, _parse_size(size or "256x256"))
        _write_json(json_file, layers.to_json())
        _show(tables.level_table(layers))
    elif size:
        raise ConfigError(f"--size needs a network: delineo models unet --size {size}")
    else:
        networks = list_networks(channels, classes)
        _write_json(json_file, {"networks": [asdict(network) for network in networks]})
        _show(tables.network_table(networks, channels, classes))


def _parse_size(text: str) -> tuple[int, int]:
    """`128x256` -> (128, 256)."""
    sides = re.fullmatch(r"0*([1-9]\d{0,4})x0*([1-9]\d{0,4})", text.lower())
    if not sides:
        raise ConfigError(
            "--size is height x width in pixels, each from 1 to 99999, such as 128x256, "
            f"got {text!r}"
        )
    return int(sides[1]), int(sides[2])


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where data and run are written.")
    ] = Path("delineo-demo"),
) -> None:
    """Train, judge and use a model on slices of a brain template that comes with the install."""
    from .demo import run_demo
    from .progress import show_progress

    with show_progress() as progress:
        run_demo(out, progress=progress)


def main() -> None:
    app()


def _show(table: Any) -> None:
    """A Rich table on standard output; in a file it is as wide as it needs to be."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _print(text: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(text, markup=False)


def _say(severity: str, text: str, stderr: bool = False) -> None:
    """`error: text`, its first word in colour."""
    from rich.console import Console
    from rich.text import Text

    style = {"error": "bold red", "warning": "bold yellow"}.get(severity, "bold")
    line = Text.assemble((f"{severity}:", style), " ", text)
    Console(stderr=stderr, soft_wrap=True, highlight=False).print(line)


def _complain(text: str) -> None:
    _say("error", text, stderr=True)


def _write_json(path: Path | None, value: Any) -> None:
    if path:
        from .files import write_atomically

        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(value, indent=1) + "\n")
