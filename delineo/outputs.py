"""What `predict` leaves on disk: masks, pictures, probabilities, annotations and tables."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from . import areas, objects, origins
from .data.geotags import read_placement
from .data.images import write_image, write_probabilities
from .data.rasters import LARGEST_IMAGE, is_large, read_valid
from .data.sizing import refuse_bands
from .data.submission import Submission, object_layers, object_names
from .decision import decide
from .drawing import displayable, draw_classes, draw_overlay
from .errors import DataError, DiskFullError, ShapeError
from .files import disk_is_full
from .inputs import find_images
from .maskfiles import (
    Finished,
    in_memory,
    read_finished,
    read_scan,
    write_class_masks,
    write_masks,
)
from .origins import Origin
from .pipeline import in_thread
from .progress import NoProgress, Progress
from .runtime import MaskPredictor
from .targets import (
    LONGEST_NAME,
    MAP,
    Target,
    Wanted,
    all_there,
    file_names,
    label_file,
    name_targets,
    wants_layers,
)

TableWriter = Callable[[Path, Iterable[Finished]], None]


@dataclass
class Predictions:
    """Which images have masks now and which could not be read, with the reason."""

    done: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    """Those of `done` that were finished before."""
    failed: dict[Path, str] = field(default_factory=dict)
    tables: list[Path] = field(default_factory=list)
    """Files about all images together."""


@dataclass
class _Job:
    """One image on its way from file to files; a failure ends it."""

    target: Target
    image: np.ndarray | None = None
    valid: np.ndarray | None = None
    """Which pixels of the image hold data."""
    maps: np.ndarray | None = None
    mask: np.ndarray | None = None
    failure: str = ""


def predict_files(
    predictor: MaskPredictor,
    images: Iterable[Path | str],
    out: Path,
    wanted: Wanted = Wanted(),
    progress: Progress | None = None,
    resume: bool = False,
    origin: Origin | None = None,
) -> Predictions:
    """Predict image files, folders, patterns and lists, as `find_images` takes them, into `out`.

    STEM.png holds class indices at the image's size; multi-label: STEM_CLASS.png, 0 or 255.
    An image that cannot be read is skipped and listed; with `resume`, one that has all its files is
    kept, if it was predicted since `out` notes that `origin`. Raises ConfigError where there is no
    image, where an image or a file that predict has not written would be overwritten, where what
    is wanted does not fit the model, or where `out` notes another origin, and DiskFullError.
    """
    progress, result = progress or NoProgress(), Predictions()
    targets = name_targets(find_images(images, out), out, predictor, wanted)
    result.failed = _unnameable(targets)
    targets = [target for target in targets if target.image not in result.failed]
    tables = _tables(predictor, wanted, out, targets)
    with _room_in(out):
        since = _kept_since(out, resume, origin, _files_in(out, targets, tables))
    kept = {target for target in targets if since is not None and target.is_finished(since)}
    result.kept = [target.image for target in targets if target in kept]
    todo = [target for target in targets if target not in kept]
    with _room_in(out):
        result.failed |= _predict(predictor, todo, out, wanted, progress, since)
    done = [target for target in targets if target.image not in result.failed]
    result.done = [target.image for target in done]
    if done:
        for file, write in tables.items():
            _write_table(file, write, predictor, done, progress)
            result.tables.append(file)
    return result


def _unnameable(targets: Iterable[Target]) -> dict[Path, str]:
    """Images whose files would have names that no disk takes, with the reason."""
    return {
        target.image: f"its files' names would have {target.longest_name()} bytes and may have "
        f"{LONGEST_NAME}; give it a shorter name"
        for target in targets
        if target.longest_name() > LONGEST_NAME
    }


def _files_in(out: Path, targets: list[Target], tables: Iterable[Path]) -> list[Path]:
    """All that will be written into `out`; a table may be written elsewhere."""
    whole = [file for file in tables if file.resolve().is_relative_to(out.resolve())]
    return [*whole, *(file for target in targets for file in target.files)]


def _kept_since(out: Path, resume: bool, origin: Origin | None, files: list[Path]) -> int | None:
    """From when on those files, in `out`, are kept, in nanoseconds; None: they are not."""
    if origin is None:
        return 0 if resume else None
    since = origins.begun(out, origin) if resume else None
    if since is None:
        origins.begin(out, origin, files)
    return since


def _predict(
    predictor: MaskPredictor,
    todo: list[Target],
    out: Path,
    wanted: Wanted,
    progress: Progress,
    since: int | None,
) -> dict[Path, str]:
    """Read, predict and write at the same time; the images that failed, with the reason."""

    def write(job: _Job) -> _Job:
        if job.failure:
            return job
        if job.image is not None:
            _write_files(predictor, job, out, wanted)
        elif wanted.formats:
            mask = read_scan(job.target, predictor.task)
            _write_objects(predictor, job.target, mask, out, wanted)
        return job

    progress.start("predicting", total=len(todo))
    failed: dict[Path, str] = {}
    read = in_thread(partial(_read, wanted), todo)
    inferred = (_infer(predictor, job, wanted, progress, since) for job in read)
    for job in in_thread(write, inferred, ahead=1):
        if job.failure:
            failed[job.target.image] = job.failure
        progress.advance()
    progress.finish()
    return failed


def _read(wanted: Wanted, target: Target) -> _Job:
    """Scans are read while they are predicted, and again for what is not made of their masks."""
    if target.scan and (wanted.of_masks_alone or is_large(target.image)):
        return _Job(target)
    try:
        return _Job(target, *read_valid(target.image))
    except DataError as error:
        return _Job(target, failure=str(error))


def _infer(
    predictor: MaskPredictor, job: _Job, wanted: Wanted, progress: Progress, since: int | None
) -> _Job:
    if job.failure:
        return job
    try:
        if job.target.scan:
            _predict_scan(predictor, job, wanted, progress, since)
        if job.image is None:
            return job
        refuse_bands(job.target.image, job.image.shape[2], predictor.channels)
        job.maps = predictor.probabilities(job.image)
        if job.valid is not None and not job.valid.all():
            # nothing is found where there is no data
            job.maps = np.where(job.valid, job.maps, np.float32(0))
        job.mask = decide(job.maps, predictor.decision)
    except (DataError, ShapeError) as error:
        job.failure = str(error)
    return job


def _predict_scan(
    predictor: MaskPredictor, job: _Job, wanted: Wanted, progress: Progress, since: int | None
) -> None:
    """Write its masks, unless they are there `since`."""
    if job.image is None and not wanted.of_masks_alone:
        raise DataError(
            f"{job.target.image} has more than {LARGEST_IMAGE // 10**6} million pixels and is "
            "predicted in windows; pictures that large are not written "
            f"({' and '.join(wanted.pictures)}). Predict it in a command of its own without them: "
            "its mask is a GeoTIFF, which QGIS and other map programs show on top of the scan"
        )
    if since is not None and all_there(job.target.scan, since):
        return
    from .scans import predict_scan

    predict_scan(predictor, job.target.image, job.target.scan, progress)


def _write_files(predictor: MaskPredictor, job: _Job, out: Path, wanted: Wanted) -> None:
    """All that is wanted of one image, the mask last: what has its mask is whole."""
    image, maps, mask, stem = job.image, job.maps, job.mask, job.target.stem
    assert image is not None and maps is not None and mask is not None
    stem.parent.mkdir(parents=True, exist_ok=True)
    if wanted.overlay:
        write_image(_named(stem, "overlay"), draw_overlay(displayable(image), mask))
    if wanted.class_overlays:
        write_image(_named(stem, "classes"), _each_class(predictor, image, mask))
    if wants_layers(wanted, predictor):
        write_class_masks(predictor, stem, mask)
    if wanted.probabilities:
        for name, values in zip(file_names(predictor.classes), maps, strict=True):
            write_probabilities(_named(stem, f"{MAP}{name}"), values)
    _write_objects(predictor, job.target, in_memory(job.target, mask, ()), out, wanted)
    write_masks(predictor, stem, mask, maps)


def _write_objects(
    predictor: MaskPredictor, target: Target, mask: Finished, out: Path, wanted: Wanted
) -> None:
    """The annotations that each image has in a file of its own."""
    meaning = {"task": predictor.task, "classes": predictor.classes}
    if "geojson" in wanted.formats:
        file = target.stem.with_name(f"{target.stem.name}.geojson")
        objects.write_geojson(file, mask, **meaning, placement=read_placement(target.image))
    if "yolo" in wanted.formats:
        file = label_file(target.stem, out)
        file.parent.mkdir(parents=True, exist_ok=True)
        objects.write_yolo(file, mask, **meaning)


def _each_class(predictor: MaskPredictor, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image once per class; a class without a name of its own is called by its number."""
    names = object_names(predictor.task, predictor.classes)
    labels = [f"class {name}" if name.isdecimal() else name for name in names]
    layers = object_layers(mask, predictor.task, predictor.classes)
    return draw_classes(displayable(image), layers, labels)


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}_{ending}.png")


