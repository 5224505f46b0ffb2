"""How far a network looks around a pixel, and how much memory that takes."""

import copy

import torch
from torch import nn

from .lite_unet import LiteUNet
from .resnet_unet import ResNetUNet
from .resunet import ResUNet
from .segnet import SegNet
from .tracing import Tracer
from .unet import UNet
from .views import PERIOD

_OWN = (LiteUNet, UNet, SegNet, ResUNet, ResNetUNet)
HELD = 4
"""Tensors of the largest size that are in memory at a time, by measurement: about three."""
UNKNOWN = 512
"""Values for each pixel that are assumed of a network of one's own: those of a U-Net 64 wide."""


def measure(network: nn.Module, in_channels: int) -> tuple[int | None, int]:
    """How many pixels away lies what may change a pixel's logits, at most, and how many numbers are
    in memory for each pixel while the network works, roughly.

    None is all of the image. A network of one's own may look at it unseen, by a mean or attention,
    so only those of this package are measured.
    """
    if not isinstance(network, _OWN):
        return None, UNKNOWN
    image = torch.empty(1, in_channels, PERIOD, PERIOD, device="meta")
    tracer = Tracer(image)
    with torch.no_grad(), tracer:
        logits = copy.deepcopy(network).to("meta").eval()(image)
    view, values = tracer.view(logits), HELD * -(-tracer.largest // PERIOD**2)
    return (view.reach if view else None), values
