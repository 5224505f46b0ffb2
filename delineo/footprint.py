"""How much memory training takes: told from a small step, before a large one is killed for it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from .data.samples import DataFolder
from .machine import choose_precision
from .memory import bytes_for_networks
from .prediction import ModelFactory, build_network
from .recipe import Recipe

WINDOW = 128  # side of the small step's windows: large enough for all strides, and quick
OVERHEAD = 1.4  # a step over what it keeps for its backward pass; 1.0 to 1.4 was measured
SHARES = {"cpu": 0.5, "cuda": 0.9}
"""Of the free memory, for steps. On a processor images that are kept take most of the rest."""

Footprint = Callable[[Recipe, DataFolder], float]


def most_pixels(
    recipe: Recipe, folder: DataFolder, device: torch.device, model: ModelFactory | None
) -> float:
    """How many pixels the windows of a batch may have together, so that steps fit into memory."""
    needed = bytes_per_pixel(recipe, folder, device, model)
    return SHARES[device.type] * bytes_for_networks() / max(needed, 1.0)


def bytes_per_pixel(
    recipe: Recipe, folder: DataFolder, device: torch.device, model: ModelFactory | None
) -> float:
    """What a pixel of a batch takes in a training step, by a forward pass of a network thrown away.

    That which its backward pass needs is counted, each piece of memory once, but for the weights.
    """
    network = build_network(recipe.without_pretrained(), folder, model).to(device).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    height, width = recipe.data.image_size or (WINDOW, WINDOW)
    if model is None:  # others may be made for one size
        height, width = min(height, WINDOW), min(width, WINDOW)
    images = torch.rand(2, folder.channels, height, width, device=device)
    precision = choose_precision(recipe.precision, device)
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    with torch.autocast(device.type, half, precision != "fp32"), saved_tensors_hooks(keep, _same):
        logits = network(images.contiguous(memory_format=torch.channels_last))
    del logits
    return OVERHEAD * sum(kept.values()) / (2 * height * width)


def _same(tensor: Tensor) -> Tensor:
    return tensor
