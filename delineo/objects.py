"""Masks as lists of objects for other programs: COCO, YOLO and GeoJSON.

An object is a connected region of one class; pixels touch with sides or corners.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from .data.geotags import Placement
from .data.rle import run_edges
from .data.samples import Task
from .data.submission import Strips, object_names, object_strips
from .files import open_atomically, write_atomically
from .maskfiles import Finished
from .polygons import Ring, polygons_of, ring_of

if TYPE_CHECKING:
    from .regions import Outline


def find_objects(
    strips: Strips, task: Task, classes: Sequence[str]
) -> Iterator[tuple[int, "Outline"]]:
    """The objects of a mask, class by class, each with the place of its class in `object_names`.

    `strips` are the mask from top to bottom as `decide` gives it; of a class those objects come
    first that end in the strips above.
    """
    from .regions import outlines  # SciPy is slow to import

    for place in range(len(object_names(task, classes))):
        for outline in outlines(object_strips(strips, task, place)):
            yield place, outline


def write_coco(
    path: Path, finished: Iterable[Finished], task: Task, classes: Sequence[str], polygons: bool
) -> None:
    """A COCO file of all objects: with run lengths, or as polygons without holes.

    A hole hangs on the outline by a seam without width. Category ids count from 1 on, as the
    values of a mask do. Written object by object, whole or not at all.
    """
    images: list[dict[str, Any]] = []
    number = 0
    with open_atomically(path) as file:
        file.write(b'{"annotations": [')
        for item in finished:
            height, width = item.size
            images.append(
                {"id": len(images) + 1, "file_name": item.name, "height": height, "width": width}
            )
            for place, outline in find_objects(item.strips, task, classes):
                file.write(b",\n" if number else b"\n")
                number += 1
                drawn = _flat(outline) if polygons else _run_lengths(outline, height, width)
                annotation = _annotation(number, len(images), place + 1, outline, drawn)
                file.write(json.dumps(annotation).encode())
        names = enumerate(object_names(task, classes), start=1)
        categories = [{"id": place, "name": name} for place, name in names]
        file.write(f'\n],\n"images": {json.dumps(images)},\n'.encode())
        file.write(f'"categories": {json.dumps(categories)}}}\n'.encode())


def _annotation(
    number: int, image: int, category: int, outline: "Outline", segmentation: Any
) -> dict[str, Any]:
    x, y = outline.corners.x, outline.corners.y
    left, top = int(x.min()), int(y.min())
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, int(x.max()) - left, int(y.max()) - top],
        "area": outline.pixels,
        "iscrowd": 0,
        "segmentation": segmentation,
    }


def _flat(outline: "Outline") -> list[list[int]]:
    return [[value for corner in ring_of(outline.corners) for value in corner]]


def _run_lengths(outline: "Outline", height: int, width: int) -> dict[str, Any]:
    """Pixels outside, inside, outside ... down the columns of the whole image, uncompressed."""
    corners = outline.corners
    # of each edge along a row, all columns: there a run begins or ends
    starts, lengths, rows = corners.x[::2], corners.x[1::2] - corners.x[::2], corners.y[::2]
    columns = np.arange(lengths.sum()) + np.repeat(starts - lengths.cumsum() + lengths, lengths)
    edges = run_edges(columns * height + np.repeat(rows, lengths))
    counts = np.diff(edges, prepend=0, append=height * width).tolist()
    return {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}


def write_yolo(path: Path, item: Finished, task: Task, classes: Sequence[str]) -> None:
    """A line for each object: its class, from 0 on, and its corners as shares of the image."""
    height, width = item.size
    with open_atomically(path) as file:
        for place, outline in find_objects(item.strips, task, classes):
            ring = ring_of(outline.corners)
            corners = (f"{x / width:.9g} {y / height:.9g}" for x, y in ring)
            file.write(f"{place} {' '.join(corners)}\n".encode())


def write_yolo_description(
    path: Path, _: Iterable[Finished], task: Task, classes: Sequence[str]
) -> None:
    """data.yaml: what the numbers stand for; images that one would train on belong in images/."""
    names = dict(enumerate(object_names(task, classes)))
    described = {"path": ".", "train": "images", "val": "images", "names": names}
    write_atomically(path, yaml.safe_dump(described, sort_keys=False, allow_unicode=True))


def write_geojson(
    path: Path, item: Finished, task: Task, classes: Sequence[str], placement: Placement | None
) -> None:
    """A feature for each object, in map coordinates, or in pixels from the top left corner.

    Written object by object, whole or not at all.
    """
    head: dict[str, Any] = {"type": "FeatureCollection"}
    if placement and placement.crs:
        head["crs"] = {"type": "name", "properties": {"name": placement.crs}}
    names, found = object_names(task, classes), find_objects(item.strips, task, classes)
    with open_atomically(path) as file:
        file.write(f'{json.dumps(head)[:-1]}, "features": ['.encode())
        for number, (place, outline) in enumerate(found):
            feature = _feature(outline, names[place], placement or Placement())
            text = json.dumps(feature, ensure_ascii=False)
            file.write(f"{',' if number else ''}\n{text}".encode())
        file.write(b"\n]}\n")


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
