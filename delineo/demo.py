"""The demo: real images that a package ships, from a folder of files to a report.

The images are axial slices of the ICBM 2009a brain template, 1 mm per pixel, the average of 152
healthy adults (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033). nilearn installs it, so
nothing is downloaded.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .data.samples import PARTS, Part
from .errors import DataError, DelineoError
from .evaluation import Evaluation, evaluate
from .files import write_atomically
from .outputs import predict_files
from .prediction import Predictor
from .progress import NoProgress, Progress
from .report import write_report
from .run import Run
from .score_tables import score_table
from .targets import Wanted
from .training import train

CLASSES = ("background", "grey matter", "white matter")
_PALETTE = (0, 0, 0, 230, 159, 0, 86, 180, 233)

_CROP = np.s_[18:178, 20:212]  # the brain and a margin, in multiples of 32: 192 x 160 slices
_FIRST_SLICE = 16  # the lowest with a fair amount of both tissues
_SLABS: tuple[tuple[Part | None, int], ...] = (
    ("train", 16),
    (None, 4),
    ("val", 6),
    (None, 4),
    ("train", 18),
    (None, 4),
    ("test", 8),
    (None, 4),
)
"""(part, slices) from below, twice; gaps are left out, since neighbours are near-copies."""

_ABOUT = """\
# Axial slices of the ICBM 2009a nonlinear brain template, 1 mm per pixel, and its tissue shares:
# each pixel belongs to the largest of grey matter, white matter and the rest.
# Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological
# Institute, McGill University.
"""


SETTINGS = ("budget=75s",)  # leaves the whole demo within two minutes on two cores

_CAVEAT = """\
This shows the machinery, not medical performance: all slices are of one brain, itself the average
of 152, so training and test slices are far more alike than two patients are."""


def run_demo(
    out: Path, settings: Sequence[str] = SETTINGS, progress: Progress | None = None
) -> Run:
    """Make the data, train, score the test part, predict it, write the report; print the outcome.

    Everything is put into `out`, or where that has files into `out`-2, -3, ... Raises DelineoError
    where nilearn is not installed.
    """
    progress = progress or NoProgress()
    out = next(path for path in _names(out) if not path.exists() or not any(path.iterdir()))
    data = make_demo_data(out / "data")
    run = train(data, settings, out=out / "run", progress=progress)
    predictor, folder = Predictor.load(run), run.folder()
    evaluation = evaluate(predictor, folder, "test", progress)
    evaluation.save(run.evaluation_file("test"))
    images = [sample.image for sample in folder.part("test")]
    predict_files(predictor, images, out / "predictions", Wanted(overlay=True), progress)
    write_report(run.path, predictor)
    _show(run, evaluation, out)
    return run


def _names(path: Path) -> Iterator[Path]:
    """demo, demo-2, demo-3, ..."""
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in count(2))


def _show(run: Run, evaluation: Evaluation, out: Path) -> None:
    """Print the scores and where to look."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, soft_wrap=True, highlight=False)
    console.print(score_table(evaluation))
    console.print(f"\n{_CAVEAT}\n", markup=False)
    places = {
        "report": run.report_file,
        "masks and overlays": out / "predictions",
        "data, as yours could look": out / "data",
    }
    for name, place in places.items():
        console.print(f"{name + ':':<27}{place}", markup=False)
    console.print("\nnext, with your own: delineo train FOLDER --out RUN budget=5m", markup=False)


def make_demo_data(out: Path) -> Path:
    """Write a data folder (images/, masks/, dataset.yaml, splits.json) and return `out`.

    96 grey 8-bit images of 192 x 160 pixels, anterior up. Raises DataError where `out` holds files
    and DelineoError where nilearn is not installed.
    """
    volumes = [_read_volume(_packaged_file(kind)) for kind in ("t1", "gm", "wm")]
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} already holds files; give an empty or new folder")
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    splits: dict[Part, list[str]] = {part: [] for part in PARTS}
    for part, z in _slices():
        name = f"axial-{z:03d}"
        template, grey, white = (_axial(volume, z) for volume in volumes)
        Image.fromarray(template).save(out / "images" / f"{name}.png")
        mask = Image.fromarray(tissue_mask(grey, white))
        mask.putpalette(_PALETTE)
        mask.save(out / "masks" / f"{name}.png")
        splits[part].append(name)
    names = "".join(f"  - {name}\n" for name in CLASSES)
    write_atomically(out / "dataset.yaml", f"{_ABOUT}task: multiclass\nclasses:\n{names}")
    write_atomically(out / "splits.json", json.dumps(splits, indent=1))
    return out


def tissue_mask(
    grey: UInt8[np.ndarray, "height width"], white: UInt8[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Class of each pixel from its shares of grey and white matter, in 1/255."""
    neither = 255 - np.minimum(grey.astype(int) + white, 255)
    return np.stack([neither, grey, white]).argmax(0).astype(np.uint8)


def _slices() -> list[tuple[Part, int]]:
    parts: list[Part | None] = [part for part, number in (*_SLABS, *_SLABS) for _ in range(number)]
    return [(part, _FIRST_SLICE + i) for i, part in enumerate(parts) if part is not None]


def _axial(volume: UInt8[np.ndarray, "x y z"], z: int) -> UInt8[np.ndarray, "192 160"]:
    """The slice at height z, seen from above: anterior up, left on the left."""
    return np.ascontiguousarray(volume[..., z][_CROP].T[::-1])


def _packaged_file(kind: str) -> Path:
    """Path of the template that nilearn ships: t1, gm or wm."""
    package = find_spec("nilearn")
    if package is None or package.origin is None:
        raise DelineoError(
            "the demo's images come with the package nilearn, which is not installed; "
            'run: pip install "delineo[demo]"'
        )
    folder = Path(package.origin).parent / "datasets" / "data"
    path = folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.exists():
        raise DelineoError(
            f"the installed nilearn has no {path.name}; "
            'install another version: pip install --upgrade "delineo[demo]"'
        )
    return path


def _read_volume(path: Path) -> UInt8[np.ndarray, "x y z"]:
    import nibabel  # comes with the extra `demo`

    return np.asarray(nibabel.load(path).dataobj, dtype=np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
