"""What folders of annotation files share: finding images by name, classes, what is wrong."""

from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy import ndarray
from pydantic import TypeAdapter, ValidationError

from ..errors import AnnotationError
from .annotation_findings import Trouble
from .declared import BACKGROUND_NAMES, VOID_NAMES, Declared
from .findings import counted
from .pairing import Found
from .samples import (
    BACKGROUND_LABEL,
    IGNORE_LABEL,
    MaskOutlines,
    Outline,
    Part,
    Sample,
)
from .tree import describe, image_files

MOST_CLASSES = 250


def read_annotations(path: Path, kind: TypeAdapter) -> Any:
    """The content of a JSON file. Raises AnnotationError with line and column, or the entry."""
    try:
        return kind.validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            reason = first["msg"].removeprefix("Invalid JSON: ")
            raise AnnotationError(
                f"{path} is no JSON: {reason}; export it again, or correct it there"
            ) from None
        place = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in first["loc"])
        more = f" (and {error.error_count() - 1:,} more)" if error.error_count() > 1 else ""
        raise AnnotationError(
            f"{path}: {place.lstrip('.') or 'the file'}: {first['msg']}{more}; correct the entry"
        ) from None


def is_labelme(path: Path) -> bool:
    """Whether a JSON begins as LabelMe's do, with its keys in any order."""
    with path.open("rb") as file:
        start = file.read(4096)
    return any(key in start for key in (b'"shapes"', b'"imagePath"', b'"imageData"'))


