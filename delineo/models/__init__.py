"""Networks: from normalised images (batch, channels, height, width) to logits of the same size."""

from torch import nn

from .lite_unet import LiteUNet, LiteUNetConfig
from .resnet_unet import ResNetUNet, ResNetUNetConfig, make_encoder
from .resunet import ResUNet, ResUNetConfig
from .segnet import SegNet, SegNetConfig
from .unet import UNet, UNetConfig

ModelConfig = LiteUNetConfig | UNetConfig | SegNetConfig | ResUNetConfig | ResNetUNetConfig
"""One of them, told apart by `name`."""

__all__ = [
    "LiteUNet",
    "LiteUNetConfig",
    "ModelConfig",
    "ResNetUNet",
    "ResNetUNetConfig",
    "ResUNet",
    "ResUNetConfig",
    "SegNet",
    "SegNetConfig",
    "UNet",
    "UNetConfig",
    "build_model",
    "check_start",
    "describe_start",
]


def build_model(config: ModelConfig, in_channels: int, num_classes: int) -> nn.Module:
    """The network of a config; it takes images of any size. `num_classes` is 1 for binary."""
    match config:
        case LiteUNetConfig():
            return LiteUNet(config, in_channels, num_classes)
        case UNetConfig():
            return UNet(config, in_channels, num_classes)
        case SegNetConfig():
            return SegNet(config, in_channels, num_classes)
        case ResUNetConfig():
            return ResUNet(config, in_channels, num_classes)
        case ResNetUNetConfig():
            return ResNetUNet(config, in_channels, num_classes)


def check_start(config: ModelConfig) -> None:
    """Raises ConfigError where the first weights cannot be had or are those of another network."""
    if isinstance(config, ResNetUNetConfig) and config.pretrained:
        make_encoder(config, in_channels=3)


def describe_start(config: ModelConfig) -> str:
    """What a network's first weights are, in words for the log of a training."""
    match config:
        case LiteUNetConfig(pretrained=True):
            return "from ImageNet weights that come with the installation"
        case ResNetUNetConfig(pretrained=str(source)):
            return f"from the weights in {source}"
        case ResNetUNetConfig():
            return (
                "from scratch; ImageNet weights would help: "
                "model.pretrained=FILE (or its address), with torchvision's key names"
            )
        case _:
            return "from scratch"
