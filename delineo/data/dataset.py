"""Samples -> tensors: reading, scaling, cutting windows, and the order in which they come."""

from collections.abc import Iterator
from itertools import count as count_up
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from pydantic import BeforeValidator, Field
from torch import Tensor
from torch.utils.data import Dataset

from ..config import Config
from .augmentation import AugmentationConfig, Moves, cut_window, draw_moves
from .encoding import read_sample
from .randomness import generator
from .samples import IGNORE_INDEX, DataFolder, Sample
from .scaling import resize_image, resize_mask, to_tensor
from .sizing import match_channels, scaled_size

Side = Annotated[int, Field(ge=1)]


def _two_sides(value: Any) -> Any:
    if value is None or (isinstance(value, list | tuple) and len(value) == 2):
        return value
    raise ValueError(f"must be [height, width], such as [256, 256], got {value!r}")


class DataConfig(Config):
    """Where the images are and how the network looks at them."""

    path: Path | None = None
    """The data folder."""
    image_size: Annotated[tuple[Side, Side] | None, BeforeValidator(_two_sides)] = None
    """Height and width of the window that is trained on. None: planned from data and budget."""
    scale: Literal["fit"] | Annotated[float, Field(gt=0, le=16)] | None = None
    """"fit": each image is scaled, aspect ratio kept, to the area of image_size. A number: network
    pixels per image pixel; windows are then cut at random. None: planned."""
    mean: tuple[float, ...] | None = None
    """Subtracted from each channel, in the file's units; one number stands for all channels.
    None: planned."""
    std: tuple[float, ...] | None = None
    """Divides each channel, in the file's units; one number stands for all. None: planned."""
    workers: int | None = Field(default=None, ge=0)
    """Loader processes. None: none on up to four cores without a GPU, else half of the cores, 8 at
    most, and fewer where shared memory is short."""
    class_windows: float = Field(default=0.5, ge=0, le=1)
    """Share of random windows that are centred on a pixel of a class drawn evenly from those
    present, so that small objects are seen. Only where windows are smaller than images."""
    rare_classes: float = Field(default=0.0, ge=0, le=1)
    """0: every image once per epoch. 1: images drawn so that every class is seen alike often."""


class Batch(NamedTuple):
    """What one training step takes."""

    images: Shaped[Tensor, "batch channels height width"]
    """uint8, or float32 in the file's units."""
    target: UInt8[Tensor, "batch *planes height width"]
    brightness: Float[Tensor, " batch"]
    contrast: Float[Tensor, " batch"]
    saturation: Float[Tensor, " batch"]
    hue: Float[Tensor, " batch"]
    indices: Shaped[Tensor, " batch"]
    """Position of each sample in the training part."""