class Images:
    """The image files below a folder, found by what annotation files call them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = image_files(root)
        self._by_name: dict[str, list[tuple[tuple[str, ...], Path]]] = defaultdict(list)
        for names, path in self.files:
            self._by_name[path.name].append((names, path))
        self._by_stem = {path.with_suffix(""): path for _, path in self.files}

    def find(self, name: str, home: Path, part: Part | None) -> Path | None:
        """The image that a file in folder `home` calls `name`: of several of that name the one
        whose folders agree best. Those of another part than `part` are none.
        """
        wanted = PurePosixPath(name.replace("\\", "/")).parts
        candidates = [
            (names, path)
            for names, path in self._by_name[wanted[-1] if wanted else ""]
            if part is None or describe(names).part in (None, part)
        ]

        def agreement(candidate: tuple[tuple[str, ...], Path]) -> tuple[bool, int, bool, bool]:
            names, path = candidate
            alike = zip(reversed(path.parts), reversed(wanted), strict=False)
            same = next((n for n, (a, b) in enumerate(alike) if a != b), len(wanted))
            folder = describe(names)
            return folder.role != "mask", same, path.parent == home, folder.part == part

        return max(candidates, key=agreement, default=(None, None))[1]

    def beside(self, path: Path) -> Path | None:
        """The image of the same stem in the same folder."""
        return self._by_stem.get(path.with_suffix(""))

    def part(self, path: Path) -> Part | None:
        """What the folders of an image say."""
        return describe(path.relative_to(self.root).parent.parts).part


def label_of(name: str) -> str:
    """The label of a class as it is written: names of background and of void mean that."""
    if name.lower() in VOID_NAMES:
        return IGNORE_LABEL
    return BACKGROUND_LABEL if name.lower() in BACKGROUND_NAMES else name


def classes_of(names: Iterable[str], declared: Declared, source: str) -> tuple[str, ...]:
    """The classes among the names of a folder's annotations, in their order, or as declared.

    Raises AnnotationError where there are none, too many, or others are declared.
    """
    found = tuple(dict.fromkeys(map(label_of, names)))
    objects = tuple(name for name in found if name not in (BACKGROUND_LABEL, IGNORE_LABEL))
    said = [name for name in declared.classes or () if label_of(name) == name]
    strange = [name for name in said if name not in objects]
    if strange:
        raise AnnotationError(
            f"{declared.source} names the class {strange[0]!r}, {source} has {_few(objects)}; "
            "name some of these: what is not named counts as background"
        )
    chosen = tuple(said) or objects
    if not 1 <= len(chosen) <= MOST_CLASSES:
        raise AnnotationError(
            f"{source} names {len(chosen)} classes, 1 to {MOST_CLASSES} are possible; "
            "choose some with `classes: [...]` in dataset.yaml"
        )
    return chosen


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (", ".join(names[:8]) or "none") + more


def polygon_of(corners: Any, name: str, trouble: Trouble) -> ndarray | None:
    """(points, 2) from a flat list x, y, x, y ... or a list of [x, y]; None where it is none."""
    try:
        points = np.asarray(corners, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        trouble.broken_outlines.append(f"{name} (no list of x, y pairs)")
        return None
    if len(points) < 3:
        trouble.few_points.append(f"{name} ({len(points)})")
        return None
    return points


def found_outlines(
    kind: str,
    images: Images,
    masks: Mapping[Path, tuple[MaskOutlines, Part | None]],
    classes: tuple[str, ...],
    trouble: Trouble,
) -> Found:
    """Samples from each image's outlines, with notes on what was assumed.

    Raises AnnotationError where no image is left.
    """
    if not masks:
        raise AnnotationError(
            f"{images.root}: {kind}, and none of its images is there. "
            + " ".join(finding.text() for finding in trouble.findings())
        )
    kept = {BACKGROUND_LABEL, IGNORE_LABEL, *classes}
    every = [outline for mask, _ in masks.values() for outline in mask.outlines]
    notes = [
        *_ignored_note(every),
        *_dropped_note(Counter(o.label for o in every if o.label not in kept)),
        *_empty_note(masks),
        *_left_out(images, masks, trouble),
    ]
    samples = tuple(
        Sample(path.stem, path, _chosen(mask, kept), part=part or images.part(path))
        for path, (mask, part) in sorted(masks.items())
    )
    known = Declared(task="binary" if len(classes) == 1 else None, classes=classes)
    return Found(kind, samples, known, notes=tuple(notes), findings=tuple(trouble.findings()))


def _chosen(mask: MaskOutlines, kept: set[str]) -> MaskOutlines:
    """The outlines whose class is wanted; crowds first, so that objects lie on top of them."""
    outlines = [outline for outline in mask.outlines if outline.label in kept]
    outlines.sort(key=lambda outline: not outline.crowd)
    return MaskOutlines(tuple(outlines), mask.source, mask.size, mask.relative)


def _ignored_note(outlines: Sequence[Outline]) -> list[str]:
    crowds = sum(outline.crowd and outline.label != IGNORE_LABEL for outline in outlines)
    voids = sum(outline.label == IGNORE_LABEL for outline in outlines)
    notes = []
    if crowds:
        notes.append(f"{counted(crowds, 'crowd region')} ignored where no object is drawn")
    if voids:
        notes.append(f"{counted(voids, 'outline')} of something void ignored")
    return notes


def _dropped_note(dropped: Counter[str]) -> list[str]:
    if not dropped:
        return []
    return [f"not among the classes, so background: {_few(sorted(dropped))}"]


def _empty_note(masks: Mapping[Path, tuple[MaskOutlines, Part | None]]) -> list[str]:
    empty = sum(not mask.outlines for mask, _ in masks.values())
    return [f"{counted(empty, 'image')} without an outline show no object"] if empty else []


def _left_out(images: Images, used: Iterable[Path], trouble: Trouble) -> list[str]:
    """Images that no annotation names: a warning beside annotated ones, else a note by folder."""
    used = set(used)
    folders = {path.parent for path in used}
    spare = [path for _, path in images.files if path not in used]
    trouble.unlisted += [path for path in spare if path.parent in folders]
    counts = Counter(path.parent for path in spare if path.parent not in folders)
    return [
        f"{folder.relative_to(images.root)}/ is left out: "
        f"{counted(number, 'image')} without annotations"
        for folder, number in sorted(counts.items())[:8]
    ]
