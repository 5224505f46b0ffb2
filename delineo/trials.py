"""What the validation images give under each of many decisions: pixel counts, pixels, claims."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

from .calibration import PixelSample, Reliability, reliability
from .data.dataset import Cache, read_pair
from .data.randomness import generator
from .data.samples import IGNORE_INDEX, DataFolder
from .data.scaling import resize_mask, size_of
from .decision import Decision, decide
from .evaluation import at_mask_size
from .metrics import Counts, CountTable, count, tabulate
from .prediction import Predictor
from .progress import Progress

BINS = 256
"""Thresholds are tried at every multiple of 1/BINS, at which float32 counts pixels exactly."""
THRESHOLDS = sorted(range(1, BINS), key=lambda step: abs(step - BINS // 2))
"""In units of 1/BINS; 0.5, which stands where nothing gains, comes first."""
MOST_PIXELS = 1_000_000
"""Pixels that a temperature is fitted on, over all images; at most 4,000 of one."""


class ValidationImages:
    """The validation part as the network sees it: logits are kept while there is memory."""

    def __init__(self, predictor: Predictor, folder: DataFolder, memory: int) -> None:
        self.predictor, self.folder = predictor, folder
        self.samples = folder.part("val")
        self.mask_pixels: dict[int, int] = {}
        """Of the masks that were looked at so far, by index."""
        self._sizes: dict[int, tuple[int, int]] = {}
        self._cache = Cache(memory)

    def __len__(self) -> int:
        return len(self.samples)

    def logits_and_mask(self, index: int) -> tuple[Tensor, Tensor]:
        """(1, classes, h, w) at the network's size, and the mask at that of its file."""
        pair = self._cache.get(index)
        if pair is None:
            image, mask = read_pair(self.folder, self.samples[index])
            logits = self.predictor.logits(self.predictor.view(image)[None]).cpu()
            pair = logits, torch.from_numpy(mask)
            self.mask_pixels[index] = mask.shape[-2] * mask.shape[-1]
            self._sizes[index] = image.shape[0], image.shape[1]
            self._cache.put(index, pair)
        return pair

    def probabilities_and_mask(
        self, index: int, decision: Decision
    ) -> tuple[Float[np.ndarray, "classes height width"], UInt8[np.ndarray, "..."]]:
        """Probabilities at the size of the image, by the decision's temperature."""
        logits, mask = self.logits_and_mask(index)
        native = self.predictor.with_decision(decision).native(logits, self._sizes[index])
        return native.numpy(), mask.numpy()

    def at_mask_size(
        self, prediction: Shaped[np.ndarray, "*planes height width"], index: int, mask: np.ndarray
    ) -> Shaped[np.ndarray, "*planes mask_height mask_width"]:
        """As `evaluate` brings a prediction to the size of the mask's file."""
        return at_mask_size(prediction, mask, self.samples[index])


def count_tables(
    images: ValidationImages, decisions: Sequence[Decision], name: str, progress: Progress
) -> list[CountTable]:
    """Counts of each image by each of several decisions, which share one temperature."""
    folder = images.folder
    counts: list[list[Counts]] = [[] for _ in decisions]
    progress.start(f"tune {name}", len(images))
    for index in range(len(images)):
        probabilities, mask = images.probabilities_and_mask(index, decisions[0])
        for rows, decision in zip(counts, decisions, strict=True):
            guess = images.at_mask_size(decide(probabilities, decision), index, mask)
            rows.append(count(guess, mask, len(folder.classes), folder.task))
        progress.advance()
    progress.finish()
    return [tabulate(rows, len(folder.classes)) for rows in counts]


def threshold_tables(
    images: ValidationImages, decision: Decision, progress: Progress
) -> list[CountTable]:
    """Counts of each image at each of THRESHOLDS, all classes at the same one.

    One look at every image is enough: its pixels are counted by probability and truth.
    """
    number = len(images.folder.classes)
    seen = np.zeros((len(images), number, 2, BINS), np.int64)
    progress.start("tune thresholds", len(images))
    for index in range(len(images)):
        probabilities, mask = images.probabilities_and_mask(index, decision)
        probabilities = images.at_mask_size(probabilities, index, mask)
        layers = mask.reshape(number, *mask.shape[-2:])
        for column in range(number):
            seen[index, column] = histogram(probabilities[column], layers[column])
        progress.advance()
    progress.finish()
    above = seen[..., ::-1].cumsum(-1)[..., ::-1].astype(float)
    return [_table(above, step) for step in THRESHOLDS]


def histogram(
    probabilities: Float[np.ndarray, "height width"], layer: UInt8[np.ndarray, "height width"]
) -> Int64[np.ndarray, "2 bins"]:
    """Pixels outside and inside of the class by probability, in BINS bins closed below."""
    valid = layer != IGNORE_INDEX
    # times a power of two is exact, so a pixel at a threshold is above it here as in `decide`
    bins = np.minimum((probabilities[valid] * BINS).astype(np.int64), BINS - 1)
    inside = layer[valid] == 1
    return np.bincount(bins + BINS * inside, minlength=2 * BINS).reshape(2, BINS)


def _table(above: Float[np.ndarray, "images classes 2 bins"], step: int) -> CountTable:
    """The counts at one threshold, from the pixels at or above each of them."""
    fp, tp = above[:, :, 0, step], above[:, :, 1, step]
    fn = above[:, :, 1, 0] - tp
    valid = above[..., 0].sum((1, 2))
    return CountTable(tp, fp, fn, valid, valid - (fp + fn).sum(1))


def draw_pixels(images: ValidationImages, progress: Progress) -> list[PixelSample]:
    """Some pixels of each image with their logits, at the network's size."""
    most = min(4000, max(1, MOST_PIXELS // len(images)))
    samples = []
    progress.start("predict validation images", len(images))
    for index in range(len(images)):
        logits, mask = images.logits_and_mask(index)
        target = resize_mask(mask, size_of(logits))
        random = generator("calibration", index)
        samples.append(PixelSample.draw(logits[0], target, images.folder.task, most, random))
        progress.advance()
    progress.finish()
    return samples


def claims(
    images: ValidationImages, decisions: Sequence[Decision], progress: Progress
) -> list[Reliability]:
    """How far the probabilities under each decision are true, over all pixels of all masks."""
    found: list[Reliability] = []
    progress.start("tune temperature", len(images))
    for index in range(len(images)):
        here = []
        for decision in decisions:
            probabilities, mask = images.probabilities_and_mask(index, decision)
            probabilities = images.at_mask_size(probabilities, index, mask)
            here.append(reliability(probabilities, mask, images.folder.task))
        found = [a + b for a, b in zip(found, here, strict=True)] if found else here
        progress.advance()
    progress.finish()
    return found
