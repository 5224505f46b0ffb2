"""Masks as lists of objects for other programs: COCO, YOLO and GeoJSON.

An object is a connected region of one class; pixels touch with sides or corners.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import UInt8

from .data.geotags import Placement
from .data.samples import Task
from .data.submission import object_layers, object_names
from .decision import TOUCHING
from .files import open_atomically, write_atomically
from .maskfiles import Finished
from .polygons import Ring, one_ring, polygons_of

if TYPE_CHECKING:
    from .regions import Outline


class Region(NamedTuple):
    """One object in its bounding box."""

    place: int
    """Of its class in `object_names`, from 0 on."""
    inside: np.ndarray
    """(height, width) bool, of the bounding box."""
    left: int
    top: int


def find_regions(
    mask: UInt8[np.ndarray, "*planes height width"], task: Task, classes: Sequence[str]
) -> Iterator[Region]:
    """The objects of a mask, class by class, from top to bottom."""
    from scipy import ndimage  # slow to import

    for place, layer in enumerate(object_layers(mask, task, classes)):
        numbers, _ = ndimage.label(layer, TOUCHING)  # pyright: ignore[reportGeneralTypeIssues]
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[rows, columns] == number
            yield Region(place, inside, columns.start, rows.start)


def write_coco(
    path: Path, finished: Iterable[Finished], task: Task, classes: Sequence[str], polygons: bool
) -> None:
    """A COCO file of all objects: with run lengths, or as polygons without holes.

    A hole hangs on the outline by a seam without width. Category ids count from 1 on, as the
    values of a mask do. Written image by image, whole or not at all.
    """
    images: list[dict[str, Any]] = []
    number = 0
    with open_atomically(path) as file:
        file.write(b'{"annotations": [')
        for item in finished:
            height, width = item.mask.shape[-2:]
            images.append(
                {"id": len(images) + 1, "file_name": item.name, "height": height, "width": width}
            )
            for region in find_regions(item.mask, task, classes):
                file.write(b",\n" if number else b"\n")
                number += 1
                shape = _flat(region) if polygons else _run_lengths(region, height, width)
                file.write(json.dumps(_annotation(number, len(images), region, shape)).encode())
        names = enumerate(object_names(task, classes), start=1)
        categories = [{"id": place, "name": name} for place, name in names]
        file.write(f'\n],\n"images": {json.dumps(images)},\n'.encode())
        file.write(f'"categories": {json.dumps(categories)}}}\n'.encode())


def _annotation(number: int, image: int, region: Region, segmentation: Any) -> dict[str, Any]:
    height, width = region.inside.shape
    return {
        "id": number,
        "image_id": image,
        "category_id": region.place + 1,
        "bbox": [region.left, region.top, width, height],
        "area": int(region.inside.sum()),
        "iscrowd": 0,
        "segmentation": segmentation,
    }


def _moved_ring(region: Region) -> Ring:
    return [(x + region.left, y + region.top) for x, y in one_ring(region.inside)]


def _flat(region: Region) -> list[list[int]]:
    return [[value for corner in _moved_ring(region) for value in corner]]


def _run_lengths(region: Region, height: int, width: int) -> dict[str, Any]:
    """Pixels outside, inside, outside ... down the columns of the whole image, uncompressed."""
    padded = np.pad(region.inside, ((1, 1), (0, 0))).astype(np.int8)
    columns, steps = np.nonzero(np.diff(padded, axis=0).T)
    edges = (columns + region.left) * height + steps + region.top
    # a run that ends with its column goes on where the next one begins at the top
    meets = np.flatnonzero(edges[1:-1:2] == edges[2::2])
    edges = np.delete(edges, np.concatenate([2 * meets + 1, 2 * meets + 2]))
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    return {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}


def yolo_lines(
    mask: UInt8[np.ndarray, "*planes height width"], task: Task, classes: Sequence[str]
) -> str:
    """A line for each object: its class, from 0 on, and its corners as shares of the image."""
    height, width = mask.shape[-2:]
    lines = []
    for region in find_regions(mask, task, classes):
        corners = (f"{x / width:.9g} {y / height:.9g}" for x, y in _moved_ring(region))
        lines.append(f"{region.place} {' '.join(corners)}\n")
    return "".join(lines)


def write_yolo_description(
    path: Path, _: Iterable[Finished], task: Task, classes: Sequence[str]
) -> None:
    """data.yaml: what the numbers stand for; images that one would train on belong in images/."""
    names = dict(enumerate(object_names(task, classes)))
    described = {"path": ".", "train": "images", "val": "images", "names": names}
    write_atomically(path, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))


def write_geojson(
    path: Path,
    strips: Callable[[], Iterable[np.ndarray]],
    task: Task,
    classes: Sequence[str],
    placement: Placement | None,
) -> None:
    """A feature for each object, in map coordinates, or in pixels from the top left corner.

    `strips` are a mask from top to bottom as `decide` gives it, or all of it. Written object by
    object, whole or not at all.
    """
    head: dict[str, Any] = {"type": "FeatureCollection"}
    if placement and placement.crs:
        head["crs"] = {"type": "name", "properties": {"name": placement.crs}}
    with open_atomically(path) as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": ['.encode())
        features = _features(strips, task, classes, placement or Placement())
        for number, feature in enumerate(features):
            text = json.dumps(feature, ensure_ascii=False)
            file.write(f"{',' if number else ''}\n{text}".encode())
        file.write(b"\n]}\n")


def _features(
    strips: Callable[[], Iterable[np.ndarray]],
    task: Task,
    classes: Sequence[str],
    placement: Placement,
) -> Iterator[dict[str, Any]]:
    from .regions import outlines  # SciPy is slow to import

    for place, name in enumerate(object_names(task, classes)):

        def layer(place: int = place) -> Iterator[np.ndarray]:
            layered = task == "multilabel"
            return (strip[place] == 1 if layered else strip == place + 1 for strip in strips())

        for outline in outlines(layer):
            yield _feature(outline, name, placement)


def _feature(outline: "Outline", name: str, placement: Placement) -> dict[str, Any]:
    polygons = [
        [_closed(ring, placement, outer=place == 0) for place, ring in enumerate(polygon)]
        for polygon in polygons_of(outline.corners)
    ]
    several = len(polygons) > 1
    kind, coordinates = ("MultiPolygon", polygons) if several else ("Polygon", polygons[0])
    return {
        "type": "Feature",
        "properties": {"class": name, "pixels": outline.pixels},
        "geometry": {"type": kind, "coordinates": coordinates},
    }


def _closed(ring: Ring, placement: Placement, outer: bool) -> list[list[float]]:
    """On the map, its first corner again at its end: outer ones turn left, holes right."""
    points = placement.on_map(np.array(ring, float))
    (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
    turns_left = (x * next_y - next_x * y).sum() > 0
    if turns_left != outer:
        points = points[::-1]
    return [*points.tolist(), points[0].tolist()]
