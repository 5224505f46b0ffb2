"""What `predict` leaves on disk: masks, pictures, probabilities and tables of codes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .data.images import IMAGE_SUFFIXES, read_image, write_image, write_mask, write_probabilities
from .data.submission import Submission, TableForm, object_layers, object_names
from .decision import decide
from .drawing import displayable, draw_classes, draw_overlay
from .errors import ConfigError, DataError, ShapeError
from .progress import NoProgress, Progress
from .runtime import MaskPredictor

_PICTURES = ("_overlay", "_classes")


@dataclass(frozen=True)
class Wanted:
    """What is written beside the masks."""

    overlay: bool = False
    """STEM_overlay.png: the image with its mask drawn on it."""
    class_overlays: bool = False
    """STEM_classes.png: the image once per class, each with that class alone."""
    probabilities: bool = False
    """STEM_probability_CLASS.png: 16-bit, 65535 for 1."""
    rle: TableForm | None = None
    """submission.csv: all masks as run-length codes, in the form of a competition."""


@dataclass
class Predictions:
    """Which images have masks now and which could not be read, with the reason."""

    done: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def predict_files(
    predictor: MaskPredictor,
    paths: Iterable[Path],
    out: Path,
    wanted: Wanted = Wanted(),
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files, and all images in folders, into `out`.

    STEM.png holds class indices at the image's size; multi-label: STEM_CLASS.png, 0 or 255.
    An image that cannot be read is skipped and listed. Raises ConfigError where there is no image,
    where one would be overwritten, or where what is wanted does not fit the model.
    """
    progress, result = progress or NoProgress(), Predictions()
    targets = name_targets(list(paths), out, _endings(predictor, wanted))
    submission = _submission(predictor, wanted, [image for image, _ in targets])
    progress.start("predicting", total=len(targets))
    for image_path, target in targets:
        try:
            image = read_image(image_path)
            target.parent.mkdir(parents=True, exist_ok=True)
            mask = write_prediction(predictor, image, target, wanted)
            if submission:
                submission.add(image_path, mask)
            result.done.append(image_path)
        except (DataError, ShapeError) as error:
            result.failed[image_path] = str(error)
        progress.advance()
    if submission and result.done:
        submission.write(out / "submission.csv")
    progress.finish()
    return result


def _submission(predictor: MaskPredictor, wanted: Wanted, images: list[Path]) -> Submission | None:
    """An empty table of the wanted form. Raises ConfigError where that form cannot hold it."""
    if wanted.rle is None:
        return None
    submission = Submission(wanted.rle, predictor.task, predictor.classes)
    submission.refuse_equal_names(images)
    return submission


def _endings(predictor: MaskPredictor, wanted: Wanted) -> list[str]:
    """What the names of an image's files have after its stem, without suffix."""
    names = file_names(predictor.classes)
    masks = [f"_{name}" for name in names] if predictor.task == "multilabel" else [""]
    maps = [f"_probability_{name}" for name in names] if wanted.probabilities else []
    drawn = zip(_PICTURES, (wanted.overlay, wanted.class_overlays), strict=True)
    return masks + maps + [ending for ending, wanted_too in drawn if wanted_too]


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
    predictor: MaskPredictor, image: np.ndarray, target: Path, wanted: Wanted
) -> np.ndarray:
    """Write the mask, which is returned, and what is wanted; `target` is a path without suffix."""
    maps, names = predictor.probabilities(image), file_names(predictor.classes)
    mask = decide(maps, predictor.decision)
    if mask.ndim == 3:
        for name, layer in zip(names, mask, strict=True):
            write_mask(_named(target, name), layer * 255)
    else:
        write_mask(target.with_name(target.name + ".png"), mask)
    if wanted.overlay:
        write_image(_named(target, "overlay"), draw_overlay(displayable(image), mask))
    if wanted.class_overlays:
        write_image(_named(target, "classes"), _each_class(predictor, image, mask))
    if wanted.probabilities:
        for name, values in zip(names, maps, strict=True):
            write_probabilities(_named(target, f"probability_{name}"), values)
    return mask


def _each_class(predictor: MaskPredictor, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image once per class; a class without a name of its own is called by its number."""
    names = object_names(predictor.task, predictor.classes)
    labels = [f"class {name}" if name.isdecimal() else name for name in names]
    layers = object_layers(mask, predictor.task, predictor.classes)
    return draw_classes(displayable(image), layers, labels)


def _named(target: Path, ending: str) -> Path:
    return target.with_name(f"{target.name}_{ending}.png")


def file_names(classes: Sequence[str]) -> list[str]:
    """The class names as any file system takes them, still told apart, from pictures too."""
    names: list[str] = []
    for name in classes:
        safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
        taken = safe in names or f"_{safe}" in _PICTURES
        names.append(f"{safe}_{len(names)}" if taken else safe)
    return names
