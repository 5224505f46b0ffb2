"""What a recipe leaves open is decided here, from the data, the machine and the budget.

Nothing looks at validation or test images: sizes, values and masks of some training images and a
few timed steps are all there is to plan from.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from .data.dataset import DataConfig
from .data.samples import DataFolder, Task
from .data.sizing import scaled_size
from .errors import ConfigError
from .losses import LossConfig
from .probe import Probe, detail_kept, take_probe
from .recipe import Recipe

SIDES = (96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 448, 512)
"""Sides of the square windows whose areas are candidates."""
STRIDE = 32  # the deepest downsampling among the models: such sizes need no padding

LOST_DETAIL = 0.92  # masks that keep less than this when scaled are trained on in windows
ALL_DETAIL = 0.99  # masks that keep this gain more from more windows, until those are ample
AMPLE = 2  # times the windows that are needed; edges then gain more from larger ones
USUAL_SIDE = 256  # pictures themselves gain from this much, whatever the masks need
ENOUGH_DETAIL = 0.97  # the scale at which windows are cut keeps this
UNHURRIED_SIDE = 288  # without a budget, unless larger windows are ample in the same time
UNHURRIED_PASSES = 40  # without a budget, as long as that fits in
UNHURRIED_WINDOWS = (8_000, 40_000)  # fewest windows, and most of that side
ENLARGED = 1.3  # times the images' own side: edges still gain from that, beyond it is blur
PASSES = 20  # how often an image should be seen before resolution is worth more
BINARY_PASSES = 8  # the same for one class, which is learned sooner and lost at its edges
HURRIED_WINDOWS = (2_000, 8_000)  # as many windows must fit into a budget
FEW_STEPS = 1000  # below this, smaller batches are worth their noise
LEAST_BATCH = 2  # however short memory is: batch norm wants more than one
MOST_WEIGHT = 10.0  # of a rare class over the most frequent
MOST_LAYER_WEIGHT = 4.0  # of a pixel where a rare layer is true over one where it is not
LEAST_WINDOW_SIDE = 144  # of windows that are cut: smaller ones do not show what a thing lies in
VALIDATIONS = (4, 25)  # fewest and most
VALIDATION_SHARE = 0.12  # of the budget
RESERVE_SHARE = 0.05  # of the budget: writing, loading, what timed steps do not see


@dataclass(frozen=True)
class Timing:
    """What a few timed steps took on this machine, in seconds."""

    train_window: float
    """One training window of the timed size."""
    validate_image: float
    """One validation image, from view to counts."""


Timer = Callable[[Recipe, DataFolder], Timing]


def plan(
    recipe: Recipe,
    folder: DataFolder,
    class_shares: tuple[float, ...],
    timer: Timer,
    seconds_left: float | None,
    most_pixels: float = math.inf,
) -> Recipe:
    """The recipe with nothing left open.

    `class_shares` are the shares of the training pixels that belong to each class, `seconds_left`
    is what remains of the budget, and `most_pixels` how many the windows of a batch may have
    together.
    """
    probe = take_probe(folder)
    recipe = recipe.model_copy(
        update={
            "loss": _with_loss(recipe.loss, folder.task, class_shares),
            "monitor": _monitor(recipe, folder),
            "data": _with_normalization(recipe.data, probe),
        }
    )
    if seconds_left is None:
        return _without_hurry(recipe, probe, folder, most_pixels)
    trial = _with_batch(_with_size(recipe, probe, UNHURRIED_SIDE), None, most_pixels)
    timing = timer(trial, folder)
    return _within(recipe, probe, folder, trial, timing, seconds_left, most_pixels)


def _with_loss(loss: LossConfig, task: Task, class_shares: tuple[float, ...]) -> LossConfig:
    """The task's losses where none is named; rare classes and layers then weigh more."""
    resolved = loss.resolve(task)
    if task == "binary" or loss != LossConfig():
        return resolved
    weights = class_weights(class_shares) if task == "multiclass" else layer_weights(class_shares)
    return resolved.model_copy(update={"class_weights": weights})


def class_weights(class_shares: tuple[float, ...]) -> tuple[float, ...]:
    """Weights as one over the square root of a class's share, at most ten times the least.

    Between none and one over the share (median frequency balancing, arXiv:1511.00561, sec. 3.2),
    which finds rare classes sooner but paints them too large. Their mean over pixels is 1.
    """
    shares = np.array(class_shares)
    weights = 1 / np.sqrt(np.maximum(shares, 1e-9))
    weights = np.minimum(weights, MOST_WEIGHT * weights.min())
    weights /= (weights * shares).sum()
    return tuple(weights.round(4).tolist())


