"""The layer table: against hand counts, papers, and gradients."""

import copy
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delineo.models import (
    LiteUNetConfig,
    ModelConfig,
    ResNetUNetConfig,
    ResUNetConfig,
    SegNetConfig,
    UNetConfig,
    build_model,
)
from delineo.models.summary import LayerTable, Level, layer_table, summarize
from delineo.models.tracing import Tracer


def table(config: ModelConfig, size: tuple[int, int], num_classes: int = 1) -> dict[str, Level]:
    return {level.name: level for level in layer_table(config, 3, num_classes, size).levels}


def test_unet_table_is_the_papers() -> None:
    levels = table(UNetConfig(), (320, 480))
    assert levels["input"] == Level("input", "", 3, 320, 480, 0, 0, 1)
    assert levels["first"] == Level(
        "first", "2 conv 3x3", 64, 320, 480, 38_848, 320 * 480 * 64 * 9 * (3 + 64), 5
    )
    assert levels["downs.0"] == Level("downs.0", "max pool 2x2 /2", 64, 160, 240, 0, 0, 6)
    bottom = levels["encoder.3"]
    assert (bottom.channels, bottom.height, bottom.width) == (1024, 20, 30)
    up = levels["ups.0"]
    assert up.layers == "transposed conv 2x2 x2"
    assert up.parameters == 1024 * 512 * 4 + 512
    assert up.multiply_adds == 20 * 30 * 1024 * 512 * 4
    assert levels["decoder.0"].layers == "concat, 2 conv 3x3"
    assert levels["decoder.0"].multiply_adds == 40 * 60 * 512 * 9 * (1024 + 512)
    assert levels["head"] == Level("head", "conv 1x1", 1, 320, 480, 65, 320 * 480 * 64, 204)
    assert levels["output"] == Level("output", "", 1, 320, 480, 0, 0, 204)


def test_unet_fields_by_hand() -> None:
    """Down: two convolutions see 2 steps to each side; pooling sees one step more. Up: each level's
    two convolutions see whole neighbours of the level below, 16 pixels apart at the bottom.
    """
    levels = table(UNetConfig(width=2), (64, 64))
    down = [5]
    for step in (2, 4, 8, 16):
        pooled = down[-1] + step // 2
        down.append(pooled + 4 * step)
    assert down == [5, 14, 32, 68, 140]
    names = ["first", *(f"encoder.{level}" for level in range(4))]
    assert [levels[name].receptive_field for name in names] == down
    # 5 values in a row hold 3 of the level below, whose 2 + 2 neighbours make 7, of which 4 below,
    # and 8 at the next, of which 4 or 5, so at most 5 at the bottom in the last two levels
    bottoms = (3, 4, 5, 5)
    up = [levels[f"decoder.{level}"].receptive_field for level in range(4)]
    assert up == [140 + 16 * (count - 1) for count in bottoms]


def test_segnet_fields_by_hand() -> None:
    """VGG16 sees 196 pixels before its last pooling, 212 after it."""
    levels = table(SegNetConfig(), (224, 224), 12)
    field, step, fields = 1, 1, []
    for convolutions in (2, 2, 3, 3, 3):
        field += 2 * step * convolutions
        fields.append(field)
        field, step = field + step, 2 * step
    assert fields == [5, 14, 40, 92, 196]
    assert field == 212
    assert [levels[f"encoder.{level}"].receptive_field for level in range(5)] == fields
    # three convolutions over unpooled values: 7 in a row hold 4 of the pooled ones, 32 pixels apart
    assert levels["decoder.0"].receptive_field == 212 + 3 * 32
    assert levels["decoder.0"].layers == "max pool 2x2 /2, unpool x2, 3 conv 3x3"


def test_segnet_basic_sees_106_pixels_at_the_bottom() -> None:
    """As section 3.1 of the paper says; its first decoder sees 3 neighbours to each side of that,
    16 pixels apart.
    """
    levels = table(SegNetConfig(form="basic"), (360, 480), 11)
    fields = [levels[f"encoder.{level}"].receptive_field for level in range(4)]
    assert fields == [7, 20, 46, 98]
    assert levels["decoder.0"].receptive_field == 106 + 3 * 16


def test_segnet_encoder_multiplies_as_vgg16_does() -> None:
    levels = table(SegNetConfig(), (224, 224), 12)
    encoder = sum(level.multiply_adds for name, level in levels.items() if "encoder" in name)
    assert encoder == pytest.approx(15.35e9, rel=1e-3)


