"""Pixels and maps are scaled without PyTorch as PyTorch scales them."""

import numpy as np
import pytest
import torch
from torch import nn

from delineo.data.scaling import resize_image, to_tensor
from delineo.data.sizing import resize_maps, resize_pixels


@pytest.mark.parametrize("size", [(5, 7), (16, 31), (90, 64), (1, 1), (33, 200)])
def test_pixels_are_scaled_as_pytorch_does(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (33, 64, 3), dtype=np.uint8)
    for pixels, tolerance in ((image, 1), (image.astype(np.float32), 1e-3)):
        theirs = resize_image(to_tensor(pixels), size).permute(1, 2, 0).numpy()
        own = resize_pixels(pixels, size)
        assert own.dtype == pixels.dtype
        assert np.abs(own.astype(float) - theirs.astype(float)).max() <= tolerance


@pytest.mark.parametrize("size", [(5, 7), (16, 31), (90, 64), (1, 1), (33, 200)])
def test_maps_are_scaled_as_pytorch_does(size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random((2, 33, 64), dtype=np.float32)
    theirs = nn.functional.interpolate(torch.from_numpy(maps)[None], size=size, mode="bilinear")[0]
    assert np.abs(resize_maps(maps, size) - theirs.numpy()).max() < 1e-5
