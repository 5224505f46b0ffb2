"""What people say of their data: dataset.yaml, class lists, colour tables."""

import csv
import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import model_validator

from ..config import Config
from ..errors import ConfigError, DataError
from ..yamlfile import read_yaml
from .samples import IGNORE_INDEX, Part, Task

Color = tuple[int, int, int]

BACKGROUND_NAMES = ("background", "bg", "_background_", "back")
VOID_NAMES = (
    "ignore", "void", "unlabelled", "unlabeled", "__ignore__", "ignored", "unknown_void",
)  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """What is known without looking at pixels. None or empty: not said."""

    task: Task | None = None
    classes: tuple[str, ...] | None = None
    """As written: a background may or may not stand among them."""
    values: Mapping[int, int | str] = field(default_factory=dict)
    """Mask value -> class index or name, "background", or "ignore"."""
    colors: Mapping[Color, str] = field(default_factory=dict)
    """RGB -> class name, "background", or "ignore"."""
    ignore_value: int | None = None
    group: str | None = None
    """Regular expression whose one group, found in a sample's id, is its group."""
    splits: Mapping[Part, tuple[str, ...]] | None = None
    images: str | None = None
    """The folder of the images, relative to the data folder."""
    masks: str | None = None
    """The folder of the masks, relative to the data folder."""
    source: str | None = None
    """The file that says so."""


class DatasetFile(Config):
    """The keys of dataset.yaml, all of them optional."""

    images: str | None = None
    """The folder of the images, relative to dataset.yaml."""
    masks: str | None = None
    """The folder of the masks, relative to dataset.yaml."""
    task: Task | None = None
    """binary: one class and background. multiclass: each pixel has one class. multilabel: several
    classes may overlap."""
    classes: tuple[str, ...] | None = None
    """Class names in the order of their values, background among them if it has a value."""
    values: dict[int, int | str] | None = None
    """Mask value: class name, class index, or ignore."""
    colors: dict[str, Color] | None = None
    """Class name or ignore: [red, green, blue]."""
    ignore_value: int | None = None
    """Mask value of pixels that are neither trained on nor scored."""
    group: str | None = None
    """Regular expression with one group that finds the patient, car, video in an id."""
    splits: dict[Part, tuple[str, ...]] | None = None
    """Ids of train, val, test."""

    @model_validator(mode="after")
    def _agrees(self) -> "DatasetFile":
        _check_group(self.group)
        _check_classes(self.classes)
        names = [name for name in (self.values or {}).values() if isinstance(name, str)]
        for name in [*names, *(self.colors or {})]:
            _check_name(name, self.classes)
        for color in (self.colors or {}).values():
            if not all(0 <= channel <= 255 for channel in color):
                raise ValueError(f"colors are [red, green, blue] of 0 to 255, got {list(color)}")
        highest = max((i for i in (self.values or {}).values() if isinstance(i, int)), default=0)
        if self.classes and highest not in (*range(len(self.classes)), 1, IGNORE_INDEX):
            raise ValueError(f"values names class {highest}, classes has {len(self.classes)}")
        return self


def _check_group(pattern: str | None) -> None:
    try:
        groups = re.compile(pattern or "()").groups
    except re.error as error:
        raise ValueError(f"group is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(
            f"group needs one pair of parentheses around the group's name, got {pattern!r}; "
            "such as ^([^_]+)_ for all before the first underscore"
        )


def _check_classes(classes: tuple[str, ...] | None) -> None:
    if classes is not None and not 1 <= len(classes) <= 250:
        raise ValueError(f"classes must have 1 to 250 names, got {len(classes)}")
    twice = [name for name in classes or () if (classes or ()).count(name) > 1]
    if twice:
        raise ValueError(f"classes names {twice[0]!r} twice")


def _check_name(name: str, classes: tuple[str, ...] | None) -> None:
    if classes is None or name in classes or name in BACKGROUND_NAMES or name in VOID_NAMES:
        return
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(classes)}"
    raise ValueError(f"{name!r} is not among classes; {hint}")


def read_declared(root: Path) -> Declared:
    """All that files at the root of a data folder say; dataset.yaml goes first.

    Raises ConfigError for a dataset.yaml that is wrong, DataError for a class list that is.
    """
    said = _from_class_list(root)
    path = next((root / n for n in ("dataset.yaml", "dataset.yml") if (root / n).is_file()), None)
    if path is None or _is_yolo(path):
        return said
    file = DatasetFile.load(path)
    colors = {color: name for name, color in (file.colors or {}).items()}
    if file.colors and len(colors) < len(file.colors):
        raise ConfigError(f"{path}: colors gives two classes the same colour")
    own = Declared(
        task=file.task,
        classes=file.classes or _named(file.values, file.colors),
        values=file.values or {},
        colors=colors,
        ignore_value=file.ignore_value,
        group=file.group,
        splits=file.splits,
        images=file.images,
        masks=file.masks,
        source=path.name,
    )
    return own if own.classes or own.values else merged(own, said)


def _is_yolo(path: Path) -> bool:
    """YOLO's class names and folders stand in a YAML of any name, and it has no key of ours."""
    content = read_yaml(path)
    return "names" in content and not content.keys() & DatasetFile.model_fields.keys()


def merged(first: Declared, second: Declared) -> Declared:
    """`first`, with what it does not say taken from `second`."""
    gaps = {
        name: getattr(second, name)
        for name in Declared.__dataclass_fields__
        if not getattr(first, name) and getattr(first, name) != 0
    }
    return replace(first, **gaps)