def layer_weights(class_shares: tuple[float, ...]) -> tuple[float, ...]:
    """What a pixel weighs where a layer is true: one over the square root of its share, 1 to 4."""
    weights = 1 / np.sqrt(np.maximum(np.array(class_shares), 1e-9))
    return tuple(weights.clip(1.0, MOST_LAYER_WEIGHT).round(4).tolist())


def median_frequency_weights(frequencies: Iterable[float]) -> tuple[float, ...]:
    """The median of the classes' frequencies over that of each: 1 for a class of middling rarity.

    As in SegNet (arXiv:1511.00561, sec. 3.2) after Eigen & Fergus 2014 (arXiv:1411.4734); a class's
    frequency is its share of the pixels of those images that show it.
    """
    known = np.array(list(frequencies))
    return tuple((np.median(known) / known).round(4).tolist())


def _monitor(recipe: Recipe, folder: DataFolder) -> str:
    if recipe.monitor != "auto":
        return recipe.monitor
    return "per_image.mean_iou" if folder.task == "binary" else "dataset.mean_iou"


def _with_normalization(data: DataConfig, probe: Probe) -> DataConfig:
    """Ordinary pictures get the values of the packaged weights' training, (x - 127) / 128.

    Others (16-bit, very dark, very flat) are moved to where those weights expect a picture.
    """
    usual = probe.eight_bit and 40 < np.mean(probe.mean) < 215 and np.mean(probe.std) > 20
    channels = len(probe.mean)
    for name, given in (("mean", data.mean), ("std", data.std)):
        if given is not None and len(given) not in (1, channels):
            raise ConfigError(
                f"data.{name} must have one number for each of the {channels} channels, or one "
                f"for all, got {list(given)}"
            )
    mean = (127.0,) * channels if usual else probe.mean
    std = (128.0,) * channels if usual else tuple(2 * std for std in probe.std)
    mean, std = _for_each(data.mean or mean, channels), _for_each(data.std or std, channels)
    return data.model_copy(update={"mean": mean, "std": std})


