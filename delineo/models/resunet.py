"""ResUNet-a (Diakogiannis et al. 2019, arXiv:1904.00592), the d6 form with a single task.

Residual blocks of parallel dilated branches, fewer of them deeper; between levels convolutions of
stride 2 down and 1x1 convolutions with plain upsampling up. The paper's table gives the stride-2
convolutions a 1x1 kernel; its authors' program (feevos/resuneta) uses 3x3, which looks at every
pixel, and so do we. The decoder's dilations mirror the encoder's.
"""

from itertools import pairwise
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from .blocks import ConvNorm, check_input, make_head, pad_to_multiple

Dilations = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]

_POOLING_GRIDS = (1, 2, 4, 8)


class ResUNetConfig(Config):
    """Settings of ResUNet; the defaults are the paper's d6, but for its pyramid pooling."""

    name: Literal["resunet"] = "resunet"
    width: int = Field(default=32, ge=4)
    """Channels of the first level; each level down doubles them."""
    dilations: tuple[Dilations, ...] = Field(
        default=((1, 3, 15, 31), (1, 3, 15, 31), (1, 3, 15), (1, 3, 15), (1,), (1,)),
        min_length=2,
        max_length=8,
    )
    """Parallel branches of the blocks at each level, from full size down."""
    pyramid_pooling: bool = False
    """Pool over the whole map, its quarters, 16ths and 64ths, at the bottom and before the end."""


class ResUNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: ResUNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(len(config.dilations))]
        self.in_channels = in_channels
        self.stride = 2 ** (len(widths) - 1)
        self.first = ConvNorm(in_channels, widths[0], 1)
        self.encoder = nn.ModuleList(map(ResidualBlock, widths, config.dilations))
        self.downs = nn.ModuleList(
            nn.Conv2d(above, below, 3, stride=2, padding=1, bias=False)
            for above, below in pairwise(widths)
        )
        self.ups = nn.ModuleList(
            ConvNorm(below, above, 1) for below, above in pairwise(reversed(widths))
        )
        self.joins = nn.ModuleList(map(Combine, widths[-2::-1]))
        self.decoder = nn.ModuleList(map(ResidualBlock, widths[-2::-1], config.dilations[-2::-1]))
        self.last = Combine(widths[0])
        pools = config.pyramid_pooling
        self.bottom_pooling = PyramidPooling(widths[-1]) if pools else nn.Identity()
        self.last_pooling = PyramidPooling(widths[0]) if pools else nn.Identity()
        self.head = make_head(widths[0], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Raises ShapeError where the channels are not those the network was built for."""
        check_input(images, self.in_channels)
        first = F.relu(self.first(pad_to_multiple(images, self.stride)))
        x = self.encoder[0](first)
        skips = [first]
        for down, block in zip(self.downs, self.encoder[1:], strict=True):
            skips.append(x)
            x = block(down(x))
        x = F.relu(self.bottom_pooling(x))
        for up, join, block in zip(self.ups, self.joins, self.decoder, strict=True):
            upsampled = F.interpolate(F.relu(up(x)), scale_factor=2, mode="nearest")
            x = block(join(upsampled, skips.pop()))
        x = F.relu(self.last_pooling(self.last(x, skips.pop())))
        return self.head(x)[:, :, : images.shape[2], : images.shape[3]]


class ResidualBlock(nn.Module):
    """The input plus parallel branches, alike but for their dilation."""

    def __init__(self, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(channels, dilation) for dilation in dilations)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        total = x
        for branch in self.branches:
            total = total + branch(x)
        return total


def _branch(channels: int, dilation: int) -> nn.Sequential:
    """BatchNorm, ReLU, dilated convolution, twice."""

    def convolution(bias: bool) -> nn.Conv2d:
        return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=bias)

    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        convolution(bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        convolution(bias=True),
    )


class Combine(nn.Module):
    """Two maps of the same shape as one: concatenation and a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = ConvNorm(2 * channels, channels, 1)

    def forward(
        self,
        upsampled: Float[Tensor, "batch channels height width"],
        skip: Float[Tensor, "batch channels height width"],
    ) -> Float[Tensor, "batch channels height width"]:
        return self.mix(torch.cat([upsampled, skip], 1))


class PyramidPooling(nn.Module):
    """Adds to each pixel what is largest in its part of the map, for parts of four sizes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        share = channels // len(_POOLING_GRIDS)
        self.reduce = nn.ModuleList(ConvNorm(channels, share, 1) for _ in _POOLING_GRIDS)
        self.mix = ConvNorm(channels + share * len(_POOLING_GRIDS), channels, 1)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        maps = [x]
        for grid, reduce in zip(_POOLING_GRIDS, self.reduce, strict=True):
            largest = F.adaptive_max_pool2d(x, (grid, grid))
            maps.append(F.interpolate(reduce(largest), size=x.shape[2:], mode="nearest"))
        return self.mix(torch.cat(maps, 1))
