"""What the masks of a sample hold, class by class, once their encoding is known."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .drawn import DrawnFacts
from .encoding import colors_of, nearest_classes
from .facts import Facts, MaskFacts
from .inferred import Inferred
from .samples import IGNORE_INDEX, Encoding

NOTHING = "nothing"
"""The label of a sample without any object."""


@dataclass(frozen=True)
class Contents:
    """Pixel counts of one sample's mask."""

    pixels: tuple[int, ...]
    """Of each class, in the order of the folder's classes."""
    ignored: int
    area: int
    """Height times width."""

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the classes that are there."""
        return tuple(index for index, count in enumerate(self.pixels) if count)


def read_contents(facts: Mapping[str, Facts], inferred: Inferred) -> dict[str, Contents]:
    """Contents of every sample that can be read."""
    return {
        sample_id: _contents(known, inferred)
        for sample_id, known in facts.items()
        if known.image is not None and not known.errors
    }


def _contents(facts: Facts, inferred: Inferred) -> Contents:
    if facts.image is not None and facts.drawn is not None:
        return _drawn(facts.drawn, inferred, facts.image.height * facts.image.width)
    pixels: Counter[int] = Counter()
    for mask in facts.masks:
        for index, count in _encoded(mask, inferred).items():
            if index == IGNORE_INDEX:
                pixels[IGNORE_INDEX] += count
            elif mask.layer is not None:
                pixels[mask.layer] += count * index
            else:
                pixels[index - (inferred.task == "binary")] += count
    assert facts.image is not None
    area = facts.image.height * facts.image.width
    counts = tuple(pixels[index] for index in range(len(inferred.classes)))
    return Contents(counts, pixels[IGNORE_INDEX], area)


def _drawn(drawn: DrawnFacts, inferred: Inferred, area: int) -> Contents:
    found = drawn.layers if inferred.task == "multilabel" else drawn.on_top
    pixels = [found.get(name, 0) for name in inferred.classes]
    if inferred.task == "multiclass":
        pixels[0] = area - drawn.ignored - sum(pixels[1:])
    return Contents(tuple(pixels), drawn.ignored, area)


def _encoded(mask: MaskFacts, inferred: Inferred) -> Counter[int]:
    """Class index or IGNORE_INDEX -> pixels; values without a class are left out."""
    encoding = inferred.encoding
    if encoding.nearest:
        return _nearest(mask, encoding)
    grey = {c[0]: index for c, index in encoding.colors.items() if len(set(c)) == 1}
    values = encoding.values or grey
    found: Counter[int] = Counter()
    for value, count in mask.values.items():
        if mask.path is None:
            found[value] += count
        elif encoding.threshold is not None:
            found[int(value > encoding.threshold)] += count
        elif value in values:
            found[values[value]] += count
    for color, count in mask.colors.items():
        if color in encoding.colors:
            found[encoding.colors[color]] += count
    return found


def _nearest(mask: MaskFacts, encoding: Encoding) -> Counter[int]:
    """As `_encoded`, where each pixel takes the nearest colour."""
    found: Counter[int] = Counter()
    colors = colors_of(mask)
    indices = nearest_classes(np.array(list(colors)), encoding)
    for index, count in zip(indices.tolist(), colors.values(), strict=True):
        found[index] += count
    return found


def stratification_labels(
    contents: Mapping[str, Contents], binary: bool
) -> dict[str, Collection[str]]:
    """For each id the classes that stand in it; in a binary task how large its object is."""
    if binary:
        return _sizes({key: known.pixels[0] / known.area for key, known in contents.items()})
    return {
        sample_id: tuple(map(str, known.classes)) or (NOTHING,)
        for sample_id, known in contents.items()
    }


def _sizes(shares: Mapping[str, float]) -> dict[str, Collection[str]]:
    """Small, middle or large thirds of the objects, or nothing."""
    there = [share for share in shares.values() if share > 0]
    limits = np.quantile(there, (1 / 3, 2 / 3)) if there else np.zeros(2)
    return {
        sample_id: (f"size {int(np.searchsorted(limits, share))}" if share > 0 else NOTHING,)
        for sample_id, share in shares.items()
    }


def class_frequencies(contents: Sequence[Contents], classes: Sequence[str]) -> dict[str, float]:
    """Share of each class in the pixels of those images that show it, 0 where none does."""
    return {
        name: class_shares([known for known in contents if index in known.classes], classes)[name]
        for index, name in enumerate(classes)
    }


def class_shares(contents: Sequence[Contents], classes: Sequence[str]) -> dict[str, float]:
    """Share of each class in all pixels that are not ignored, 0 to 1."""
    total = sum(known.area - known.ignored for known in contents)
    return {
        name: sum(known.pixels[index] for known in contents) / max(total, 1)
        for index, name in enumerate(classes)
    }
