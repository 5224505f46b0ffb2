"""From an image file's array to the tensor a network sees: channels, size, value range.

Training, validation and prediction all pass through here, so that they cannot differ.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from numpy import ndarray
from torch import Tensor

from ..errors import DataError

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's mode "L"

Scale = float | str
"""Pixels of the network's view per pixel of the file, or "fit": equal area to the image size."""


def match_channels(image: ndarray, channels: int) -> ndarray:
    """(height, width, any) -> (height, width, channels): grey to RGB, RGB to grey, RGBA to RGB."""
    have = image.shape[2]
    if have == channels:
        return image
    if have == 4 and channels in (1, 3):
        return match_channels(image[:, :, :3], channels)
    if have == 2 and channels == 1:
        return image[:, :, :1]
    if have == 1:
        return np.repeat(image, channels, axis=2)
    if have == 3 and channels == 1:
        grey = image.astype(np.float32) @ np.array(LUMINANCE, np.float32)
        whole = grey if image.dtype.kind == "f" else np.rint(grey)
        return whole.astype(image.dtype)[:, :, None]
    raise DataError(
        f"an image has {have} channels, the model takes {channels}; "
        "give images of the kind it was trained on"
    )


def size_of(array: ndarray | Tensor) -> tuple[int, int]:
    """Height and width of a mask or a (channels, height, width) tensor: the last two axes."""
    height, width = array.shape[-2:]
    return height, width


def scaled_size(
    size: tuple[int, int], image_size: tuple[int, int], scale: Scale
) -> tuple[int, int]:
    """Height and width at which the network looks at an image of `size` (height, width).

    "fit" keeps the image's aspect ratio and gives it the area of `image_size`.
    """
    height, width = size
    if scale == "fit":
        factor = (image_size[0] * image_size[1] / (height * width)) ** 0.5
        # the usual case, one size for all images, must hit image_size exactly
        near = (round(height * factor), round(width * factor))
        if abs(near[0] - image_size[0]) <= 8 and abs(near[1] - image_size[1]) <= 8:
            return image_size
        return max(1, near[0]), max(1, near[1])
    return max(1, round(height * float(scale))), max(1, round(width * float(scale)))


def to_tensor(image: ndarray) -> Shaped[Tensor, "channels height width"]:
    """(height, width, channels) array -> tensor of uint8 or, for other types, float32."""
    pixels = image if image.dtype == np.uint8 else image.astype(np.float32)
    # PyTorch warns of arrays that may not be written, such as Pillow's
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)


def resize_image(
    image: Shaped[Tensor, "channels height width"], size: tuple[int, int]
) -> Shaped[Tensor, "channels new_height new_width"]:
    """Bilinear with antialiasing; the dtype stays."""
    if tuple(image.shape[1:]) == size:
        return image
    return F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]


def resize_mask(
    mask: UInt8[Tensor, "*planes height width"], size: tuple[int, int]
) -> UInt8[Tensor, "*planes new_height new_width"]:
    """Nearest neighbour: no class appears that was not there."""
    if tuple(mask.shape[-2:]) == size:
        return mask
    planes = mask.reshape(1, -1, *mask.shape[-2:])
    resized = F.interpolate(planes, size=size, mode="nearest-exact")
    return resized.reshape(*mask.shape[:-2], *size)


def normalize(
    images: Shaped[Tensor, "batch channels height width"],
    mean: Float[Tensor, " channels"],
    std: Float[Tensor, " channels"],
) -> Float[Tensor, "batch channels height width"]:
    """(value - mean) / std, both in units of the file's pixel values."""
    return (images.float() - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
