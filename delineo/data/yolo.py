"""YOLO segmentation: a text file of polygons for each image, and class names in data.yaml."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..errors import AnnotationError, ConfigError
from ..yamlfile import read_yaml
from .annotation_findings import Trouble
from .annotations import Images, classes_of, found_outlines, label_of, polygon_of
from .declared import Declared
from .pairing import Found
from .samples import IGNORE_LABEL, MaskOutlines, Outline, Part

_PARTS: Mapping[str, Part] = {"train": "train", "val": "val", "valid": "val", "test": "test"}
_LABELS, _IMAGES = "labels", "images"


@dataclass(frozen=True)
class _Said:
    """What data.yaml says; empty where there is none."""

    source: str = ""
    names: Mapping[int, str] | None = None
    parts: Mapping[Path, Part] | None = None
    """Folder of images -> part."""


class _Line(NamedTuple):
    """One object: the class and what follows, in shares of width and height."""

    name: str
    label: str
    numbers: ndarray

    @property
    def is_box(self) -> bool:
        return len(self.numbers) == 4


def find_yolo(root: Path, declared: Declared) -> Found | None:
    """Samples from images/ with a parallel labels/; None where there is no label file.

    Raises AnnotationError, also where labels are boxes alone.
    """
    images, trouble = Images(root), Trouble(root)
    labels = {path: _label_file(path, root) for _, path in images.files}
    labels = {path: label for path, label in labels.items() if label is not None}
    if not any(label.is_file() for label in labels.values()):
        return None
    said = _read_yaml(root, declared)
    lines = {path: _lines(label, said, trouble) for path, label in labels.items()}
    _refuse_boxes(lines, root)
    names = (said.names or {}).values() or _numbers(lines)
    classes = classes_of(names, declared, said.source or "labels/")
    masks: dict[Path, tuple[MaskOutlines, Part | None]] = {
        path: (_mask(lines[path], label, trouble), _part(path, said))
        for path, label in labels.items()
    }
    trouble.missing += _without_image(root, set(labels.values()))
    return found_outlines("YOLO polygons", images, masks, classes, trouble)


def _label_file(image: Path, root: Path) -> Path | None:
    """The last images/ on the way to the image becomes labels/; None without such a folder."""
    parts = list(image.relative_to(root).with_suffix(".txt").parts)
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == _IMAGES]
    if not places:
        return None
    parts[places[-1]] = _LABELS
    above = root.joinpath(*parts[: places[-1] + 1])
    return root.joinpath(*parts) if above.is_dir() else None


def _without_image(root: Path, known: set[Path]) -> list[str]:
    """Label files whose image is not there."""
    files = [path for folder in root.glob(f"**/{_LABELS}") for path in folder.glob("**/*.txt")]
    lost = sorted(path for path in files if path not in known and path.name != "classes.txt")
    return [f"{path.relative_to(root).as_posix()}: its image" for path in lost]


def _read_yaml(root: Path, declared: Declared) -> _Said:
    """The first YAML at the root with class names, else the class list that is declared."""
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]):
        try:
            content = read_yaml(path)
        except ConfigError as error:
            raise AnnotationError(str(error)) from None
        if "names" in content:
            return _Said(path.name, _class_names(content["names"], path), _folders(content, root))
    named = dict(enumerate(declared.classes)) if declared.classes else None
    return _Said(declared.source or "", named)


def _class_names(names: Any, path: Path) -> dict[int, str]:
    if isinstance(names, list):
        return {number: str(name) for number, name in enumerate(names)}
    if isinstance(names, dict) and all(isinstance(number, int) for number in names):
        return {number: str(names[number]) for number in sorted(names)}
    raise AnnotationError(
        f"{path}: names is neither a list of class names nor `number: name` lines; write "
        "names: [first, second]"
    )


def _folders(content: Mapping[str, Any], root: Path) -> dict[Path, Part]:
    """The folders that data.yaml names for each part, where they are there."""
    home = root / _slashed(content.get("path") or ".")
    folders: dict[Path, Part] = {}
    for key, part in _PARTS.items():
        said = content.get(key)
        for name in said if isinstance(said, list) else [said]:
            inside = _slashed(name).removeprefix("../").removeprefix("./")
            places = [place / inside for place in (home, root)]
            folders |= {place.resolve(): part for place in places if name and place.is_dir()}
    return folders


def _slashed(path: Any) -> str:
    """As Windows may have written it, with slashes."""
    return str(path).replace("\\", "/")


def _part(image: Path, said: _Said) -> Part | None:
    folders = said.parts or {}
    return next((folders[above] for above in image.resolve().parents if above in folders), None)


def _lines(path: Path, said: _Said, trouble: Trouble) -> list[_Line]:
    """The objects of a label file; none where there is no file."""
    if not path.is_file():
        return []
    found = []
    lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    for number, text in enumerate(lines, start=1):
        name, words = trouble.place(path, f"line {number}"), text.split()
        if not words:
            continue
        try:
            values = np.array([float(word) for word in words])
        except ValueError as error:
            trouble.broken_outlines.append(f"{name} ({error})")
            continue
        label = _label(values[0], said)
        if label is None:
            trouble.unknown_classes.append(f"{name} (class {words[0]})")
        else:
            found.append(_Line(name, label, values[1:]))
    return found


def _label(number: float, said: _Said) -> str | None:
    if not number.is_integer() or number < 0:
        return None
    if said.names is None:
        return str(int(number))
    name = said.names.get(int(number))
    return None if name is None else label_of(name)


def _numbers(lines: Mapping[Path, Sequence[_Line]]) -> list[str]:
    """The class numbers that are used, where nothing names them."""
    return sorted({line.label for own in lines.values() for line in own}, key=int)


def _refuse_boxes(lines: Mapping[Path, Sequence[_Line]], root: Path) -> None:
    every = [line for own in lines.values() for line in own]
    if every and all(line.is_box for line in every):
        raise AnnotationError(
            f"{root}: all {len(every):,} lines of the label files, the first {every[0].name}, are "
            "boxes (class, middle x and y, width, height) and not polygons, and boxes do not say "
            "which pixels belong to an object; export the data set for segmentation"
        )


def _mask(lines: Sequence[_Line], label: Path, trouble: Trouble) -> MaskOutlines:
    return MaskOutlines(tuple(_outlines(lines, trouble)), label, relative=True)


def _outlines(lines: Sequence[_Line], trouble: Trouble) -> Iterator[Outline]:
    for line in lines:
        if line.is_box:
            trouble.boxes.append(line.name)
            x, y, width, height = line.numbers
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width, height) / 2
            box = np.array([x, y]) + corners
            yield Outline(IGNORE_LABEL, line.name, (box,), crowd=True)
            continue
        polygon = polygon_of(line.numbers, line.name, trouble)
        if polygon is not None:
            yield Outline(line.label, line.name, (polygon,))
