"""Predicted masks as files, and back: tables are made of what is on disk."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from .data.images import read_written_mask, write_mask
from .data.raster_masks import BLOCK
from .data.samples import Task
from .data.submission import Strips
from .errors import DataError
from .pipeline import in_thread
from .runtime import MaskPredictor
from .targets import Target, class_files, mask_files

_NOTE = "mean_probability"


class Finished(NamedTuple):
    """An image whose mask is on disk."""

    image: Path
    name: str
    size: tuple[int, int]
    """(height, width)"""
    strips: Strips
    """The mask from top to bottom, as `decide` gives it: indices (height, width), or 0/1 layers
    (classes, height, width); 255 where a scan holds no data."""
    certainty: tuple[float | None, ...]
    """Mean probability of each class where the mask has it; None where it is not, or not known."""


def write_masks(
    predictor: MaskPredictor,
    stem: Path,
    mask: UInt8[np.ndarray, "*planes height width"],
    maps: Float[np.ndarray, "classes height width"],
) -> None:
    """Write STEM.png, or STEM_CLASS.png for each class that may overlap."""
    certainty = mean_probabilities(mask, maps, predictor.task)
    files = mask_files(stem, predictor)
    if predictor.task == "multilabel":
        for file, layer, value in zip(files, mask, certainty, strict=True):
            write_mask(file, layer * 255, notes={_NOTE: json.dumps([value])})
    else:
        write_mask(files[0], mask, notes={_NOTE: json.dumps(certainty)})


def write_class_masks(
    predictor: MaskPredictor, stem: Path, mask: UInt8[np.ndarray, "*planes height width"]
) -> None:
    """Write STEM_CLASS.png for each class, 0 or 255."""
    layers = class_layers(mask, len(predictor.classes), predictor.task)
    for file, layer in zip(class_files(stem, predictor), layers, strict=True):
        write_mask(file, layer.astype(np.uint8) * 255)


def mean_probabilities(
    mask: UInt8[np.ndarray, "*planes height width"],
    maps: Float[np.ndarray, "classes height width"],
    task: Task,
) -> tuple[float | None, ...]:
    """Of each class over the pixels that it has, to six digits; None for one that has none."""
    return as_means(sum_probabilities(mask, maps, task))


def sum_probabilities(
    mask: UInt8[np.ndarray, "*planes height width"],
    maps: Float[np.ndarray, "classes height width"],
    task: Task,
) -> Float[np.ndarray, "classes 2"]:
    """The sum of each class over the pixels that it has, and their number; sums of parts add up."""
    pairs = zip(class_layers(mask, len(maps), task), maps, strict=True)
    return np.array(
        [((own * layer).sum(dtype=np.float64), np.count_nonzero(layer)) for layer, own in pairs]
    )


def class_layers(
    mask: UInt8[np.ndarray, "*planes height width"], num_classes: int, task: Task
) -> Iterator[Bool[np.ndarray, "height width"]]:
    """Where the mask has each class, one after the other."""
    planes = mask.reshape(-1, *mask.shape[-2:])
    if task == "multiclass":
        return (planes[0] == index for index in range(num_classes))
    return (plane == 1 for plane in planes)


def as_means(sums: Float[np.ndarray, "classes 2"]) -> tuple[float | None, ...]:
    """To six digits; None for a class without pixels."""
    return tuple(round(total / number, 6) if number else None for total, number in sums.tolist())


def read_finished(predictor: MaskPredictor, targets: Iterable[Target]) -> Iterator[Finished]:
    """The masks of `targets`, read a few ahead. Raises DataError for one of another model."""
    return in_thread(_reader(predictor), targets)


def _reader(predictor: MaskPredictor) -> Callable[[Target], Finished]:
    def read(target: Target) -> Finished:
        if target.scan:
            return read_scan(target, predictor.task)
        pieces = [_read(file, predictor) for file in mask_files(target.stem, predictor)]
        certainty = tuple(value for _, values in pieces for value in values)
        masks = [mask for mask, _ in pieces]
        mask = np.stack(masks) // 255 if predictor.task == "multilabel" else masks[0]
        return in_memory(target, mask, certainty)

    return read


def in_memory(
    target: Target,
    mask: UInt8[np.ndarray, "*planes height width"],
    certainty: tuple[float | None, ...],
) -> Finished:
    """A mask in strips like those of scans, so that what is made of them is in the same order."""
    height, width = mask.shape[-2:]

    def strips() -> Iterator[np.ndarray]:
        return (mask[..., top : top + BLOCK, :] for top in range(0, height, BLOCK))

    return Finished(target.image, target.name, (height, width), strips, certainty)


def read_scan(target: Target, task: Task) -> Finished:
    """Its mask is read when it is asked for, and as often."""
    from .data.raster_masks import read_certainty, read_size, read_strips

    def strips() -> Iterator[np.ndarray]:
        together = read_strips(target.scan)
        return together if task == "multilabel" else (strip[0] for strip in together)

    certainty = tuple(value for file in target.scan for value in read_certainty(file))
    return Finished(target.image, target.name, read_size(target.scan[0]), strips, certainty)


def _read(file: Path, predictor: MaskPredictor) -> tuple[np.ndarray, list[float | None]]:
    mask, notes = read_written_mask(file)
    layers, number = predictor.task == "multilabel", len(predictor.classes)
    allowed = (0, 255) if layers else range(max(number, 2))
    strange = np.setdiff1d(np.flatnonzero(np.bincount(mask.ravel())), allowed)
    if len(strange):
        raise DataError(
            f"{file} holds {strange[0]}, which this model does not predict; was it written by "
            "another model? Move it away, and it is predicted anew"
        )
    unknown: list[float | None] = [None] * (1 if layers else number)
    return mask, json.loads(notes[_NOTE]) if _NOTE in notes else unknown
