"""The networks there are, with their papers, and one of them from what was typed."""

import difflib
from dataclasses import dataclass

from pydantic import Field

from ..config import Config
from ..errors import ConfigError
from . import LiteUNetConfig, ModelConfig
from .summary import empty_model

_ABOUT = {
    "lite_unet": (
        "Tan & Le 2019, arXiv:1905.11946",
        "light U-Net decoder on EfficientNet-Lite0, whose ImageNet weights come along; the default",
    ),
    "unet": (
        "Ronneberger et al. 2015, arXiv:1505.04597",
        "encoder and decoder of double convolutions, joined by skips at every level",
    ),
    "segnet": (
        "Badrinarayanan et al. 2015, arXiv:1511.00561",
        "VGG16 and its mirror image; the decoder unpools where the encoder pooled",
    ),
    "resunet": (
        "Diakogiannis et al. 2019, arXiv:1904.00592",
        "residual blocks of parallel convolutions of growing dilation",
    ),
    "resnet_unet": (
        "He et al. 2015, arXiv:1512.03385",
        "U-Net decoder on a ResNet-18, 34 or 50",
    ),
}
"""Paper and a line in words of each network, in the order in which they are listed."""


@dataclass(frozen=True)
class Network:
    """One line of the list."""

    name: str
    paper: str
    about: str
    parameters: int
    """At default settings."""


def list_networks(in_channels: int, num_classes: int) -> list[Network]:
    """All of them, the default first."""
    return [
        Network(name, paper, about, _count_parameters(name, in_channels, num_classes))
        for name, (paper, about) in _ABOUT.items()
    ]


def _count_parameters(name: str, in_channels: int, num_classes: int) -> int:
    model = empty_model(choose_network(name, []), in_channels, num_classes)
    return sum(parameter.numel() for parameter in model.parameters())


class _Choice(Config):
    model: ModelConfig = Field(default=LiteUNetConfig(), discriminator="name")


def choose_network(name: str, settings: list[str]) -> ModelConfig:
    """`unet` with settings such as `model.width=16`. Raises ConfigError naming what is meant."""
    named = {"model": {"name": name}}
    keys = list(type(_Choice.parse(named).model).model_fields)
    for setting in settings:
        _check_key(setting.partition("=")[0], keys)
    chosen = _Choice.parse(named, overrides=settings).model
    if chosen.name != name:
        raise ConfigError(f"two networks are named, {name} and {chosen.name}; leave one out")
    return chosen


def _check_key(key: str, keys: list[str]) -> None:
    """Raises ConfigError for what is no setting of a network."""
    if not key.startswith("model."):
        near = difflib.get_close_matches(key.rpartition(".")[2], keys, n=1)
        hint = (
            f"did you mean model.{near[0]}?" if near else f"there are model.{', model.'.join(keys)}"
        )
        raise ConfigError(f"{key}: not a setting of the network; {hint}")
