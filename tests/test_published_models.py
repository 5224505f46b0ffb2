"""The published networks, layer by layer against their papers, and their weights from files."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

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
    check_start,
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


def count(module: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...]) -> int:
    """Parameters of all layers of some kinds."""
    layers = [layer for layer in module.modules() if isinstance(layer, kinds)]
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


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


def test_segnet_parameters() -> None:
    """14.7 million in the encoder, which is VGG16's 14,714,688; a file of 117 MB (table 6)."""
    with torch.device("meta"):
        model = build_model(SegNetConfig(), 3, 11)
    assert count(model.encoder, nn.Conv2d) == 14_714_688
    assert sum(4 * parameter.numel() for parameter in model.parameters()) // 10**6 == 117


def test_segnet_basic_levels() -> None:
    """Four levels of 7x7 convolutions, 64 channels everywhere; table 1 of the paper gives 1.425
    million parameters, within 1 % of ours.
    """
    with torch.device("meta"):
        model = build_model(SegNetConfig(form="basic"), 3, 11)
    names = [*(f"encoder.{n}" for n in range(4)), *(f"decoder.{n}" for n in range(4)), "head"]
    sides = [(360, 480), (180, 240), (90, 120), (45, 60)]
    assert shapes_of(model, names, (360, 480)) == [
        *((64, *side) for side in [*sides, *sides[::-1]]),
        (11, 360, 480),
    ]
    *convolutions, head = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.kernel_size for layer in convolutions] == [(7, 7)] * 8
    assert head.kernel_size == (1, 1)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(
        1.425e6, rel=0.01
    )


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


def test_segnet_starts_with_the_weights_of_its_section_3_2() -> None:
    """He et al. 2015: normal, of variance 2 over the number of values that are summed up."""
    torch.manual_seed(0)
    model = build_model(SegNetConfig(form="basic"), 3, 11)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and name != "head":
            expected = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)


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


@pytest.fixture
def resnet18() -> dict[str, Tensor]:
    """A state as torchvision saves it, classifier included."""
    torch.manual_seed(0)
    state = ResNetEncoder(18, 3).state_dict()
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def load(path: Path | str, in_channels: int = 3, **settings: str) -> ResNetUNet:
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
    with pytest.raises(ConfigError, match=r"weights\.pth .*a ResNet-18, .*set model\.depth=18"):
        check_start(config)
    resnet18["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    torch.save(resnet18, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"than a ResNet-18: layer1\.0\.conv1\.weight and 0 more"):
        load(tmp_path / "weights.pth")


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
    (tmp_path / "prose.pth").write_text("hello, these are no weights")
    (tmp_path / "empty.pth").touch()
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({1: torch.zeros(2)}, tmp_path / "numbered.pth")
    files = [path.name for path in tmp_path.iterdir()]
    assert len(files) == 7
    for name in (*files, "missing.pth"):
        with pytest.raises(ConfigError, match=name) as caught:
            load(tmp_path / name)
        assert "weights_only" not in str(caught.value)  # PyTorch's way to run what is in them
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_no_numbers_are_refused(
    resnet18: dict[str, Tensor], tmp_path: Path
) -> None:
    resnet18["layer1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    torch.save(resnet18, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"layer1\.0\.conv1\.weight in .* no numbers"):
        load(tmp_path / "weights.pth")


def test_weights_from_an_address(
    resnet18: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched once, and only if the hash is right."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    torch.save(resnet18, tmp_path / "served/weights.pth")
    digest = hashlib.sha256((tmp_path / "served/weights.pth").read_bytes()).hexdigest()
    with serve(tmp_path / "served") as address:
        with pytest.raises(ConfigError, match="invalid hash"):
            load(f"{address}/weights.pth", sha256="0" * 64)
        assert not list((tmp_path / "cache").rglob("*.pth"))
        with pytest.raises(ConfigError, match="404"):
            load(f"{address}/other.pth", sha256=digest)
        model = load(f"{address}/weights.pth", sha256=digest)
    assert model.encoder.conv1.weight.equal(resnet18["conv1.weight"])
    assert load(f"{address}/weights.pth", sha256=digest).pretrained


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The files of a folder under an address of this machine, for a while."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_needs_a_hash() -> None:
    with pytest.raises(ConfigError, match=r"model\.sha256"):
        build_model(ResNetUNetConfig(pretrained="https://example.invalid/resnet18.pth"), 3, 2)


def test_an_address_that_cannot_be_reached_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for host in ("127.0.0.1:9", "127.0.0.1:x", "[1"):
        with pytest.raises(ConfigError, match=r"could not fetch .* path of the file"):
            load(f"https://{host}/resnet18-f37072fd.pth")
    assert not list(tmp_path.rglob("*.pth*"))
