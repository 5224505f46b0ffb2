"""U-Net, layer by layer against its paper."""

from itertools import pairwise

import torch
from networks import count, shapes_of
from torch import nn

from delineo.models import UNetConfig, build_model

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def test_unet_levels() -> None:
    """480 x 320 x 64 down to 30 x 20 x 1024 and back."""
    with torch.device("meta"):
        model = build_model(UNetConfig(), 3, 1)
    names = ["first", *(f"encoder.{n}" for n in range(4)), *(f"decoder.{n}" for n in range(4))]
    assert shapes_of(model, names, (320, 480)) == [
        (64, 320, 480),
        (128, 160, 240),
        (256, 80, 120),
        (512, 40, 60),
        (1024, 20, 30),
        (512, 40, 60),
        (256, 80, 120),
        (128, 160, 240),
        (64, 320, 480),
    ]


def test_unet_has_the_papers_convolutions() -> None:
    """23 of them; with biases and no BatchNorm as in the paper, and its one channel and two
    classes, 31,030,658 parameters.
    """
    with torch.device("meta"):
        model = build_model(UNetConfig(), 1, 2)
    assert sum(isinstance(layer, CONVOLUTIONS) for layer in model.modules()) == 23
    down = [1, 64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024]
    steps = [*pairwise(down)]
    steps += [
        step for width in (512, 256, 128, 64) for step in ((2 * width, width), (width, width))
    ]
    weights = sum(9 * before * after for before, after in steps)
    biases = sum(after for _, after in steps)
    ups = sum(4 * 2 * width * width + width for width in (512, 256, 128, 64))
    assert weights + biases + ups + 2 * 64 + 2 == 31_030_658
    assert count(model, CONVOLUTIONS) == 31_030_658 - biases
    assert count(model, nn.BatchNorm2d) == 2 * biases


def test_unet_of_width_16_is_the_one_for_salt() -> None:
    """128 x 128 x 16 down to 8 x 8 x 256, skips joined as u6+c4, u7+c3, u8+c2, u9+c1."""
    with torch.device("meta"):
        model = build_model(UNetConfig(width=16), 3, 1)
    names = ["first", *(f"encoder.{n}" for n in range(4)), *(f"ups.{n}" for n in range(4))]
    assert shapes_of(model, names, (128, 128)) == [
        (16, 128, 128),
        (32, 64, 64),
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (128, 16, 16),
        (64, 32, 32),
        (32, 64, 64),
        (16, 128, 128),
    ]
    joined = [block[0].conv.in_channels for block in model.decoder]
    assert joined == [128 + 128, 64 + 64, 32 + 32, 16 + 16]


def test_unet_2_learns_how_to_halve_and_double() -> None:
    with torch.device("meta"):
        model = build_model(UNetConfig(down="stride"), 3, 1)
    kinds = {type(layer) for layer in (*model.downs, *model.ups)}
    assert kinds == {nn.Conv2d, nn.ConvTranspose2d}
    assert not any(isinstance(layer, nn.MaxPool2d) for layer in model.modules())
    names = [*(f"downs.{n}" for n in range(4)), *(f"ups.{n}" for n in range(4))]
    assert shapes_of(model, names, (256, 256)) == [
        (64, 128, 128),
        (128, 64, 64),
        (256, 32, 32),
        (512, 16, 16),
        (512, 32, 32),
        (256, 64, 64),
        (128, 128, 128),
        (64, 256, 256),
    ]
