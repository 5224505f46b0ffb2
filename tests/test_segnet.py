"""SegNet and SegNet-Basic, against their paper layer by layer and PyTorch's unpooling."""

import pytest
import torch
from networks import count, shapes_of
from torch import Tensor, nn

from delineo.models import SegNet, SegNetConfig, build_model
from delineo.models.segnet import pool_corners, unpool_corners


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


def test_segnet_starts_with_the_weights_of_its_section_3_2() -> None:
    """He et al. 2015: normal, of variance 2 over the number of values that are summed up."""
    torch.manual_seed(0)
    model = build_model(SegNetConfig(form="basic"), 3, 11)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and name != "head":
            expected = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (2, 3)])
def test_corners_are_pooling_indices(size: tuple[int, int]) -> None:
    # few values, so that many corners are equal
    x = torch.randint(0, 3, (2, 3, *size), generator=torch.Generator().manual_seed(0)).float()
    largest, indices = nn.functional.max_pool2d(x, 2, return_indices=True)
    own, places = pool_corners(x)
    assert torch.equal(own, largest)
    values: Tensor = torch.randn_like(largest)
    theirs = nn.functional.max_unpool2d(values, indices, (2, 2), output_size=size)
    assert torch.equal(unpool_corners(values, places, size), theirs)
