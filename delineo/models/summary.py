"""The layer table people look for in papers: shape after every level, parameters, multiply-adds,
receptive field. Nothing is computed: shapes alone run through the network.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from . import LiteUNetConfig, ModelConfig, ResNetUNetConfig, build_model
from .tracing import Tracer


@dataclass(frozen=True)
class Level:
    """One row of the table."""

    name: str
    """Of the module within the network; "input" and "output" for what goes in and comes out."""
    layers: str
    """What happens below the row above, such as "2 conv 3x3"; "/2" halves the size, "x2" doubles
    it."""
    channels: int
    height: int
    width: int
    parameters: int
    multiply_adds: int
    """Of its convolutions, for one image."""
    receptive_field: int | None
    """Side, in pixels of the input, of the square that one value depends on, where it is largest
    and the borders are far away; None: all of the image."""


@dataclass(frozen=True)
class LayerTable:
    """A network, level by level, for images of one size."""

    model: ModelConfig
    in_channels: int
    num_classes: int
    levels: list[Level]

    @property
    def parameters(self) -> int:
        return sum(level.parameters for level in self.levels)

    @property
    def multiply_adds(self) -> int:
        return sum(level.multiply_adds for level in self.levels)

    def to_json(self) -> dict[str, Any]:
        """Settings, totals and levels, `size` as [height, width]."""
        return {
            "model": self.model.model_dump(mode="json"),
            "in_channels": self.in_channels,
            "num_classes": self.num_classes,
            "size": [self.levels[0].height, self.levels[0].width],
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "levels": [asdict(level) for level in self.levels],
        }


def layer_table(
    config: ModelConfig, in_channels: int, num_classes: int, size: tuple[int, int]
) -> LayerTable:
    """The table of a config for images of `size` (height, width).

    Raises ConfigError for networks of more numbers than can be counted.
    """
    try:
        levels = summarize(empty_model(config, in_channels, num_classes), in_channels, size)
    except (RuntimeError, TypeError) as error:
        if "overflow" not in str(error).lower():
            raise
        raise ConfigError(
            f"a {config.name} with these settings has more weights or values than PyTorch can "
            "count; give smaller settings (such as model.width), channels, classes or size"
        ) from None
    return LayerTable(config, in_channels, num_classes, levels)


def empty_model(config: ModelConfig, in_channels: int, num_classes: int) -> nn.Module:
    """The network with shapes but no values: nothing is read, drawn at random or kept in memory."""
    with torch.device("meta"):
        return build_model(_without_weights(config), in_channels, num_classes)


def _without_weights(config: ModelConfig) -> ModelConfig:
    match config:
        case LiteUNetConfig():
            return config.model_copy(update={"pretrained": False})
        case ResNetUNetConfig():
            return config.model_copy(update={"pretrained": None})
        case _:
            return config


def summarize(model: nn.Module, in_channels: int, size: tuple[int, int]) -> list[Level]:
    """Rows for an image of `size` (height, width), in the order in which the levels work.

    Parameters and multiply-adds of the rows add up to those of the network.
    """
    model = copy.deepcopy(model).to("meta").eval()
    image = torch.empty(1, in_channels, *size, device="meta")
    tracer = Tracer(image)
    levels = [_level("input", image, tracer)]
    for name, module in _modules(model):
        module.register_forward_hook(_note(tracer, levels, name))
    with torch.no_grad(), tracer:
        logits = model(image)
    return [*levels, _level("output", logits, tracer)]


def _level(name: str, output: Tensor, tracer: Tracer, parameters: int = 0) -> Level:
    """A row, with what has happened since the row before."""
    _, channels, height, width = output.shape
    layers, multiply_adds = tracer.collect()
    view = tracer.view(output)
    field = view.field if view else None
    return Level(name, layers, channels, height, width, parameters, multiply_adds, field)


def _modules(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network that are its levels: lists and encoders are opened."""
    for name, module in model.named_children():
        if isinstance(module, nn.ModuleList) or name == "encoder":
            yield from _modules(module, f"{prefix}{name}.")
        elif not isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity):
            yield prefix + name, module


def _note(tracer: Tracer, levels: list[Level], name: str) -> Callable[..., None]:
    def note(module: nn.Module, _inputs: object, output: Tensor) -> None:
        parameters = sum(parameter.numel() for parameter in module.parameters())
        levels.append(_level(name, output, tracer, parameters))

    return note
