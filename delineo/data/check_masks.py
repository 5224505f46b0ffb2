"""Findings about masks: values that mean nothing, noise, soft edges, and what classes there are."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .check_files import relative
from .contents import Contents, class_shares
from .encoding import unknown_values
from .facts import Facts, MaskFacts
from .findings import Finding, counted
from .inferred import Inferred
from .jpeg_colors import LOSSY, edge_colors
from .layouts import Layout
from .mask_values import Color, hexadecimal
from .samples import IGNORE_INDEX

STRAY_PIXELS = 1e-4  # a class with less of all pixels, and
STRAY_MASKS = 0.02  # in fewer of all masks than this, may be a slip of the pen
RARE = 0.005  # share of all pixels below which a class is worth a word
MAJORITY = 0.5  # share of the foreground above which it may be the background
REPEATED_SHARE = 0.2  # of all masks, equal to each other but not of one value, and
REPEATED_LEAST = 5  # as many masks are too many to be chance


@dataclass(frozen=True)
class Known:
    """All that findings about masks are made from."""

    layout: Layout
    facts: Mapping[str, Facts]
    inferred: Inferred
    contents: Mapping[str, Contents]

    @property
    def files(self) -> list[MaskFacts]:
        """Masks that are files of their own."""
        return [mask for known in self.facts.values() for mask in known.masks if mask.path]

    def masks_of(self, chosen: list[str]) -> tuple[str, ...]:
        """Mask files of the chosen ids; image files where masks are codes."""
        images = {sample.id: sample.image for sample in self.layout.samples}
        paths = []
        for sample_id in chosen:
            own = [mask.path for mask in self.facts[sample_id].masks if mask.path]
            paths += own or [images[sample_id]]
        return relative(self.layout.root, paths)


def mask_findings(known: Known) -> Iterator[Finding]:
    """All that can be said of masks without knowing the parts."""
    yield from _unknown(known)
    yield from _noisy_colors(known)
    yield from _soft(known)
    yield from _mixed_values(known)
    yield from _stray(known)
    yield from _classes_there(known)
    yield from _whole_masks(known)
    yield from _repeated(known)
    yield from _balance(known)


def _unknown(known: Known) -> Iterator[Finding]:
    wrong = [(mask, unknown_values(mask, known.inferred.encoding)) for mask in known.files]
    wrong = [(mask, values) for mask, values in wrong if values]
    if not wrong:
        return
    pixels: Counter = Counter()
    for mask, values in wrong:
        counts = mask.colors or mask.values
        pixels.update({value: counts[value] for value in values})  # pyright: ignore[reportArgumentType]
    listed = ", ".join(f"{_spelled(v)} ({n:,} pixels)" for v, n in pixels.most_common(5))
    more = f" and {len(pixels) - 5:,} more" if len(pixels) > 5 else ""
    yield Finding(
        "unknown-value",
        "error",
        f"{counted(len(wrong), 'mask')} with {_what(pixels)} that mean no class: {listed}{more}",
        relative(known.layout.root, (mask.path for mask, _ in wrong if mask.path)),
        "Correct these masks, or name the values in dataset.yaml (values, colors, ignore_value)",
    )


def _what(pixels: Counter) -> str:
    return "colours" if any(isinstance(value, tuple) for value in pixels) else "values"


def _spelled(value: int | Color) -> str:
    return hexadecimal(value) if isinstance(value, tuple) else str(value)


def _noisy_colors(known: Known) -> Iterator[Finding]:
    noisy = [mask for mask in known.files if mask.lossy]
    if known.inferred.encoding.nearest and noisy:
        between = next(edge_colors(list(known.inferred.encoding.colors)), None)
        lines = " and, between {1} and {2}, show a line of {0}" if between else ""
        lines = lines.format(*map(hexadecimal, between or ()))
        yield Finding(
            "jpeg-mask",
            "warning",
            f"{counted(len(noisy), 'mask')} saved as {LOSSY}, which changes colours and blurs "
            "edges; every pixel takes the nearest class colour, so that edges may be off by some "
            f"pixels{lines}",
            relative(known.layout.root, (mask.path for mask in noisy if mask.path)),
            "Export masks as PNG",
        )


def _soft(known: Known) -> Iterator[Finding]:
    threshold = known.inferred.encoding.threshold
    if threshold is None:
        return
    top = max((value for mask in known.files for value in mask.values), default=255)
    noisy = [mask for mask in known.files if mask.lossy]
    soft = [mask for mask in known.files if not mask.lossy and not mask.values.keys() <= {0, top}]
    if noisy:
        yield Finding(
            "jpeg-mask",
            "warning",
            f"{counted(len(noisy), 'mask')} saved as {LOSSY}, which blurs values and edges; "
            f"values above {threshold} are taken as foreground",
            relative(known.layout.root, (mask.path for mask in noisy if mask.path)),
            "Export masks as PNG",
        )
    if soft:
        yield Finding(
            "soft-mask-edges",
            "warning",
            f"{counted(len(soft), 'mask')} with values between 0 and {top}, as smoothing or "
            f"resizing leaves them; values above {threshold} are taken as foreground",
            relative(known.layout.root, (mask.path for mask in soft if mask.path)),
            "Export masks without anti-aliasing; resize them with nearest neighbour",
        )


def _mixed_values(known: Known) -> Iterator[Finding]:
    """Foreground written as 1 in some masks and as 255 in others."""
    inside = {value for value, index in known.inferred.encoding.values.items() if index == 1}
    if known.inferred.task == "multiclass" or len(inside) < 2:
        return
    users = {v: [mask for mask in known.files if v in mask.values] for v in sorted(inside)}
    users = {value: masks for value, masks in users.items() if masks}
    if len(users) < 2:
        return
    fewest = min(users, key=lambda value: len(users[value]))
    listed = " and ".join(f"{value} in {len(masks):,}" for value, masks in users.items())
    yield Finding(
        "mixed-mask-values",
        "warning",
        f"foreground is {listed} masks; all of these are taken as foreground",
        relative(known.layout.root, (mask.path for mask in users[fewest] if mask.path)),
        f"Make sure that {fewest} is no class of its own in these masks",
    )


def _stray(known: Known) -> Iterator[Finding]:
    """Values so rare that they may be slips, where the number of classes was guessed from them."""
    task, classes, encoding, _ = known.inferred
    if known.layout.declared.classes or task != "multiclass" or not encoding.values:
        return
    shares = class_shares(list(known.contents.values()), classes)
    for value, index in encoding.values.items():
        users = [mask for mask in known.files if value in mask.values]
        if index == IGNORE_INDEX or not users:
            continue
        few = len(users) <= max(1, STRAY_MASKS * len(known.files)) < len(known.files) / 2
        if few and shares[classes[index]] < STRAY_PIXELS:
            pixels = sum(mask.values[value] for mask in users)
            yield Finding(
                "stray-value",
                "warning",
                f"value {value} stands in {counted(len(users), 'mask')} only "
                f"({counted(pixels, 'pixel')}) and made a class of its own",
                relative(known.layout.root, (mask.path for mask in users if mask.path)),
                "If it is a slip, correct the mask; if it is a class, name the classes in "
                "dataset.yaml",
            )


def _classes_there(known: Known) -> Iterator[Finding]:
    present = {index for contents in known.contents.values() for index in contents.classes}
    absent = [n for index, n in enumerate(known.inferred.classes) if index not in present]
    if known.contents and len(present - _background(known)) == 0:
        yield Finding(
            "no-object",
            "error",
            "all masks are empty, there is nothing to learn",
            fix="Look at the masks; are they the right files, and did the export work?",
        )
    elif absent:
        yield Finding(
            "class-missing",
            "warning",
            f"no mask holds {_named(absent)}",
            fix="Check the class list, or add images with these classes; they cannot be learnt",
        )


def _background(known: Known) -> set[int]:
    """The class that is not an object: the first one of a multi-class task."""
    return {0} if known.inferred.task == "multiclass" else set()


def _named(classes: list[str]) -> str:
    shown = ", ".join(classes[:5])
    more = f" and {len(classes) - 5} more" if len(classes) > 5 else ""
    return f"the class{'es' if len(classes) > 1 else ''} {shown}{more}"


def _whole_masks(known: Known) -> Iterator[Finding]:
    contents = known.contents
    ignored = [key for key, own in contents.items() if own.ignored == own.area]
    if ignored:
        yield Finding(
            "ignored-mask",
            "warning",
            f"{counted(len(ignored), 'mask')} ignored in every pixel; nothing is learnt or scored",
            known.masks_of(ignored),
            "Remove them, or look whether the ignore value is right",
        )
    if known.inferred.task == "multiclass":
        return
    said = set(ignored)
    empty = [key for key, own in contents.items() if not own.classes and key not in said]
    if 0 < len(empty) < len(contents):
        yield Finding(
            "empty-mask",
            "note",
            f"{counted(len(empty), 'image')} of {len(contents):,} without any object; "
            "kept, since a model must learn where there is nothing",
            known.masks_of(empty),
        )
    full = [key for key, own in contents.items() if max(own.pixels) == own.area - own.ignored > 0]
    if known.inferred.task == "binary" and full:
        yield Finding(
            "full-mask",
            "note",
            f"{counted(len(full), 'mask')} with foreground in every pixel",
            known.masks_of(full),
        )


def _repeated(known: Known) -> Iterator[Finding]:
    """One and the same drawing for many images: an export gone wrong."""
    users: dict[str, list[MaskFacts]] = defaultdict(list)
    for mask in known.files:
        if len(mask.values) + len(mask.colors) > 1:
            users[mask.digest].append(mask)
    most = max(users.values(), key=len, default=[])
    if len(most) >= max(REPEATED_LEAST, REPEATED_SHARE * len(known.files)):
        yield Finding(
            "repeated-mask",
            "warning",
            f"{len(most):,} of {len(known.files):,} masks are one and the same drawing",
            relative(known.layout.root, (mask.path for mask in most if mask.path)),
            "Look whether their export wrote the right mask for each image",
        )


def _exchanged(known: Known) -> str:
    """What to write where foreground and background are the wrong way round."""
    values = known.inferred.encoding.values
    if len(values) != 2:
        return "say in dataset.yaml which value it has"
    names = {1: "background", 0: known.inferred.classes[0]}
    listed = ", ".join(f"{value}: {names[index]}" for value, index in sorted(values.items()))
    return f"write `values: {{{listed}}}` in dataset.yaml"


def _balance(known: Known) -> Iterator[Finding]:
    task, classes, _, _ = known.inferred
    shares = class_shares(list(known.contents.values()), classes)
    if task == "binary" and shares[classes[0]] > MAJORITY:
        yield Finding(
            "foreground-majority",
            "note",
            f"{classes[0]} covers {shares[classes[0]]:.0%} of all pixels",
            fix=f"If that is the background, {_exchanged(known)}",
        )
    rare = [f"{name} ({share:.2%})" for name, share in shares.items() if 0 < share < RARE]
    if rare and task != "binary":
        yield Finding(
            "rare-class",
            "note",
            f"little of all pixels: {', '.join(rare)}",
            fix="data.rare_classes=0.5 shows images with rare classes more often in training",
        )
