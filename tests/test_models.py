"""What every network promises, whichever it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from delineo.errors import ShapeError
from delineo.models import (
    LiteUNetConfig,
    ModelConfig,
    ResNetUNetConfig,
    ResUNetConfig,
    SegNetConfig,
    UNetConfig,
    build_model,
    describe_start,
)
from delineo.models.blocks import check_input, pad_to_least, pad_to_multiple

CONFIGS: dict[str, ModelConfig] = {
    "lite_unet": LiteUNetConfig(),
    "lite_unet_empty": LiteUNetConfig(pretrained=False, decoder_widths=(16, 12, 8, 8), dropout=0.2),
    "unet": UNetConfig(width=4),
    "unet_strided": UNetConfig(width=4, depth=3, down="stride", dropout=0.2),
    "unet_bilinear": UNetConfig(width=4, depth=2, up="bilinear"),
    "segnet": SegNetConfig(width=4),
    "segnet_basic": SegNetConfig(form="basic", width=8),
    "resunet": ResUNetConfig(width=4, dilations=((1, 3, 15), (1, 3), (1,))),
    "resunet_pyramid": ResUNetConfig(width=4, dilations=((1, 3), (1,)), pyramid_pooling=True),
    "resnet18_unet": ResNetUNetConfig(depth=18, decoder_widths=(16, 8, 8, 8, 4)),
    "resnet50_unet": ResNetUNetConfig(depth=50, decoder_widths=(16, 8, 8, 8, 4)),
}
SIZES = [(1, 1), (1, 100), (100, 1), (37, 53), (64, 96), (101, 101)]


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return CONFIGS[request.param]


def make(config: ModelConfig, in_channels: int = 3, num_classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return build_model(config, in_channels, num_classes)


def answer(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(images)


def test_every_choice_is_tested() -> None:
    names = {config.name for config in CONFIGS.values()}
    schema = TypeAdapter(ModelConfig).json_schema()
    assert names == {section["properties"]["name"]["const"] for section in schema["$defs"].values()}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_any_size_goes_in_and_comes_out(config: ModelConfig, size: tuple[int, int]) -> None:
    logits = answer(make(config).eval(), torch.randn(2, 3, *size))
    assert logits.shape == (2, 2, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("in_channels", [1, 2, 3, 5])
def test_any_number_of_channels_and_classes(config: ModelConfig, in_channels: int) -> None:
    logits = answer(make(config, in_channels, 7).eval(), torch.randn(1, in_channels, 64, 64))
    assert logits.shape == (1, 7, 64, 64)


def test_every_parameter_gets_a_finite_gradient(config: ModelConfig) -> None:
    model = make(config).train()
    model(torch.randn(2, 3, 70, 64)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_step_changes_every_weight(config: ModelConfig) -> None:
    model = make(config).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        target = torch.rand(2, 2, 64, 64)
        (model(torch.randn(2, 3, 64, 64)) - target).square().mean().backward()
        optimizer.step()
    for name, parameter in model.named_parameters():
        assert not parameter.equal(before[name]), name


def test_judging_is_deterministic_and_does_not_mix_images(config: ModelConfig) -> None:
    model = make(config).eval()
    images = torch.randn(3, 3, 64, 64)
    together = answer(model, images)
    assert together.equal(answer(model, images))
    torch.testing.assert_close(answer(model, images[1:2]), together[1:2], atol=1e-4, rtol=1e-3)


def test_first_answer_prefers_no_class(config: ModelConfig) -> None:
    model = make(config, num_classes=5).train()
    logits = model(torch.randn(2, 3, 64, 64))
    loss = nn.functional.cross_entropy(logits, torch.randint(0, 5, (2, 64, 64)))
    assert loss.item() == pytest.approx(torch.tensor(5.0).log().item(), rel=0.1)


def test_several_classes_are_absent_at_first_and_one_is_open(config: ModelConfig) -> None:
    for num_classes, expected in ((1, 0.0), (3, -4.0)):
        logits = answer(make(config, num_classes=num_classes).eval(), torch.zeros(1, 3, 64, 64))
        assert logits.mean().item() == pytest.approx(expected, abs=1.0)


def test_weights_survive_a_file(config: ModelConfig, tmp_path: Path) -> None:
    model = make(config).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(1)
    again = build_model(config, 3, 2).eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    images = torch.randn(1, 3, 40, 40)
    assert answer(model, images).equal(answer(again, images))


def test_channels_last_in_channels_last_out(config: ModelConfig) -> None:
    model = make(config).eval()
    images = torch.randn(2, 3, 64, 64)
    expected = answer(model, images)
    fast: Any = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    logits = answer(fast, images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-3)


def test_wrong_channels_are_explained(config: ModelConfig) -> None:
    with pytest.raises(ShapeError, match=r"\(batch, 3, height, width\), got \(1, 4, 32, 32\)"):
        make(config)(torch.randn(1, 4, 32, 32))


def test_wrong_rank_is_explained() -> None:
    with pytest.raises(ShapeError, match=r"got \(3, 32, 32\)"):
        check_input(torch.zeros(3, 32, 32), 3)
    with pytest.raises(TypeCheckError):
        make(UNetConfig(width=2))(torch.zeros(3, 32, 32))


@pytest.mark.parametrize(
    ("config", "in_channels", "num_classes", "expected"),
    [
        (UNetConfig(), 3, 1, 31_037_633),
        # max pooling has no values; the convolutions have 9 * width**2 + width at each level
        (UNetConfig(down="stride"), 3, 1, 31_037_633 + 9 * 348_160 + 960),
        (LiteUNetConfig(pretrained=False), 3, 1, 3_828_996),
        (SegNetConfig(), 3, 12, 29_449_932),
        (SegNetConfig(form="basic"), 3, 11, 1_416_075),
    ],
    ids=str,
)
def test_parameter_counts(
    config: ModelConfig, in_channels: int, num_classes: int, expected: int
) -> None:
    with torch.device("meta"):
        model = build_model(config, in_channels, num_classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_padding_repeats_the_border() -> None:
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad_to_multiple(image, 4)
    assert padded[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert pad_to_least(image, 3)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [3, 4, 5]]
    assert pad_to_least(image, 2) is image


@pytest.mark.parametrize(
    "name", ["lite_unet_empty", "unet", "segnet_basic", "resunet", "resnet18_unet"]
)
def test_exported_graph_answers_alike_at_other_sizes(name: str) -> None:
    model = make(CONFIGS[name]).eval()
    height, width = (32 * torch.export.Dim(name, min=1) for name in ("height", "width"))
    program = torch.export.export(
        model,
        (torch.randn(2, 3, 64, 96),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1), 2: height, 3: width},),
    )
    images = torch.randn(3, 3, 96, 64)
    torch.testing.assert_close(answer(program.module(), images), answer(model, images))


def test_a_start_from_scratch_is_said() -> None:
    assert "installation" in describe_start(LiteUNetConfig())
    assert describe_start(LiteUNetConfig(pretrained=False)) == "from scratch"
    assert "model.pretrained=FILE" in describe_start(ResNetUNetConfig())
    assert "weights/resnet.pth" in describe_start(ResNetUNetConfig(pretrained="weights/resnet.pth"))
