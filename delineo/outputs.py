"""What `predict` leaves on disk: masks, overlays and probabilities, one image at a time."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .data.images import IMAGE_SUFFIXES, read_image, write_image, write_mask, write_probabilities
from .data.palette import class_color
from .decision import decide
from .errors import ConfigError, DataError, ShapeError
from .prediction import Predictor
from .progress import NoProgress, Progress


@dataclass
class Predictions:
    """Which images have masks now and which could not be read, with the reason."""

    done: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def predict_files(
    predictor: Predictor,
    paths: Iterable[Path],
    out: Path,
    *,
    overlay: bool = False,
    probabilities: bool = False,
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files, and all images in folders, into `out`.

    STEM.png holds class indices at the image's size; multi-label: STEM_CLASS.png, 0 or 255.
    An image that cannot be read is skipped and listed. Raises ConfigError where there is no image.
    """
    progress, result = progress or NoProgress(), Predictions()
    targets = name_targets(list(paths), out)
    progress.start("predicting", total=len(targets))
    for image_path, target in targets:
        try:
            image = read_image(image_path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_prediction(predictor, image, target, overlay, probabilities)
            result.done.append(image_path)
        except (DataError, ShapeError) as error:
            result.failed[image_path] = str(error)
        progress.advance()
    progress.finish()
    return result


def name_targets(paths: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each image with the path of its mask, less the suffix; folders keep their inner structure."""
    images: list[tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            images += [(image, out / image.relative_to(path).with_suffix("")) for image in found]
        elif path.exists():
            images.append((path, out / path.stem))
        else:
            raise ConfigError(f"{path} does not exist; give image files or folders of images")
    if not images:
        raise ConfigError(f"no images in {', '.join(map(str, paths))}; give images or their folder")
    return _told_apart(images)


def _told_apart(images: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Images that would share a name keep their suffix in it: a.jpg and a.png, or a number."""
    taken: set[Path] = set()
    result = []
    for image, target in images:
        candidate, number = target, 1
        while candidate in taken:
            ending = image.suffix[1:] if number == 1 else f"{image.suffix[1:]}_{number}"
            candidate, number = target.with_name(f"{target.name}_{ending}"), number + 1
        taken.add(candidate)
        result.append((image, candidate))
    return result


def write_prediction(
    predictor: Predictor, image: np.ndarray, target: Path, overlay: bool, probabilities: bool
) -> None:
    """Write the mask and what else was asked for; `target` is the path without a suffix."""
    maps = predictor.probabilities(image)
    mask = decide(maps, predictor.decision)
    if mask.ndim == 3:
        for name, layer in zip(predictor.classes, mask, strict=True):
            write_mask(_named(target, _safe(name)), layer * 255)
    else:
        write_mask(target.with_name(target.name + ".png"), mask)
    if overlay:
        write_image(_named(target, "overlay"), draw_overlay(image, mask))
    if probabilities:
        for name, values in zip(predictor.classes, maps, strict=True):
            write_probabilities(_named(target, f"probability_{_safe(name)}"), values)


def _named(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}_{ending}.png")


def _safe(name: str) -> str:
    """A class name that any file system takes."""
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)


def draw_overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """The image, (height, width, 3) uint8, with each class in its colour and an outline."""
    picture = displayable(image).astype(np.float32)
    layers = mask if mask.ndim == 3 else [mask == value for value in np.unique(mask) if value]
    indices = range(1, len(mask) + 1) if mask.ndim == 3 else [v for v in np.unique(mask) if v]
    for index, layer in zip(indices, layers, strict=True):
        inside = np.asarray(layer, bool)
        color = np.array(class_color(int(index)), np.float32)
        picture[inside] = (1 - opacity) * picture[inside] + opacity * color
        picture[outline(inside)] = color
    return picture.round().astype(np.uint8)


def outline(inside: np.ndarray) -> np.ndarray:
    """The pixels of a region that touch its outside."""
    padded = np.pad(inside, 1, mode="edge")
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def displayable(image: np.ndarray) -> np.ndarray:
    """(height, width, 3) uint8 of any image: first three channels, stretched if not 8-bit."""
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (0.5, 99.5))
        image = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-6) * 255, 0, 255)
    color = image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1].repeat(3, 2)
    return color.astype(np.uint8)
