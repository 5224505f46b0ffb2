"""The data at a glance: how many images, how large, how bright, which classes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .contents import Contents, class_shares
from .facts import Facts, ImageFacts
from .findings import counted
from .inferred import Inferred
from .samples import PARTS
from .splits import Splits


def summarize(
    inferred: Inferred,
    facts: Mapping[str, Facts],
    contents: Mapping[str, Contents],
    splits: Splits | None,
    channels: int | None,
) -> dict[str, Any]:
    """Numbers for people and programs, as JSON. Sizes are [height, width]."""
    images = {key: known.image for key, known in facts.items() if known.image}
    return {
        "images": len(facts),
        "parts": {part: len(ids) for part, ids in (splits or {}).items()},
        "task": inferred.task,
        "classes": list(inferred.classes),
        "channels": channels,
        "dtypes": dict(Counter(image.dtype for image in images.values())),
        "empty_masks": sum(not known.classes for known in contents.values()),
        **_sizes(list(images.values())),
        **_brightness([image for image in images.values() if image.channels == channels]),
        "class_pixels": class_shares(list(contents.values()), inferred.classes),
        "class_images": _class_images(inferred.classes, contents, splits or {}),
    }


def _sizes(images: Sequence[ImageFacts]) -> dict[str, Any]:
    """Smallest, median and largest by area, and the median of width over height."""
    if not images:
        return {}
    ordered = sorted(images, key=lambda image: image.height * image.width)
    picked = {"min": ordered[0], "median": ordered[len(ordered) // 2], "max": ordered[-1]}
    return {
        "size": {name: [image.height, image.width] for name, image in picked.items()},
        "sizes": len({(image.height, image.width) for image in images}),
        "aspect": float(np.median([image.width / image.height for image in images])),
    }


def _brightness(images: Sequence[ImageFacts]) -> dict[str, Any]:
    """Mean and standard deviation of each channel over all images, in the files' units."""
    if not images:
        return {}
    means = np.array([image.mean for image in images])
    squares = np.array([image.std for image in images]) ** 2 + means**2
    mean = means.mean(0)
    std = np.sqrt(np.maximum(squares.mean(0) - mean**2, 0))
    return {"mean": mean.round(3).tolist(), "std": std.round(3).tolist()}


def _class_images(
    classes: Sequence[str], contents: Mapping[str, Contents], splits: Splits
) -> dict[str, dict[str, int]]:
    """For each class the images that hold it, in all and by part."""
    where: dict[str, Iterable[str]] = {"all": contents, **splits}
    present = {key: set(known.classes) for key, known in contents.items()}
    return {
        name: {
            place: sum(index in present.get(one, ()) for one in ids) for place, ids in where.items()
        }
        for index, name in enumerate(classes)
    }


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as plain text: images, sizes, one line per class."""
    if not summary:
        return []
    parts = summary["parts"]
    listed = ", ".join(f"{part} {parts[part]:,}" for part in PARTS if parts.get(part))
    lines = [f"{counted(summary['images'], 'image')}{f' ({listed})' if listed else ''}"]
    if "size" in summary:
        lines.append(_size_line(summary))
    lines.append(f"task: {summary['task']}")
    width = max(map(len, summary["classes"]), default=0)
    for name in summary["classes"]:
        share, images = summary["class_pixels"][name], summary["class_images"][name]["all"]
        lines.append(f"  {name:{width}}  {share:7.2%} of pixels, in {counted(images, 'image')}")
    return lines


def _size_line(summary: Mapping[str, Any]) -> str:
    smallest, middle, largest = (
        f"{summary['size'][name][0]} x {summary['size'][name][1]}"
        for name in ("min", "median", "max")
    )
    sizes = f"{smallest} to {largest}, median {middle}" if summary["sizes"] > 1 else middle
    dtypes = " and ".join(summary["dtypes"])
    channels = counted(summary["channels"] or 0, "channel")
    return f"height x width {sizes}; {channels}, {dtypes}"
