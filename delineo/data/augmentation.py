"""Joint augmentation of image and mask: one affine map per sample, then colour per batch.

Kornia's own random modules draw from the global generator; here the numbers come from
(seed, epoch, sample) and Kornia applies them.
"""

from dataclasses import dataclass
from math import cos, exp, log, radians, sin, tau

import kornia
import torch
from jaxtyping import Float, Shaped, UInt8
from pydantic import Field
from torch import Tensor

from ..config import Config
from .samples import IGNORE_INDEX


class AugmentationConfig(Config):
    """How far training images are moved and recoloured. Zero switches a step off."""

    horizontal_flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of a mirror image, left to right."""
    vertical_flip: float = Field(default=0.0, ge=0, le=1)
    """Probability of a mirror image, top to bottom."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest rotation either way, in degrees."""
    zoom: float = Field(default=1.4, ge=1, le=4)
    """Sizes are drawn between 1/zoom and zoom times the original, evenly on a log scale."""
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """Largest shift either way, as a share of the window, where the image fits the window."""
    brightness: float = Field(default=0.2, ge=0, le=1)
    """Largest change of brightness, as a share of the value range (which is 2 * data.std)."""
    contrast: float = Field(default=0.25, ge=0, le=1)
    """Contrast is multiplied by 1 - contrast to 1 + contrast."""
    saturation: float = Field(default=0.25, ge=0, le=1)
    """As contrast, for the saturation of RGB images."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest turn of the colours of RGB images either way, as a share of the colour circle."""


@dataclass(frozen=True)
class Moves:
    """What happens to one sample."""

    angle: float
    """Degrees, counter-clockwise."""
    zoom: float
    mirror: bool
    flip: bool
    shift: tuple[float, float]
    """(y, x), in -1..1 of what is allowed."""
    brightness: float
    contrast: float
    saturation: float
    hue: float
    """In turns of the colour circle."""


def draw_moves(config: AugmentationConfig, generator: torch.Generator) -> Moves:
    """Draw one sample's moves; always the same count of numbers, whatever is switched off."""
    u = torch.rand(10, generator=generator).tolist()
    signed = [2 * value - 1 for value in u]
    return Moves(
        angle=signed[0] * config.rotation,
        zoom=exp(signed[1] * log(config.zoom)),
        mirror=u[2] < config.horizontal_flip,
        flip=u[3] < config.vertical_flip,
        shift=(signed[4], signed[5]),
        brightness=signed[6] * config.brightness,
        contrast=1 + signed[7] * config.contrast,
        saturation=1 + signed[8] * config.saturation,
        hue=signed[9] * config.hue,
    )


def cut_window(
    image: Shaped[Tensor, "channels height width"],
    mask: UInt8[Tensor, "*planes height width"],
    center: tuple[float, float],
    moves: Moves,
    size: tuple[int, int],
) -> tuple[Shaped[Tensor, "channels out_height out_width"], UInt8[Tensor, "*planes h2 w2"]]:
    """The window of `size` around `center` (y, x), rotated, zoomed and flipped.

    Beyond the image's edge the image is mirrored and the mask is IGNORE_INDEX.
    """
    image, mask = _at_least_two_pixels(image, mask)
    image, mask, center = _crop_to_reach(image, mask, center, moves, size)
    matrix = _affine(center, moves, size)[None]
    moved = kornia.geometry.transform.warp_affine(
        image[None].float(), matrix, size, padding_mode="reflection"
    )[0]
    # outside is 0 after the warp; the shift by one makes that -1, which is 255 in uint8
    planes = mask.reshape(1, -1, *mask.shape[-2:]).float() + 1
    labels = kornia.geometry.transform.warp_affine(planes, matrix, size, mode="nearest")[0]
    labels = torch.where(labels == 0, float(IGNORE_INDEX), labels - 1).to(torch.uint8)
    if image.dtype == torch.uint8:
        moved = moved.round_().clamp_(0, 255).to(torch.uint8)
    return moved, labels.reshape(*mask.shape[:-2], *size)


def _affine(
    center: tuple[float, float], moves: Moves, size: tuple[int, int]
) -> Float[Tensor, "2 3"]:
    """Matrix from source pixels (x, y, 1) to window pixels (x, y)."""
    c, s = moves.zoom * cos(radians(moves.angle)), moves.zoom * sin(radians(moves.angle))
    sign_x, sign_y = (-1 if moves.mirror else 1), (-1 if moves.flip else 1)
    rows = torch.tensor([[sign_x * c, sign_x * s], [-sign_y * s, sign_y * c]])
    window_center = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    source_center = torch.tensor([center[1], center[0]])
    offset = window_center - rows @ source_center
    return torch.cat([rows, offset[:, None]], dim=1)


def _crop_to_reach(image, mask, center, moves, size):
    """Cut away what the window cannot reach: large images would be converted in whole."""
    reach = (size[0] ** 2 + size[1] ** 2) ** 0.5 / 2 / moves.zoom + 2
    rows, columns = (
        _reached(middle, reach, length)
        for middle, length in zip(center, image.shape[1:], strict=True)
    )
    center = center[0] - rows.start, center[1] - columns.start
    return image[:, rows, columns], mask[..., rows, columns], center


def _reached(middle: float, reach: float, length: int) -> slice:
    """Pixels up to `reach` from the middle; two at the edge where the window misses the image."""
    start = min(max(0, int(middle - reach)), length - 2)
    return slice(start, max(start + 2, int(middle + reach) + 1))


def _at_least_two_pixels(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The warp measures in distances between pixels, and a single row or column has none."""
    for axis in (-2, -1):
        if image.shape[axis] == 1:
            image = torch.cat([image, image], axis)
            mask = torch.cat([mask, torch.full_like(mask, IGNORE_INDEX)], axis)
    return image, mask


def recolor(
    images: Float[Tensor, "batch channels height width"],
    brightness: Float[Tensor, " batch"],
    contrast: Float[Tensor, " batch"],
    saturation: Float[Tensor, " batch"],
    hue: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Hue and saturation (RGB only), contrast around each image's mean, brightness; on normalised
    images, whose values span about -1 to 1."""
    if images.shape[1] == 3:
        if hue.any():
            pixels = images.movedim(1, -1) @ _turned_colors(hue).mT[:, None]
            images = pixels.movedim(-1, 1)
        grey = kornia.color.rgb_to_grayscale(images)
        images = torch.lerp(grey, images, saturation.view(-1, 1, 1, 1))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    lifted = mean + 2 * brightness.view(-1, 1, 1, 1)
    return (images - mean).mul_(contrast.view(-1, 1, 1, 1)).add_(lifted)


def _turned_colors(hue: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations of RGB around the axis of greys, each a matrix from old to new colours.

    A third of a turn makes red of blue, green of red and blue of green. Unlike a shift of hue in
    HSV it needs no values of 0 to 1, and keeps the mean of the three.
    """
    angle = tau * hue.view(-1, 1, 1)
    ones = torch.ones(3, 3, device=hue.device) / 3
    # Rodrigues' formula; the last matrix is the cross product with the axis (1, 1, 1) / sqrt(3)
    across = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=hue.device) / 3**0.5
    kept = torch.eye(3, device=hue.device) - ones
    return ones + angle.cos() * kept + angle.sin() * across
