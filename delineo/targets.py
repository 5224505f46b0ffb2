"""Which files `predict` writes for each image, and where."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from .data.rasters import is_scan
from .data.submission import TableForm
from .errors import ConfigError
from .inputs import Source
from .runtime import MaskPredictor

ObjectFormat = Literal["coco", "coco-polygons", "yolo", "geojson"]

LONGEST_NAME = 248
"""Bytes of a file's name: the usual disks take 255, and unfinished scans are longer by seven."""

_PICTURES = ("_overlay", "_classes")
MAP = "probability_"
"""How the names of probability maps begin, after that of their image; no class is called so."""


@dataclass(frozen=True)
class Wanted:
    """What is written beside the masks."""

    overlay: bool = False
    """STEM_overlay.png: the image with its mask drawn on it."""
    class_overlays: bool = False
    """STEM_classes.png: the image once per class, each with that class alone."""
    class_masks: bool = False
    """STEM_CLASS.png: 0 or 255 for one class; masks of classes that overlap are that anyway."""
    probabilities: bool = False
    """STEM_probability_CLASS.png: 16-bit, 65535 for 1."""
    rle: TableForm | None = None
    """submission.csv: all masks as run-length codes, in the form of a competition."""
    formats: tuple[ObjectFormat, ...] = ()
    """Objects for other programs: coco.json, coco-polygons.json, labels/STEM.txt, STEM.geojson."""
    table: Path | None = None
    """Areas and counts of all images and classes, as CSV or Parquet."""

    @property
    def pictures(self) -> tuple[str, ...]:
        """The options for what is as large as the image itself."""
        asked = {
            "--overlay": self.overlay,
            "--class-overlays": self.class_overlays,
            "--class-masks": self.class_masks,
            "--probabilities": self.probabilities,
        }
        return tuple(option for option, wanted in asked.items() if wanted)

    @property
    def of_masks_alone(self) -> bool:
        """Whether all of it is made of finished masks in strips, however large they are."""
        return not self.pictures


def as_object_formats(names: Iterable[str]) -> tuple[ObjectFormat, ...]:
    """Raises ConfigError where there is no such format."""
    formats = []
    for name in names:
        known = [form for form in get_args(ObjectFormat) if form == name]
        if not known:
            raise ConfigError(
                f"predict --format is one of {', '.join(get_args(ObjectFormat))}, got {name!r}"
            )
        formats += known
    return tuple(formats)


class Target(NamedTuple):
    """An image, and where its files go."""

    image: Path
    name: str
    """What tables call it: its path in the folder that was asked for."""
    stem: Path
    """The path of its files, less their endings."""
    files: tuple[Path, ...]
    """All that is wanted of it, masks last, so that what has its masks is whole."""

    scan: tuple[Path, ...] = ()
    """Its masks as GeoTIFF, where it is a scan."""

    def is_finished(self, since: int) -> bool:
        return all_there(self.files, since)

    def longest_name(self) -> int:
        """Of its files, in bytes."""
        return max(len(os.fsencode(file.name)) for file in self.files)


def all_there(files: Iterable[Path], since: int) -> bool:
    """Whether all exist, and were written at that time or later, in nanoseconds."""
    return all(file.exists() and file.stat().st_mtime_ns >= since for file in files)


def name_targets(
    sources: Sequence[Source], out: Path, predictor: MaskPredictor, wanted: Wanted = Wanted()
) -> list[Target]:
    """Where each image's files go; `out` takes over the structure of folders.

    Images that would share a file get their suffix, or a number: a.jpg and a.png are a and a_png.
    Raises ConfigError where a file would take the place of one of the images.
    """
    endings = _endings(predictor, wanted)
    times = Counter(source.name for source in sources)
    taken: set[Path] = set()
    asked: Counter[tuple[Path, str]] = Counter()
    targets = []
    for path, name in sources:
        stem = _free_stem(out / name.with_suffix(""), path.suffix[1:], endings, taken, asked)
        files = _files(stem, endings)
        taken.update(files)
        if "yolo" in wanted.formats:
            files = (label_file(stem, out), *files)
        shown = name.as_posix() if times[name] == 1 else path.as_posix()
        scan = _scan_files(stem, predictor) if is_scan(path) else ()
        if scan and wanted.of_masks_alone:
            files = (*files[: -len(scan)], *scan)
        elif scan:
            files = (*files, *scan)
        targets.append(Target(path, shown, stem, files, scan))
    _refuse_to_overwrite(targets)
    return targets


