"""What a data set is: samples, where their masks are, and how mask pixels become classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

IGNORE_INDEX = 255
"""The value of a pixel that is never trained on and never scored, in every mask in memory."""

Task = Literal["binary", "multiclass", "multilabel"]
Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class MaskFile:
    """One image file whose pixel values (or colours) are the classes."""

    path: Path


@dataclass(frozen=True)
class MaskPieces:
    """Several grey image files, such as one per object, that are one mask once joined."""

    paths: tuple[Path, ...]


@dataclass(frozen=True)
class MaskLayers:
    """One binary image file per class, in class order; None where a class is absent."""

    paths: tuple[Path | None, ...]


@dataclass(frozen=True)
class MaskRuns:
    """Run-length codes: (class index, "start length start length ..."), 1-based, column-major."""

    runs: tuple[tuple[int, str], ...]


BACKGROUND_LABEL = "background"
IGNORE_LABEL = "ignore"


@dataclass(frozen=True, eq=False)
class Outline:
    """One object as an annotation file draws it: the union of its polygons, or run lengths."""

    label: str
    """Its class. BACKGROUND_LABEL takes away what was drawn before; IGNORE_LABEL is ignored."""
    name: str
    """What people find it by in the file: "annotation 17", "line 3"."""
    polygons: tuple[Float64[np.ndarray, "_ 2"], ...] = ()
    """x, y of each corner."""
    runs: str | Int64[np.ndarray, " runs"] | None = None
    """COCO's run lengths, compressed or not: pixels outside, inside, outside ... by columns."""
    runs_size: tuple[int, int] | None = None
    """(height, width) that the run lengths are for."""
    crowd: bool = False
    """A region with many objects of the class: ignored where it is not drawn over."""


@dataclass(frozen=True, eq=False)
class MaskOutlines:
    """Objects of one image, drawn one after the other: later ones lie on top."""

    outlines: tuple[Outline, ...]
    source: Path
    """The annotation file."""
    size: tuple[int, int] | None = None
    """(height, width) of the image as the file says it; None where it does not."""
    relative: bool = False
    """x and y are shares of width and height, not pixels."""


MaskSource = MaskFile | MaskPieces | MaskLayers | MaskRuns | MaskOutlines


@dataclass(frozen=True)
class Sample:
    """One image with its mask. `id` is unique in the data set and is what splits.json names."""

    id: str
    image: Path
    mask: MaskSource
    group: str | None = None
    """What must not be spread over parts: the car, the patient, the video."""
    part: Part | None = None
    """The part its folder or a list file says it is in."""


@dataclass(frozen=True)
class Encoding:
    """How the pixels of mask files become class indices; whatever is not named is an error."""

    values: Mapping[int, int] = field(default_factory=dict)
    """Grey or palette value -> class index or IGNORE_INDEX. Binary: 0 background, 1 foreground."""
    colors: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    """RGB -> class index or IGNORE_INDEX; used where `values` is empty."""
    threshold: int | None = None
    """Binary masks with noise or soft edges: pixels above this value are foreground."""
    nearest: bool = False
    """Every pixel takes the nearest of `colors`, as masks saved as JPEG need it."""


@dataclass(frozen=True)
class DataFolder:
    """A folder that has been read: everything that training and scoring need to know of it.

    `classes` holds every class for multi-class (background too, in index order), every layer for
    multi-label, and the foreground alone for binary.
    """

    root: Path
    layout: str
    task: Task
    classes: tuple[str, ...]
    channels: int
    encoding: Encoding
    samples: tuple[Sample, ...]
    splits: Mapping[Part, tuple[str, ...]]
    assumptions: tuple[str, ...] = ()
    """One sentence for each thing that was inferred and not said."""

    def part(self, part: Part) -> tuple[Sample, ...]:
        """The samples of one part, in the order of the split."""
        by_id = {sample.id: sample for sample in self.samples}
        return tuple(by_id[sample_id] for sample_id in self.splits.get(part, ()))
