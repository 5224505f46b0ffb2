"""How mask pixels become class indices: inferred once for a folder, then applied to each mask."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..errors import ConfigError, DataError
from .declared import BACKGROUND_NAMES, Declared, class_index, task_and_classes
from .drawn import task_of_outlines
from .facts import Facts, MaskFacts
from .images import read_mask_pieces, read_mask_pixels
from .jpeg_colors import NEAR, NEAR_SHARE, drawn_colors, nearest_colors, refuse_unclear
from .layouts import Layout
from .mask_values import (
    Color,
    Guess,
    guess_binary,
    guess_colors,
    guess_named,
    guess_values,
    hexadecimal,
    shown,
    total,
)
from .outlines import draw_mask
from .rle import decode
from .samples import (
    IGNORE_INDEX,
    DataFolder,
    Encoding,
    MaskFile,
    MaskLayers,
    MaskOutlines,
    MaskPieces,
    MaskRuns,
    Sample,
    Task,
)

_UNKNOWN = 254  # in lookup tables only; classes stop at 250
_NEAREST = "masks are JPEG, so every pixel takes the nearest of these colours"
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


def colors_of(mask: MaskFacts) -> Mapping[Color, int]:
    """RGB -> pixels, of grey masks too."""
    return mask.colors or {(v, v, v): pixels for v, pixels in mask.values.items()}


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


def unknown_values(mask: MaskFacts, encoding: Encoding) -> tuple[int | Color, ...]:
    """Values or colours of a mask that the encoding has no class for, most pixels first."""
    if encoding.threshold is not None or mask.path is None:
        return tuple(mask.colors)
    if encoding.nearest and mask.lossy:
        return _too_far(mask, encoding)
    if mask.colors:
        return _left_over(mask.colors, encoding.colors)
    return _left_over(mask.values, encoding.values or _grey_values(encoding))


def _too_far(mask: MaskFacts, encoding: Encoding) -> tuple[Any, ...]:
    """Colours that are near to no class, if they are more than edges leave in a JPEG."""
    colors = colors_of(mask)
    _, distances = nearest_colors(np.array(list(colors)), list(encoding.colors))
    far = {color: n for (color, n), d in zip(colors.items(), distances, strict=True) if d > NEAR}
    if sum(far.values()) <= (1 - NEAR_SHARE) * sum(colors.values()):
        return ()
    return _left_over(far if mask.colors else {color[0]: n for color, n in far.items()}, {})


def _left_over(pixels: Mapping[Any, int], known: Mapping[Any, int]) -> tuple[Any, ...]:
    left = [value for value in pixels if value not in known]
    return tuple(sorted(left, key=lambda value: -pixels[value]))


def encode_mask(pixels: ndarray, encoding: Encoding) -> ndarray:
    """Raw pixels, (height, width) or (height, width, 3), -> (height, width) uint8 classes.

    Raises DataError for values and colours that the encoding does not name.
    """
    if encoding.nearest:
        return _encode_nearest(pixels, encoding)
    if pixels.ndim == 3:
        return _encode_colors(pixels, encoding)
    if encoding.threshold is not None:
        return (pixels > encoding.threshold).astype(np.uint8)
    values = encoding.values or _grey_values(encoding)
    if pixels.dtype not in (np.uint8, np.uint16):
        found, places = np.unique(pixels, return_inverse=True)
        encoded = _looked_up(found, values)
        return encoded[places].reshape(pixels.shape)
    table = np.full(np.iinfo(pixels.dtype).max + 1, _UNKNOWN, np.uint8)
    inside = [value for value in values if 0 <= value < len(table)]
    table[inside] = [values[value] for value in inside]
    encoded = table[pixels]
    if (encoded == _UNKNOWN).any():
        raise DataError(_not_known(np.unique(pixels[encoded == _UNKNOWN]).tolist(), values))
    return encoded


def _grey_values(encoding: Encoding) -> dict[int, int]:
    """What a grey mask means among colour masks."""
    return {c[0]: index for c, index in encoding.colors.items() if c[0] == c[1] == c[2]}


def _looked_up(found: ndarray, values: Mapping[int, int]) -> ndarray:
    unknown = [value for value in found.tolist() if value not in values]
    if unknown:
        raise DataError(_not_known(unknown, values))
    return np.array([values[value] for value in found.tolist()], np.uint8)


def _not_known(unknown: list[int], values: Mapping[int, int]) -> str:
    return (
        f"the mask holds {shown(unknown)}, known are {shown(sorted(values))}; "
        "correct the mask, or name the values in dataset.yaml"
    )


def _encode_colors(pixels: ndarray, encoding: Encoding) -> ndarray:
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colors = sorted(encoding.colors)
    known = np.array([c[0] << 16 | c[1] << 8 | c[2] for c in colors] or [-1], np.int32)
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    wrong = known[places] != codes
    if wrong.any():
        found = np.unique(pixels[wrong], axis=0)[:5].tolist()
        listed = ", ".join(hexadecimal((r, g, b)) for r, g, b in found)
        raise DataError(
            f"the mask holds the colours {listed}, which mean no class; "
            "correct the mask, or name them under colors in dataset.yaml"
        )
    return np.array([encoding.colors[c] for c in colors], np.uint8)[places]


def _encode_nearest(pixels: ndarray, encoding: Encoding) -> ndarray:
    colors = pixels if pixels.ndim == 3 else pixels[:, :, None].repeat(3, 2)
    found, places = np.unique(colors.reshape(-1, 3), axis=0, return_inverse=True)
    return nearest_classes(found, encoding)[places].reshape(pixels.shape[:2])


def nearest_classes(colors: ndarray, encoding: Encoding) -> ndarray:
    """(colors, 3) -> (colors,) uint8, the class index of the nearest colour of the encoding."""
    places, _ = nearest_colors(colors, list(encoding.colors))
    return np.array(list(encoding.colors.values()), np.uint8)[places]


def read_mask(sample: Sample, folder: DataFolder, size: tuple[int, int]) -> ndarray:
    """The mask of a sample in memory, uint8: (height, width), multi-label (classes, height, width).

    `size` is (height, width) of the image: what run-length codes and absent layers are made at; a
    mask file keeps its own size. Raises DataError with the file or the id.
    """
    match sample.mask:
        case MaskFile(path):
            return _read_encoded([path], folder.encoding)
        case MaskPieces(paths):
            return _read_encoded(paths, folder.encoding)
        case MaskLayers(paths):
            layers = [
                np.zeros(size, np.uint8) if p is None else _read_encoded([p], folder.encoding)
                for p in paths
            ]
            if len({layer.shape for layer in layers}) > 1:
                sizes = ", ".join(sorted({f"{h} x {w}" for h, w in (la.shape for la in layers)}))
                raise DataError(f"{sample.id}: the masks of its classes differ in size: {sizes}")
            return np.stack(layers)
        case MaskRuns(runs):
            layers = _decoded(sample, runs, len(folder.classes), size)
            return layers[0] if folder.task == "binary" else layers
        case MaskOutlines(source=source):
            try:
                return draw_mask(sample.mask, folder.task, folder.classes, size)
            except DataError as error:
                raise DataError(f"{source}: {error}") from None


def _read_encoded(paths: Sequence[Path], encoding: Encoding) -> ndarray:
    try:
        joined = read_mask_pieces(paths) if len(paths) > 1 else read_mask_pixels(paths[0])
        return encode_mask(joined, encoding)
    except DataError as error:
        if any(str(path) in str(error) for path in paths):
            raise
        raise DataError(f"{paths[0]}: {error}") from None


def _decoded(
    sample: Sample, runs: tuple[tuple[int, str], ...], count: int, size: tuple[int, int]
) -> ndarray:
    layers = np.zeros((count, *size), np.uint8)
    for index, text in runs:
        try:
            layers[index] |= decode(text, *size)
        except DataError as error:
            raise DataError(f"{sample.id}: {error}") from None
    return layers
