"""What several networks are made of: padding to a stride, convolution with its norm, the head."""

from typing import Annotated

import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..errors import ShapeError

ABSENT = -4.0
"""First logit of each of several classes, which are absent at most pixels (arXiv:1708.02002, sec.
3.3). From 0 a network may learn to say "nothing" by switching channels on, and where it finds
something has none left to tell what.
"""

Width = Annotated[int, Field(ge=1)]
"""Channels of a layer."""


def check_input(images: Tensor, in_channels: int) -> None:
    """Raises ShapeError where `images` is not (batch, in_channels, height, width)."""
    if images.ndim != 4 or images.shape[1] != in_channels:
        raise ShapeError(
            f"this network takes images of shape (batch, {in_channels}, height, width), "
            f"got {tuple(images.shape)}; build it with in_channels equal to your images' channels"
        )


def pad_to_multiple(
    images: Float[Tensor, "batch channels height width"], stride: int
) -> Float[Tensor, "batch channels padded_height padded_width"]:
    """Repeat the last row and column until both sides are multiples of `stride`.

    The network's answer for the pixels themselves is its first `height` rows, `width` columns.
    """
    height, width = images.shape[2:]
    return F.pad(images, (0, -width % stride, 0, -height % stride), mode="replicate")


def pad_to_least(
    images: Float[Tensor, "batch channels height width"], least: int
) -> Float[Tensor, "batch channels padded_height padded_width"]:
    """Repeat the last row and column until both sides have `least` pixels."""
    height, width = images.shape[2:]
    if height >= least and width >= least:
        return images
    missing = (0, max(least - width, 0), 0, max(least - height, 0))
    return F.pad(images, missing, mode="replicate")


class ConvNorm(nn.Module):
    """Convolution with "same" padding and BatchNorm, whose shift makes a bias redundant.

    A bias is there for those who count or load the parameters of networks that had one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=groups,
            bias=bias,
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        return self.norm(self.conv(x))


class DoubleConv(nn.Sequential):
    """Convolution 3x3, BatchNorm, ReLU, twice; `slope` is what is left of negative values."""

    def __init__(self, in_channels: int, out_channels: int, slope: float = 0.0) -> None:
        super().__init__(
            ConvNorm(in_channels, out_channels),
            make_relu(slope),
            ConvNorm(out_channels, out_channels),
            make_relu(slope),
        )


def make_relu(slope: float) -> nn.Module:
    """ReLU, or where `slope` is above 0 a leaky one."""
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)


def make_head(
    in_channels: int, num_classes: int, kernel_size: int = 1, pixels: int = 1
) -> nn.Conv2d:
    """Convolution to the logits of `pixels` pixels each.

    At first classes are ABSENT, which makes no difference to a softmax. Weights stay as large as
    PyTorch makes them: smaller ones hold back thin and rare things.
    """
    head = nn.Conv2d(in_channels, pixels * num_classes, kernel_size, padding=kernel_size // 2)
    nn.init.constant_(head.bias, ABSENT if num_classes > 1 else 0)  # pyright: ignore[reportArgumentType]
    return head
