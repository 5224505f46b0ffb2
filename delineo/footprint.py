"""How much memory training takes: told from a small step, before a large one is killed for it."""

import math
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from .data.samples import DataFolder
from .machine import Precision, choose_precision
from .memory import bytes_for_networks
from .prediction import ModelFactory, build_network
from .recipe import Recipe

SIDE = 128  # of the small step's windows: large enough for all strides, and quick
OVERHEAD = 1.4  # a step over what it keeps for its backward pass; 1.0 to 1.4 was measured
SHARES = {"cpu": 0.5, "cuda": 0.9}
"""Of the free memory, for steps. On a processor images that are kept take most of the rest."""

Footprint = Callable[[Recipe, DataFolder], float]


def most_pixels(
    recipe: Recipe, folder: DataFolder, fabric: Fabric, model: ModelFactory | None
) -> float:
    """How many pixels the windows of a batch may have together, so that steps fit into memory.

    Each GPU takes a part of the batch; processors of one machine share its memory. Of networks of
    your own, which may be made for one size, nothing is known: infinitely many.
    """
    if model is not None:
        return math.inf
    device = fabric.device
    network = build_network(recipe.without_pretrained(), folder, None).to(device)
    precision = choose_precision(recipe.precision, device)
    needed = bytes_per_pixel(network, folder.channels, precision, device)
    memories = fabric.world_size if device.type == "cuda" else 1
    return memories * SHARES[device.type] * bytes_for_networks() / needed


def bytes_per_pixel(
    network: nn.Module, channels: int, precision: Precision, device: torch.device
) -> float:
    """What a pixel of a batch takes in a training step.

    What a forward pass keeps for the backward pass is counted, each piece of memory once, but for
    the weights.
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.rand(2, channels, SIDE, SIDE, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    with torch.autocast(device.type, half, precision != "fp32"), saved_tensors_hooks(keep, _same):
        logits = network.train()(images)
    del logits
    return OVERHEAD * sum(kept.values()) / images[:, 0].numel()


def _same(tensor: Tensor) -> Tensor:
    return tensor
