"""Predicted masks as tables of run-length codes, as competitions want them handed in."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from ..errors import ConfigError
from ..files import write_atomically
from .rle import encode_strips
from .samples import Task

TableForm = Literal["severstal", "severstal-joined", "tgs"]
Strips = Callable[[], Iterable[np.ndarray]]
"""A mask, or one class of it, from top to bottom in strips, anew at each call."""

_HEADERS: Mapping[TableForm, tuple[str, ...]] = {
    "severstal": ("ImageId", "ClassId", "EncodedPixels"),
    "severstal-joined": ("ImageId_ClassId", "EncodedPixels"),
    "tgs": ("id", "rle_mask"),
}


def object_layers(
    mask: UInt8[np.ndarray, "*planes height width"], task: Task, classes: Sequence[str]
) -> list[Bool[np.ndarray, "height width"]]:
    """Where each class is; of exclusive classes the first, background, is left out."""
    if task == "multilabel":
        return list(mask == 1)
    return [mask == index for index in range(1, 2 if task == "binary" else len(classes))]


def object_strips(strips: Strips, task: Task, place: int) -> Strips:
    """Where the class is that has this place in `object_names`, of a mask in strips."""
    if task == "multilabel":
        return lambda: (strip[place] == 1 for strip in strips())
    return lambda: (strip == place + 1 for strip in strips())


def object_names(task: Task, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes that `object_layers` gives, in its order."""
    return tuple(classes[1:] if task == "multiclass" else classes)


class Submission:
    """The rows of one table, collected image by image.

    severstal: a row for each mask that is not empty. severstal-joined: one for each image and
    class. tgs: one for each image. ClassId is the class's name where all are numbers, as they are
    after training on such a table, else its place from 1 on.
    """

    def __init__(self, form: TableForm, task: Task, classes: Sequence[str]) -> None:
        """Raises ConfigError where the form has no place for such classes."""
        if form == "tgs" and task != "binary":
            raise ConfigError(
                f"--rle tgs holds one mask per image, and this model has {len(classes)} classes "
                f"({', '.join(classes)}); use --rle severstal"
            )
        names = object_names(task, classes)
        numbered = all(name.isdecimal() for name in names)
        self.form: TableForm = form
        self.task: Task = task
        self.classes = classes
        self.class_ids = names if numbered else [str(n) for n in range(1, len(names) + 1)]
        self.rows: list[tuple[str, ...]] = []

    def name(self, image: Path) -> str:
        """What the table calls an image."""
        return image.stem if self.form == "tgs" else image.name

    def refuse_equal_names(self, images: Iterable[Path]) -> None:
        """Raises ConfigError where the table could not tell two images apart."""
        images = list(images)
        name, times = Counter(map(self.name, images)).most_common(1)[0]
        if times > 1:
            files = ", ".join(str(image) for image in images if self.name(image) == name)
            raise ConfigError(
                f"--rle {self.form} would call {times} images {name!r}: {files}; "
                "predict their folders one at a time"
            )

    def add(self, image: Path, strips: Strips, height: int) -> None:
        """The rows of one image, from its mask as `decide` gives it, which has `height` rows."""
        layers = (object_strips(strips, self.task, place) for place in range(len(self.class_ids)))
        codes = (encode_strips(layer(), height) for layer in layers)
        self.rows += self._rows(self.name(image), codes)

    def _rows(self, name: str, codes: Iterable[str]) -> Iterator[tuple[str, ...]]:
        for class_id, code in zip(self.class_ids, codes, strict=True):
            if self.form == "tgs":
                yield name, code
            elif self.form == "severstal-joined":
                yield f"{name}_{class_id}", code
            elif code:
                yield name, class_id, code

    def write(self, path: Path) -> None:
        """Write the table whole or not at all."""
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([_HEADERS[self.form], *self.rows])
        write_atomically(path, text.getvalue())
