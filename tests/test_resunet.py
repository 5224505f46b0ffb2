"""ResUNet-a, layer by layer against its paper."""

import torch
from networks import shapes_of
from torch import Tensor, nn

from delineo.models import ResUNetConfig, build_model
from delineo.models.resunet import PyramidPooling, ResidualBlock


def test_resunet_levels_and_dilations() -> None:
    with torch.device("meta"):
        model = build_model(ResUNetConfig(), 3, 4)
    names = [*(f"encoder.{n}" for n in range(6)), *(f"decoder.{n}" for n in range(5))]
    widths = [32, 64, 128, 256, 512, 1024, 512, 256, 128, 64, 32]
    sides = [256, 128, 64, 32, 16, 8, 16, 32, 64, 128, 256]
    assert shapes_of(model, names, (256, 256)) == [
        (width, side, side) for width, side in zip(widths, sides, strict=True)
    ]
    dilations = [
        [branch[2].dilation[0] for branch in block.branches]
        for block in model.modules()
        if isinstance(block, ResidualBlock)
    ]
    down = [[1, 3, 15, 31], [1, 3, 15, 31], [1, 3, 15], [1, 3, 15], [1], [1]]
    assert dilations == down + down[-2::-1]


def test_resunet_parameters() -> None:
    """Counted by the paper's table of layers, with the encoder's 3x3 stride-2 convolutions."""
    widths = [32, 64, 128, 256, 512, 1024]
    branches = [4, 4, 3, 3, 1, 1]

    def block(width: int, count: int) -> int:
        return count * (2 * 9 * width**2 + width + 2 * 2 * width)

    def mixed(before: int, after: int) -> int:
        return before * after + 2 * after

    blocks = [block(*pair) for pair in zip(widths, branches, strict=True)]
    down = sum(9 * width * 2 * width for width in widths[:-1])
    up = sum(mixed(2 * width, width) for width in widths[:-1])
    join = sum(mixed(2 * width, width) for width in [*widths[:-1], 32])
    expected = mixed(3, 32) + sum(blocks) + sum(blocks[:-1]) + down + up + join + 32 * 4 + 4
    with torch.device("meta"):
        model = build_model(ResUNetConfig(), 3, 4)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_residual_block_adds_its_branches_to_its_input() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, (1, 3)).eval()
    x = torch.randn(1, 4, 9, 9)
    expected = x.clone()
    for branch, dilation in zip(block.branches, (1, 3), strict=True):
        _, _, first, _, _, second = branch
        scale = (1 + 1e-5) ** -0.5
        y = nn.functional.conv2d(
            (x * scale).relu(), first.weight, padding=dilation, dilation=dilation
        )
        y = nn.functional.conv2d(
            (y * scale).relu(), second.weight, second.bias, padding=dilation, dilation=dilation
        )
        expected = expected + y
    torch.testing.assert_close(block(x), expected)


def test_pyramid_pools_over_halves_of_halves() -> None:
    pooling = PyramidPooling(4).eval()
    x = torch.zeros(1, 4, 8, 8)
    x[0, :, 0, 0] = 1.0
    seen: list[Tensor] = []
    for layer in pooling.reduce:
        layer.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    assert pooling(x).shape == x.shape
    assert [tuple(map_.shape[2:]) for map_ in seen] == [(1, 1), (2, 2), (4, 4), (8, 8)]
    assert [map_[0, 0].count_nonzero().item() for map_ in seen] == [1, 1, 1, 1]
