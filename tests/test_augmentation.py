"""Augmentation: image and mask move together, colour leaves masks alone, draws are repeatable."""

from math import tau

import kornia
import pytest
import torch
from torch import Tensor

from delineo.data.augmentation import (
    AugmentationConfig,
    Moves,
    cut_window,
    draw_moves,
    recolor,
)
from delineo.data.randomness import generator
from delineo.data.samples import IGNORE_INDEX

STILL = Moves(0.0, 1.0, False, False, (0.0, 0.0), 0.0, 1.0, 1.0, 0.0)
OFF = AugmentationConfig(
    horizontal_flip=0, rotation=0, zoom=1, shift=0, brightness=0, contrast=0, saturation=0
)


def moves(**changes: object) -> Moves:
    return Moves(**{**vars(STILL), **changes})  # pyright: ignore[reportArgumentType]


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(256, (channels, height, width), generator=random, dtype=torch.uint8)


def labels(height: int, width: int, seed: int = 1) -> Tensor:
    """Every value that a mask can hold, the ignored one among them."""
    return picture(height, width, 1, seed)[0]


def middle(tensor: Tensor) -> tuple[float, float]:
    return (tensor.shape[-2] - 1) / 2, (tensor.shape[-1] - 1) / 2


@pytest.mark.parametrize("size", [(32, 48), (2, 30), (37, 53), (500, 700)])
def test_identity_leaves_image_and_mask_exactly(size: tuple[int, int]) -> None:
    image, mask = picture(*size), labels(*size)
    window, target = cut_window(image, mask, middle(mask), STILL, size)
    assert torch.equal(window, image)
    assert torch.equal(target, mask)


def test_identity_of_images_with_fractions() -> None:
    image = picture(20, 30).float() * 257 + 0.25
    window, _ = cut_window(image, labels(20, 30), (9.5, 14.5), STILL, (20, 30))
    assert window.dtype == torch.float32
    torch.testing.assert_close(window, image, rtol=1e-4, atol=0.5)


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ({"mirror": True}, lambda image: image.flip(-1)),
        ({"flip": True}, lambda image: image.flip(-2)),
        ({"mirror": True, "flip": True}, lambda image: image.flip(-1, -2)),
        ({"angle": 90.0}, lambda image: image.rot90(1, (-2, -1))),
        ({"angle": -90.0}, lambda image: image.rot90(-1, (-2, -1))),
        ({"angle": 180.0}, lambda image: image.flip(-1, -2)),
    ],
)
def test_turns_are_exact_for_image_and_mask(turn, expected) -> None:
    image, mask = picture(32, 32), labels(32, 32)
    window, target = cut_window(image, mask, middle(mask), moves(**turn), (32, 32))
    assert torch.equal(window, expected(image))
    assert torch.equal(target, expected(mask))


@pytest.mark.parametrize("seed", range(6))
def test_image_and_mask_move_together(seed: int) -> None:
    """A smooth disc and its threshold still agree after any move, but for the pixels of the rim."""
    rows, columns = torch.meshgrid(torch.arange(90.0), torch.arange(70.0), indexing="ij")
    distance = ((rows - 40) ** 2 + (columns - 30) ** 2).sqrt()
    image = (200 - 3 * distance).clamp(0, 255)[None]
    mask = (image[0] > 140).byte()
    drawn = draw_moves(AugmentationConfig(rotation=180, zoom=2, vertical_flip=0.5), generator(seed))
    window, target = cut_window(image, mask, (45.0, 33.0), drawn, (64, 64))
    inside = target != IGNORE_INDEX
    assert inside.float().mean() > 0.3
    unsure = (window[0] - 140).abs() < 3 / drawn.zoom + 1
    assert torch.equal((window[0] > 140)[inside & ~unsure], (target == 1)[inside & ~unsure])


