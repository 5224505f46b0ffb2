"""What one look at the pixels of a sample tells: sizes, values, brightness, a thumbnail."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int8, Shaped, UInt8
from PIL import Image

from .drawn import DrawnFacts
from .geotags import Placement

THUMBNAIL_SIDE = 32
MOST_COLORS = 4096
"""Of a mask with more colours (a JPEG, a photograph) only the most frequent are kept."""

_FLAT_STEP = 6  # that JPEG leaves in areas of one colour
_STATISTICS_PIXELS = 16_384
_LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jfif")


@dataclass(frozen=True)
class ImageFacts:
    """What is known of an image after orientation."""

    height: int
    width: int
    channels: int
    dtype: str
    mean: tuple[float, ...]
    """Of each channel, in the file's units."""
    std: tuple[float, ...]
    constant: bool
    """Every pixel is the same."""
    finite: bool
    """No pixel of a float image is NaN or infinite."""
    orientation: int
    """EXIF orientation, 1 to 8; 1 where the file names none."""
    digest: str
    """Of size, type and pixels: equal for files that hold the same picture."""
    contrast: float
    """Standard deviation of the grey thumbnail over the range of the type, 0 to 0.5."""
    thumbnail: Int8[np.ndarray, "side side"]
    """Grey, squeezed to a square, mean 0, standard deviation 32."""
    placement: Placement | None = None
    """Where a GeoTIFF lies on the map."""
    missing: float = 0.0
    """Share of pixels where a GeoTIFF holds no data."""


@dataclass(frozen=True)
class MaskFacts:
    """What is known of one mask file, or of one class's run-length code."""

    height: int
    width: int
    values: dict[int, int]
    """Grey or palette value -> pixels; empty for colour masks. Run-length codes: 0 and 1."""
    colors: dict[tuple[int, int, int], int]
    """RGB -> pixels, of lossy files in steps of 8; empty for grey and palette masks."""
    digest: str
    path: Path | None = None
    """None for run-length codes; of several files joined the first."""
    layer: int | None = None
    """The class index of a layer or a run-length code; None where the pixels say the class."""
    flat_colors: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """RGB -> pixels that are like their four neighbours; empty for files that are not lossy."""
    placement: Placement | None = None
    """Where a GeoTIFF lies on the map."""
    nodata: int | None = None
    """The value that a GeoTIFF calls no data."""
    lossy: bool = False
    """The file format changed pixel values when it was written: JPEG, and WebP unless lossless."""


@dataclass(frozen=True)
class Facts:
    """What is known of a sample. `image` is None and masks are missing where a file is broken."""

    image: ImageFacts | None
    masks: tuple[MaskFacts, ...]
    errors: tuple["FileError", ...] = ()
    drawn: DrawnFacts | None = None
    """Of a mask that is drawn from outlines."""
    several: tuple[Path, ...] = ()
    """Files with pictures after the first, which are not read."""


@dataclass(frozen=True)
class FileError:
    """A file that cannot be read, and why."""

    path: Path
    kind: Literal["unreadable", "bad-run-length", "bad-outline"]
    message: str


def image_facts(image: Shaped[np.ndarray, "height width channels"], orientation: int) -> ImageFacts:
    """Facts of an image that has been turned upright already."""
    height, width, channels = image.shape
    some = _some_pixels(image)
    thumbnail, contrast = _thumbnail(image)
    return ImageFacts(
        height=height,
        width=width,
        channels=channels,
        dtype=str(image.dtype),
        mean=tuple(some.mean(1).tolist()),
        std=tuple(some.std(1).tolist()),
        constant=not some.std(1).any() and bool((image == image[0, 0]).all()),
        finite=image.dtype.kind != "f" or bool(np.isfinite(image).all()),
        orientation=orientation,
        digest=_digest(image),
        contrast=contrast,
        thumbnail=thumbnail,
    )