class Cache:
    """Scaled images and masks kept in memory until `limit` bytes are used."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def get(self, index: int) -> tuple[Tensor, Tensor] | None:
        return self._kept.get(index)

    def put(self, index: int, pair: tuple[Tensor, Tensor]) -> None:
        size = sum(tensor.numel() * tensor.element_size() for tensor in pair)
        if size <= self.free:
            self.free -= size
            self._kept[index] = pair


class TrainingWindows(Dataset):
    """Augmented training windows; item (pass, index) is a pure function of (seed, pass, index)."""

    def __init__(
        self,
        folder: DataFolder,
        samples: tuple[Sample, ...],
        data: DataConfig,
        augmentation: AugmentationConfig,
        seed: int,
        cache_bytes: int,
    ) -> None:
        assert data.image_size is not None and data.scale is not None  # planned by now
        self.folder, self.samples = folder, samples
        self.size, self.scale, self.class_windows = data.image_size, data.scale, data.class_windows
        self.augmentation, self.seed = augmentation, seed
        self.cache = Cache(cache_bytes)

    def __getitem__(self, item: tuple[int, int]) -> Batch:
        number, index = item
        image, mask = self.scaled(index)
        random = generator(self.seed, "sample", number, index)
        moves = draw_moves(self.augmentation, random)
        center = _on_the_grid(self._center(mask, moves, random), self.size)
        window, target = cut_window(image, mask, center, moves, self.size)
        return Batch(
            images=window,
            target=target,
            brightness=torch.tensor(moves.brightness),
            contrast=torch.tensor(moves.contrast),
            saturation=torch.tensor(moves.saturation),
            hue=torch.tensor(moves.hue),
            indices=torch.tensor(index),
        )

    def scaled(self, index: int) -> tuple[Tensor, Tensor]:
        """Image and mask at the size the network looks at, without augmentation."""
        pair = self.cache.get(index)
        if pair is None:
            image, mask = read_pair(self.folder, self.samples[index])
            size = scaled_size((image.shape[0], image.shape[1]), self.size, self.scale)
            pair = resize_image(to_tensor(image), size), resize_mask(torch.from_numpy(mask), size)
            self.cache.put(index, pair)
        return pair

    def _center(self, mask: Tensor, moves: Moves, random: torch.Generator) -> tuple[float, float]:
        """Centre (y, x) of the window in the scaled image."""
        height, width = mask.shape[-2:]
        if self.scale != "fit" and torch.rand((), generator=random) < self.class_windows:
            pixel = _pixel_of_some_class(mask, random)
            if pixel is not None:
                return pixel
        y, x = (
            (length - 1) / 2
            + shift * max((length - side / moves.zoom) / 2, self.augmentation.shift * side)
            for length, side, shift in zip((height, width), self.size, moves.shift, strict=True)
        )
        return y, x


def _on_the_grid(center: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    """The centre moved by at most half a pixel: a window that is only shifted copies pixels."""
    y, x = (
        round(middle - (side - 1) / 2) + (side - 1) / 2
        for middle, side in zip(center, size, strict=True)
    )
    return y, x


def _pixel_of_some_class(mask: Tensor, random: torch.Generator) -> tuple[float, float] | None:
    """A random pixel of a random class among those present (binary and layers: foreground)."""
    present = [int(value) for value in torch.unique(mask) if value != IGNORE_INDEX]
    if mask.ndim == 3 or present == [0, 1]:
        present = [value for value in present if value == 1]
    if not present:
        return None
    value = present[int(torch.randint(len(present), (), generator=random))]
    pixels = (mask == value).nonzero()
    y, x = pixels[int(torch.randint(len(pixels), (), generator=random))][-2:].tolist()
    return float(y), float(x)


def read_pair(folder: DataFolder, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The image (height, width, channels) with the folder's channel count, and its mask."""
    image, mask = read_sample(sample, folder)
    return match_channels(image, folder.channels), mask


def sample_order(
    count: int, seed: int, number: int, weights: Float[Tensor, " samples"] | None
) -> list[int]:
    """The order of sample indices in one pass; with weights, drawn with replacement."""
    random = generator(seed, "order", number)
    if weights is None:
        return torch.randperm(count, generator=random).tolist()
    return torch.multinomial(weights, count, replacement=True, generator=random).tolist()


class BatchOrder:
    """Batches of (pass, index) from `first_step` on, for one process of `world`.

    The samples come as one endless stream, a new order for every pass over them, so every batch
    is full and a batch may reach into the next pass.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        first_step: int,
        weights: Float[Tensor, " samples"] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.step, self.weights = first_step, weights
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        stream = self._stream(self.step * self.batch_size)
        while True:
            batch = list(islice(stream, self.batch_size))
            yield batch[self.rank :: self.world]

    def _stream(self, position: int) -> Iterator[tuple[int, int]]:
        first_pass, skip = divmod(position, self.count)
        for number in count_up(first_pass):
            order = sample_order(self.count, self.seed, number, self.weights)
            yield from ((number, index) for index in order[skip:])
            skip = 0


def class_presence(
    folder: DataFolder, samples: tuple[Sample, ...]
) -> Float[Tensor, "samples classes"]:
    """1 where a class stands in a sample's mask (binary: the foreground), else 0."""
    presence = torch.zeros(len(samples), len(folder.classes))
    for row, sample in zip(presence, samples, strict=True):
        _, mask = read_pair(folder, sample)
        if folder.task == "multilabel":
            row[:] = torch.from_numpy((mask == 1).any((1, 2)))
            continue
        values = [int(value) for value in np.unique(mask) if value != IGNORE_INDEX]
        row[
            [
                value - (folder.task == "binary")
                for value in values
                if value or folder.task != "binary"
            ]
        ] = 1
    return presence


def class_weights(presence: Float[Tensor, "samples classes"], strength: float) -> Tensor | None:
    """Chance of each sample so that every class is met alike often; None where strength is 0.

    `presence` is 1 where a class stands in a sample. `strength` mixes with even chances.
    """
    if strength == 0:
        return None
    rarity = 1 / presence.sum(0).clamp(min=1)
    balanced = (presence * rarity).amax(1)
    balanced = torch.where(balanced > 0, balanced, rarity.min())
    return strength * balanced / balanced.sum() + (1 - strength) / len(presence)
