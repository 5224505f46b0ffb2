"""From an image file's array to the tensor a network sees: size and value range.

Training, validation and prediction all pass through here, so that they cannot differ.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from numpy import ndarray
from torch import Tensor


def size_of(array: ndarray | Tensor) -> tuple[int, int]:
    """Height and width of a mask or a (channels, height, width) tensor: the last two axes."""
    height, width = array.shape[-2:]
    return height, width


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
