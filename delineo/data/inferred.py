"""What the masks of a folder mean: what is declared, and what their values suggest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from .declared import BACKGROUND_NAMES, Declared, class_index, task_and_classes
from .drawn import task_of_outlines
from .encoding import colors_of, unknown_values
from .facts import Facts, MaskFacts
from .jpeg_colors import LOSSY, drawn_colors, nearest_colors, refuse_unclear
from .layouts import Layout
from .mask_values import (
    Color,
    Guess,
    guess_binary,
    guess_colors,
    guess_named,
    guess_values,
    shown,
    total,
)
from .samples import (
    IGNORE_INDEX,
    Encoding,
    MaskFile,
    MaskLayers,
    MaskOutlines,
    MaskPieces,
    MaskRuns,
    Task,
)

_NEAREST = f"masks are {LOSSY}, so every pixel takes the nearest of these colours"
_ON_DATASET_YAML = "if not so, say it in dataset.yaml"


class Inferred(NamedTuple):
    """What masks mean. `classes` and `encoding` as in DataFolder."""

    task: Task
    classes: tuple[str, ...]
    encoding: Encoding
    assumptions: tuple[str, ...]


def infer_encoding(layout: Layout, facts: Mapping[str, Facts]) -> Inferred:
    """What is declared, completed by what the values of all masks suggest.

    Values that a declaration leaves out stay out of the encoding; `unknown_values` finds them.
    Raises DataError where values or colours look like no classes, ConfigError where declarations
    contradict each other.
    """
    declared = layout.declared
    masks = [mask for known in facts.values() for mask in known.masks]
    match layout.samples[0].mask:
        case MaskRuns():
            classes = declared.classes or ("foreground",)
            task = declared.task or ("multilabel" if len(classes) > 1 else "binary")
            return Inferred(task, classes, Encoding(), ())
        case MaskOutlines():
            drawn = [known.drawn for known in facts.values() if known.drawn]
            task, classes, sentences = task_of_outlines(declared, drawn)
            return Inferred(task, classes, Encoding(), sentences)
        case MaskLayers():
            return _infer_layers(declared, masks)
        case MaskFile() | MaskPieces():
            inferred = _infer_files(declared, masks)
            return inferred._replace(
                assumptions=inferred.assumptions + _nodata_note(_nodata(declared, masks))
            )


def _infer_layers(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    guess = guess_binary([mask.values for mask in masks], any(mask.lossy for mask in masks))
    if guess is None or any(mask.colors for mask in masks):
        seen = shown(sorted(total(mask.values for mask in masks)))
        raise DataError(
            f"masks in one folder per class must hold two values each, got {seen}; "
            "save them as 0 and 255"
        )
    sentence = f"each folder of masks is a class, and classes may overlap; {guess.assumption}"
    return Inferred("multilabel", declared.classes or (), guess.encoding, (sentence,))


def _infer_files(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    if declared.task == "multilabel":
        raise ConfigError(
            "task multilabel needs one mask per class, in folders masks/CLASS/, or run-length "
            "codes; a single mask file holds one class per pixel"
        )
    colored = any(mask.colors for mask in masks)
    if declared.values and not colored:
        return _from_values(declared, masks)
    if declared.colors and (colored or _grey_by_color(declared.colors, masks)):
        return _from_colors(declared, masks)
    if colored or (not (declared.classes or declared.task) and _shades(masks)):
        return _guessed_colors(declared, masks)
    return _guessed_values(declared, masks)


def _from_values(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    values = declared.values
    task, classes = task_and_classes(declared, {str(name) for name in values.values()})
    encoded = {value: class_index(name, task, classes, declared) for value, name in values.items()}
    encoding = Encoding(encoded | _ignored(declared, masks))
    shades = Encoding(
        colors={(value, value, value): index for value, index in encoding.values.items()}
    )
    return _or_nearest(Inferred(task, classes, encoding, ()), shades, masks)


def _from_colors(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    task, classes = task_and_classes(declared, set(declared.colors.values()))
    encoded = {c: class_index(name, task, classes, declared) for c, name in declared.colors.items()}
    encoding = Encoding(colors=encoded)
    return _or_nearest(Inferred(task, classes, encoding, ()), encoding, masks)


def _or_nearest(inferred: Inferred, colors: Encoding, masks: list[MaskFacts]) -> Inferred:
    """As it is, or where JPEG has changed what is declared by the nearest of the colours."""
    if not any(mask.lossy and unknown_values(mask, inferred.encoding) for mask in masks):
        return inferred
    refuse_unclear(list(colors.colors), [colors_of(mask) for mask in masks if mask.lossy])
    return inferred._replace(encoding=replace(colors, nearest=True), assumptions=(_NEAREST,))


def _shades(masks: list[MaskFacts]) -> bool:
    """Whether grey JPEG masks were drawn in more than two shades."""
    return len(drawn_colors([mask.flat_colors for mask in masks])) > 2


def _grey_by_color(colors: Mapping[Color, str], masks: list[MaskFacts]) -> bool:
    """Whether grey masks hold nothing but grey colours that are declared."""
    return all((value,) * 3 in colors for mask in masks for value in mask.values)


def _guessed_colors(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    histograms: list[Mapping[Color, int]] = [colors_of(mask) for mask in masks]
    nearest = any(mask.lossy for mask in masks)
    if nearest:
        flat = [mask.flat_colors if mask.lossy else colors_of(mask) for mask in masks]
        drawn = drawn_colors(flat)
        refuse_unclear(drawn, histograms)
        histograms = [_snapped(total(histograms), drawn)]
    if declared.classes:
        found = sorted(total(histograms).items(), key=lambda item: -item[1])[:12]
        lines = [f"  class: [{', '.join(map(str, color))}]  # {n} pixels" for color, n in found]
        raise ConfigError(
            "masks are colours, and nothing says which colour is which class; write in "
            "dataset.yaml, with a name before each:\ncolors:\n" + "\n".join(lines)
        )
    guess = guess_colors(histograms)
    if nearest:
        encoding = replace(guess.encoding, nearest=True)
        guess = guess._replace(encoding=encoding, assumption=f"{guess.assumption}; {_NEAREST}")
    return _said(guess)


def _snapped(pixels: Mapping[Color, int], drawn: Sequence[Color]) -> dict[Color, int]:
    """The pixels of each drawn colour if every one takes the nearest."""
    places, _ = nearest_colors(np.array(list(pixels)), drawn)
    numbers = np.bincount(places, list(pixels.values()), len(drawn))
    return {color: int(number) for color, number in zip(drawn, numbers, strict=True)}


def _guessed_values(declared: Declared, masks: list[MaskFacts]) -> Inferred:
    ignored = _ignored(declared, masks)
    histograms = [
        {value: n for value, n in mask.values.items() if value not in ignored} for mask in masks
    ]
    lossy = any(mask.lossy for mask in masks)
    if not declared.classes and declared.task is None:
        guess = guess_values(histograms, lossy)
    elif task_and_classes(declared, set())[0] == "binary":
        guess = guess_binary(histograms, lossy) or _strictly_binary(histograms)
        guess = guess._replace(classes=task_and_classes(declared, set())[1])
    elif declared.classes:
        named = any(name.lower() in BACKGROUND_NAMES for name in declared.classes)
        guess = guess_named(total(histograms), declared.classes, named)
    else:
        guess = _at_least_two_classes(guess_values(histograms, lossy))
    if declared.ignore_value is not None:
        sentence = f"{guess.assumption}, and {declared.ignore_value} is ignored"
        guess = guess._replace(assumption=sentence)
    return _said(guess, ignored)


def _strictly_binary(histograms: list[dict[int, int]]) -> Guess:
    """The two most frequent values; the others are then errors in the masks that hold them."""
    (one, _), (other, _) = total(histograms).most_common(2)
    low, high = sorted((one, other))
    sentence = f"mask value {low} is background and {high} is foreground"
    return Guess("binary", ("foreground",), Encoding({low: 0, high: 1}), sentence)


def _at_least_two_classes(guess: Guess) -> Guess:
    """A guess of one object on background as two classes."""
    if guess.task == "multiclass":
        return guess
    return guess._replace(task="multiclass", classes=("background", *guess.classes))


def _said(guess: Guess, ignored: Mapping[int, int] | None = None) -> Inferred:
    task, classes, encoding, sentence = guess
    if encoding.values:
        encoding = Encoding(dict(encoding.values) | dict(ignored or {}))
    return Inferred(task, classes, encoding, (f"{sentence}; {_ON_DATASET_YAML}",))


def _ignored(declared: Declared, masks: Sequence[MaskFacts]) -> dict[int, int]:
    said = [] if declared.ignore_value is None else [declared.ignore_value]
    return dict.fromkeys([*said, *_nodata(declared, masks)], IGNORE_INDEX)


def _nodata(declared: Declared, masks: Sequence[MaskFacts]) -> list[int]:
    """Values that masks themselves call no data. 0 is not: that is how background is written."""
    called = {mask.nodata for mask in masks if mask.nodata in mask.values}
    return sorted(value for value in called if value and value not in declared.values)


def _nodata_note(nodata: list[int]) -> tuple[str, ...]:
    if not nodata:
        return ()
    return (f"no data, so ignored: mask value {shown(nodata)}; {_ON_DATASET_YAML}",)
