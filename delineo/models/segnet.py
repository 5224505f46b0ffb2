"""SegNet (Badrinarayanan et al. 2015, arXiv:1511.00561): the decoder puts each value back where
the encoder's pooling found it.

"vgg16" is the network of the paper: the thirteen convolutions of VGG16, 14.7 million parameters,
and their mirror image. "basic" is its SegNet-Basic (section 3.1): one 7x7 convolution per level, 64
channels everywhere, no ReLU in the decoder, no biases; 1.425 million parameters by table 1, 1.416
counted from the layers. Images come normalised, so its local response normalisation has nothing
to do.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from .blocks import ConvNorm, check_input, make_head, pad_to_least

# channels after each convolution, level by level, in multiples of the first level's
_VGG16 = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
_BASIC = ((1,), (1,), (1,), (1,))


class SegNetConfig(Config):
    """Settings of SegNet."""

    name: Literal["segnet"] = "segnet"
    form: Literal["vgg16", "basic"] = "vgg16"
    """vgg16: five levels of 3x3 convolutions. basic: four of one 7x7 convolution."""
    width: int = Field(default=64, ge=1)
    """Channels of the first level; the others are multiples of it."""


class SegNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: SegNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        basic = config.form == "basic"
        kernel_size, head_kernel_size = (7, 1) if basic else (3, 3)
        paths = _paths(_BASIC if basic else _VGG16, config.width, in_channels)
        mirrored = [path[::-1] for path in paths]
        # the last convolution of the mirrored VGG16 is the head; SegNet-Basic has one more
        mirrored[0] = [config.width, config.width]
        self.in_channels = in_channels
        self.smallest = 2 ** len(paths)
        self.encoder = nn.ModuleList(
            _Level(path, kernel_size, relu=True, bias=not basic) for path in paths
        )
        self.decoder = nn.ModuleList(
            _Level(path, kernel_size, relu=not basic, bias=not basic) for path in mirrored[::-1]
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # section 3.2
        self.head = make_head(config.width, num_classes, head_kernel_size)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Raises ShapeError where the channels are not those the network was built for."""
        check_input(images, self.in_channels)
        x = pad_to_least(images, self.smallest)
        # exports hold ordinary operations, which give the same: no format can say max_unpool2d
        tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        pool, unpool = (pool_corners, unpool_corners) if tracing else (_pool, _unpool)
        pooled: list[tuple[Tensor, torch.Size]] = []
        for level in self.encoder:
            x = level(x)
            size = x.shape[2:]
            x, places = pool(x)
            pooled.append((places, size))
        for level in self.decoder:
            x = level(unpool(x, *pooled.pop()))
        return self.head(x)[:, :, : images.shape[2], : images.shape[3]]


def _pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each 2x2 pixels, and where it was."""
    return F.max_pool2d(x, 2, return_indices=True)


def _unpool(x: Tensor, places: Tensor, size: torch.Size) -> Tensor:
    """Each value where `_pool` found the largest; the others are 0."""
    return F.max_unpool2d(x, places, (2, 2), output_size=size)


def pool_corners(
    x: Float[Tensor, "batch channels height width"],
) -> tuple[Float[Tensor, "batch channels h w"], Float[Tensor, "batch channels 4 h w"]]:
    """The largest of each 2x2 pixels, and for each of the four 1 where it is the first of them."""
    height, width = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
    corners = [x[:, :, row:height:2, column:width:2] for row in (0, 1) for column in (0, 1)]
    largest = F.max_pool2d(x, 2)
    free, found = torch.ones_like(largest), []
    for corner in corners:
        found.append((corner == largest).to(x.dtype) * free)
        free = free - found[-1]
    return largest, torch.stack(found, 2)


def unpool_corners(
    x: Float[Tensor, "batch channels h w"],
    places: Float[Tensor, "batch channels 4 h w"],
    size: torch.Size | tuple,
) -> Float[Tensor, "batch channels height width"]:
    """Each value where `pool_corners` found the largest; an odd last row or column is 0."""
    spread = F.pixel_shuffle((x[:, :, None] * places).flatten(1, 2), 2)
    return F.pad(spread, (0, size[1] % 2, 0, size[0] % 2))


class _Level(nn.Sequential):
    """Convolution, BatchNorm and, if wanted, ReLU, for each step from one width to the next."""

    def __init__(self, widths: list[int], kernel_size: int, *, relu: bool, bias: bool) -> None:
        layers: list[nn.Module] = []
        for in_channels, out_channels in pairwise(widths):
            layers.append(ConvNorm(in_channels, out_channels, kernel_size, bias=bias))
            if relu:
                layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


def _paths(levels: tuple[tuple[int, ...], ...], width: int, in_channels: int) -> list[list[int]]:
    """Widths before, between and after the convolutions of each encoder level."""
    paths, below = [], in_channels
    for level in levels:
        paths.append([below, *(width * multiple for multiple in level)])
        below = paths[-1][-1]
    return paths