def task_and_classes(declared: Declared, used: set[str]) -> tuple[Task, tuple[str, ...]]:
    """As in DataFolder. `used`: the names that values or colours refer to."""
    names = declared.classes or ("foreground",)
    foreground = tuple(name for name in names if name.lower() not in BACKGROUND_NAMES)
    task = declared.task or ("binary" if len(foreground) == 1 else "multiclass")
    if task == "binary":
        if len(names) == 2 and len(foreground) == 2:
            foreground = names[1:]
        if len(foreground) != 1:
            raise ConfigError(
                f"{declared.source}: task binary has one class beside background, "
                f"classes names {len(foreground)}: {', '.join(names)}; set task: multiclass"
            )
        return task, foreground
    if len(foreground) == len(names) and any(name.lower() in BACKGROUND_NAMES for name in used):
        names = ("background", *names)
    return task, names


def class_index(name: int | str, task: Task, classes: tuple[str, ...], declared: Declared) -> int:
    """Class index of what dataset.yaml calls a class: its name, its place, or ignore."""
    if isinstance(name, int):
        if name == IGNORE_INDEX or task == "binary":
            return name
        return classes.index((declared.classes or classes)[name])
    if name in classes:
        return 1 if task == "binary" else classes.index(name)
    if name.lower() in VOID_NAMES:
        return IGNORE_INDEX
    return 0


def _named(
    values: dict[int, int | str] | None, colors: dict[str, Color] | None
) -> tuple[str, ...] | None:
    """The class names that values or colors use, in their order."""
    names = [n for n in (values or {}).values() if isinstance(n, str)] or list(colors or {})
    return tuple(dict.fromkeys(n for n in names if n.lower() not in VOID_NAMES)) or None


def _from_class_list(root: Path) -> Declared:
    readers = {
        "class_dict.csv": _read_class_dict,
        "classes.json": _read_class_json,
        "classes.txt": _read_class_text,
        "labels.txt": _read_class_text,
        "class_names.txt": _read_class_text,
        "label_colors.txt": _read_label_colors,
    }
    for name, read in readers.items():
        if (root / name).is_file():
            try:
                return read(root / name)
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise DataError(
                    f"{root / name} does not list classes ({error}); "
                    "write one name per line, or a dataset.yaml with `classes: [...]`"
                ) from None
    return Declared()


def _read_class_json(path: Path) -> Declared:
    """["sky", ...], {"sky": 0, ...} or {"0": "sky", ...}."""
    content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and isinstance(content.get("classes"), list):
        content = content["classes"]
    if isinstance(content, list):
        return _listed([str(name) for name in content], path)
    if not isinstance(content, dict):
        raise ValueError(f"expected a list of names, got {type(content).__name__}")
    if all(isinstance(value, int) for value in content.values()):
        return _by_value({int(value): str(name) for name, value in content.items()}, path)
    return _by_value({int(value): str(name) for value, name in content.items()}, path)


def _read_class_text(path: Path) -> Declared:
    """One name per line, or `value name`, `value: name`, `value,name` per line."""
    text = path.read_text(encoding="utf-8-sig")
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    numbered = [re.fullmatch(r"(\d+)\s*[:,;\s=]\s*(\D.*)", line) for line in lines]
    if lines and all(numbered):
        return _by_value({int(m[1]): m[2].strip() for m in numbered if m}, path)
    return _listed(lines, path)


def _listed(names: list[str], path: Path) -> Declared:
    """Names in the order of their values; a void among them has the value of its place."""
    if names[:1] == ["__ignore__"]:  # labelme: has no value, the next name is 0
        names = names[1:]
    if any(name.lower() in VOID_NAMES for name in names):
        return _by_value(dict(enumerate(names)), path)
    return Declared(classes=_distinct(names), source=path.name)


def _by_value(names: dict[int, str], path: Path) -> Declared:
    ordered = dict(sorted(names.items()))
    classes = _distinct(name for name in ordered.values() if name.lower() not in VOID_NAMES)
    return Declared(classes=classes, values=_with_ignore(ordered), source=path.name)


def _read_class_dict(path: Path) -> Declared:
    """name,r,g,b with a header, as the CamVid downloads have it."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = [_stripped(row, reader.line_num) for row in reader]
    colors = {(int(row["r"]), int(row["g"]), int(row["b"])): row["name"] for row in rows}
    return _by_color(colors, path)


def _stripped(row: Mapping[Any, Any], line: int) -> dict[str, str]:
    if None in row or None in row.values():
        raise ValueError(f"line {line} has other columns than the first line")
    return {key.strip().lower(): value.strip() for key, value in row.items()}


def _read_label_colors(path: Path) -> Declared:
    """`r g b name` per line."""
    lines = path.read_text("utf-8-sig").splitlines()
    rows = [line.split(maxsplit=3) for line in lines if line.strip()]
    return _by_color({(int(r), int(g), int(b)): name.strip() for r, g, b, name in rows}, path)


def _by_color(colors: dict[Color, str], path: Path) -> Declared:
    classes = _distinct(name for name in colors.values() if name.lower() not in VOID_NAMES)
    return Declared(classes=classes, colors=_with_ignore(colors), source=path.name)


def _with_ignore(names: Mapping[Any, str]) -> dict[Any, str]:
    return {key: "ignore" if n.lower() in VOID_NAMES else n for key, n in names.items()}


def _distinct(names: Any) -> tuple[str, ...]:
    classes = tuple(names)
    _check_classes(classes)
    return classes
