"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597), with BatchNorm and "same" padding.

The paper pads nothing and crops its skips; with "same" padding the mask is as large as the image.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from .blocks import DoubleConv, check_input, make_head, pad_to_least


class UNetConfig(Config):
    """Settings of UNet; the defaults are the paper's."""

    name: Literal["unet"] = "unet"
    width: int = Field(default=64, ge=1)
    """Channels at the first level; each level down doubles them."""
    depth: int = Field(default=4, ge=1, le=6)
    """Levels from the first to the bottleneck: the bottleneck is 2**depth times smaller."""
    down: Literal["max_pool", "stride"] = "max_pool"
    """How the size is halved: the largest of 2x2 pixels, or a 3x3 convolution of stride 2."""
    up: Literal["transpose", "bilinear"] = "transpose"
    """How it is doubled: a 2x2 transposed convolution, or interpolation and a 1x1 convolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of values dropped before the convolutions of every level but the first."""


class UNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: UNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        self.in_channels = in_channels
        self.smallest = 2**config.depth
        self.first = DoubleConv(in_channels, widths[0])
        self.downs, self.encoder = nn.ModuleList(), nn.ModuleList()
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        for above, below in pairwise(widths):
            self.downs.append(_down(config, above))
            self.encoder.append(DoubleConv(above, below))
        for above, below in reversed(list(pairwise(widths))):
            self.ups.append(_up(config, below, above))
            self.decoder.append(DoubleConv(2 * above, above))
        self.dropout = nn.Dropout(config.dropout)
        self.head = make_head(widths[0], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Raises ShapeError where the channels are not those the network was built for."""
        check_input(images, self.in_channels)
        x = self.first(pad_to_least(images, self.smallest))
        skips: list[Tensor] = []
        for down, block in zip(self.downs, self.encoder, strict=True):
            skips.append(x)
            x = block(self.dropout(down(x)))
        for up, block in zip(self.ups, self.decoder, strict=True):
            skip = skips.pop()
            joined = torch.cat([skip, resize_to(up(x), skip)], 1)
            x = block(self.dropout(joined))
        return self.head(x)[:, :, : images.shape[2], : images.shape[3]]


def resize_to(
    x: Float[Tensor, "batch channels height width"],
    skip: Float[Tensor, "batch skip_channels skip_height skip_width"],
) -> Float[Tensor, "batch channels skip_height skip_width"]:
    """`x` at the size of `skip`: one pixel off where halving has rounded."""
    if x.shape[2:] == skip.shape[2:]:
        return x
    return F.interpolate(x, size=skip.shape[2:], mode="bilinear")


def _down(config: UNetConfig, channels: int) -> nn.Module:
    if config.down == "stride":
        return nn.Conv2d(channels, channels, 3, stride=2, padding=1)
    return nn.MaxPool2d(2)


def _up(config: UNetConfig, in_channels: int, out_channels: int) -> nn.Module:
    if config.up == "transpose":
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(in_channels, out_channels, 1)
    )
