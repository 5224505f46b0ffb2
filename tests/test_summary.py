"""The layer table: against hand counts, papers, and gradients."""

import pytest
import torch
from torch import nn

from delineo.models import (
    LiteUNetConfig,
    ModelConfig,
    ResNetUNetConfig,
    ResUNetConfig,
    SegNetConfig,
    UNetConfig,
    build_model,
)
from delineo.models.summary import Level, summarize


def table(config: ModelConfig, size: tuple[int, int], num_classes: int = 1) -> dict[str, Level]:
    with torch.device("meta"):
        model = build_model(config, 3, num_classes)
    return {level.name: level for level in summarize(model, 3, size)}


def test_unet_table_is_the_papers() -> None:
    levels = table(UNetConfig(), (320, 480))
    assert levels["input"] == Level("input", "", 3, 320, 480, 0, 0, 1)
    assert levels["first"] == Level(
        "first", "DoubleConv", 64, 320, 480, 38_848, 320 * 480 * 64 * 9 * (3 + 64), 5
    )
    fields = [levels["first"], *(levels[f"encoder.{level}"] for level in range(4))]
    assert [level.receptive_field for level in fields] == [5, 14, 32, 68, 140]
    bottom = levels["encoder.3"]
    assert (bottom.channels, bottom.height, bottom.width) == (1024, 20, 30)
    up = levels["ups.0"]
    assert up.multiply_adds == 20 * 30 * 1024 * 512 * 4
    assert levels["head"].multiply_adds == 320 * 480 * 64


def test_resnet_table_is_the_papers() -> None:
    levels = table(ResNetUNetConfig(depth=50), (224, 224))
    encoder = [level for name, level in levels.items() if name.startswith("encoder.")]
    assert [(level.channels, level.height) for level in encoder][2:] == [
        (256, 56),
        (512, 28),
        (1024, 14),
        (2048, 7),
    ]
    # 4.09 billion multiply-adds with the classifier's 2 million, as torchvision states
    total = sum(level.multiply_adds for level in encoder) + 2048 * 1000
    assert total == pytest.approx(4.09e9, rel=2e-3)
    assert encoder[-1].receptive_field == 427


def test_vgg16_sees_196_pixels() -> None:
    levels = table(SegNetConfig(), (224, 224), 12)
    assert levels["encoder.4"].receptive_field == 196
    encoder = sum(level.multiply_adds for name, level in levels.items() if "encoder" in name)
    assert encoder == pytest.approx(15.35e9, rel=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(width=4),
        LiteUNetConfig(pretrained=False),
        SegNetConfig(width=4),
        ResUNetConfig(width=4, pyramid_pooling=True),
        ResNetUNetConfig(depth=18),
    ],
    ids=lambda config: config.name,
)
def test_parameters_add_up(config: ModelConfig) -> None:
    with torch.device("meta"):
        model = build_model(config, 3, 2)
    levels = summarize(model, 3, (65, 90))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert sum(level.parameters for level in levels) == parameters
    assert levels[-1].name == "head"


def test_pyramid_pooling_sees_everything() -> None:
    levels = table(ResUNetConfig(width=8, pyramid_pooling=True), (64, 64))
    assert levels["encoder.5"].receptive_field == 1347
    assert levels["bottom_pooling"].receptive_field is None


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [
        (UNetConfig(width=2, depth=1, down="stride"), 0),
        (UNetConfig(width=2, depth=2, down="stride"), 0),
        (UNetConfig(width=2, depth=2, down="stride", up="bilinear"), 2),
        (ResUNetConfig(width=4, dilations=((1, 3), (1,))), 0),
    ],
    ids=str,
)
def test_receptive_field_is_where_gradients_come_from(config: ModelConfig, tolerance: int) -> None:
    side = 96
    torch.manual_seed(0)
    model = build_model(config, 1, 1).eval()
    for module in model.modules():  # all positive: nothing can cancel or stop
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 0.1)
    spans = []
    for row in range(side // 2, side // 2 + 4):
        image = torch.ones(1, 1, side, side, requires_grad=True)
        model(image)[0, 0, row, side // 2].backward()
        assert image.grad is not None
        rows = image.grad[0, 0].abs().sum(1).nonzero()
        spans.append(int(rows.max() - rows.min()) + 1)
    field = summarize(model, 1, (side, side))[-1].receptive_field
    assert max(spans) == pytest.approx(field, abs=tolerance)


def test_the_model_itself_is_left_alone() -> None:
    model = build_model(UNetConfig(width=4), 3, 1)
    summarize(model, 3, (64, 64))
    assert model.training
    assert next(model.parameters()).device.type == "cpu"
    assert not any(module._forward_hooks for module in model.modules())