def _for_each(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _with_size(recipe: Recipe, probe: Probe, side: int) -> Recipe:
    """Settle image_size at about side x side pixels, and the scale, where they are open."""
    data = recipe.data
    if data.image_size is None:
        own = float(np.median([(h * w) ** 0.5 for h, w in probe.sizes]))
        largest = max(128.0, ENLARGED * own)
        data = data.model_copy(update={"image_size": window_size(min(float(side), largest), probe)})
    if data.scale is None and data.image_size is not None:
        data = data.model_copy(update={"scale": _scale(data.image_size, probe)})
    return recipe.model_copy(update={"data": data})


def window_size(side: float, probe: Probe) -> tuple[int, int]:
    """A window of about side x side pixels with the images' median aspect ratio."""
    aspect = float(np.median([width / height for height, width in probe.sizes]))
    aspect = min(max(aspect, 1 / 4), 4.0)
    height = max(STRIDE, STRIDE * round(side / aspect**0.5 / STRIDE))
    return height, max(STRIDE, STRIDE * round(height * aspect / STRIDE))


def _scale(image_size: tuple[int, int], probe: Probe) -> str | float:
    """The whole image where its masks survive that, else the smallest scale they survive."""
    if detail_kept(probe, image_size, "fit") >= LOST_DETAIL:
        return "fit"
    for scale in (0.25, 0.35, 0.5, 0.7):
        if detail_kept(probe, image_size, scale) >= ENOUGH_DETAIL:
            return scale
    return 1.0


def _with_batch(recipe: Recipe, windows: int | None, most_pixels: float) -> Recipe:
    """The batch size, smaller where few windows would make few steps or memory is short."""
    if recipe.batch_size is not None:
        return recipe
    usual = 16 if torch.cuda.is_available() else 8
    few = windows is not None and windows < FEW_STEPS * usual
    batch_size = usual // 2 if few else usual
    while batch_size > LEAST_BATCH and batch_size * _area(recipe) > most_pixels:
        batch_size //= 2
    return recipe.model_copy(update={"batch_size": batch_size})


def _without_hurry(recipe: Recipe, probe: Probe, folder: DataFolder, most_pixels: float) -> Recipe:
    """Epochs as the recipe says, else as many as give every image its share."""
    images = len(folder.part("train"))
    windows = max(UNHURRIED_PASSES * images, UNHURRIED_WINDOWS[0])
    pixels = min(windows, max(UNHURRIED_WINDOWS[1], 8 * images)) * UNHURRIED_SIDE**2
    ample = _ample_sides(pixels / _windows_needed(folder))
    recipe = _with_size(recipe, probe, max([UNHURRIED_SIDE, *ample]))
    epoch_size = recipe.epoch_size or (images if recipe.epochs else max(images, 400))
    rounds = round(min(windows, pixels / _area(recipe)) / epoch_size)
    epochs = recipe.epochs or max(1, rounds)
    recipe = _with_batch(recipe, epochs * epoch_size, most_pixels)
    return recipe.model_copy(update={"epochs": epochs, "epoch_size": epoch_size})


def _within(
    recipe: Recipe,
    probe: Probe,
    folder: DataFolder,
    trial: Recipe,
    timing: Timing,
    seconds: float,
    most_pixels: float,
) -> Recipe:
    """Size, batch and epochs that end within `seconds`, from what `trial` took."""
    train, val = len(folder.part("train")), len(folder.part("val"))
    reading = min((train + val) * probe.read_seconds, seconds / 4)
    usable = seconds * (1 - RESERVE_SHARE) - reading
    per_pixel = timing.train_window / _area(trial)
    affordable = usable * (1 - VALIDATION_SHARE) / (_windows_needed(folder) * per_pixel)
    recipe = _with_affordable_size(recipe, probe, affordable)
    view = _view_area(recipe, probe) / _view_area(trial, probe)
    validation = timing.validate_image * val * view
    window = per_pixel * _area(recipe)
    epochs = recipe.epochs or _epochs_within(usable, validation, window, recipe.epoch_size)
    training = max(usable - epochs * validation, usable / 2)
    windows = int(training / window)
    recipe = _with_batch(recipe, windows, most_pixels)
    assert recipe.batch_size is not None
    epoch_size = recipe.epoch_size or _whole_batches(windows / epochs, recipe.batch_size)
    return recipe.model_copy(update={"epochs": epochs, "epoch_size": epoch_size})


def _windows_needed(folder: DataFolder) -> int:
    """What must fit before larger windows are worth it."""
    passes = BINARY_PASSES if folder.task == "binary" else PASSES
    return min(max(passes * len(folder.part("train")), HURRIED_WINDOWS[0]), HURRIED_WINDOWS[1])


def _epochs_within(usable: float, validation: float, window: float, epoch_size: int | None) -> int:
    """How often to validate, from the seconds that are usable and what the parts take."""
    if epoch_size:
        return max(1, int(usable / (validation + epoch_size * window)))
    most = int(usable * VALIDATION_SHARE / max(validation, 1e-3))
    wanted = min(max(most, VALIDATIONS[0]), VALIDATIONS[1])
    # so large a validation part that even a few looks at it would take half of the budget
    return max(1, min(wanted, int(usable / 2 / max(validation, 1e-3))))


def _with_affordable_size(recipe: Recipe, probe: Probe, affordable: float) -> Recipe:
    """Settle image_size at an area that is affordable, but for the least of windows."""
    side = _side(probe, affordable)
    sized = _with_size(recipe, probe, side)
    if sized.data.scale != "fit" and side < LEAST_WINDOW_SIDE:
        return _with_size(recipe, probe, LEAST_WINDOW_SIDE)
    return sized


def _view_area(recipe: Recipe, probe: Probe) -> float:
    """Pixels that the network sees of a whole image, on average."""
    data = recipe.data
    assert data.image_size and data.scale
    views = [scaled_size(size, data.image_size, data.scale) for size in probe.sizes]
    return float(np.mean([height * width for height, width in views]))


def _side(probe: Probe, affordable: float) -> int:
    """The side at which masks keep all detail, or more where even ample windows are affordable."""
    sides = [side for side in SIDES if side * side <= affordable] or [SIDES[0]]
    enough = next((side for side in sides if _keeps_all_detail(probe, side)), sides[-1])
    return max([enough, *_ample_sides(affordable)])


def _ample_sides(affordable: float) -> list[int]:
    """The sides at which even ample windows are affordable."""
    return [side for side in SIDES if AMPLE * side * side <= affordable]


def _keeps_all_detail(probe: Probe, side: int) -> bool:
    size = window_size(float(side), probe)
    return side >= USUAL_SIDE and detail_kept(probe, size, "fit") >= ALL_DETAIL


def _area(recipe: Recipe) -> int:
    assert recipe.data.image_size is not None
    return recipe.data.image_size[0] * recipe.data.image_size[1]


def _whole_batches(windows: float, batch_size: int) -> int:
    return max(1, int(windows // batch_size)) * batch_size
