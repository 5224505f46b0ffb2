"""Objects and areas of scans of any size are those of the same scan predicted at once."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from geotiffs import CLASSES, PLAN, Channels, save
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from delineo import finished_rows, scans
from delineo.data import raster_masks, rasters
from delineo.data.samples import Task
from delineo.errors import DataError
from delineo.outputs import predict_files
from delineo.targets import ObjectFormat, Wanted

WITH_OBJECTS = Wanted(formats=("geojson",), table=Path("areas.csv"))
FORMATS: tuple[ObjectFormat, ...] = ("coco", "coco-polygons", "yolo")


def with_holes(height: int, width: int) -> np.ndarray:
    """Blobs in all channels, and a stripe that holds no data (0)."""
    noise = np.random.default_rng(0).random((height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (3, 3, 0))
    image = (1 + (smooth - smooth.min()) / np.ptp(smooth) * 254).astype(np.uint8)
    image[60:75, 30:] = 0
    return image


def objects_of(file: Path) -> list[str]:
    """In no order."""
    collection = json.loads(file.read_text())
    assert collection["crs"]["properties"]["name"].endswith("::32633")
    return sorted(map(json.dumps, collection["features"]))


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_objects_and_areas_of_scans_of_any_size(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(raster_masks, "BLOCK", 64)
    path = save(tmp_path / "scan.tif", with_holes(150, 110), nodata=0)
    assert not predict_files(Channels(task), [path], Path("small"), WITH_OBJECTS).failed
    small = Path("areas.csv").read_text()
    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(rasters, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    assert not predict_files(Channels(task), [path], Path("large"), WITH_OBJECTS).failed
    assert Path("areas.csv").read_text() == small
    found = objects_of(Path("large/scan.geojson"))
    assert len(found) > 5
    assert found == objects_of(Path("small/scan.geojson"))
    assert {file.suffix for file in Path("large").iterdir()} == {".tif", ".geojson"}
    # and against what is known of the image
    image, rows = with_holes(150, 110), list(csv.DictReader(small.splitlines()))
    mask, valid = Channels(task)(image), image[:, :, 0] > 0
    for index, row in enumerate(rows):
        layer = mask[index] == 1 if task == "multilabel" else mask == index + (task == "binary")
        own = layer & valid
        assert int(row["pixels"]) == own.sum()
        assert float(row["share"]) == own.sum() / valid.sum()
        assert int(row["regions"]) == ndimage.label(own, np.ones((3, 3)))[1]
        mean = (image[:, :, index][own] / 255).mean()
        assert float(row["mean_probability"]) == pytest.approx(mean, abs=1e-6)
    assert [row["class"] for row in rows] == list(CLASSES[task])


def picture_of(scan: Path) -> Path:
    """The same as a PNG, which is dark where the scan holds no data, so that nothing is found."""
    path = scan.with_name("picture") / "scan.png"
    path.parent.mkdir()
    Image.fromarray(with_holes(150, 110)).save(path)
    return path


def annotations_of(folder: Path, name: str) -> list[str]:
    """In no order, without their numbers."""
    found = json.loads((folder / name).read_text())["annotations"]
    return sorted(json.dumps({**each, "id": 0}) for each in found)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_every_format_of_scans_of_any_size(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In windows and strips what the same pixels give as a picture."""
    path = save(tmp_path / "scan.tif", with_holes(150, 110), nodata=0)
    predictor, wanted = Channels(task), Wanted(formats=FORMATS, rle="severstal")
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert not predict_files(predictor, [picture_of(path)], whole, wanted).failed
    monkeypatch.setattr(raster_masks, "BLOCK", 64)
    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(rasters, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    assert not predict_files(predictor, [path], out, wanted).failed
    for name in ("coco.json", "coco-polygons.json"):
        assert annotations_of(out, name) == annotations_of(whole, name)
        assert len(annotations_of(out, name)) > 5
    labels = [(each / "labels/scan.txt").read_text().splitlines() for each in (out, whole)]
    assert sorted(labels[0]) == sorted(labels[1])
    tables = [(each / "submission.csv").read_text() for each in (out, whole)]
    assert tables[0] == tables[1].replace("scan.png", "scan.tif")
    # and against what is known of the image
    layers = layers_of(Channels(task)(with_holes(150, 110)), task, with_holes(150, 110) > 0)
    for name in ("coco.json", "coco-polygons.json"):
        read = COCO(out / name)
        assert [(each["height"], each["width"]) for each in read.imgs.values()] == [(150, 110)]
        for category, layer in enumerate(layers, start=1):
            found = read.loadAnns(read.getAnnIds(catIds=category))
            assert len(found) == ndimage.label(layer, np.ones((3, 3)))[1]
            drawn = sum((read.annToMask(each) for each in found), np.zeros((150, 110), np.uint8))
            assert np.array_equal(drawn, layer)
            assert [each["area"] for each in found] == [read.annToMask(e).sum() for e in found]


def layers_of(mask: np.ndarray, task: Task, valid: np.ndarray) -> list[np.ndarray]:
    """The classes that have objects, where there is data."""
    if task == "multilabel":
        return [(layer == 1) & valid.any(2) for layer in mask]
    return [(mask == index) & valid.any(2) for index in range(1, 3 if task == "multiclass" else 2)]


def test_objects_of_a_mask_that_is_there_are_made_without_predicting(tmp_path: Path) -> None:
    path, out = save(tmp_path / "scan.tif", with_holes(150, 110)), tmp_path / "out"
    predict_files(Channels(), [path], out)
    again = Channels()
    table = Wanted(formats=("geojson",), table=out / "areas.csv")
    assert predict_files(again, [path], out, table, resume=True).kept == []
    assert again.calls == 0
    assert objects_of(out / "scan.geojson")
    assert predict_files(again, [path], out, table, resume=True).kept == [path]
    tifffile.imwrite(out / "scan.tif", np.zeros((150, 110), np.uint8))
    with pytest.raises(DataError, match="is not a mask that predict wrote"):
        predict_files(again, [path], out, table, resume=True)


def test_nothing_is_found_where_there_is_no_data(tmp_path: Path) -> None:
    """Nor in the pictures and objects that are made of an image in memory."""
    image = with_holes(150, 110)
    bright = np.where(image == 0, np.uint8(0), np.uint8(200))
    path, out = save(tmp_path / "scan.tif", bright, nodata=200), tmp_path / "out"
    wanted = Wanted(formats=("geojson", "coco"), probabilities=True, table=out / "areas.csv")
    assert not predict_files(Channels(), [path], out, wanted).failed
    assert not np.asarray(Image.open(out / "scan.png")).any()
    assert objects_of(out / "scan.geojson") == []
    assert json.loads((out / "coco.json").read_text())["annotations"] == []
    assert (out / "areas.csv").read_text().splitlines()[1] == "scan.tif,disc,0,0.0,0,"
