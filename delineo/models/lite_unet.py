"""LiteUNet: a light U-Net decoder on EfficientNet-Lite0, for machines without a GPU.

Encoder: Tan & Le 2019 (arXiv:1905.11946), in the Lite form of 2020: ReLU6, no squeeze-excitation.
Decoder: as in U-Net (arXiv:1505.04597), but the finest level works at half resolution: the image's
2x2 pixel blocks enter as channels and the logits of 2x2 pixels leave as channels (sub-pixel
convolution, arXiv:1609.05158), so that thin things keep their pixels at a quarter of the cost.
Straight from the deepest features come coarse logits that are added, as in FCN (Long, Shelhamer &
Darrell 2015, arXiv:1411.4038, sec. 4.2): what a thing is reaches those features in one layer
instead of nine, and a few images then teach it.
"""

from collections.abc import Callable
from copy import copy
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from .blocks import ConvNorm, DoubleConv, Width, check_input, make_head, pad_to_multiple
from .pretrained import lite0_weights

STRIDE = 32
SLOPE = 0.1  # of the decoder's ReLU: pixels where all channels are 0 would teach nothing

FEW_CLASSES = 4
"""Up to so many, OpenVINO enlarges coarse logits faster by a convolution."""

_STAGES = (
    # blocks, kernel, stride, expansion, channels; EfficientNet-B0, arXiv:1905.11946, table 1
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM_CHANNELS = 32
_TAPS = (0, 2, 4, 10, 15)
"""Blocks whose output the decoder uses: the last at each resolution, 1/2 to 1/32."""
_TAP_CHANNELS = (16, 24, 40, 112, 320)


class LiteUNetConfig(Config):
    """Settings of LiteUNet."""

    name: Literal["lite_unet"] = "lite_unet"
    pretrained: bool = True
    """Start from ImageNet weights, which come with the installation."""
    decoder_widths: tuple[Width, Width, Width, Width] = (128, 64, 48, 32)
    """Channels of the decoder at 1/16, 1/8, 1/4 and 1/2 of the image's size."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of channels dropped before the last convolution, in training."""


class LiteUNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: LiteUNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.pretrained = config.pretrained
        self.enlarge: Callable[[Tensor], Tensor] = _enlarge
        self.ascend: Callable[[nn.Module, Tensor, Tensor], Tensor] = _ascend
        self.encoder = Lite0Encoder(in_channels)
        if config.pretrained:
            self.encoder.load_state_dict(lite0_weights(in_channels))
        self.coarse = nn.Conv2d(_TAP_CHANNELS[-1], num_classes, 1, bias=False)
        nn.init.zeros_(self.coarse.weight)
        self.decoder = nn.ModuleList()
        below = _TAP_CHANNELS[-1]
        skips = (112, 40, 24, 16 + 4 * in_channels)
        for skip, width in zip(skips, config.decoder_widths, strict=True):
            self.decoder.append(DoubleConv(below + skip, width, SLOPE))
            below = width
        self.dropout = nn.Dropout2d(config.dropout)
        self.head = make_head(below, num_classes, pixels=4)

    def train(self, mode: bool = True) -> "LiteUNet":
        """As any module, but pretrained norms keep ImageNet's statistics: those of a few images
        are noise to weights that are to stay nearly as they are."""
        super().train(mode)
        if self.pretrained:
            for module in self.encoder.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those that may want a lower learning rate than the others."""
        return list(self.encoder.parameters()) if self.pretrained else []

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Raises ShapeError where the channels are not those the network was built for."""
        check_input(images, self.in_channels)
        height, width = images.shape[2:]
        padded = pad_to_multiple(images, STRIDE)
        half, *deeper = self.encoder(padded)
        x = deeper.pop()
        coarse = self.enlarge(self.coarse(x))
        skips = [*reversed(deeper), torch.cat([half, F.pixel_unshuffle(padded, 2)], 1)]
        for block, skip in zip(self.decoder, skips, strict=True):
            x = self.ascend(block, x, skip)
        logits = _add_flat(F.pixel_shuffle(self.head(self.dropout(x)), 2), coarse)
        return logits[:, :, :height, :width]

    def portable(self, multiply_first: bool) -> "LiteUNet":
        """The same function of the same weights, in operations that OpenVINO is quicker at.

        With `multiply_first` the decoder's convolutions come before its upsampling, which pays
        where transposed convolutions are as fast as others: in fp32 and bf16, not in int8.
        """
        network = copy(self)
        if self.coarse.out_channels <= FEW_CLASSES:
            network.enlarge = _enlarge_by_convolution
        if multiply_first:
            network.ascend = _multiply_and_ascend
        return network


def _enlarge(
    coarse: Float[Tensor, "batch classes low_height low_width"],
) -> Float[Tensor, "batch classes height width"]:
    """STRIDE times as high and wide, bilinear."""
    return F.interpolate(coarse, scale_factor=STRIDE, mode="bilinear")


def _enlarge_by_convolution(
    coarse: Float[Tensor, "batch classes low_height low_width"],
) -> Float[Tensor, "batch classes height width"]:
    """The same: what is interpolated is a fixed sum of the nine values around it."""
    classes = int(coarse.shape[1])
    kernels = _bilinear_kernels(STRIDE).to(coarse).repeat(classes, 1, 1, 1)
    around = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    return F.pixel_shuffle(F.conv2d(around, kernels, groups=classes), STRIDE)


def _bilinear_kernels(stride: int) -> Float[Tensor, "places 1 3 3"]:
    """For each place in a square of `stride` pixels, from the top left, what the squares around
    weigh.
    """
    place = (torch.arange(stride) + 0.5) / stride - 0.5
    line = torch.stack([(-place).clamp(min=0), 1 - place.abs(), place.clamp(min=0)], 1)
    return torch.einsum("yi,xj->yxij", line, line).reshape(stride**2, 1, 3, 3)


def _ascend(
    block: nn.Module,
    x: Float[Tensor, "batch _ low_height low_width"],
    skip: Float[Tensor, "batch _ height width"],
) -> Float[Tensor, "batch _ height width"]:
    """The decoder's step to twice the size."""
    return block(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))


