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
from .blocks import DoubleConv, check_input, make_head, pad_to_multiple
from .pretrained import read_weights, resnet_weights

STRIDE = 32

_LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ResNetUNetConfig(Config):
    """Settings of ResNetUNet."""

    name: Literal["resnet_unet"] = "resnet_unet"
    depth: Literal[18, 34, 50] = 34
    """Layers of the ResNet."""
    pretrained: str | None = None
    """ImageNet weights with torchvision's key names: a .pth or .safetensors file, or an https
    address of one. None: start from scratch."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,64}$")
    """Beginning of the hash of `pretrained`. None: the eight digits that torchvision's file names
    end with, which an address must have."""
    decoder_widths: tuple[int, int, int, int, int] = (256, 128, 64, 64, 32)
    """Channels of the decoder at 1/16, 1/8, 1/4, 1/2 and the whole of the image's size."""


class ResNetUNet(nn.Module):
    """Images of any size -> logits of the same size."""

    def __init__(self, config: ResNetUNetConfig, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.pretrained = bool(config.pretrained)
        self.encoder = ResNetEncoder(config.depth, in_channels)
        if config.pretrained:
            weights = read_weights(config.pretrained, config.sha256)
            self.encoder.load_state_dict(resnet_weights(weights, self.encoder, config.pretrained))
        *skips, below = self.encoder.channels
        self.decoder = nn.ModuleList()
        for skip, width in zip([*reversed(skips), 0], config.decoder_widths, strict=True):
            self.decoder.append(DoubleConv(below + skip, width))
            below = width
        self.head = make_head(below, num_classes)
