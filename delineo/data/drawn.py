"""What is known of masks that are drawn from outlines, and whether their classes overlap."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy import ndarray

from .declared import BACKGROUND_NAMES, VOID_NAMES, Declared, task_and_classes
from .outlines import distance_outside, draw_mask, pixel_polygons
from .samples import BACKGROUND_LABEL, IGNORE_INDEX, IGNORE_LABEL, MaskOutlines, Task

OVERLAP = 0.05
"""Share of the smaller of two classes above which they overlap; hand-drawn borders share less."""
SLACK = 1.0
"""Pixels that an outline may reach over the image's border without a word."""


@dataclass(frozen=True)
class DrawnFacts:
    """What is known of one image's outlines. Pixels are counted by class name."""

    on_top: Mapping[str, int]
    """Pixels of each class where no later outline covers it."""
    layers: Mapping[str, int]
    """Pixels of each class, whatever else lies there."""
    ignored: int
    overlaps: Mapping[tuple[str, str], int]
    """Pixels that two classes share."""
    size: tuple[int, int] | None
    """(height, width) that the annotation file gives the image."""
    outside: tuple[str, ...]
    """Outlines that reach out of the image by more than SLACK, by name."""
    digest: str


def drawn_facts(mask: MaskOutlines, size: tuple[int, int]) -> DrawnFacts:
    """Draw the outlines of an image of `size` (height, width). Raises DataError as `draw_mask`."""
    special = (BACKGROUND_LABEL, IGNORE_LABEL)
    names = sorted({o.label for o in mask.outlines if o.label not in special})
    layers = draw_mask(mask, "multilabel", names, size)
    flat = draw_mask(mask, "multiclass", (BACKGROUND_LABEL, *names), size)
    on_top = np.bincount(flat.ravel(), minlength=IGNORE_INDEX + 1)
    planes = dict(zip(names, layers == 1, strict=True))
    return DrawnFacts(
        on_top={name: int(on_top[index]) for index, name in enumerate(names, start=1)},
        layers={name: int(np.count_nonzero(plane)) for name, plane in planes.items()},
        ignored=int(on_top[IGNORE_INDEX]),
        overlaps=_overlaps(planes),
        size=mask.size,
        outside=_outside(mask, size),
        digest=_digest(names, layers, flat),
    )


def _overlaps(planes: Mapping[str, ndarray]) -> dict[tuple[str, str], int]:
    pairs = combinations(planes, 2)
    shared = {(a, b): int(np.count_nonzero(planes[a] & planes[b])) for a, b in pairs}
    return {pair: pixels for pair, pixels in shared.items() if pixels}


def _outside(mask: MaskOutlines, size: tuple[int, int]) -> tuple[str, ...]:
    return tuple(
        outline.name
        for outline in mask.outlines
        if any(distance_outside(p, size) > SLACK for p in pixel_polygons(outline, mask, size))
    )


def _digest(names: Sequence[str], layers: ndarray, flat: ndarray) -> str:
    digest = hashlib.sha256(f"{names} {flat.shape}".encode())
    digest.update(layers.tobytes())
    digest.update(flat.tobytes())
    return digest.hexdigest()


def task_of_outlines(
    declared: Declared, facts: Iterable[DrawnFacts]
) -> tuple[Task, tuple[str, ...], tuple[str, ...]]:
    """Task and classes as in DataFolder, and a sentence on what was assumed, if anything was.

    Raises ConfigError where declarations contradict each other.
    """
    task, sentences = declared.task, ()
    names = [n for n in declared.classes or () if n.lower() not in (*BACKGROUND_NAMES, *VOID_NAMES)]
    if task is None and len(names) > 1:
        task, sentence = _task_by_overlap(list(facts))
        sentences = (sentence,)
    if task != "multiclass":
        declared = replace(declared, classes=tuple(names))
        return (*task_and_classes(replace(declared, task=task), set()), sentences)
    return task, (BACKGROUND_LABEL, *names), sentences


def _task_by_overlap(facts: Sequence[DrawnFacts]) -> tuple[Task, str]:
    pixels: Counter[str] = Counter()
    shared: Counter[tuple[str, str]] = Counter()
    for known in facts:
        pixels.update(known.layers)
        shared.update(known.overlaps)
    shares = {(a, b): n / min(pixels[a], pixels[b]) for (a, b), n in shared.items()}
    pair = max(shares, key=lambda pair: shares[pair], default=None)
    if pair is None or shares[pair] <= OVERLAP:
        return "multiclass", (
            f"classes do not overlap{_slightly(shares.get(pair) if pair else None)}, so each pixel "
            "has one class, that of the last outline around it; if not so, say "
            "`task: multilabel` in dataset.yaml"
        )
    smaller, larger = sorted(pair, key=lambda name: pixels[name])
    return "multilabel", (
        f"classes overlap ({shares[pair]:.0%} of {smaller} is {larger} as well), so each has a "
        "layer of its own; where only the last outline should count, say `task: multiclass` in "
        "dataset.yaml"
    )


def _slightly(share: float | None) -> str:
    return "" if not share else f" (by {share:.1%} of the smaller at most)"
