"""U-Net over a ResNet: torchvision's encoders, and what is joined to them."""

import pytest
import torch
from networks import shapes_of

from delineo.models import ResNetUNetConfig, build_model
from delineo.models.resnet_unet import ResNetEncoder


@pytest.mark.parametrize(
    ("depth", "parameters", "channels"),
    [
        # torchvision's counts less its classifier's 512 or 2048 times 1000, and 1000 biases
        (18, 11_689_512 - 513_000, [64, 64, 128, 256, 512]),
        (34, 21_797_672 - 513_000, [64, 64, 128, 256, 512]),
        (50, 25_557_032 - 2_049_000, [64, 256, 512, 1024, 2048]),
    ],
)
def test_resnets_are_torchvisions(depth: int, parameters: int, channels: list[int]) -> None:
    with torch.device("meta"):
        encoder = ResNetEncoder(depth, 3)
        features = encoder(torch.empty(1, 3, 64, 96))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (width, 64 // 2**level, 96 // 2**level) for level, width in enumerate(channels, start=1)
    ]
    keys = set(encoder.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight"} <= keys
    assert {"layer2.0.downsample.0.weight", "layer4.1.bn2.num_batches_tracked"} <= keys
    assert ("layer1.0.downsample.1.bias" in keys) == (depth == 50)


@pytest.mark.parametrize(("depth", "widths"), [(34, (64, 128, 256)), (50, (256, 512, 1024))])
def test_resnet_unet_joins_every_level_of_the_resnet(
    depth: int, widths: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        model = build_model(ResNetUNetConfig(depth=depth), 3, 21)
    assert shapes_of(model, [f"decoder.{n}" for n in range(5)], (224, 224)) == [
        (256, 14, 14),
        (128, 28, 28),
        (64, 56, 56),
        (64, 112, 112),
        (32, 224, 224),
    ]
    joined = [block[0].conv.in_channels for block in model.decoder]
    skips = [*widths[::-1], 64, 0]
    below = [model.encoder.channels[-1], 256, 128, 64, 64]
    assert joined == [sum(pair) for pair in zip(below, skips, strict=True)]
