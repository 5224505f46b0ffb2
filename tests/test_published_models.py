"""The published networks, layer by layer against their papers, and their weights from files."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from delineo.errors import ConfigError
from delineo.models import (
    ResNetUNet,
    ResNetUNetConfig,
    ResUNetConfig,
    SegNet,
    SegNetConfig,
    UNetConfig,
    build_model,
)
from delineo.models.resnet_unet import ResNetEncoder
from delineo.models.resunet import PyramidPooling, ResidualBlock


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


def test_unet_of_width_16_is_the_one_for_salt() -> None:
    with torch.device("meta"):
        model = build_model(UNetConfig(width=16), 3, 1)
    assert shapes_of(model, ["first", "encoder.3"], (128, 128)) == [(16, 128, 128), (256, 8, 8)]


def test_segnet_levels() -> None:
    with torch.device("meta"):
        model = build_model(SegNetConfig(), 3, 12)
    names = [*(f"encoder.{n}" for n in range(5)), *(f"decoder.{n}" for n in range(5))]
    assert shapes_of(model, names, (352, 480)) == [
        (64, 352, 480),
        (128, 176, 240),
        (256, 88, 120),
        (512, 44, 60),
        (512, 22, 30),
        (512, 22, 30),
        (256, 44, 60),
        (128, 88, 120),
        (64, 176, 240),
        (64, 352, 480),
    ]
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 26
    assert all(layer.kernel_size == (3, 3) for layer in convolutions)


def test_segnet_unpools_where_it_pooled() -> None:
    """With convolutions that do nothing, the largest of each 2x2 pixels comes back in place."""
    model = SegNet(SegNetConfig(form="basic", width=1), 1, 1).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            centre = module.kernel_size[0] // 2
            nn.init.zeros_(module.weight)
            with torch.no_grad():
                module.weight[0, 0, centre, centre] = 1.0
    torch.manual_seed(0)
    image = torch.rand(1, 1, 16, 17)
    with torch.no_grad():
        answer = model(image)[0, 0]
    largest = image[0, 0, :, :16].max()  # the last column is in no 2x2 pixels
    expected = torch.where(image[0, 0] == largest, largest, 0.0)
    torch.testing.assert_close(answer, expected, atol=1e-3, rtol=0)


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


@pytest.fixture
def resnet18() -> dict[str, Tensor]:
    """A state as torchvision saves it, classifier included."""
    torch.manual_seed(0)
    state = ResNetEncoder(18, 3).state_dict()
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def load(path: Path, in_channels: int = 3, **settings: str) -> ResNetUNet:
    config = ResNetUNetConfig(depth=18, pretrained=str(path), **settings)
    model = build_model(config, in_channels, 2)
    assert isinstance(model, ResNetUNet)
    return model


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_resnet_weights_from_a_file(
    resnet18: dict[str, Tensor], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        del resnet18["bn1.num_batches_tracked"]
        torch.save(resnet18, path)
    else:
        save_file(resnet18, path)
    model = load(path)
    for key, value in model.encoder.state_dict().items():
        assert value.equal(resnet18.get(key, torch.tensor(0))), key
    assert len(model.pretrained_parameters()) == len(list(model.encoder.parameters()))


def test_resnet_weights_for_grey_images(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    model = load(tmp_path / "weights.pth", in_channels=1)
    assert model.encoder.conv1.weight.equal(resnet18["conv1.weight"].sum(1, keepdim=True))


def test_weights_of_another_network_are_refused(
    resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    config = ResNetUNetConfig(depth=34, pretrained=str(tmp_path / "weights.pth"))
    with pytest.raises(ConfigError, match=r"another network: layer1\.2\.bn1\.bias .*model\.depth"):
        build_model(config, 3, 2)


def test_hash_is_checked(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet18, tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    load(tmp_path / "weights.pth", sha256=digest[:16])
    with pytest.raises(ConfigError, match="SHA-256"):
        load(tmp_path / "weights.pth", sha256="0" * 16)
    named = (tmp_path / "weights.pth").rename(tmp_path / "resnet18-00000000.pth")
    with pytest.raises(ConfigError, match="begin with 00000000"):
        load(named)


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("evil.pth", "text.pth", "text.safetensors", "list.pth", "missing.pth"):
        with pytest.raises(ConfigError, match=name):
            load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_an_address_needs_a_hash() -> None:
    with pytest.raises(ConfigError, match=r"model\.sha256"):
        build_model(ResNetUNetConfig(pretrained="https://example.invalid/resnet18.pth"), 3, 2)


def test_an_address_that_cannot_be_reached_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    config = ResNetUNetConfig(depth=18, pretrained="https://127.0.0.1:9/resnet18-f37072fd.pth")
    with pytest.raises(ConfigError, match=r"could not fetch .* path of the file"):
        build_model(config, 3, 2)
    assert not list(tmp_path.rglob("*.pth"))
