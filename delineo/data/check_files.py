"""Findings about files: what is missing, broken, of another size, turned or empty."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from pathlib import Path

import numpy as np

from .check_outlines import outline_findings
from .facts import Facts, FileError, ImageFacts, MaskFacts
from .findings import Finding, counted
from .geotags import Placement
from .layouts import Layout
from .samples import MaskPieces

APART = 0.51  # pixels; half a pixel is a matter of whether corners or middles are counted
SWAPPED_AXES = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


def file_findings(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """All that can be said without knowing what mask values mean."""
    yield from _unpaired(layout)
    yield from _joined(layout)
    yield from _broken(layout.root, facts)
    yield from _several(layout.root, facts)
    yield from _sizes(layout, facts)
    yield from _places(layout.root, facts)
    yield from _unclear_orientation(layout, facts)
    yield from _pixels(layout, facts)
    yield from _missing(layout, facts)
    yield from _kinds(layout, facts)
    yield from outline_findings(layout, facts)


def relative(root: Path, paths: Iterable[Path]) -> tuple[str, ...]:
    """Paths as people know them: from the data folder on."""
    return tuple(
        (path.relative_to(root) if path.is_relative_to(root) else path).as_posix() for path in paths
    )


def images_where(
    layout: Layout, facts: Mapping[str, Facts], chosen: Iterable[str]
) -> tuple[str, ...]:
    """Image files of the chosen ids."""
    wanted = set(chosen)
    return relative(layout.root, (s.image for s in layout.samples if s.id in wanted))


def _unpaired(layout: Layout) -> Iterator[Finding]:
    if layout.unpaired_images:
        yield Finding(
            "unpaired-image",
            "warning",
            f"{counted(len(layout.unpaired_images), 'image')} without a mask; left out",
            relative(layout.root, layout.unpaired_images),
            "Add masks with the images' stems (all zero where nothing is to be found), or move the "
            "images away",
        )
    if layout.unpaired_masks:
        yield Finding(
            "unpaired-mask",
            "warning",
            f"{counted(len(layout.unpaired_masks), 'mask')} without an image; left out",
            relative(layout.root, layout.unpaired_masks),
            "Add the images, or correct the masks' names so that stems agree",
        )


def _joined(layout: Layout) -> Iterator[Finding]:
    pieces = [sample.mask.paths for sample in layout.samples if isinstance(sample.mask, MaskPieces)]
    if pieces:
        number = sum(map(len, pieces))
        yield Finding(
            "joined-masks",
            "note",
            f"{counted(len(pieces), 'image')} with several mask files, {number:,} in all; "
            "they are joined: what is foreground in any of them is foreground",
            relative(layout.root, (path for paths in pieces for path in paths)),
        )


def _broken(root: Path, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    errors = [error for known in facts.values() for error in known.errors]
    unreadable = [error for error in errors if error.kind == "unreadable"]
    if unreadable:
        yield Finding(
            "unreadable",
            "error",
            f"{counted(len(unreadable), 'file')} cannot be read, the first "
            f"{_reason(unreadable[0])}",
            relative(root, (error.path for error in unreadable)),
            "Fetch or save them again, or remove them together with their partner",
        )
    codes = [error for error in errors if error.kind == "bad-run-length"]
    if codes:
        yield Finding(
            "bad-run-length",
            "error",
            f"{counted(len(codes), 'run-length code')} cannot be right; of the first image: "
            f"{_reason(codes[0])}",
            tuple(dict.fromkeys(relative(root, (error.path for error in codes)))),
            "Correct the table; codes count pixels from 1, down each column of the original image",
        )


def _several(root: Path, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    several = list(dict.fromkeys(path for known in facts.values() for path in known.several))
    if several:
        yield Finding(
            "several-frames",
            "warning",
            f"{counted(len(several), 'file')} of several pictures (an animation, a stack of "
            "pages), of which only the first is read",
            relative(root, several),
            "Save each picture as a file of its own, with a mask for each image",
        )


def _reason(error: FileError) -> str:
    """The message without the path and the advice."""
    text = error.message.removeprefix(str(error.path)).strip(" :")
    return text.rpartition(";")[0] or text


def _sizes(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    turned: list[Path] = []
    others: list[tuple[MaskFacts, ImageFacts]] = []
    for known in facts.values():
        for mask in known.masks:
            image = known.image
            if image is None or (mask.height, mask.width) == (image.height, image.width):
                continue
            swapped = (mask.width, mask.height) == (image.height, image.width)
            if swapped and image.orientation in SWAPPED_AXES and mask.path:
                turned.append(mask.path)
            else:
                others.append((mask, image))
    if turned:
        yield Finding(
            "exif-size-mismatch",
            "error",
            f"{counted(len(turned), 'mask')} across the image: EXIF says that the image must be "
            "turned, and the mask was drawn before turning",
            relative(layout.root, turned),
            "Turn these masks like their images, or save the images without the EXIF orientation",
        )
    if others:
        yield _size_mismatch(layout.root, others)


def _size_mismatch(root: Path, pairs: list[tuple[MaskFacts, ImageFacts]]) -> Finding:
    mask, image = pairs[0]
    swapped = all((m.width, m.height) == (i.height, i.width) for m, i in pairs)
    how = "height and width are exchanged" if swapped else "height x width"
    return Finding(
        "size-mismatch",
        "error",
        f"{counted(len(pairs), 'mask')} of another size than the image; the first is "
        f"{mask.height} x {mask.width}, its image {image.height} x {image.width} ({how})",
        relative(root, (mask.path for mask, _ in pairs if mask.path)),
        "Export the masks again at the size of the images; where they were resized, "
        "resize back with nearest neighbour",
    )


def _places(root: Path, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """Masks of another place on the map than their image."""
    pairs = [(known.image, mask) for known in facts.values() if known.image for mask in known.masks]
    apart = {
        mask.path: _pixels_apart(image.placement, mask.placement, (image.height, image.width))
        for image, mask in pairs
        if mask.path and image.placement and mask.placement
    }
    apart = {path: pixels for path, pixels in apart.items() if pixels > APART}
    if apart:
        yield Finding(
            "elsewhere-on-map",
            "warning",
            f"{counted(len(apart), 'mask')} of another place on the map than the image"
            f"{_by(max(apart.values()))}; pixels are paired as they stand in the files",
            relative(root, apart),
            "Look at one with its image; cut both from the same window, or correct the coordinates",
        )


def _by(pixels: float) -> str:
    return ", in another coordinate system" if pixels == inf else f", by up to {pixels:,.1f} pixels"


def _pixels_apart(image: Placement, mask: Placement, size: tuple[int, int]) -> float:
    """How far the corners of an image of `size` (height, width) lie apart, in its pixels."""
    if image.crs and mask.crs and image.crs != mask.crs:
        return inf
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    distance = np.hypot(*(image.on_map(corners) - mask.on_map(corners)).T).max()
    return float(distance) / max(np.hypot(*image.across), 1e-12)


def _unclear_orientation(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    turned = {key: k.image for key, k in facts.items() if k.image and k.image.orientation != 1}
    unclear = [key for key, image in turned.items() if not _size_tells(image, facts[key])]
    if unclear:
        yield Finding(
            "exif-unclear",
            "warning",
            f"{counted(len(unclear), 'image')} turned as EXIF says; the mask's size cannot tell "
            "whether it was drawn before or after turning, taken as after",
            images_where(layout, facts, unclear),
            "Look at one with its mask; if they disagree, save the image without EXIF orientation",
        )
    said = set(unclear)
    clear = [key for key in turned if key not in said]
    if clear:
        yield Finding(
            "exif-rotated",
            "note",
            f"{counted(len(clear), 'image')} turned upright as EXIF says",
            images_where(layout, facts, clear),
        )


def _size_tells(image: ImageFacts, facts: Facts) -> bool:
    """Whether a mask file of the wrong orientation would have another size."""
    swaps = image.orientation in SWAPPED_AXES and image.height != image.width
    told = facts.drawn is not None and facts.drawn.size is not None
    return swaps and (told or any(mask.path for mask in facts.masks))


def _pixels(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    constant = [key for key, known in facts.items() if known.image and known.image.constant]
    if constant:
        number = counted(len(constant), "image")
        yield Finding(
            "constant-image",
            "warning",
            f"{number} with one single value in every pixel, nothing to learn from",
            images_where(layout, facts, constant),
            "Remove them, unless such images are to be expected in use",
        )
    broken = [key for key, known in facts.items() if known.image and not known.image.finite]
    if broken:
        yield Finding(
            "non-finite-image",
            "error",
            f"{counted(len(broken), 'image')} with NaN or infinite pixels",
            images_where(layout, facts, broken),
            "Fill these pixels with a number; one of them is enough to spoil a training",
        )


def _missing(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    shares = {k: known.image.missing for k, known in facts.items() if known.image}
    holed = [key for key, share in shares.items() if share]
    if holed:
        yield Finding(
            "no-data",
            "note",
            f"{counted(len(holed), 'GeoTIFF')} with pixels that hold no data, up to "
            f"{100 * max(shares.values()):.0f} % of an image; these are ignored",
            images_where(layout, facts, holed),
        )


def _kinds(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    images = {key: known.image for key, known in facts.items() if known.image}
    channels = Counter(image.channels for image in images.values())
    if len(channels) > 1:
        wanted = common_channels(channels)
        rare = [k for k, i in images.items() if i.channels != channels.most_common(1)[0][0]]
        yield Finding(
            "mixed-channels",
            "note" if wanted else "error",
            f"images of {_listed(channels, 'channel')}; "
            + (f"all are read with {wanted}" if wanted else "they cannot be read as one kind"),
            images_where(layout, facts, rare),
            "" if wanted else "Save all images with the same channels",
        )
    depths = Counter(image.dtype for image in images.values())
    if len(depths) > 1:
        rare = [k for k, i in images.items() if i.dtype != depths.most_common(1)[0][0]]
        yield Finding(
            "mixed-depth",
            "warning",
            f"images of {' and '.join(f'{n:,} {dtype}' for dtype, n in depths.most_common())} "
            "pixels: the same brightness is another number in each",
            images_where(layout, facts, rare),
            "Save all images with the same depth",
        )


def _listed(channels: Counter[int], noun: str) -> str:
    return " and ".join(
        f"{counted(number, noun)} ({images:,})" for number, images in channels.most_common()
    )


def common_channels(channels: Iterable[int]) -> int | None:
    """The largest channel count that every image can be read with; None where there is none."""
    have = set(channels)
    fits = [want for want in have if all(_convertible(other, want) for other in have)]
    return max(fits, default=None)


def _convertible(have: int, want: int) -> bool:
    """As scaling.match_channels does it."""
    return have in (want, 1) or (have, want) in ((3, 1), (4, 1), (4, 3), (2, 1))
