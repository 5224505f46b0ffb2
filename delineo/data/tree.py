"""The image files below a folder, and what the names of folders and files say of them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from .images import IMAGE_SUFFIXES
from .samples import Part

Role = Literal["image", "mask"]

# fmt: off
IMAGE_WORDS = frozenset((
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "frame", "frames",
    "input", "inputs", "original", "originals", "scan", "scans", "sat", "rgb", "tiles",
))
MASK_WORDS = frozenset((
    "mask", "masks", "label", "labels", "lbl", "annot", "annots", "annotation", "annotations",
    "anno", "gt", "gts", "truth", "truths", "groundtruth", "segmentation", "segmentations",
    "seg", "segs", "segmap", "segmaps", "target", "targets", "manual", "trimap", "trimaps",
    "lesion", "mattes", "labelled", "output", "outputs",
))
PART_WORDS: dict[str, Part] = {
    "train": "train", "training": "train", "trn": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}
MASK_ENDINGS = (
    "labeltrainids", "labelids", "mask", "masks", "label", "labels", "lbl", "gt", "gts", "l",
    "groundtruth", "ground_truth", "truth", "segmentation", "segmented", "seg", "annotation",
    "annotations", "annot", "anno", "lesion", "matte", "trimap", "target", "manual1", "manual",
    "1stho", "gtfine", "gtcoarse", "color", "instancetrainids", "instanceids", "bin",
)
"""Ends of mask stems; of several masks of one image the one whose end stands first is used."""
IMAGE_ENDINGS = (
    "image", "img", "sat", "rgb", "leftimg8bit", "photo", "original", "orig", "input",
    "training", "test",
)
MASK_STARTS = ("masks", "mask", "labels", "label", "lbl", "gt", "seg", "segmentation", "anno")
IMAGE_STARTS = ("images", "image", "img", "im", "sat", "rgb", "photo")
# fmt: on


@dataclass(frozen=True)
class Folder:
    """One folder, described by the names on the way to it from the root."""

    parts: tuple[str, ...]
    role: Role | None = None
    part: Part | None = None
    place: tuple[str, ...] = ()
    """The names that say neither role nor part: a city, a patient, a class."""
    variant: str = ""
    """What stands beside the role in one name: "crack" of masks_crack."""


@dataclass(frozen=True)
class File:
    """One image file below the root."""

    path: Path
    folder: Folder

    @property
    def stem(self) -> str:
        return self.path.stem


def image_files(root: Path) -> list[tuple[tuple[str, ...], Path]]:
    """(names of folders below root, path) of all image files, sorted; hidden ones are left out."""
    return [(names, path) for names, path in walk(root) if path.suffix.lower() in IMAGE_SUFFIXES]


def walk(root: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """All files below root with the names of their folders, in order; links are followed."""
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if name[0] not in "._" and name != "__MACOSX")
        names = Path(folder).relative_to(root).parts
        yield from ((names, Path(folder, name)) for name in sorted(files) if name[0] != ".")


@cache
def describe(names: tuple[str, ...]) -> Folder:
    """What the names of a folder and of those above it say; the deepest role and part hold."""
    role: Role | None = None
    part: Part | None = None
    variant, place = "", []
    for name in reversed(names):
        words = _words(name)
        found_role = _role(words)
        rest = "_".join(word for word in words if word not in _ALL_WORDS)
        if found_role and role is None:
            role, variant = found_role, rest
        elif rest and not found_role:
            place.insert(0, rest)
        part = part or next((PART_WORDS[word] for word in words if word in PART_WORDS), None)
    return Folder(names, role, part, tuple(place), variant)


_ALL_WORDS = IMAGE_WORDS | MASK_WORDS | PART_WORDS.keys() | {"jpeg", "png", "jpg", "ground"}


def _role(words: list[str]) -> Role | None:
    if any(word in MASK_WORDS for word in words):
        return "mask"
    return "image" if any(word in IMAGE_WORDS for word in words) else None


def _words(name: str) -> list[str]:
    """`trainannot`, `JPEGImages`, `val_masks` -> the words in lower case."""
    pieces = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [word for piece in pieces for word in _taken_apart(piece.lower())]


def _taken_apart(word: str) -> list[str]:
    """`trainannot` -> train, annot."""
    for first in PART_WORDS:
        rest = word.removeprefix(first)
        if rest != word and rest in IMAGE_WORDS | MASK_WORDS:
            return [first, rest]
    return [word]


def mask_base(stem: str) -> str:
    """The stem without what marks it as a mask: 0cdf_01_mask -> 0cdf_01."""
    return _stripped(stem, _MASK_END, _MASK_START)


def piece_base(stem: str) -> str:
    """The stem without the number of one of several masks: 0cdf_mask_2 -> 0cdf_mask."""
    match = _PIECE_END.fullmatch(stem)
    return match[1] if match else stem


def image_base(stem: str) -> str:
    """The stem without what marks it as an image: 104_sat -> 104."""
    return _stripped(stem, _IMAGE_END, _IMAGE_START)


def mask_rank(stem: str) -> int:
    """Place of the stem's end in MASK_ENDINGS; stems without one come between masks and colours."""
    match = _MASK_END.search(stem)
    return MASK_ENDINGS.index(match[1].lower()) if match else MASK_ENDINGS.index("gtfine")


def _pattern(words: tuple[str, ...], at_end: bool) -> re.Pattern[str]:
    any_word = "|".join(sorted(words, key=len, reverse=True))
    return re.compile(
        rf"[_\-. ]({any_word})$" if at_end else rf"^({any_word})[_\-. ]", re.IGNORECASE
    )


_MASK_END, _MASK_START = _pattern(MASK_ENDINGS, True), _pattern(MASK_STARTS, False)
_PIECE_END = re.compile(rf"(.+[_\-. ](?:{'|'.join(MASK_ENDINGS)}))[_\-. ]?\d+", re.IGNORECASE)
_IMAGE_END, _IMAGE_START = _pattern(IMAGE_ENDINGS, True), _pattern(IMAGE_STARTS, False)


@cache
def _stripped(stem: str, end: re.Pattern[str], start: re.Pattern[str]) -> str:
    shorter = start.sub("", end.sub("", stem))
    return stem if shorter in ("", stem) else _stripped(shorter, end, start)