def test_zoom_makes_things_larger() -> None:
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[28:36, 28:36] = 1
    image = mask[None] * 255
    _, target = cut_window(image, mask, middle(mask), moves(zoom=2.0), (64, 64))
    assert (target == 1).sum() == 4 * (mask == 1).sum()


def test_windows_are_cut_where_they_are_asked_for() -> None:
    image, mask = picture(60, 80), labels(60, 80)
    window, target = cut_window(image, mask, (19.5, 34.5), STILL, (20, 30))
    assert torch.equal(window, image[:, 10:30, 20:50])
    assert torch.equal(target, mask[10:30, 20:50])


def test_beyond_the_edge_is_mirrored_image_and_ignored_mask() -> None:
    image, mask = picture(16, 16), torch.zeros(16, 16, dtype=torch.uint8)
    window, target = cut_window(image, mask, (7.5, 7.5), STILL, (24, 24))
    assert torch.equal(target[4:20, 4:20], mask)
    assert (target == IGNORE_INDEX).sum() == 24 * 24 - 16 * 16
    assert torch.equal(window[:, 4:20, 3], image[:, :, 1])


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (20, 1)])
def test_a_single_row_or_column_is_seen_where_it_is(size: tuple[int, int]) -> None:
    image, mask = picture(*size), labels(*size)
    mask[0, 0] = 3
    window, target = cut_window(image, mask, (0.5, 0.5), STILL, (24, 24))
    rows, columns = (slice(11, 11 + min(13, length)) for length in size)
    assert torch.equal(target[rows, columns], mask[:13, :13])
    assert torch.equal(window[:, rows, columns], image[:, :13, :13])
    target[rows, columns] = IGNORE_INDEX
    assert (target == IGNORE_INDEX).all()


@pytest.mark.parametrize("center", [(-100.0, -100.0), (8.0, 200.0), (500.0, 8.0)])
def test_a_window_that_misses_the_image_is_ignored(center: tuple[float, float]) -> None:
    image, mask = picture(16, 16), torch.zeros(16, 16, dtype=torch.uint8)
    window, target = cut_window(image, mask, center, moves(zoom=4.0), (32, 32))
    assert window.shape == (3, 32, 32)
    assert (target == IGNORE_INDEX).all()


def test_layers_move_alike() -> None:
    mask = labels(40, 50)
    drawn = moves(angle=20.0, zoom=1.3, mirror=True)
    _, one = cut_window(picture(40, 50), mask, (20.0, 25.0), drawn, (32, 32))
    _, layers = cut_window(picture(40, 50), mask.repeat(3, 1, 1), (20.0, 25.0), drawn, (32, 32))
    assert layers.shape == (3, 32, 32)
    assert all(torch.equal(layer, one) for layer in layers)


def test_no_class_appears_that_was_not_there() -> None:
    mask = torch.where(labels(64, 64) > 128, 7, 2).to(torch.uint8)
    _, target = cut_window(
        picture(64, 64), mask, (30.0, 20.0), moves(angle=33.0, zoom=1.7), (64, 64)
    )
    assert set(target.unique().tolist()) <= {2, 7, IGNORE_INDEX}


def test_inputs_are_left_as_they_were() -> None:
    image, mask = picture(20, 20).float(), labels(20, 20)
    before = image.clone(), mask.clone()
    cut_window(image, mask, middle(mask), moves(angle=45.0), (20, 20))
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_moves_are_a_pure_function_of_seed_pass_and_sample() -> None:
    config = AugmentationConfig()
    keys = [
        (seed, "sample", number, index) for seed in (0, 1) for number in (0, 1) for index in (0, 1)
    ]
    drawn = {key: draw_moves(config, generator(*key)) for key in keys}
    assert {key: draw_moves(config, generator(*key)) for key in reversed(keys)} == drawn
    assert len({move.angle for move in drawn.values()}) == len(keys)


