"""From files' arrays to the network's view: channels, sizes, value range."""

from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from PIL import Image

from delineo.data.scaling import normalize, resize_image, resize_mask, size_of, to_tensor
from delineo.data.sizing import match_channels, scaled_size
from delineo.errors import DataError

FITTING = {(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 1), (2, 2), (3, 1), (3, 3)} | {
    (4, 1), (4, 3), (4, 4), (5, 5),
}  # fmt: skip


def noise(channels: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 7, channels)).astype(dtype)


@pytest.mark.parametrize(("have", "wanted"), list(product(range(1, 6), repeat=2)))
def test_channels_are_matched_or_refused(have: int, wanted: int) -> None:
    image = noise(have)
    if (have, wanted) not in FITTING:
        with pytest.raises(DataError, match=f"{have} channels, the model takes {wanted}"):
            match_channels(image, wanted)
        return
    matched = match_channels(image, wanted)
    assert matched.shape == (6, 7, wanted)
    assert matched.dtype == image.dtype
    if have == wanted:
        assert np.array_equal(matched, image)


def test_grey_becomes_equal_channels_and_transparency_is_dropped() -> None:
    grey, rgba = noise(1), noise(4)
    assert (match_channels(grey, 3) == grey).all()
    assert np.array_equal(match_channels(rgba, 3), rgba[:, :, :3])
    assert np.array_equal(match_channels(noise(2), 1), noise(2)[:, :, :1])


def test_grey_of_rgb_is_as_in_pillow() -> None:
    rgb = noise(3)
    expected = np.array(Image.fromarray(rgb).convert("L")).astype(int)
    assert np.abs(match_channels(rgb, 1)[:, :, 0] - expected).max() <= 1
    assert np.array_equal(match_channels(noise(4), 1), match_channels(noise(4)[:, :, :3], 1))


def test_grey_of_fractions_keeps_them() -> None:
    rgb = noise(3, np.float32) / 255
    grey = match_channels(rgb, 1)
    assert grey.dtype == np.float32
    assert np.allclose(grey[:, :, 0], rgb @ [0.299, 0.587, 0.114], atol=1e-6)


def test_grey_of_16_bit_stays_in_range() -> None:
    white = np.full((2, 2, 3), 65535, np.uint16)
    assert (match_channels(white, 1) == 65535).all()


SIDES = st.integers(1, 3000)


@given(SIDES, SIDES, st.integers(32, 512), st.integers(32, 512))
def test_fit_keeps_area_and_aspect(height: int, width: int, rows: int, columns: int) -> None:
    new = scaled_size((height, width), (rows, columns), "fit")
    if new == (rows, columns):
        return
    factor = (rows * columns / (height * width)) ** 0.5
    assert new[0] == max(1, round(height * factor))
    assert new[1] == max(1, round(width * factor))


def test_fit_of_the_usual_case_is_the_image_size_itself() -> None:
    assert scaled_size((765, 573), (288, 216), "fit") == (288, 216)
    assert scaled_size((764, 576), (288, 216), "fit") == (288, 216)
    assert scaled_size((216, 288), (288, 216), "fit") == (216, 288)


@given(SIDES, SIDES, st.floats(0.01, 4))
def test_a_number_scales_each_side(height: int, width: int, scale: float) -> None:
    new = scaled_size((height, width), (64, 64), scale)
    assert new == (max(1, round(height * scale)), max(1, round(width * scale)))


def test_size_of_arrays_and_tensors() -> None:
    assert size_of(np.zeros((3, 4))) == (3, 4)
    assert size_of(torch.zeros(2, 3, 4)) == (3, 4)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (np.uint8, torch.uint8),
        (np.uint16, torch.float32),
        (np.float32, torch.float32),
        (np.float64, torch.float32),
        (np.int32, torch.float32),
        (bool, torch.float32),
    ],
)
def test_to_tensor_of_any_array(dtype: type, expected: torch.dtype) -> None:
    image = noise(3, dtype)
    for array in (image, image[::-1, ::2], np.asfortranarray(image)):
        tensor = to_tensor(array)
        assert tensor.dtype == expected
        assert np.array_equal(tensor.permute(1, 2, 0).numpy(), array.astype(tensor.numpy().dtype))


def test_to_tensor_of_an_array_that_may_not_be_written() -> None:
    image = noise(3)
    image.setflags(write=False)
    assert to_tensor(image).shape == (3, 6, 7)


def test_images_keep_their_type_and_range_when_resized() -> None:
    image = to_tensor(noise(3))
    resized = resize_image(image, (3, 20))
    assert resized.dtype == torch.uint8
    assert resized.shape == (3, 3, 20)
    flat = torch.full((1, 30, 30), 65535.0)
    assert resize_image(flat, (7, 50)).sub(65535).abs().max() < 0.1
    assert resize_image(image, (6, 7)) is image


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
def test_resized_masks_hold_no_new_class(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = torch.from_numpy(random.choice(np.array([0, 3, 250, 255], np.uint8), (13, 17)))
    resized = resize_mask(mask, (height, width))
    assert resized.dtype == torch.uint8
    assert resized.shape == (height, width)
    assert set(resized.unique().tolist()) <= set(mask.unique().tolist())


def test_layers_are_resized_like_one_mask() -> None:
    mask = torch.from_numpy(noise(4)).permute(2, 0, 1)
    layers = resize_mask(mask, (11, 5))
    assert layers.shape == (4, 11, 5)
    assert torch.equal(layers[2], resize_mask(mask[2], (11, 5)))


def test_enlarged_masks_lie_where_they_lay() -> None:
    mask = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8)
    enlarged = resize_mask(mask, (6, 8))
    assert torch.equal(enlarged, mask.repeat_interleave(3, 0).repeat_interleave(4, 1))
    assert torch.equal(resize_mask(enlarged, (2, 2)), mask)


def test_normalize_works_in_the_files_units() -> None:
    images = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    mean, std = torch.tensor([0.0, 127.0, 127.0]), torch.tensor([1.0, 2.0, 128.0])
    assert normalize(images, mean, std).flatten().tolist() == [0, 0, 1]
