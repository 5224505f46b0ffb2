"""What the values of mask files mean, guessed from how many pixels have each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import DataError
from .samples import IGNORE_INDEX, Encoding, Task

Histogram = Mapping[int, int]
"""Mask value -> pixels."""
Color = tuple[int, int, int]

MOST_CLASSES = 64
"""More values than this, with gaps between them or most of them in one mask, are no classes."""
MOST_IN_ONE = 32
"""Where there are many classes, a mask shows a few: of 150 in ADE20K, about ten."""
_PEAK_SHARE = 0.9  # of the pixels of a soft or lossy binary mask lie near 0 or the largest value
_OF_BETWEEN, _OF_TOP = 0.6, 0.3
"""An eighth of the range that holds more of what a mask has between 0 and the largest value, and
more than this share of what it has near the largest, is no edge but another class."""
_MASKS_WITH_IT = 0.02  # of all masks: fewer are slips


class Guess(NamedTuple):
    """`classes` as in DataFolder; `assumption` is a sentence for people."""

    task: Task
    classes: tuple[str, ...]
    encoding: Encoding
    assumption: str


def total(histograms: Iterable[Mapping]) -> Counter:
    """The pixels of all masks together."""
    pixels: Counter = Counter()
    for histogram in histograms:
        pixels.update(histogram)
    return pixels


def guess_values(histograms: Sequence[Histogram], lossy: bool) -> Guess:
    """Task, classes and encoding of masks whose classes nobody has named.

    `lossy`: files are JPEG. Raises DataError if the values look like no classes.
    """
    guess = guess_binary(histograms, lossy)
    if guess is not None:
        if guess.encoding.threshold is not None:
            _refuse_third_value(histograms)
        return guess
    seen = sorted(total(histograms))
    named = [value for value in seen if value != IGNORE_INDEX]
    counted_up = named[-1] < 250 and named[-1] + 1 <= 2 * len(named) and named[0] == 0
    if counted_up and not (len(seen) > MOST_CLASSES and _typical(histograms) > MOST_IN_ONE):
        return _numbered(named[-1] + 1, IGNORE_INDEX in seen)
    if lossy or len(seen) > MOST_CLASSES:
        raise DataError(
            f"masks hold {len(seen)} different values, {shown(seen)}, which look like no classes; "
            "save masks as PNG without smoothing, or give `values` in dataset.yaml; where values "
            "number single objects, save one value for each class"
        )
    if named == list(range(1, len(named) + 1)):
        return _in_order(named, IGNORE_INDEX in seen)
    return _in_order(seen, False)


def _typical(histograms: Sequence[Histogram]) -> int:
    """How many values the median mask holds."""
    return sorted(map(len, histograms))[len(histograms) // 2]


def guess_binary(histograms: Sequence[Histogram], lossy: bool) -> Guess | None:
    """The guess for masks of one object and background; None if they hold more."""
    seen = sorted(total(histograms))
    if not seen:
        raise DataError("no mask could be read; see the files named")
    if seen == [0] or (lossy and seen[-1] < 32):
        return _binary({0: 0, 1: 1, 255: 1}, "all masks are empty: nothing but 0 is in them", lossy)
    if len(seen) == 1:
        sentence = f"all masks hold only the value {seen[0]}, taken as foreground everywhere"
        return _binary({0: 0, seen[0]: 1}, sentence)
    if len(seen) == 2:
        low, high = seen
        return _binary(
            {low: 0, high: 1}, f"mask value {low} is background and {high} is foreground"
        )
    if seen == [0, 1, 255]:
        if any(1 in histogram and 255 in histogram for histogram in histograms):
            sentence = "mask value 0 is background, 1 is foreground, and 255 is ignored"
            return _binary({0: 0, 1: 1, 255: IGNORE_INDEX}, sentence)
        sentence = "some masks are 0/1 and others 0/255: both 1 and 255 are foreground"
        return _binary({0: 0, 1: 1, 255: 1}, sentence)
    if seen == [0, 255, 65535] and not any({255, 65535} <= h.keys() for h in histograms):
        sentence = "some masks are 0/255 and others 0/65535: both 255 and 65535 are foreground"
        return _binary({0: 0, 255: 1, 65535: 1}, sentence)
    return _soft(total(histograms), lossy)


def _binary(values: dict[int, int], assumption: str, lossy: bool = False) -> Guess:
    encoding = Encoding(threshold=127) if lossy else Encoding(values)
    return Guess("binary", ("foreground",), encoding, assumption)


def _soft(pixels: Counter, lossy: bool) -> Guess | None:
    """Two peaks, at 0 and at the largest value, with noise or soft edges between them."""
    top = max(pixels)
    margin = top // 8
    between = [value for value in pixels if margin < value < top]
    near = sum(n for value, n in pixels.items() if value <= margin or value >= top - margin)
    few = len(pixels) < (3 if lossy else 6)
    if top < 100 or few or not between or near < _PEAK_SHARE * pixels.total():
        return None
    if not lossy and len(between) < 3:
        return None
    threshold = top // 2
    why = "JPEG noise" if lossy else "smoothed or resized edges"
    return Guess(
        "binary",
        ("foreground",),
        Encoding(threshold=threshold),
        f"masks hold {len(pixels)} values around 0 and {top} ({why}): "
        f"those above {threshold} are foreground",
    )


def _refuse_third_value(histograms: Sequence[Histogram]) -> None:
    """Raises DataError where masks with soft edges have objects of a value in the middle."""
    top = max(total(histograms))
    found = [value for each in histograms if (value := _third_value(each, top)) is not None]
    if found and len(found) >= _MASKS_WITH_IT * len(histograms):
        raise DataError(
            f"masks hold values around 0 and {top} with noise or smoothed edges, and objects of "
            f"about {found[0]}, which may be another class; save masks as PNG without smoothing, "
            "or write `task: binary` in dataset.yaml, which cuts them in the middle"
        )


def _third_value(histogram: Histogram, top: int) -> int | None:
    """Where one mask has most of what lies between 0 and `top`, if it is more than edges have."""
    bins = [0] * 17
    for value, pixels in histogram.items():
        bins[16 * value // top] += pixels
    between, pairs = sum(bins[2:14]), [bins[low] + bins[low + 1] for low in range(2, 13)]
    if max(pairs) <= max(_OF_BETWEEN * between, _OF_TOP * sum(bins[14:])):
        return None
    low = 2 + pairs.index(max(pairs))
    return max((v for v in histogram if 16 * v // top in (low, low + 1)), key=histogram.__getitem__)


def _numbered(count: int, ignored: bool) -> Guess:
    values = {value: value for value in range(count)}
    sentence = f"mask values 0 to {count - 1} are {count} classes"
    if ignored:
        values[IGNORE_INDEX] = IGNORE_INDEX
        sentence += ", and 255 is ignored"
    classes = tuple(f"class {value}" for value in range(count))
    return Guess("multiclass", classes, Encoding(values), sentence)


def _in_order(seen: list[int], ignored: bool) -> Guess:
    values = {value: index for index, value in enumerate(seen)}
    sentence = f"mask values {shown(seen)} are classes 0 to {len(seen) - 1}, in this order"
    if ignored:
        values[IGNORE_INDEX] = IGNORE_INDEX
        sentence += ", and 255 is ignored"
    classes = tuple(f"value {value}" for value in seen)
    return Guess("multiclass", classes, Encoding(values), sentence)


def guess_named(pixels: Counter, names: tuple[str, ...], background_named: bool) -> Guess:
    """The encoding of masks whose classes have names, but no values.

    Values that are left over are not in the encoding.
    """
    seen = sorted(pixels)
    plain = [value for value in seen if value != IGNORE_INDEX]
    count = len(names)
    if len(seen) == count == 2:
        return _named_in_order(seen, names)
    if not set(plain) <= set(range(count + 1)) and count in (len(seen), len(plain)):
        guess = _named_in_order(seen if len(seen) == count else plain, names)
    elif max(plain, default=0) == count:
        guess = _one_more_than_named(pixels, names, background_named)
    else:
        guess = _named_in_order(list(range(count)), names)
    if IGNORE_INDEX not in seen or IGNORE_INDEX in guess.encoding.values:
        return guess
    encoding = Encoding({**guess.encoding.values, IGNORE_INDEX: IGNORE_INDEX})
    return guess._replace(encoding=encoding, assumption=f"{guess.assumption}, and 255 is ignored")


def _one_more_than_named(pixels: Counter, names: tuple[str, ...], background_named: bool) -> Guess:
    """Values 0 to K for K names: 0 is background if most pixels have it, else K is void."""
    count = len(names)
    if not background_named and pixels[0] > pixels.total() / 2:
        sentence = (
            "mask value 0, most pixels, has no name and is taken as background; "
            f"1 to {count} are the classes in the order they are named"
        )
        values = {value: value for value in range(count + 1)}
        return Guess("multiclass", ("background", *names), Encoding(values), sentence)
    named = _named_in_order(list(range(count)), names)
    return named._replace(
        encoding=Encoding({**named.encoding.values, count: IGNORE_INDEX}),
        assumption=f"{named.assumption}, and {count}, which has no name, is ignored",
    )


def _named_in_order(values: list[int], names: tuple[str, ...]) -> Guess:
    ordered = {value: index for index, value in enumerate(values)}
    sentence = f"mask values {shown(values)} are the classes in the order they are named"
    return Guess("multiclass", names, Encoding(ordered), sentence)


def guess_colors(histograms: Sequence[Mapping[Color, int]]) -> Guess:
    """Black first, then the colours by how many pixels have them. Raises DataError."""
    pixels = total(histograms)
    if len(pixels) > MOST_CLASSES:
        raise DataError(
            f"masks hold {len(pixels)} different colours, which look like no classes; "
            "save masks as PNG without smoothing, and give `colors` in dataset.yaml"
        )
    ordered = sorted(pixels, key=lambda color: (color != (0, 0, 0), -pixels[color], color))
    encoding = Encoding(colors={color: index for index, color in enumerate(ordered)})
    listed = ", ".join(map(hexadecimal, ordered))
    if len(ordered) == 2:
        sentence = f"mask colour {hexadecimal(ordered[0])} is background, the other foreground"
        return Guess("binary", ("foreground",), encoding, f"{sentence} ({listed})")
    sentence = f"mask colours {listed} are classes 0 to {len(ordered) - 1}, in this order"
    return Guess("multiclass", tuple(map(hexadecimal, ordered)), encoding, sentence)


def hexadecimal(color: Color) -> str:
    """(255, 0, 16) -> #ff0010."""
    return "#" + "".join(f"{channel:02x}" for channel in color)


def shown(values: Sequence[int]) -> str:
    """At most eight values in words."""
    if len(values) > 8:
        return f"{', '.join(map(str, values[:5]))}, ... {values[-1]}"
    return ", ".join(map(str, values))