def test_moves_stay_within_the_settings() -> None:
    config = AugmentationConfig(rotation=30, zoom=2, vertical_flip=0.25, hue=0.1)
    drawn = [draw_moves(config, generator(seed)) for seed in range(400)]
    assert all(abs(move.angle) <= 30 and 0.5 <= move.zoom <= 2 for move in drawn)
    assert all(abs(move.brightness) <= 0.2 and 0.75 <= move.contrast <= 1.25 for move in drawn)
    assert 0.09 < max(abs(move.hue) for move in drawn) <= 0.1
    assert sum(move.mirror for move in drawn) == pytest.approx(200, abs=40)
    assert sum(move.flip for move in drawn) == pytest.approx(100, abs=35)
    assert sum(move.zoom > 1 for move in drawn) == pytest.approx(200, abs=40)


def test_zero_switches_every_step_off_and_leaves_the_other_draws() -> None:
    still = draw_moves(OFF, generator(3))
    assert vars(still) == vars(STILL) | {"shift": still.shift}
    alone = OFF.model_copy(update={"rotation": 15.0})
    assert (
        draw_moves(alone, generator(3)).angle
        == draw_moves(AugmentationConfig(), generator(3)).angle
    )


def one(value: float) -> Tensor:
    return torch.tensor([float(value)])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_recolor_of_nothing_changes_nothing(channels: int) -> None:
    images = torch.randn(1, channels, 8, 8)
    torch.testing.assert_close(recolor(images, one(0), one(1), one(1), one(0)), images)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_saturation_and_hue_are_of_rgb_alone(channels: int) -> None:
    images = torch.randn(1, channels, 8, 8)
    torch.testing.assert_close(recolor(images, one(0), one(1), one(0), one(0.2)), images)


def test_without_saturation_rgb_is_grey() -> None:
    images, nothing = torch.randn(2, 3, 8, 8), torch.zeros(2)
    grey = recolor(images, nothing, torch.ones(2), nothing, nothing)
    torch.testing.assert_close(grey[:, 0], grey[:, 1])
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_contrast_and_brightness_of_each_image() -> None:
    images = torch.randn(2, 1, 64, 64)
    brightness, contrast = torch.tensor([0.1, -0.2]), torch.tensor([0.5, 2.0])
    changed = recolor(images, brightness, contrast, torch.ones(2), torch.zeros(2))
    before, after = images.flatten(1), changed.flatten(1)
    torch.testing.assert_close(after.mean(1), before.mean(1) + torch.tensor([0.2, -0.4]))
    torch.testing.assert_close(after.std(1), before.std(1) * torch.tensor([0.5, 2.0]))


def turned(images: Tensor, *hue: float) -> Tensor:
    same = torch.ones(len(hue))
    return recolor(images, torch.zeros(len(hue)), same, same, torch.tensor(hue))


def test_a_third_of_a_turn_of_hue_permutes_the_channels() -> None:
    images = torch.randn(2, 3, 8, 8)
    expected = torch.stack([images[0, [2, 0, 1]], images[1, [1, 2, 0]]])
    torch.testing.assert_close(turned(images, 1 / 3, -1 / 3), expected)


@pytest.mark.parametrize("hue", [-0.5, -0.1, 0.05, 0.4])
def test_hue_turns_as_in_hsv(hue: float) -> None:
    """Whatever the angle: greys and means stay, and pure colours turn the way that HSV's do."""
    grey = torch.full((1, 3, 4, 4), 0.3)
    torch.testing.assert_close(turned(grey, hue), grey)
    images = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(turned(images, hue).mean(1), images.mean(1))
    torch.testing.assert_close(turned(turned(images, hue), -hue), images)
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    shifted = kornia.color.hsv_to_rgb(kornia.color.rgb_to_hsv(red) + one(tau * hue))
    assert turned(red, hue).argmin() == shifted.argmin()


def test_recolored_images_keep_their_channels_last() -> None:
    images = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    assert turned(images, 0.1, 0.2).is_contiguous(memory_format=torch.channels_last)