def _multiply_and_ascend(
    block: nn.Module,
    x: Float[Tensor, "batch _ low_height low_width"],
    skip: Float[Tensor, "batch _ height width"],
) -> Float[Tensor, "batch _ height width"]:
    """The same in four ninths of the multiplications with `x`: where a value stands twice in a row,
    its weights can be added first, and that is a transposed convolution.
    """
    first, *others = block.children()
    assert isinstance(first, ConvNorm)
    weight = first.conv.weight
    below = int(x.shape[1])
    upsampled = F.conv_transpose2d(x, _merged(weight[:, :below]), stride=2, padding=1)
    x = first.norm(upsampled + F.conv2d(skip, weight[:, below:], padding=1))
    for layer in others:
        x = layer(x)
    return x


def _merged(
    weight: Float[Tensor, "out_channels in_channels 3 3"],
) -> Float[Tensor, "in_channels out_channels 4 4"]:
    """Of a convolution after nearest upsampling by 2, as those of one transposed convolution."""
    places = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]]).to(weight)
    return (places @ weight @ places.T).transpose(0, 1)


def _add_flat(
    fine: Float[Tensor, "batch classes height width"],
    coarse: Float[Tensor, "batch classes height width"],
) -> Float[Tensor, "batch classes height width"]:
    """Their sum. OpenVINO keeps channels innermost and, unless they are taken flat, adds maps of
    one class number by number, which takes an eighth of the time of the whole network.
    """
    return (fine.flatten(1) + coarse.flatten(1)).view(coarse.shape)


class Lite0Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.stem = SameConvNorm(in_channels, _STEM_CHANNELS, 3, stride=2)
        self.blocks = nn.ModuleList()
        channels = _STEM_CHANNELS
        for count, kernel_size, first_stride, expansion, out_channels in _STAGES:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                block = InvertedResidual(channels, out_channels, kernel_size, stride, expansion)
                self.blocks.append(block)
                channels = out_channels

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of a size that is a multiple of 32."""
        x = F.relu6(self.stem(images))
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in _TAPS:
                features.append(x)
        return features


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel, narrow by 1x1; the input is added where shapes agree."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        if expansion > 1:
            self.expand = ConvNorm(in_channels, width, 1, eps=1e-3)
        self.depthwise = SameConvNorm(width, width, kernel_size, stride=stride, groups=width)
        self.project = ConvNorm(width, out_channels, 1, eps=1e-3)
        self.expands = expansion > 1
        self.residual = stride == 1 and in_channels == out_channels

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        inner = F.relu6(self.expand(x)) if self.expands else x
        inner = self.project(F.relu6(self.depthwise(inner)))
        return x + inner if self.residual else inner


class SameConvNorm(ConvNorm):
    """ConvNorm padded as in TensorFlow: at stride 2, more zeros after the last row and column."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int, groups: int = 1
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, groups=groups, eps=1e-3
        )
        before, after = (kernel_size - stride) // 2, (kernel_size - stride + 1) // 2
        self.padding = (before, after, before, after)
        if before != after:
            self.conv.padding = (0, 0)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        if self.padding[0] != self.padding[1]:
            x = F.pad(x, self.padding)
        return super().forward(x)