@pytest.mark.parametrize(
    ("depth", "multiply_adds", "field"),
    # as torchvision states them, and as Araujo et al. 2019 do; 427 with the stride in the 3x3
    [(18, 1.81e9, 435), (34, 3.66e9, 899), (50, 4.09e9, 427)],
)
def test_resnet_is_the_known_one(depth: int, multiply_adds: float, field: int) -> None:
    levels = table(ResNetUNetConfig(depth=depth), (224, 224))
    encoder = [level for name, level in levels.items() if name.startswith("encoder.")]
    widths = [256, 512, 1024, 2048] if depth == 50 else [64, 128, 256, 512]
    assert [(level.channels, level.height) for level in encoder] == [
        (64, 112),
        (64, 112),
        *zip(widths, (56, 28, 14, 7), strict=True),
    ]
    total = sum(level.multiply_adds for level in encoder) + widths[-1] * 1000  # the classifier
    assert total == pytest.approx(multiply_adds, rel=5e-3)
    assert encoder[-1].receptive_field == field


def test_resunet_fields_by_hand() -> None:
    """Two 3x3 convolutions of dilation d see 2 d steps to each side; the widest branch counts."""
    levels = table(ResUNetConfig(width=4), (256, 256))
    field, fields = 1, []
    for level, dilation in enumerate((31, 31, 15, 15, 1, 1)):
        step = 2**level
        field += (2 * step // 2 if level else 0) + 4 * dilation * step
        fields.append(field)
    assert fields == [125, 375, 619, 1107, 1187, 1347]
    assert [levels[f"encoder.{level}"].receptive_field for level in range(6)] == fields
    assert levels["encoder.2"].layers == (
        "2 conv 3x3, 2 conv 3x3 dilation 3, 2 conv 3x3 dilation 15, 3 add"
    )


def test_pyramid_pooling_sees_everything() -> None:
    levels = table(ResUNetConfig(width=8, pyramid_pooling=True), (64, 64))
    assert levels["encoder.5"].receptive_field == 1347
    assert levels["bottom_pooling"].receptive_field is None
    assert levels["output"].receptive_field is None


ALL: list[ModelConfig] = [
    UNetConfig(width=4),
    UNetConfig(width=4, down="stride"),
    LiteUNetConfig(),
    SegNetConfig(width=4),
    ResUNetConfig(width=4, pyramid_pooling=True),
    ResNetUNetConfig(depth=18, pretrained="no-such-file.pth"),
]


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_parameters_add_up(config: ModelConfig) -> None:
    """At any size, with no weights read."""
    layers = layer_table(config, 2, 3, (65, 90))
    bare = {"pretrained": None if config.name == "resnet_unet" else False}
    bare = bare if hasattr(config, "pretrained") else {}
    with torch.device("meta"):
        model = build_model(config.model_copy(update=bare), 2, 3)
    assert layers.parameters == sum(parameter.numel() for parameter in model.parameters())
    last = layers.levels[-1]
    assert (last.name, last.channels, last.height, last.width) == ("output", 3, 65, 90)
    assert layers.model == config


def independent_count(model: nn.Module, image: Tensor) -> int:
    """PyTorch's own counter of floating-point operations, two for each multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("size", [(64, 96), (101, 67), (33, 1)], ids=str)
@pytest.mark.parametrize("config", ALL, ids=lambda config: config.name)
def test_multiply_adds_are_those_that_pytorch_counts(
    config: ModelConfig, size: tuple[int, int]
) -> None:
    if hasattr(config, "pretrained"):
        config = type(config)()
    layers = layer_table(config, 3, 1, size)
    bare = {"pretrained": False} if config.name == "lite_unet" else {}
    with torch.device("meta"):
        model = build_model(config.model_copy(update=bare), 3, 1).eval()
    assert layers.multiply_adds == independent_count(model, torch.empty(1, 3, *size).to("meta"))


def _mean_pool(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: int = 0,
    *_: Any,
    return_indices: bool = False,
    **__: Any,
) -> Any:
    pooled = F.avg_pool2d(x, kernel_size, stride, padding)
    return (pooled, pooled) if return_indices else pooled


def _repeat(x: Tensor, _indices: Tensor, _kernel_size: Any, output_size: torch.Size) -> Tensor:
    return F.interpolate(x, size=tuple(output_size))


def spread_out(model: nn.Module) -> nn.Module:
    """All weights positive and even, so that nothing cancels, saturates or stops a gradient."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model.double().eval()


@pytest.mark.parametrize(
    ("config", "height"),
    [
        (UNetConfig(width=2), 272),
        (UNetConfig(width=2, depth=2), 91),
        (UNetConfig(width=2, depth=3), 142),
        (UNetConfig(width=2, depth=2, down="stride"), 93),
        (UNetConfig(width=2, depth=3, down="stride", up="bilinear"), 160),
        (SegNetConfig(width=2), 480),
        (SegNetConfig(form="basic", width=2), 240),
        (ResUNetConfig(width=4, dilations=((1, 3, 9), (1, 3), (1,))), 192),
        (ResNetUNetConfig(depth=18, decoder_widths=(8, 8, 8, 8, 4)), 672),
        (LiteUNetConfig(pretrained=False, decoder_widths=(8, 8, 8, 8)), 1024),
    ],
    ids=str,
)
def test_what_a_row_sees_is_where_its_gradient_comes_from(config: ModelConfig, height: int) -> None:
    check_rows(build_model(config, 1, 1), height)


def check_rows(model: nn.Module, height: int) -> None:
    """Two rows of the map in the middle of an image see what their gradients say.

    These are taken with pooling by means: that of a largest value reaches one pixel only.
    """
    empty = torch.empty(1, 1, height, 32, device="meta")
    tracer = Tracer(empty)
    with tracer:
        view = tracer.view(copy.deepcopy(model).to("meta").eval()(empty))
    assert view is not None
    image = torch.full((1, 1, height, 32), 1e-3, dtype=torch.float64, requires_grad=True)
    with mock.patch.multiple(F, max_pool2d=_mean_pool, max_unpool2d=_repeat):
        answer = spread_out(model)(image)
    middle = answer.shape[2] // 2
    for row in (middle, middle + 3):
        (gradient,) = torch.autograd.grad(answer[0, 0, row].sum(), image, retain_graph=True)
        rows = gradient[0, 0].abs().sum(1).nonzero()
        assert rows.min() > 0, "the image is too small for this test"
        assert rows.max() < height - 1
        assert (int(rows.min()), int(rows.max())) == (view.first[row], view.last[row])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 3, dilation=5, padding=5),
        nn.Conv2d(1, 1, 3, stride=2, dilation=3, padding=2),
        nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1),
        nn.ConvTranspose2d(1, 1, 5, stride=4),
    ],
    ids=str,
)
def test_layers_of_any_kind_see_what_their_gradient_says(layer: nn.Module) -> None:
    before, after = nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.Conv2d(1, 1, 3, padding=1)
    check_rows(nn.Sequential(before, layer, after), 64)