def _tables(
    predictor: MaskPredictor, wanted: Wanted, out: Path, targets: list[Target]
) -> dict[Path, TableWriter]:
    """What is written about all images together. Raises ConfigError where it cannot be."""
    meaning = {"task": predictor.task, "classes": predictor.classes}
    tables: dict[Path, TableWriter] = {}
    if wanted.rle:
        submission = Submission(wanted.rle, **meaning)
        submission.refuse_equal_names(target.image for target in targets)
        tables[out / "submission.csv"] = partial(_write_submission, submission)
    for form, polygons in (("coco", False), ("coco-polygons", True)):
        if form in wanted.formats:
            write = partial(objects.write_coco, polygons=polygons, **meaning)
            tables[out / f"{form}.json"] = write
    if "yolo" in wanted.formats:
        tables[out / "data.yaml"] = partial(objects.write_yolo_description, **meaning)
    if wanted.table:
        areas.check_table_file(wanted.table)
        tables[wanted.table] = partial(areas.write_areas, **meaning)
    return tables


def _write_submission(submission: Submission, path: Path, finished: Iterable[Finished]) -> None:
    for item in finished:
        submission.add(item.image, item.strips, item.size[0])
    submission.write(path)


def _write_table(
    file: Path,
    write: TableWriter,
    predictor: MaskPredictor,
    done: list[Target],
    progress: Progress,
) -> None:
    """From the masks on disk, so that it is the same whenever they were predicted."""
    progress.start(f"writing {file.name}", total=len(done))
    with _room_in(file.parent):
        write(file, _told(read_finished(predictor, done), progress))
    progress.finish()


def _told(finished: Iterable[Finished], progress: Progress) -> Iterator[Finished]:
    for item in finished:
        yield item
        progress.advance()


@contextmanager
def _room_in(folder: Path) -> Iterator[None]:
    """Turns the system's word for a full disk into a sentence."""
    try:
        yield
    except OSError as error:
        if not disk_is_full(error):
            raise
        raise DiskFullError(
            f"{folder}: the disk is full. What was written is whole; make room, then go on with "
            "the same command and --resume"
        ) from error