def mask_facts(pixels: np.ndarray, path: Path | None, layer: int | None) -> MaskFacts:
    """Facts of raw mask pixels, (height, width) bool for a code, or (height, width, 3)."""
    values = colors = flat = {}
    lossy = path is not None and _is_lossy(path)
    if pixels.dtype == bool:
        inside = int(np.count_nonzero(pixels))
        counts = {0: pixels.size - inside, 1: inside}
        values = {value: count for value, count in counts.items() if count}
    elif pixels.ndim == 2:
        values = _histogram(pixels)
    else:
        colors = _color_histogram(_in_steps(pixels) if lossy else pixels.reshape(-1, 3))
    if lossy:
        flat = _color_histogram(_flat_pixels(pixels if colors else pixels[:, :, None].repeat(3, 2)))
    height, width = pixels.shape[:2]
    digest = _digest(pixels)
    return MaskFacts(height, width, values, colors, digest, path, layer, flat, lossy=lossy)


def _is_lossy(path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in _LOSSY_SUFFIXES or (suffix == ".webp" and _is_lossy_webp(path))


def _is_lossy_webp(path: Path) -> bool:
    """Whether the first chunk of pixels is of the lossy kind; chunks are a name, a size, bytes."""
    with path.open("rb") as file:
        file.seek(12)  # RIFF, size, WEBP
        while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8 ", b"VP8L"):
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, 1)
    return head[:4] == b"VP8 "


def _some_pixels(
    image: Shaped[np.ndarray, "height width channels"],
) -> Float64[np.ndarray, "channels pixels"]:
    """At most about 16,000 pixels, evenly spread; what is not finite counts as 0."""
    step = max(1, int((image.shape[0] * image.shape[1] / _STATISTICS_PIXELS) ** 0.5))
    some = image[::step, ::step].transpose(2, 0, 1).astype(np.float64, order="C")
    finite = some if image.dtype.kind == "u" else np.nan_to_num(some, posinf=0, neginf=0)
    return finite.reshape(image.shape[2], -1)


def _thumbnail(image: Shaped[np.ndarray, "height width channels"]) -> tuple[np.ndarray, float]:
    """The normalised grey thumbnail, and its contrast before that."""
    if image.dtype == np.uint8 and image.shape[2] in (1, 3):
        grey = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).convert("L")
    else:
        grey = Image.fromarray(np.nan_to_num(image, posinf=0, neginf=0).mean(2, dtype=np.float32))
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    small = np.asarray(grey.convert("F").resize(side, Image.Resampling.BOX), dtype=np.float32)
    std = float(small.std())
    normal = (small - small.mean()) / max(std, 1e-6)
    span = np.iinfo(image.dtype).max if image.dtype.kind == "u" else max(float(np.ptp(small)), 1e-6)
    return np.clip(normal * 32, -127, 127).round().astype(np.int8), std / span


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _histogram(pixels: Shaped[np.ndarray, "height width"]) -> dict[int, int]:
    if pixels.dtype == np.uint8:
        counts = np.array(Image.fromarray(pixels).histogram())  # quicker than numpy's
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    low, high = int(pixels.min()), int(pixels.max())
    lows, highs = np.count_nonzero(pixels == low), np.count_nonzero(pixels == high)
    if lows + highs == pixels.size:
        return {low: int(lows), high: int(highs)}
    values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.astype(int).tolist(), counts.tolist(), strict=True))


def _in_steps(colors: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "pixels 3"]:
    """0, 8, 16, ..., 248, 255 in each channel, which leaves few of the many colours of a JPEG."""
    steps = (colors.reshape(-1, 3).astype(np.int16) + 4) // 8 * 8
    return np.minimum(steps, 255).astype(np.uint8)


def _flat_pixels(colors: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "pixels 3"]:
    """Pixels that differ from each of their four neighbours by a few steps at most."""
    signed = colors.astype(np.int16)
    flat = np.ones(colors.shape[:2], bool)
    down = (np.abs(np.diff(signed, axis=0)) <= _FLAT_STEP).all(2)
    right = (np.abs(np.diff(signed, axis=1)) <= _FLAT_STEP).all(2)
    flat[1:] &= down
    flat[:-1] &= down
    flat[:, 1:] &= right
    flat[:, :-1] &= right
    return colors[flat]


def _color_histogram(
    pixels: Shaped[np.ndarray, "pixels 3"],
) -> dict[tuple[int, int, int], int]:
    """The most frequent colours and their pixels."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    codes, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    most = np.argsort(counts, kind="stable")[::-1][:MOST_COLORS]
    return {
        (int(code >> 16), int(code >> 8 & 255), int(code & 255)): int(count)
        for code, count in zip(codes[most], counts[most], strict=True)
    }
