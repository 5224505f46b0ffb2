"""LabelMe: a JSON of shapes beside each image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray
from pydantic import BaseModel, TypeAdapter

from ..errors import AnnotationError
from .annotation_findings import Trouble
from .annotations import (
    Images,
    classes_of,
    found_outlines,
    is_labelme,
    label_of,
    polygon_of,
    read_annotations,
)
from .declared import Declared
from .pairing import Found
from .samples import MaskOutlines, Outline
from .tree import walk

_CORNERS = 72  # of a circle: within 0.1 % of its radius


class _Shape(BaseModel):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"


class _Content(BaseModel):
    """What is needed of a file; imageData, a copy of the image, is not."""

    shapes: list[_Shape]
    imagePath: str | None = None  # noqa: N815 (LabelMe's own)
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815


_CONTENT = TypeAdapter(_Content)


def find_labelme(root: Path, declared: Declared) -> Found | None:
    """Samples from LabelMe's files; None where there are none. Raises AnnotationError."""
    paths = [path for _, path in walk(root) if path.suffix.lower() == ".json" and is_labelme(path)]
    if not paths:
        return None
    trouble, images = Trouble(root), Images(root)
    files = dict(_read(paths, trouble))
    names = sorted({shape.label for content in files.values() for shape in content.shapes})
    classes = classes_of(names, declared, "the shapes")
    masks = {}
    for path, content in files.items():
        image = _image(path, content, images)
        if image is None:
            name = content.imagePath or f"{path.stem}, its image"
            trouble.missing.append(trouble.place(path, name))
            continue
        if image in masks:
            first = masks[image][0].source
            trouble.repeated.append(trouble.place(image, f"in {first.name}, {path.name}"))
        masks[image] = _mask(path, content, trouble), None
    return found_outlines("LabelMe files beside images", images, masks, classes, trouble)


def _read(paths: list[Path], trouble: Trouble) -> Iterator[tuple[Path, _Content]]:
    """The files that can be read. Raises AnnotationError where there is none."""
    errors = []
    for path in paths:
        try:
            yield path, read_annotations(path, _CONTENT)
        except AnnotationError as error:
            errors.append(error)
    trouble.broken_files += map(str, errors)
    if len(errors) == len(paths):
        raise errors[0]


def _image(path: Path, content: _Content, images: Images) -> Path | None:
    """The image that imagePath names, if it is there, else one of the JSON's own stem beside it."""
    named = images.find(content.imagePath, path.parent, None) if content.imagePath else None
    return named or images.beside(path)


def _mask(path: Path, content: _Content, trouble: Trouble) -> MaskOutlines:
    outlines = []
    for number, shape in enumerate(content.shapes, start=1):
        name = trouble.place(path, f"shape {number}")
        polygon = _polygon(shape, name, trouble)
        if polygon is not None:
            outlines.append(Outline(label_of(shape.label), name, (polygon,)))
    height, width = content.imageHeight, content.imageWidth
    return MaskOutlines(tuple(outlines), path, (height, width) if height and width else None)


def _polygon(shape: _Shape, name: str, trouble: Trouble) -> ndarray | None:
    """The corners of a shape; None where it encloses nothing."""
    points = shape.points
    match shape.shape_type:
        case "polygon" | None:
            return polygon_of(points, name, trouble)
        case "rectangle" if len(points) == 2:
            (left, top), (right, bottom) = points
            return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        case "rectangle":
            return polygon_of(points, name, trouble)
        case "circle" if len(points) == 2:
            center, edge = np.array(points)
            turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
            around = np.stack([np.cos(turn), np.sin(turn)], axis=1)
            return center + np.hypot(*(edge - center)) * around
    trouble.other_shapes.append(f"{name} ({shape.shape_type})")
    return None
