"""validate(): the score during training, at the masks' native size; the watch for collapse."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning_fabric import Fabric
from torch import Tensor

from .data.dataset import Cache, read_pair
from .data.samples import DataFolder, Sample, Task
from .data.scaling import resize_mask, size_of
from .losses import LossFunction
from .metrics import Counts, count, score, tabulate
from .prediction import Predictor

ViewAndMask = tuple[Tensor, Tensor]

VANISHED = 0.02  # predicted on a smaller part than this of its true area, a class is lost


class ValidationPart:
    """The validation samples of one process, kept in memory while there is room.

    `batch_pixels` is how many pixels the network may look at at once, as in a step of training.
    """

    def __init__(
        self, folder: DataFolder, samples: tuple[Sample, ...], cache_bytes: int, batch_pixels: int
    ) -> None:
        self.folder, self.samples, self.batch_pixels = folder, samples, batch_pixels
        self._cache = Cache(cache_bytes)

    def batches(self, predictor: Predictor) -> Iterator[list[ViewAndMask]]:
        """All samples in their order; neighbours whose views are of one size come together."""
        batch: list[ViewAndMask] = []
        for index in range(len(self.samples)):
            view, mask = self.view_and_mask(index, predictor)
            full = (len(batch) + 1) * view[0].numel() > self.batch_pixels
            if batch and (full or view.shape != batch[0][0].shape):
                yield batch
                batch = []
            batch.append((view, mask))
        if batch:
            yield batch

    def view_and_mask(self, index: int, predictor: Predictor) -> ViewAndMask:
        """What the network sees of an image, and the mask at its native size."""
        pair = self._cache.get(index)
        if pair is None:
            image, mask = read_pair(self.folder, self.samples[index])
            pair = predictor.view(image), torch.from_numpy(mask)
            self._cache.put(index, pair)
        return pair


@dataclass(frozen=True)
class Validation:
    """What one look at the whole validation part gave."""

    task: Task
    num_images: int
    loss: float
    scores: dict[str, Any]
    """`dataset` and `per_image` as in evaluation files, without intervals."""
    true_share: dict[str, float]
    """Share of the pixels that belong to each class."""
    predicted_share: dict[str, float]

    def monitored(self, name: str) -> float:
        """The score called `name`, such as "dataset.mean_iou" or "loss"; higher is better."""
        if name == "loss":
            return -self.loss
        average, key = name.split(".")
        return self.scores[average][key] or 0.0

    def collapsed(self) -> bool:
        """Whether but one of the classes that are there (multi-label: none) is still predicted."""
        pairs = [(true, self.predicted_share[name]) for name, true in self.true_share.items()]
        if self.task == "binary":
            pairs.append((1 - pairs[0][0], 1 - pairs[0][1]))
        seen = [predicted >= VANISHED * true for true, predicted in pairs if true > 0]
        enough = 0 if self.task == "multilabel" else 1
        return len(seen) > enough and sum(seen) <= enough

    def collapse_advice(self, epochs: int) -> str:
        """What is seen and what helps."""
        share = ", ".join(
            f"{name} {100 * value:.3g} %" for name, value in self.predicted_share.items()
        )
        truth = ", ".join(f"{name} {100 * value:.3g} %" for name, value in self.true_share.items())
        return (
            f"warning: for {epochs} epochs the network has predicted one class everywhere "
            f"(predicted: {share}; masks: {truth}). Try loss.dice=1 beside cross-entropy, "
            "data.rare_classes=1, or a lower optimizer.lr; and look at `delineo check`"
        )

    def to_json(self) -> dict[str, Any]:
        coverage = {"true": self.true_share, "predicted": self.predicted_share}
        head = {"num_images": self.num_images, "loss": self.loss}
        return {**head, **self.scores, "coverage": coverage}


def validate(
    predictor: Predictor, part: ValidationPart, loss_function: LossFunction, fabric: Fabric
) -> Validation:
    """Score every validation image once, by the default decision; each process its own share."""
    return summarize(predictor, *_gather(*look_at(predictor, part, loss_function), fabric))


def look_at(
    predictor: Predictor, part: ValidationPart, loss_function: LossFunction
) -> tuple[list[float], list[Counts]]:
    """Of each of this process's images the loss, at the network's size, and the counts."""
    losses, counts = [], []
    for batch in part.batches(predictor):
        logits = predictor.logits(torch.stack([view for view, _ in batch]))
        for view_logits, (_, mask) in zip(logits.split(1), batch, strict=True):
            target = resize_mask(mask, size_of(view_logits)).to(predictor.device)
            losses.append(loss_function(view_logits, target[None]))
            counts.append(_counts(view_logits, mask, predictor))
    # fetched at once, since each fetch makes a GPU wait; of few images a process may have none
    return torch.stack(losses).tolist() if losses else [], counts


def _counts(
    logits: Float[Tensor, "1 classes height width"], mask: Tensor, predictor: Predictor
) -> Counts:
    """At the mask's native size."""
    probabilities = predictor.native(logits, size_of(mask))
    prediction = default_mask(probabilities, predictor.task).cpu().numpy()
    return count(prediction, mask.numpy(), len(predictor.classes), predictor.task)


def default_mask(
    probabilities: Float[Tensor, "classes height width"], task: Task
) -> UInt8[Tensor, "*planes height width"]:
    """What `decide` gives by default, without a device having to send all probabilities."""
    if task == "multiclass":
        return probabilities.max(0).indices.to(torch.uint8)
    layers = (probabilities >= 0.5).to(torch.uint8)
    return layers[0] if task == "binary" else layers


def _gather(
    losses: list[float], counts: list[Counts], fabric: Fabric
) -> tuple[list[float], list[Counts]]:
    """All processes' lists, put together: no image twice, none left out."""
    if fabric.world_size == 1:
        return losses, counts
    shares: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(shares, (losses, counts))
    return [x for share in shares for x in share[0]], [x for share in shares for x in share[1]]


def summarize(predictor: Predictor, losses: list[float], counts: list[Counts]) -> Validation:
    """Mean loss, scores and class shares over all images."""
    table = tabulate(counts, len(predictor.classes))
    pixels = max(1.0, float(table.valid.sum()))
    if predictor.task == "multilabel":
        pixels /= len(predictor.classes)
    true, predicted = table.tp + table.fn, table.tp + table.fp
    return Validation(
        task=predictor.task,
        num_images=len(counts),
        loss=sum(losses) / len(losses),
        scores=score(counts, predictor.classes, predictor.task),
        true_share=_shares(predictor.classes, true.sum(0) / pixels),
        predicted_share=_shares(predictor.classes, predicted.sum(0) / pixels),
    )


def _shares(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return dict(zip(classes, values.round(6).tolist(), strict=True))
