"""U-Net decoder on a ResNet encoder (He et al. 2015, arXiv:1512.03385).

Encoder parameters have the names that torchvision gives them (`conv1.weight`,
`layer1.0.conv1.weight`, ...), with stride in the 3x3 convolution of bottlenecks as there, so that
its ImageNet weights fit.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ..config import Config
from ..errors import ConfigError
from .blocks import DoubleConv, Width, check_input, make_head, pad_to_multiple
from .pretrained import misfits, read_weights, resnet_weights

STRIDE = 32

_LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ResNetUNetConfig(Config):
    """Settings of ResNetUNet."""

    name: Literal["resnet_unet"] = "resnet_unet"
    depth: Literal[18, 34, 50] = 34
    """Layers of the ResNet."""
    pretrained: str | None = None
    """ImageNet weights with torchvision's key names: a .pth or .safetensors file, or the address
    of one. None: start from scratch."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,64}$")
    """Beginning of the hash of `pretrained`. None: the eight digits that torchvision's file names
    end with, which an address must have."""
    decoder_widths: tuple[Width, Width, Width, Width, Width] = (256, 128, 64, 64, 32)
    """Channels of the decoder at 1/16, 1/8, 1/4, 1/2 and the whole of the image's size."""


class ResNetUNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: ResNetUNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.pretrained = bool(config.pretrained)
        self.encoder = make_encoder(config, in_channels)
        *skips, below = self.encoder.channels
        self.decoder = nn.ModuleList()
        for skip, width in zip([*reversed(skips), 0], config.decoder_widths, strict=True):
            self.decoder.append(DoubleConv(below + skip, width))
            below = width
        self.head = make_head(below, num_classes)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those that may want a lower learning rate than the others."""
        return list(self.encoder.parameters()) if self.pretrained else []

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Raises ShapeError where the channels are not those the network was built for."""
        check_input(images, self.in_channels)
        *skips, x = self.encoder(pad_to_multiple(images, STRIDE))
        for block in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], 1) if skips else x)
        return self.head(x)[:, :, : images.shape[2], : images.shape[3]]


def make_encoder(config: ResNetUNetConfig, in_channels: int) -> "ResNetEncoder":
    """The encoder with its first weights.

    Raises ConfigError where those that the config names cannot be had or are of another network.
    """
    encoder = ResNetEncoder(config.depth, in_channels)
    if config.pretrained:
        weights = resnet_weights(read_weights(config.pretrained, config.sha256), in_channels)
        if strange := misfits(weights, encoder):
            raise ConfigError(_explain_misfit(config, weights, in_channels, strange))
        encoder.load_state_dict(weights)
    return encoder


def _explain_misfit(
    config: ResNetUNetConfig, weights: dict[str, Tensor], in_channels: int, strange: list[str]
) -> str:
    """Which network the weights are of, if it is another ResNet, and what to do."""
    found = f"model.pretrained: {config.pretrained} holds the weights of another network"
    for depth in _LAYERS:
        with torch.device("meta"):
            other = ResNetEncoder(depth, in_channels)
        if not misfits(weights, other):
            return (
                f"{found}, a ResNet-{depth}, and model.depth is {config.depth}; set "
                f"model.depth={depth}, or give the weights of a ResNet-{config.depth}"
            )
    return (
        f"{found} than a ResNet-{config.depth}: {strange[0]} and {len(strange) - 1} more do not "
        "fit; give a file with torchvision's key names, or leave it out to start from scratch"
    )


class ResNetEncoder(nn.Module):
    """ResNet without its classifier."""

    def __init__(self, depth: int, in_channels: int) -> None:
        super().__init__()
        block = Bottleneck if depth >= 50 else BasicBlock
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        counts = _LAYERS[depth]
        self.layer1 = _layer(block, 64, 64, counts[0], stride=1)
        self.layer2 = _layer(block, 64 * block.expansion, 128, counts[1], stride=2)
        self.layer3 = _layer(block, 128 * block.expansion, 256, counts[2], stride=2)
        self.layer4 = _layer(block, 256 * block.expansion, 512, counts[3], stride=2)
        self.channels = [64, *(width * block.expansion for width in (64, 128, 256, 512))]

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> list[Float[Tensor, "batch _ _ _"]]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of a size that is a multiple of 32."""
        features = [F.relu(self.bn1(self.conv1(images)))]
        x = F.max_pool2d(features[0], 3, stride=2, padding=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, added to the input."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        inner = F.relu(self.bn1(self.conv1(x)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


def _layer(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    width: int,
    count: int,
    *,
    stride: int,
) -> nn.Sequential:
    """`count` blocks, the first of which changes size and channels."""
    others = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(block(in_channels, width, stride), *others)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The input itself, or a 1x1 convolution of it where the shapes differ."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
