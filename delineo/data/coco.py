"""COCO instances: one JSON of images, categories and outlines, or one for each part."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from pydantic import AfterValidator, BaseModel, TypeAdapter

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
from .samples import IGNORE_LABEL, MaskOutlines, Outline, Part
from .tree import describe, walk

Id = int | str


def _compact(shape: Any) -> Any:
    """Polygons as arrays as soon as they are read: files of COCO's size fit into memory."""
    return [_array(corners) for corners in shape] if isinstance(shape, list) else shape


def _array(corners: Any) -> Any:
    try:
        return np.asarray(corners, np.float64)
    except (TypeError, ValueError):
        return corners  # what is wrong is told with the annotation's id


class _Image(BaseModel):
    id: Id
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(BaseModel):
    id: Id
    name: str
    supercategory: str | None = None


class _Annotation(BaseModel):
    image_id: Id
    category_id: Id | None = None
    id: Id | None = None
    segmentation: Annotated[list | dict | None, AfterValidator(_compact)] = None
    bbox: list[float] | None = None
    iscrowd: int | None = 0


class _Content(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_CONTENT = TypeAdapter(_Content)


@dataclass
class _File:
    """One JSON, read."""

    path: Path
    content: _Content
    part: Part | None
    labels: Mapping[Id, str] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = {category.id: label_of(category.name) for category in self.categories()}

    def categories(self) -> list[_Category]:
        """In the order of their ids. The head of a tree that no annotation has, as Roboflow writes
        it, is left out."""
        used = {annotation.category_id for annotation in self.content.annotations}
        heads = {category.supercategory for category in self.content.categories}
        ordered = sorted(self.content.categories, key=lambda c: (isinstance(c.id, str), c.id))
        return [
            c for c in ordered if c.id in used or c.name not in heads or c.supercategory == c.name
        ]


def find_coco(root: Path, declared: Declared) -> Found | None:
    """Samples from COCO files; None where there are none. Raises AnnotationError."""
    paths = _instance_files(root)
    if not paths:
        return None
    trouble, images = Trouble(root), Images(root)
    files = _read_files(paths, trouble)
    where = _named([file.path for file in files])
    _refuse_boxes(files, where)
    names = [category.name for file in files for category in file.categories()]
    classes = classes_of(names, declared, where)
    masks: dict[Path, tuple[MaskOutlines, Part | None]] = {}
    for file in files:
        for path, mask in _masks(file, images, trouble):
            if path in masks:
                first = masks[path][0].source
                trouble.repeated.append(trouble.place(path, f"in {first.name}, {file.path.name}"))
            masks[path] = mask, file.part
    return found_outlines(f"COCO annotations ({where})", images, masks, classes, trouble)


def _instance_files(root: Path) -> list[Path]:
    """COCO's own folder holds captions and keypoints too; then only instances_* is read."""
    jsons = [
        path for names, path in walk(root) if path.suffix.lower() == ".json" and len(names) < 4
    ]
    found = [path for path in jsons if _is_coco(path)]
    return [path for path in found if path.stem.startswith("instances")] or found


def _is_coco(path: Path) -> bool:
    if is_labelme(path):
        return False  # these are many and large: not read twice
    content = path.read_bytes()
    keys = (b'"images"', b'"annotations"', b'"categories"')
    return all(key in content for key in keys) and b'"segments_info"' not in content


def _read_files(paths: Sequence[Path], trouble: Trouble) -> list[_File]:
    """The files that can be read. Raises AnnotationError where there is none."""
    files, last = [], None
    for path in paths:
        names = path.relative_to(trouble.root).with_suffix("").parts
        try:
            files.append(_File(path, read_annotations(path, _CONTENT), describe(names).part))
        except AnnotationError as error:
            trouble.broken_files.append(str(error))
            last = error
    if last and not files:
        raise last
    return files


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return paths[0].name + more


def _refuse_boxes(files: Sequence[_File], where: str) -> None:
    annotations = [one for file in files for one in file.content.annotations]
    if annotations and not any(one.segmentation for one in annotations):
        raise AnnotationError(
            f"{where}: none of the {len(annotations):,} annotations has an outline (segmentation), "
            "they are boxes alone, and boxes do not say which pixels belong to an object; export "
            "the data set for segmentation"
        )


def _masks(file: _File, images: Images, trouble: Trouble) -> list[tuple[Path, MaskOutlines]]:
    """Each listed image that is there, with its outlines."""
    annotations: dict[Id, list[_Annotation]] = defaultdict(list)
    for annotation in file.content.annotations:
        annotations[annotation.image_id].append(annotation)
    _examine_ids(file, annotations, trouble)
    masks = []
    for image in file.content.images:
        path = images.find(image.file_name, file.path.parent, file.part)
        if path is None:
            trouble.missing.append(trouble.place(file.path, image.file_name))
            continue
        outlines = [_outline(one, file, trouble) for one in annotations[image.id]]
        size = (image.height, image.width) if image.height and image.width else None
        drawn = tuple(outline for outline in outlines if outline is not None)
        masks.append((path, MaskOutlines(drawn, file.path, size)))
    return masks


def _examine_ids(file: _File, annotated: Mapping[Id, Sequence[_Annotation]], trouble: Trouble):
    """Image ids that stand twice, and annotations of ids that do not stand there at all."""
    times = Counter(image.id for image in file.content.images)
    twice = [key for key, number in times.items() if number > 1]
    trouble.repeated += [trouble.place(file.path, f"image id {key}") for key in twice]
    trouble.without_image += [
        trouble.place(file.path, f"{_name(annotation)} (image id {key})")
        for key, annotations in annotated.items()
        if key not in times
        for annotation in annotations
    ]


def _name(annotation: _Annotation) -> str:
    return f"annotation {annotation.id}" if annotation.id is not None else "annotation without id"


def _outline(annotation: _Annotation, file: _File, trouble: Trouble) -> Outline | None:
    place = trouble.place(file.path, _name(annotation))
    category = annotation.category_id
    label = None if category is None else file.labels.get(category)
    if label is None:
        trouble.unknown_classes.append(f"{place} (category id {category})")
        return None
    crowd, shape = bool(annotation.iscrowd), annotation.segmentation
    if not shape:
        return _box(annotation, place, trouble)
    if isinstance(shape, dict):
        return _run_lengths(shape, label, place, crowd, trouble)
    polygons = [polygon_of(corners, place, trouble) for corners in shape]
    drawn = tuple(polygon for polygon in polygons if polygon is not None)
    return Outline(label, place, drawn, crowd=crowd) if drawn else None


def _box(annotation: _Annotation, place: str, trouble: Trouble) -> Outline | None:
    """An object of which only the box is known: ignored."""
    trouble.boxes.append(place)
    if annotation.bbox is None or len(annotation.bbox) != 4:
        return None
    left, top, width, height = annotation.bbox
    right, bottom = left + width, top + height
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Outline(IGNORE_LABEL, place, (corners,), crowd=True)


def _run_lengths(
    shape: dict, label: str, place: str, crowd: bool, trouble: Trouble
) -> Outline | None:
    size, counts = shape.get("size"), shape.get("counts")
    runs = counts if isinstance(counts, str) and counts else _numbers(counts)
    if runs is None or not isinstance(size, list) or not _whole(size) or len(size) != 2:
        trouble.broken_outlines.append(f"{place} (no run lengths with size and counts)")
        return None
    return Outline(label, place, runs=runs, runs_size=(size[0], size[1]), crowd=crowd)


def _numbers(counts: object) -> Int64[ndarray, " runs"] | None:
    if not isinstance(counts, list) or not counts or not _whole(counts):
        return None
    return np.array(counts, np.int64)


def _whole(numbers: list) -> bool:
    return all(isinstance(number, int) for number in numbers)
