"""What the losses take: logits and target, and how each task reads them."""

from jaxtyping import Bool, Float, UInt8
from torch import Tensor, arange

Logits = Float[Tensor, "batch channels height width"]
Target = UInt8[Tensor, "batch *layers height width"]
Scalar = Float[Tensor, ""]
Planes = Bool[Tensor, "batch #classes height width"]
"""One plane per class, or one that all classes share."""


def is_exclusive(logits: Logits, target: Target) -> bool:
    """Multi-class: a pixel has one class, its index. Otherwise each class is 0 or 1 by itself."""
    return target.ndim == 3 and logits.shape[1] > 1


def split_target(logits: Logits, target: Target, ignore_index: int) -> tuple[Planes, Planes]:
    """Where each class is true, and where it counts."""
    planes = target if target.ndim == 4 else target.unsqueeze(1)
    valid = planes != ignore_index
    if not is_exclusive(logits, target):
        return planes == 1, valid
    classes = arange(logits.shape[1], dtype=target.dtype, device=target.device)
    return planes == classes.view(-1, 1, 1), valid


def probabilities_of(
    logits: Logits, target: Target
) -> Float[Tensor, "batch channels height width"]:
    """Softmax over exclusive classes, else a sigmoid for each class."""
    return logits.float().softmax(1) if is_exclusive(logits, target) else logits.float().sigmoid()
