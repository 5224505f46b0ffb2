"""The same picture twice: exactly, or resized, recompressed and brightened.

Thumbnails are compared by their detail, the part that a blur removes: in a copy it is the same, in
a neighbouring slice or frame it has moved, and smooth pictures have none. At 16x16 every picture is
compared with every other; pairs that are alike must then agree as a whole and in finer detail.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float32, Int, Int8

from .facts import THUMBNAIL_SIDE, ImageFacts

ALIKE = 0.8  # correlation of the detail at 16x16 that makes a pair worth a second look
SAME = 0.98  # correlation of a copy, at 32x32 or 16x16
SAME_DETAIL = 0.9  # correlation of the detail of a copy
SAME_COARSE_DETAIL = 0.95  # the same at 16x16, for pictures too small to be sharp at 32x32
MIN_CONTRAST = 0.004  # of the type's range: flatter pictures are all alike
MIN_DETAIL = 1.0  # std of the detail where the thumbnail's is 32: less is noise and rounding
SAME_ASPECT = 1.05
BLOCK = 2048
MOST_PER_BLOCK = 4 * BLOCK
"""Of a block of pictures all alike (a fixed camera) only the likest pairs are looked at."""


def exact_duplicates(images: Mapping[str, ImageFacts]) -> list[tuple[str, ...]]:
    """Ids of pictures equal in every pixel, two or more each; constant pictures are left out."""
    by_digest: dict[str, list[str]] = {}
    for sample_id, image in images.items():
        if not image.constant:
            by_digest.setdefault(image.digest, []).append(sample_id)
    return [tuple(ids) for ids in by_digest.values() if len(ids) > 1]


def near_duplicates(images: Mapping[str, ImageFacts]) -> list[tuple[str, str]]:
    """Pairs of ids whose pictures are copies of each other but not equal in every pixel.

    Of pictures that are equal only the first is compared.
    """
    chosen = {image.digest: key for key, image in reversed(list(images.items()))}
    ids = [
        key
        for key, image in images.items()
        if chosen[image.digest] == key and not image.constant and image.contrast >= MIN_CONTRAST
    ]
    if len(ids) < 2:
        return []
    thumbnails = np.stack([images[key].thumbnail for key in ids])
    aspects = np.array([images[key].width / images[key].height for key in ids])
    pairs: list[tuple[str, str]] = []
    for first, second in _candidates(_unit(_detail(_halved(thumbnails)))):
        ratio = aspects[first] / aspects[second]
        shaped_alike = (ratio < SAME_ASPECT) & (ratio > 1 / SAME_ASPECT)
        first, second = first[shaped_alike], second[shaped_alike]
        same = _are_copies(thumbnails[first], thumbnails[second])
        pairs += [(ids[i], ids[j]) for i, j in zip(first[same], second[same], strict=True)]
    return pairs


def _candidates(
    unit: Float32[np.ndarray, "images features"],
) -> Iterator[tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]]:
    """Indices (i < j) of pairs with a correlation of at least ALIKE, block by block."""
    for top in range(0, len(unit), BLOCK):
        for left in range(top, len(unit), BLOCK):
            alike = unit[top : top + BLOCK] @ unit[left : left + BLOCK].T
            alike = np.triu(alike, 1) if top == left else alike
            first, second = np.nonzero(alike >= ALIKE)
            if len(first) > MOST_PER_BLOCK:
                likest = np.argpartition(alike[first, second], -MOST_PER_BLOCK)[-MOST_PER_BLOCK:]
                first, second = first[likest], second[likest]
            for start in range(0, len(first), BLOCK):
                piece = slice(start, start + BLOCK)
                yield first[piece] + top, second[piece] + left


def _are_copies(
    first: Int8[np.ndarray, "pairs side side"], second: Int8[np.ndarray, "pairs side side"]
) -> np.ndarray:
    """Whether the two thumbnails of each pair show one picture."""
    coarse = _halved(first), _halved(second)
    return _agree(first, second, SAME_DETAIL) | _agree(*coarse, SAME_COARSE_DETAIL)


def _agree(first: np.ndarray, second: np.ndarray, least: float) -> np.ndarray:
    """Whether pictures agree as a whole, and in their detail by a correlation of `least`."""
    details = _detail(first), _detail(second)
    sharp = np.minimum(details[0].std((1, 2)), details[1].std((1, 2))) >= MIN_DETAIL
    return sharp & (_correlation(first, second) >= SAME) & (_correlation(*details) >= least)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (_unit(first) * _unit(second)).sum(1)


def _unit(pictures: np.ndarray) -> Float32[np.ndarray, "pictures pixels"]:
    """Each picture as a vector of mean 0 and length 1."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _halved(
    thumbnails: Int8[np.ndarray, "pictures side side"],
) -> Float32[np.ndarray, "pictures half half"]:
    half = THUMBNAIL_SIDE // 2
    blocks = thumbnails.reshape(len(thumbnails), half, 2, half, 2)
    return blocks.mean((2, 4), dtype=np.float32)


def _detail(thumbnails: np.ndarray) -> Float32[np.ndarray, "pictures inner inner"]:
    """Inner pixels minus the mean of the 3x3 around them."""
    values = thumbnails.astype(np.float32)
    rows = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
    blurred = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return values[:, 1:-1, 1:-1] - blurred
