"""Networks taken apart for tests: shapes after their modules, parameters by kind of layer."""

import torch
from torch import Tensor, nn


def shapes_of(model: nn.Module, names: list[str], size: tuple[int, int]) -> list[tuple[int, ...]]:
    """(channels, height, width) after each named module."""
    shapes: list[tuple[int, ...]] = []

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        shapes.append(tuple(output.shape[1:]))

    for name in names:
        model.get_submodule(name).register_forward_hook(note)
    with torch.device("meta"), torch.no_grad():
        model.to("meta")(torch.empty(1, 3, *size))
    return shapes


def count(module: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...]) -> int:
    """Parameters of all layers of some kinds."""
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())