def _endings(predictor: MaskPredictor, wanted: Wanted) -> list[str]:
    """What the names of an image's files have after its stem, the masks' last."""
    maps = [f"_{MAP}{name}.png" for name in file_names(predictor.classes)]
    drawn = zip(_PICTURES, (wanted.overlay, wanted.class_overlays), strict=True)
    pictures = [f"{ending}.png" for ending, wanted_too in drawn if wanted_too]
    layers = _class_endings(predictor) if wants_layers(wanted, predictor) else []
    objects = [".geojson"] if "geojson" in wanted.formats else []
    maps = maps if wanted.probabilities else []
    return [*pictures, *layers, *maps, *objects, *_mask_endings(predictor)]


def wants_layers(wanted: Wanted, predictor: MaskPredictor) -> bool:
    """Whether each class has a file beside the mask."""
    return wanted.class_masks and predictor.task != "multilabel"


def _mask_endings(predictor: MaskPredictor) -> list[str]:
    if predictor.task != "multilabel":
        return [".png"]
    return _class_endings(predictor)


def _class_endings(predictor: MaskPredictor) -> list[str]:
    return [f"_{name}.png" for name in file_names(predictor.classes)]


def class_files(stem: Path, predictor: MaskPredictor) -> tuple[Path, ...]:
    """One for each class."""
    return _files(stem, _class_endings(predictor))


def _scan_files(stem: Path, predictor: MaskPredictor) -> tuple[Path, ...]:
    return tuple(file.with_suffix(".tif") for file in mask_files(stem, predictor))


def mask_files(stem: Path, predictor: MaskPredictor) -> tuple[Path, ...]:
    """One, or one for each class that may overlap."""
    return _files(stem, _mask_endings(predictor))


def _files(stem: Path, endings: Sequence[str]) -> tuple[Path, ...]:
    return tuple(stem.with_name(f"{stem.name}{ending}") for ending in endings)


def label_file(stem: Path, out: Path) -> Path:
    """Where YOLO's trainers look for the objects of an image."""
    inner = stem.relative_to(out)
    return out / "labels" / inner.with_name(f"{inner.name}.txt")


def _free_stem(
    stem: Path,
    suffix: str,
    endings: Sequence[str],
    taken: set[Path],
    asked: Counter[tuple[Path, str]],
) -> Path:
    """`asked` counts the names that were taken, so that none is tried again."""
    candidate = stem
    while taken & set(_files(candidate, endings)):
        asked[stem, suffix] += 1
        number = asked[stem, suffix]
        ending = suffix if number == 1 else f"{suffix}_{number}"
        candidate = stem.with_name(f"{stem.name}_{ending}")
    return candidate


def _refuse_to_overwrite(targets: Sequence[Target]) -> None:
    images = {target.image.resolve() for target in targets}
    for target in targets:
        for file in target.files:
            if file.resolve() in images:
                raise ConfigError(
                    f"{file} is one of the images and would be overwritten; choose another --out"
                )


def file_names(classes: Sequence[str]) -> list[str]:
    """The class names as any file system takes them, still told apart, from pictures too."""
    names: list[str] = []
    for name in classes:
        safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
        safe = f"class_{safe}" if safe.startswith(MAP) else safe
        numbered = (f"{safe}_{number}" for number in count(len(names)))
        names.append(next(each for each in chain([safe], numbered) if _is_free(each, names)))
    return names


def _is_free(name: str, taken: Sequence[str]) -> bool:
    """Whether no other file of an image would have that ending."""
    return name not in taken and f"_{name}" not in _PICTURES
