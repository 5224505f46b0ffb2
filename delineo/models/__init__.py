"""Networks: from normalised images (batch, channels, height, width) to logits of the same size."""

from torch import nn

from .lite_unet import LiteUNet, LiteUNetConfig
from .unet import UNet, UNetConfig

ModelConfig = LiteUNetConfig | UNetConfig
"""One of them, told apart by `name`."""

__all__ = ["LiteUNet", "LiteUNetConfig", "ModelConfig", "UNet", "UNetConfig", "build_model"]


def build_model(config: ModelConfig, in_channels: int, num_classes: int) -> nn.Module:
    """The network of a config; it takes images of any size. `num_classes` is 1 for binary."""
    match config:
        case LiteUNetConfig():
            return LiteUNet(config, in_channels, num_classes)
        case UNetConfig():
            return UNet(config, in_channels, num_classes)
