"""Masks as objects: what other programs read from the files is the mask again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import tifffile
import yaml
from pycocotools.coco import COCO
from scipy import ndimage
from shapely.geometry import shape

from delineo.data.geotags import Placement, read_placement
from delineo.data.samples import Task
from delineo.maskfiles import Finished
from delineo.objects import (
    write_coco,
    write_geojson,
    write_yolo,
    write_yolo_description,
)

# pycocotools was written for an older NumPy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "grün"),
    "multilabel": ("hole", "crack"),
}
TASKS: tuple[Task, ...] = ("binary", "multiclass", "multilabel")


def blobs(task: Task, seed: int, height: int = 30, width: int = 23) -> np.ndarray:
    """A mask with regions, holes and diagonal touches in all places, the edges too."""
    rng = np.random.default_rng(seed)
    planes = ndimage.gaussian_filter(rng.normal(size=(3, height, width)), (0, 1, 1))
    if task == "multiclass":
        return planes.argmax(0).astype(np.uint8)
    layers = (planes > 0).astype(np.uint8)
    return layers[0] if task == "binary" else layers[:2]


def layers_of(mask: np.ndarray, task: Task) -> list[np.ndarray]:
    if task == "multilabel":
        return [layer == 1 for layer in mask]
    return [mask == index for index in range(1, 3 if task == "multiclass" else 2)]


def in_strips(mask: np.ndarray, name: str = "a.png", rows: int = 99) -> Finished:
    """A finished mask that comes so many rows at a time."""
    strips = [mask[..., top : top + rows, :] for top in range(0, mask.shape[-2], rows)]
    height, width = mask.shape[-2:]
    return Finished(Path(name), f"in/{name}", (height, width), lambda: strips, ())


def regions_in(mask: np.ndarray, task: Task) -> int:
    return sum(ndimage.label(layer, np.ones((3, 3)))[1] for layer in layers_of(mask, task))


@pytest.mark.parametrize("rows", [1, 4, 99])
@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_pycocotools_reads_the_masks(tmp_path: Path, task: Task, polygons: bool, rows: int) -> None:
    masks = [blobs(task, seed) for seed in range(3)]
    masks += [np.zeros_like(masks[0]), np.ones_like(masks[0])]
    finished = [in_strips(mask, f"{n}.png", rows) for n, mask in enumerate(masks)]
    write_coco(tmp_path / "coco.json", finished, task, CLASSES[task], polygons)
    read = COCO(tmp_path / "coco.json")
    names = {number: found["name"] for number, found in read.cats.items()}
    foreground = CLASSES[task][1:] if task == "multiclass" else CLASSES[task]
    assert names == dict(enumerate(foreground, start=1))
    assert [image["file_name"] for image in read.imgs.values()] == [f.name for f in finished]
    for number, mask in enumerate(masks, start=1):
        assert (read.imgs[number]["height"], read.imgs[number]["width"]) == mask.shape[-2:]
        for category, layer in enumerate(layers_of(mask, task), start=1):
            found = read.loadAnns(read.getAnnIds(imgIds=number, catIds=category))
            regions = [read.annToMask(annotation).astype(bool) for annotation in found]
            assert np.array_equal(np.sum([np.zeros_like(layer, int), *regions], 0), layer)
            assert len(regions) == ndimage.label(layer, np.ones((3, 3)))[1]
            for annotation, region in zip(found, regions, strict=True):
                rows, columns = np.nonzero(region)
                left, top = columns.min(), rows.min()
                box = [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
                assert annotation["bbox"] == box
                assert annotation["area"] == region.sum()


def test_a_coco_file_of_no_object_is_one(tmp_path: Path) -> None:
    empty = in_strips(np.zeros((2, 3), np.uint8))
    write_coco(tmp_path / "coco.json", [empty], "binary", ("disc",), polygons=False)
    read = COCO(tmp_path / "coco.json")
    assert (len(read.imgs), len(read.anns)) == (1, 0)


@pytest.mark.parametrize("rows", [1, 4, 99])
@pytest.mark.parametrize("task", TASKS)
def test_yolo_polygons_are_the_masks(tmp_path: Path, task: Task, rows: int) -> None:
    from pycocotools import mask as coco

    mask = blobs(task, 5, height=31, width=97)
    layers = layers_of(mask, task)
    drawn = [np.zeros((31, 97), int) for _ in layers]
    write_yolo(tmp_path / "a.txt", in_strips(mask, rows=rows), task, CLASSES[task])
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert len(lines) == regions_in(mask, task)
    for line in lines:
        kind, *values = line.split()
        corners = np.array(values, float).reshape(-1, 2)
        assert corners.min() >= 0
        assert corners.max() <= 1
        flat = (corners * (97, 31)).ravel().tolist()
        drawn[int(kind)] += coco.decode(coco.frPyObjects([flat], 31, 97))[:, :, 0]
    assert all(np.array_equal(found, layer) for found, layer in zip(drawn, layers, strict=True))
    write_yolo_description(tmp_path / "data.yaml", (), task, CLASSES[task])
    names = yaml.safe_load((tmp_path / "data.yaml").read_text())["names"]
    assert list(names.values()) == list(CLASSES[task][1 if task == "multiclass" else 0 :])


def geojson(
    folder: Path, mask: np.ndarray, task: Task, place: Placement | None = None, strip: int = 99
) -> dict[str, Any]:
    """What is written of a mask that comes in strips of so many rows."""
    item = in_strips(mask, rows=strip)
    write_geojson(folder / "a.geojson", item, task, CLASSES[task], place)
    return json.loads((folder / "a.geojson").read_text("utf-8"))


@pytest.mark.parametrize("strip", [1, 4, 99])
@pytest.mark.parametrize("task", TASKS)
def test_geojson_in_pixels(tmp_path: Path, task: Task, strip: int) -> None:
    mask = blobs(task, 2)
    layers = layers_of(mask, task)
    names = CLASSES[task][1:] if task == "multiclass" else CLASSES[task]
    rows, columns = np.mgrid[: mask.shape[-2], : mask.shape[-1]] + 0.5
    drawn = {name: np.zeros(mask.shape[-2:], int) for name in names}
    features = geojson(tmp_path, mask, task, strip=strip)["features"]
    assert len(features) == regions_in(mask, task)
    for feature in features:
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area == feature["properties"]["pixels"]
        drawn[feature["properties"]["class"]] += shapely.contains_xy(geometry, columns, rows)
    for found, layer in zip(drawn.values(), layers, strict=True):
        assert np.array_equal(found, layer)


PLACES = {
    "north up": Placement((0.5, 0.0), (0.0, -0.5), (500_000.0, 5_200_000.0), "EPSG:32632"),
    "turned": Placement((3.0, 4.0), (4.0, -3.0), (10.0, 20.0)),
    "south up": Placement((1.0, 0.0), (0.0, 1.0), (-7.0, 3.0)),
}


@pytest.mark.parametrize("name", PLACES)
def test_geojson_on_the_map(tmp_path: Path, name: str) -> None:
    mask, place = blobs("binary", 3), PLACES[name]
    text = geojson(tmp_path, mask, "binary", place)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]] + 0.5
    middles = np.stack([columns.ravel(), rows.ravel()], 1)
    x = place.corner[0] + middles[:, 0] * place.across[0] + middles[:, 1] * place.down[0]
    y = place.corner[1] + middles[:, 0] * place.across[1] + middles[:, 1] * place.down[1]
    drawn = np.zeros(mask.size, int)
    for feature in text["features"]:
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        parts = getattr(geometry, "geoms", [geometry])
        assert all(part.exterior.is_ccw for part in parts)
        assert not any(hole.is_ccw for part in parts for hole in part.interiors)
        drawn += shapely.contains_xy(geometry, x, y)
    assert np.array_equal(drawn.reshape(mask.shape), mask)
    assert ("crs" in text) == (place.crs is not None)


def geo_keys(**keys: int) -> tuple[int, str, int, tuple[int, ...], bool]:
    numbers = {"model": 1024, "raster": 1025, "geographic": 2048, "projected": 3072}
    entries = [value for name, key in keys.items() for value in (numbers[name], 0, 1, key)]
    values = (1, 1, 0, len(keys), *entries)
    return (34735, "H", len(values), values, True)


SCALE = (33550, "d", 3, (2.0, 4.0, 0.0), True)
TIEPOINT = (33922, "d", 6, (1.0, 2.0, 0.0, 100.0, 200.0, 0.0), True)
MATRIX = (34264, "d", 16, (3.0, 4.0, 0, 10.0, 4.0, -3.0, 0, 20.0, *[0.0] * 7, 1.0), True)
UTM, LONLAT = geo_keys(model=1, raster=1, projected=32632), geo_keys(model=2, geographic=4326)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([SCALE, TIEPOINT, UTM], Placement((2.0, 0.0), (0.0, -4.0), (98.0, 208.0), "32632")),
        ([SCALE, TIEPOINT, LONLAT], Placement((2.0, 0.0), (0.0, -4.0), (98.0, 208.0), "4326")),
        (
            [SCALE, TIEPOINT, geo_keys(model=1, raster=2)],
            Placement((2.0, 0.0), (0.0, -4.0), (97.0, 210.0)),
        ),
        ([MATRIX, geo_keys(projected=32767)], Placement((3.0, 4.0), (4.0, -3.0), (10.0, 20.0))),
        ([SCALE], None),
        ([], None),
    ],
)
def test_placement_of_geotiffs(
    tmp_path: Path, tags: list[tuple], expected: Placement | None
) -> None:
    file = tmp_path / "map.tif"
    tifffile.imwrite(file, np.zeros((5, 4, 3), np.uint8), photometric="rgb", extratags=tags)
    found = read_placement(file)
    assert (found is None) == (expected is None)
    if found and expected:
        assert (found.across, found.down) == (expected.across, expected.down)
        assert found.corner == expected.corner
        assert found.crs == (expected.crs and f"urn:ogc:def:crs:EPSG::{expected.crs}")


def test_placement_of_what_is_no_geotiff(tmp_path: Path) -> None:
    assert read_placement(tmp_path / "a.png") is None


def test_rasterio_places_the_same(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    from rasterio.transform import Affine

    move = Affine(0.25, 0.1, 300.0, 0.05, -0.3, 900.0)
    profile = {"driver": "GTiff", "height": 6, "width": 5, "count": 1, "dtype": "uint8"}
    for number, transform in enumerate((move, Affine(0.5, 0, 10, 0, -0.5, 70))):
        file = tmp_path / f"{number}.tif"
        with rasterio.open(file, "w", crs="EPSG:25832", transform=transform, **profile) as out:
            out.write(np.zeros((1, 6, 5), np.uint8))
        found = read_placement(file)
        assert found is not None
        assert found.crs == "urn:ogc:def:crs:EPSG::25832"
        corner = found.on_map(np.array([[3.0, 2.0]]))[0]
        assert corner == pytest.approx(transform * (3, 2))
