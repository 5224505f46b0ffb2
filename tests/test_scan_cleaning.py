"""Regions of scans are cleaned across windows as in the whole."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geotiffs import CLASSES, PLAN, Channels, Killed, read, save
from scipy import ndimage

from delineo import finished_rows, scans
from delineo.data import raster_masks, rasters
from delineo.data.samples import Task
from delineo.outputs import predict_files
from delineo.scans import predict_scan
from delineo.targets import Wanted


def cleaning(predictor: Channels) -> Channels:
    """With every step on, for layers that are blobs rather than noise."""
    steps = {"smallest_region": 30, "largest_hole": 20, "only_largest": True}
    gates = {"smallest_area": 50, "least_confidence": 0.7}
    settings = {
        step: dict.fromkeys(predictor.classes, value) for step, value in {**steps, **gates}.items()
    }
    predictor.decision = predictor.decision.model_copy(update=settings)
    return predictor


def blobs(height: int, width: int) -> np.ndarray:
    """Channels of blobs of many sizes; the second has a bright spot alone, the third is faint."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random((height, width, 3)), (4, 4, 0))
    image = ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)
    image[:, :, 1] = 0
    image[5:8, 60:70, 1] = 255
    image[:, :, 2] = image[:, :, 2].clip(0, 140)
    return image


@pytest.mark.usefixtures("in_windows")
@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_regions_are_cleaned_across_windows(
    tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished_rows, "STRIP", 50)
    monkeypatch.setitem(CLASSES, "multilabel", ("blob", "spot", "faint"))
    predictor, image = cleaning(Channels(task)), blobs(200, 150)
    whole = predictor(image).reshape(-1, 200, 150)
    assert not np.array_equal(whole, Channels(task)(image).reshape(-1, 200, 150))
    assert [layer.any() for layer in whole] == [True, False, False][: len(whole)]
    files = [tmp_path / f"{name}.tif" for name in predictor.classes]
    predict_scan(predictor, save(tmp_path / "scan.tiff", image), files)
    for file, layer in zip(files, whole, strict=True):
        assert np.array_equal(read(file), layer)
    assert len(list(tmp_path.iterdir())) == 1 + len(files)


def cleaning_classes(**steps: Any) -> Channels:
    """Exclusive classes, all steps of which are the same."""
    predictor = Channels("multiclass")
    settings = {step: dict.fromkeys(predictor.classes, value) for step, value in steps.items()}
    predictor.decision = predictor.decision.model_copy(update=settings)
    return predictor


def three_kinds(height: int, width: int) -> np.ndarray:
    """Channels of blobs of many sizes, and a stripe and a corner that hold no data (0)."""
    noise = np.random.default_rng(0).random((height, width, 3))
    smooth = ndimage.gaussian_filter(noise, (3, 3, 0))
    image = (1 + (smooth - smooth.min()) / np.ptp(smooth) * 254).astype(np.uint8)
    image[:, :, 2] = image[:, :, 2].clip(0, 130)
    image[90:105, 20:] = 0
    image[:30, :40] = 0
    return image


@pytest.mark.parametrize(
    "steps",
    [
        {"smallest_region": 60},
        {"only_largest": True},
        {"smallest_area": 8000},
        {"least_confidence": 0.6},
        {"smallest_region": 25, "only_largest": True, "smallest_area": 50, "least_confidence": 0.5},
    ],
)
def test_exclusive_classes_are_cleaned_across_windows(
    tmp_path: Path, steps: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "scan.tif", three_kinds(200, 150), nodata=0)
    plain, whole, windows = (tmp_path / f"{name}.tif" for name in ("plain", "whole", "windows"))
    predict_scan(Channels("multiclass"), path, [plain])
    predict_scan(cleaning_classes(**steps), path, [whole])
    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    monkeypatch.setattr(finished_rows, "STRIP", 50)
    predict_scan(cleaning_classes(**steps), path, [windows])
    assert np.array_equal(read(windows), read(whole))
    assert not np.array_equal(read(windows), read(plain))
    assert (read(windows)[90:105, 20:] == 255).all()
    assert raster_masks.read_certainty(windows) == [None, None, None]
    assert len(list(tmp_path.iterdir())) == 4


def test_objects_and_areas_of_classes_cleaned_in_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "scan.tif", three_kinds(200, 150), nodata=0)
    predictor = cleaning_classes(smallest_region=60)

    def tell(folder: str) -> tuple[list[str], list[list[str]]]:
        """Objects, and areas with all but the mean probabilities, which windows do not know."""
        table = tmp_path / folder / "areas.csv"
        wanted = Wanted(formats=("geojson",), table=table)
        assert not predict_files(predictor, [path], table.parent, wanted).failed
        features = json.loads((table.parent / "scan.geojson").read_text())["features"]
        for feature in features:
            feature["properties"].pop("mean_probability", None)
        rows = [row[:-1] for row in csv.reader(table.read_text().splitlines())]
        return sorted(map(json.dumps, features)), rows

    whole = tell("whole")
    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(rasters, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    assert tell("windows") == whole
    assert len(whole[0]) > 5


@pytest.mark.usefixtures("in_windows")
def test_a_cleaning_that_was_killed_is_done_again_without_predicting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"smallest_region": 60, "least_confidence": 0.5}
    path = save(tmp_path / "scan.tif", three_kinds(200, 150), nodata=0)
    predict_scan(cleaning_classes(**steps), path, [tmp_path / "mask.tif"])
    real = scans.exclusive_strips
    monkeypatch.setattr(scans, "exclusive_strips", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        predict_scan(cleaning_classes(**steps), path, [tmp_path / "again.tif"])
    monkeypatch.setattr(scans, "exclusive_strips", real)
    again = cleaning_classes(**steps)
    predict_scan(again, path, [tmp_path / "again.tif"])
    assert again.calls == 1  # for the fingerprint
    assert np.array_equal(read(tmp_path / "again.tif"), read(tmp_path / "mask.tif"))


def test_a_small_scan_is_decided_whole(tmp_path: Path) -> None:
    predictor, image = cleaning(Channels()), blobs(50, 80)
    predict_scan(predictor, save(tmp_path / "scan.tif", image), [tmp_path / "mask.tif"])
    assert np.array_equal(read(tmp_path / "mask.tif"), predictor(image))


@pytest.mark.usefixtures("in_windows")
def test_what_is_sure_after_cleaning_is_not_known(tmp_path: Path) -> None:
    path, mask = save(tmp_path / "scan.tif", blobs(200, 150)), tmp_path / "mask.tif"
    predict_scan(cleaning(Channels()), path, [mask])
    assert raster_masks.read_certainty(mask) == [None]