def test_the_widest_row_counts() -> None:
    """At depth 1 with bilinear upsampling, rows see windows of two heights."""
    model = spread_out(build_model(UNetConfig(width=2, depth=1, down="stride"), 1, 1))
    spans = []
    for row in (20, 21, 22, 23):
        image = torch.ones(1, 1, 48, 48).double().requires_grad_()
        model(image)[0, 0, row, 24].backward()
        assert image.grad is not None
        rows = image.grad[0, 0].abs().sum(1).nonzero()
        spans.append(int(rows.max() - rows.min()) + 1)
    levels = summarize(model.float(), 1, (48, 48))
    assert levels[-1].receptive_field == max(spans)


def test_the_model_itself_is_left_alone() -> None:
    model = build_model(UNetConfig(width=4), 3, 1)
    summarize(model, 3, (64, 64))
    assert model.training
    assert next(model.parameters()).device.type == "cpu"
    assert not any(module._forward_hooks for module in model.modules())


def test_json_holds_all_of_it() -> None:
    layers = layer_table(SegNetConfig(width=2), 1, 4, (32, 48))
    record = layers.to_json()
    assert record["model"] == {"name": "segnet", "form": "vgg16", "width": 2}
    assert record["size"] == [32, 48]
    assert (record["in_channels"], record["num_classes"]) == (1, 4)
    for key in ("parameters", "multiply_adds"):
        assert record[key] == sum(level[key] for level in record["levels"])
    assert [Level(**level) for level in record["levels"]] == layers.levels
    assert isinstance(layers, LayerTable)
