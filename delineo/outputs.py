"""What `predict` leaves on disk: masks, overlays and probabilities, one image at a time."""

from collections.abc import Iterable, Sequence
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
    An image that cannot be read is skipped and listed. Raises ConfigError where there is no image,
    or where one would be overwritten.
    """
    progress, result = progress or NoProgress(), Predictions()
    targets = name_targets(list(paths), out, _endings(predictor, overlay, probabilities))
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


def _endings(predictor: Predictor, overlay: bool, probabilities: bool) -> list[str]:
    """What the names of an image's files have after its stem, without suffix."""
    names = file_names(predictor.classes)
    masks = [f"_{name}" for name in names] if predictor.task == "multilabel" else [""]
    maps = [f"_probability_{name}" for name in names] if probabilities else []
    return masks + maps + (["_overlay"] if overlay else [])


def name_targets(
    paths: list[Path], out: Path, endings: Sequence[str] = ("",)
) -> list[tuple[Path, Path]]:
    """Each image with the path of its mask, less the suffix; folders keep their inner structure.

    `endings` are what the files of one image have after that. Raises ConfigError as predict_files.
    """
    images: list[tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if _is_image(p))
            images += [(image, out / image.relative_to(path).with_suffix("")) for image in found]
        elif path.exists():
            images.append((path, out / path.stem))
        else:
            raise ConfigError(f"{path} does not exist; give image files or folders of images")
    if not images:
        raise ConfigError(f"no images in {', '.join(map(str, paths))}; give images or their folder")
    targets = _told_apart(images, endings)
    _refuse_to_overwrite(targets, endings)
    return targets


def _is_image(path: Path) -> bool:
    # files that begin with a dot are what file managers leave behind
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _told_apart(images: list[tuple[Path, Path]], endings: Sequence[str]) -> list[tuple[Path, Path]]:
    """Images that would share a file get their suffix, or a number: a.jpg and a.png."""
    taken: set[Path] = set()
    result = []
    for image, target in images:
        candidate, number = target, 1
        while taken & set(_files(candidate, endings)):
            ending = image.suffix[1:] if number == 1 else f"{image.suffix[1:]}_{number}"
            candidate, number = target.with_name(f"{target.name}_{ending}"), number + 1
        taken.update(_files(candidate, endings))
        result.append((image, candidate))
    return result


def _files(target: Path, endings: Sequence[str]) -> list[Path]:
    return [target.with_name(f"{target.name}{ending}.png") for ending in endings]


def _refuse_to_overwrite(targets: list[tuple[Path, Path]], endings: Sequence[str]) -> None:
    images = {image.resolve() for image, _ in targets}
    for _, target in targets:
        for file in _files(target, endings):
            if file.resolve() in images:
                raise ConfigError(
                    f"{file} is one of the images and would be overwritten; choose another --out"
                )


def write_prediction(
    predictor: Predictor, image: np.ndarray, target: Path, overlay: bool, probabilities: bool
) -> None:
    """Write the mask and what else was asked for; `target` is the path without a suffix."""
    maps, names = predictor.probabilities(image), file_names(predictor.classes)
    mask = decide(maps, predictor.decision)
    if mask.ndim == 3:
        for name, layer in zip(names, mask, strict=True):
            write_mask(_named(target, name), layer * 255)
    else:
        write_mask(target.with_name(target.name + ".png"), mask)
    if overlay:
        write_image(_named(target, "overlay"), draw_overlay(image, mask))
    if probabilities:
        for name, values in zip(names, maps, strict=True):
            write_probabilities(_named(target, f"probability_{name}"), values)


def _named(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}_{ending}.png")


def file_names(classes: Sequence[str]) -> list[str]:
    """The class names as any file system takes them, still told apart."""
    names: list[str] = []
    for name in classes:
        safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
        names.append(f"{safe}_{len(names)}" if safe in names else safe)
    return names


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
