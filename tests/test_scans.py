"""Scans: TIFF read and written in windows, with coordinates, killed, damaged, or on a full disk."""

import csv
import errno
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin
from scipy import ndimage

from delineo import finished_rows, scans, tiles
from delineo.data import raster_masks, rasters
from delineo.data.images import read_image
from delineo.data.rasters import is_scan, open_raster
from delineo.data.samples import Task
from delineo.data.sizing import Scale, refuse_depth
from delineo.decision import Decision
from delineo.ensemble import Ensemble
from delineo.errors import ConfigError, DataError
from delineo.outputs import predict_files
from delineo.scans import predict_scan
from delineo.targets import Wanted
from delineo.tiles import Footprint, Plan

PLACE = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}
PLAN = Plan(side=96, halo=0, step=64, scale=1.0)
CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "car"),
    "multilabel": ("hole", "crack"),
}


class Channels:
    """Class k is as probable as its channel is bright; "fit" answers at the size it is given."""

    def __init__(self, task: Task = "binary", scale: Scale = 1.0, channels: int = 3) -> None:
        self.task, self.scale, self.channels = task, scale, channels
        self.classes, self.image_size = CLASSES[task], (20, 30)
        self.decision = Decision.default(task, self.classes)
        self.calls = 0

    def footprint(self) -> Footprint:
        return Footprint(reach=0, values=1)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.moveaxis(image[:, :, : len(self.classes)], 2, 0).astype(np.float32) / 255

    def __call__(self, image: np.ndarray) -> np.ndarray:
        from delineo.decision import decide

        return decide(self.probabilities(image), self.decision)


@pytest.fixture
def in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every TIFF with coordinates is too large to be read at once."""
    monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
    monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    monkeypatch.setattr(finished_rows, "ENLARGED_SIDE", 64)


def picture(height: int, width: int, bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, bands)).astype(dtype)


def save(path: Path, image: np.ndarray, **options: Any) -> Path:
    """As GeoTIFF of 16 x 16 blocks."""
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, **PLACE, **options}
    layout = {"height": image.shape[0], "width": image.shape[1], "count": image.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=image.dtype, **layout, **options) as file:
        file.write(np.moveaxis(image, 2, 0))
    return path


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def expected(image: np.ndarray, task: Task = "binary") -> np.ndarray:
    return Channels(task)(image)


@pytest.mark.usefixtures("in_windows")
@pytest.mark.parametrize("size", [(150, 230), (64, 64), (1, 300), (97, 40)])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_mask_in_windows_is_that_of_the_whole(
    tmp_path: Path, size: tuple[int, int], task: Task
) -> None:
    image, target = picture(*size), tmp_path / "out/mask.tif"
    predict_scan(Channels(task), save(tmp_path / "scan.tif", image), [target])
    assert np.array_equal(read(target), expected(image, task))
    assert [file.name for file in target.parent.iterdir()] == ["mask.tif"]


class Deep(Channels):
    """Was trained on 16-bit images."""

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        refuse_depth(image, ("uint16",))
        return super().probabilities(image)


@pytest.mark.usefixtures("in_windows")
def test_16_bit_scans_are_predicted_by_models_of_16_bit_images(tmp_path: Path) -> None:
    image, target = picture(90, 70, dtype=np.uint16), tmp_path / "mask.tif"
    predict_scan(Deep(), save(tmp_path / "scan.tif", image), [target])
    assert np.array_equal(read(target), expected(image))
    shallow = save(tmp_path / "shallow.tif", picture(90, 70))
    with pytest.raises(DataError, match="8-bit pixels, the model was trained on 16-bit"):
        predict_scan(Deep(), shallow, [tmp_path / "other.tif"])


@pytest.mark.usefixtures("in_windows")
def test_coordinates_are_kept_and_programs_show_colours(tmp_path: Path) -> None:
    target = tmp_path / "mask.tif"
    predict_scan(Channels(), save(tmp_path / "scan.tif", picture(70, 90)), [target])
    with rasterio.open(target) as mask:
        assert mask.crs == PLACE["crs"]
        assert mask.transform == PLACE["transform"]
        assert (mask.nodata, mask.dtypes, mask.count) == (255, ("uint8",), 1)
        assert mask.colormap(1)[1][:3] != (0, 0, 0)
        assert mask.profile["tiled"]
        assert mask.compression.name == "deflate"


@pytest.mark.usefixtures("in_windows")
def test_layers_are_files_of_0_and_1(tmp_path: Path) -> None:
    image, files = picture(80, 100), [tmp_path / f"mask_{name}.tif" for name in "ab"]
    image[:20] = 0
    predict_scan(Channels("multilabel"), save(tmp_path / "s.tif", image, nodata=0), files)
    for file, layer in zip(files, expected(image, "multilabel"), strict=True):
        assert np.array_equal(read(file)[20:], layer[20:])
        assert (read(file)[:20] == 255).all()


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("kind", ["value", "alpha", "nan"])
def test_pixels_without_data_stay_so(
    tmp_path: Path, kind: str, windows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if windows:
        monkeypatch.setattr(scans, "LARGEST_IMAGE", 0)
        monkeypatch.setattr(finished_rows, "plan_windows", lambda *_: PLAN)
    image, empty, path = picture(150, 150), np.zeros((150, 150), bool), tmp_path / "scan.tif"
    image[image == 0] = 1
    empty[:, 40:] = True
    image[empty] = 0
    if kind == "value":
        save(path, image, nodata=0)
    elif kind == "nan":
        save(path, np.where(empty[:, :, None], np.float32(np.nan), image.astype(np.float32)))
    else:
        alpha = np.where(empty, 0, 255).astype(np.uint8)
        save(path, np.dstack([image, alpha]), photometric="RGB", alpha="YES")
    predictor = Channels()
    predict_scan(predictor, path, [tmp_path / "mask.tif"])
    mask = read(tmp_path / "mask.tif")
    assert (mask[empty] == 255).all()
    assert np.array_equal(mask[~empty], expected(image)[~empty])
    if windows:
        assert predictor.calls == 1 + 2  # windows without any data are not looked at


@pytest.mark.usefixtures("in_windows")
def test_runs_of_whole_images_and_of_windows_are_refused_together(tmp_path: Path) -> None:
    both, target = Ensemble([Channels(scale="fit"), Channels()]), tmp_path / "out/mask.tif"
    with pytest.raises(DataError, match="predict scans with each kind alone"):
        predict_scan(both, save(tmp_path / "scan.tif", picture(150, 230)), [target])
    assert not list(target.parent.iterdir())
    alike = Ensemble([Channels(scale="fit"), Channels(scale="fit")])
    predict_scan(alike, tmp_path / "scan.tif", [target])
    assert target.exists()


@pytest.mark.usefixtures("in_windows")
def test_what_looks_at_whole_images_is_enlarged_in_windows(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:120, :180]
    ramp = np.dstack([columns * 255 // 180, rows * 2, rows]).astype(np.uint8)
    predictor = Channels(scale="fit")
    predict_scan(predictor, save(tmp_path / "scan.tif", ramp), [tmp_path / "mask.tif"])
    assert predictor.calls == 2  # once for the fingerprint
    mask = read(tmp_path / "mask.tif")
    assert (mask[:, :85] == 0).all()
    assert (mask[:, 95:] == 1).all()


class Killed(BaseException):
    pass


@pytest.mark.usefixtures("in_windows")
@pytest.mark.parametrize("scale", [1.0, "fit"])
def test_what_was_killed_goes_on_to_the_same_file(
    tmp_path: Path, scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = save(tmp_path / "scan.tif", picture(300, 150)), tmp_path / "mask.tif"
    whole = Channels(scale=scale)
    predict_scan(whole, path, [target])
    first = target.read_bytes()
    target.unlink()
    real, count = finished_rows.write_atomically, 0

    def killing(file: Path, data: bytes | str) -> None:
        nonlocal count
        count += 1
        if count == 6:
            raise Killed
        real(file, data)

    monkeypatch.setattr(finished_rows, "write_atomically", killing)
    with pytest.raises(Killed):
        predict_scan(Channels(scale=scale), path, [target])
    assert not target.exists()
    # whatever memory there is now, the windows stay as they are
    monkeypatch.setattr(
        finished_rows, "plan_windows", lambda *_: PLAN.model_copy(update={"side": 128})
    )
    again = Channels(scale=scale)
    predict_scan(again, path, [target])
    assert target.read_bytes() == first
    assert again.calls < whole.calls or scale == "fit"
    assert {file.name for file in tmp_path.iterdir()} == {"scan.tif", "mask.tif"}


@pytest.mark.usefixtures("in_windows")
def test_another_decision_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(200, 70)
    path, target = save(tmp_path / "scan.tif", image), tmp_path / "mask.tif"
    real = scans.write_rasters
    monkeypatch.setattr(scans, "write_rasters", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        predict_scan(Channels(), path, [target])
    monkeypatch.setattr(scans, "write_rasters", real)
    other = Channels()
    other.decision = other.decision.model_copy(update={"thresholds": {"disc": 0.9}})
    predict_scan(other, path, [target])
    assert np.array_equal(read(target), other(image))


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


def test_bands_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    infrared = save(tmp_path / "a.tif", picture(20, 20, 4), photometric="MINISBLACK")
    with pytest.raises(DataError, match="has 4 bands, the model takes 3"):
        predict_scan(Channels(), infrared, [tmp_path / "mask.tif"])
    grey = save(tmp_path / "b.tif", picture(20, 20, 1))
    predict_scan(Channels(), grey, [tmp_path / "mask.tif"])
    assert {file.name for file in tmp_path.iterdir()} == {"a.tif", "b.tif", "mask.tif"}


def test_damaged_stacked_and_turned_files_get_a_sentence(tmp_path: Path) -> None:
    whole = save(tmp_path / "cut.tif", picture(64, 64)).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) * 2 // 3])
    pages = np.zeros((3, 20, 20), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    tag = (274, "H", 1, 6, False)
    tifffile.imwrite(tmp_path / "turned.tif", picture(20, 30), photometric="rgb", extratags=[tag])
    spoiled = bytearray(
        save(tmp_path / "bad.tif", picture(64, 64), compress="deflate").read_bytes()
    )
    spoiled[len(spoiled) // 2 : len(spoiled) // 2 + 400] = bytes(400)
    (tmp_path / "bad.tif").write_bytes(spoiled)
    sentences = {"cut": "cut off", "stack": "stack of 3", "turned": "upright", "bad": "damaged"}
    for name, sentence in sentences.items():
        with pytest.raises(DataError, match=rf"{name}\.tif.*{sentence}"):
            predict_scan(Channels(), tmp_path / f"{name}.tif", [tmp_path / "mask.tif"])
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.usefixtures("in_windows")
def test_a_damaged_block_leaves_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", picture(300, 64), compress="deflate")
    spoiled = bytearray(path.read_bytes())
    spoiled[-9000:-3000] = bytes(6000)
    path.write_bytes(spoiled)
    with pytest.raises(DataError, match=r"scan\.tif is damaged"):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])
    assert [file.name for file in tmp_path.iterdir()] == ["scan.tif"]


@pytest.mark.usefixtures("in_windows")
def test_a_full_disk_leaves_no_half_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = save(tmp_path / "scan.tif", picture(300, 64)), tmp_path / "mask.tif"
    real, count = finished_rows.write_atomically, 0

    def full(file: Path, data: bytes | str) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        real(file, data)

    monkeypatch.setattr(finished_rows, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        predict_scan(Channels(), path, [target])
    assert not target.exists()
    predict_scan(Channels(), path, [target])
    assert np.array_equal(read(target), expected(picture(300, 64)))


def test_a_mask_that_is_not_what_was_written_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = save(tmp_path / "scan.tif", picture(300, 300)), raster_masks._write

    def lose_the_end(raster: Any, parts: list[Path], *rest: Any) -> Any:
        sums = write(raster, parts, *rest)
        parts[0].write_bytes(parts[0].read_bytes()[:-2000])
        return sums

    monkeypatch.setattr(raster_masks, "_write", lose_the_end)
    with pytest.raises(DataError, match="could not be written"):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])
    assert [file.name for file in tmp_path.iterdir()] == ["scan.tif"]


def test_only_masks_are_replaced(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", picture(30, 30))
    before = path.read_bytes()
    with pytest.raises(DataError, match="choose another --out"):
        predict_scan(Channels(), path, [path])
    assert path.read_bytes() == before
    for _ in range(2):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])


def test_without_rasterio_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "scan.tif", picture(30, 30))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"pip install 'delineo\[geo\]'"):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])


def test_large_tiff_and_geotiff_are_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = save(tmp_path / "located.tif", picture(20, 20))
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, picture(20, 20), photometric="rgb")
    big = tmp_path / "big.tiff"
    tifffile.imwrite(big, picture(20, 20), photometric="rgb", bigtiff=True)
    (tmp_path / "text.tif").write_text("no image")
    Image.fromarray(picture(20, 20)).save(tmp_path / "image.png")
    names = ("located.tif", "plain.tif", "big.tiff", "text.tif", "image.png")
    assert [is_scan(tmp_path / name) for name in names] == [True, False, False, False, False]
    monkeypatch.setattr(rasters, "LARGEST_IMAGE", 399)
    assert is_scan(located) and is_scan(plain) and is_scan(big)
    with open_raster(big) as raster:
        assert raster.size == (20, 20)


def test_predict_sends_scans_through_windows_and_does_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image = picture(150, 100)
    save(folder / "scan.tif", image)
    Image.fromarray(image).save(folder / "photo.png")
    save(folder / "bands.tif", picture(20, 20, 4), photometric="MINISBLACK")
    (folder / "cut.tif").write_bytes((folder / "scan.tif").read_bytes()[:30_000])
    done = predict_files(Channels(), [folder], out)
    assert sorted(path.name for path in done.done) == ["photo.png", "scan.tif"]
    assert "4 bands" in done.failed[folder / "bands.tif"]
    assert "cut off" in done.failed[folder / "cut.tif"]
    assert {path.name for path in out.iterdir()} == {"scan.tif", "photo.png"}
    assert np.array_equal(read(out / "scan.tif"), expected(image))
    again = predict_files(Channels(), [folder / "scan.tif"], out, resume=True)
    assert again.kept == [folder / "scan.tif"]
    # with more than masks, what is small is an image too
    more = predict_files(Channels(), [folder / "scan.tif"], out, Wanted(overlay=True))
    assert {"scan.tif", "scan.png", "scan_overlay.png"} < {path.name for path in out.iterdir()}
    assert not more.failed
    monkeypatch.setattr(rasters, "LARGEST_IMAGE", 0)
    pictures = Wanted(overlay=True, probabilities=True, formats=("coco",), rle="tgs")
    large = predict_files(Channels(), [folder / "scan.tif"], out, pictures)
    reason = large.failed[folder / "scan.tif"]
    assert "more than 33 million pixels" in reason
    assert "(--overlay and --probabilities)" in reason


@pytest.mark.usefixtures("in_windows")
def test_what_is_sure_after_cleaning_is_not_known(tmp_path: Path) -> None:
    path, mask = save(tmp_path / "scan.tif", blobs(200, 150)), tmp_path / "mask.tif"
    predict_scan(cleaning(Channels()), path, [mask])
    assert raster_masks.read_certainty(mask) == [None]


def test_a_scan_does_not_take_its_own_place(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", picture(30, 30))
    with pytest.raises(ConfigError, match="choose another --out"):
        predict_files(Channels(), [path], tmp_path)


@pytest.mark.usefixtures("in_windows")
def test_runs_that_no_window_suits_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.tif", picture(30, 30))
    with pytest.raises(DataError, match="some of these runs look at whole images"):
        predict_scan(Channels(scale="mixed"), path, [tmp_path / "mask.tif"])
    assert [file.name for file in tmp_path.iterdir()] == ["scan.tif"]


KINDS: dict[str, dict[str, Any]] = {
    "grey": {"dtype": "uint8", "count": 1},
    "rgb": {"dtype": "uint8", "count": 3},
    "bands": {"dtype": "uint8", "count": 5, "photometric": "MINISBLACK"},
    "deep": {"dtype": "uint16", "count": 3},
    "float": {"dtype": "float32", "count": 1},
    "signed": {"dtype": "int16", "count": 2},
    "jpeg": {"dtype": "uint8", "count": 3, "compress": "jpeg", "photometric": "YCBCR"},
    "apart": {"dtype": "uint8", "count": 3, "interleave": "band"},
    "bilevel": {"dtype": "uint8", "count": 1, "nbits": 1},
    "white": {"dtype": "uint8", "count": 1, "nbits": 1, "photometric": "MINISWHITE"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_scans_are_read_as_images_are(tmp_path: Path, kind: str) -> None:
    options = dict(KINDS[kind])
    image = picture(32, 48, options.pop("count"), options.pop("dtype"))
    if kind == "jpeg":  # whose colours are coarser than its pixels
        image[:] = np.arange(48, dtype=np.uint8)[:, None] * 5
    path = save(tmp_path / "scan.tif", image // 128 if "nbits" in options else image, **options)
    with open_raster(path) as raster:
        pixels, valid = raster.read(slice(3, 30), slice(5, 48))
        assert raster.channels == pixels.shape[2]
    same = read_image(path)[3:30, 5:48]
    if pixels.shape[2] != same.shape[2]:  # black and white as colours
        same = np.repeat(same, 3, axis=2)
    assert valid.all()
    assert pixels.dtype == same.dtype
    assert np.abs(pixels.astype(float) - same.astype(float)).max() <= (3 if kind == "jpeg" else 0)


@pytest.fixture(autouse=True)
def _no_warning_without_coordinates() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def test_palettes_are_colours(tmp_path: Path) -> None:
    indices = picture(20, 20, 1) % 4
    colors = {index: (10 * index, 20 * index, 255) for index in range(4)}
    path = tmp_path / "scan.tif"
    layout = {"height": 20, "width": 20, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **layout, **PLACE) as file:
        file.write_colormap(1, colors)
        file.write(indices[:, :, 0], 1)
    with open_raster(path) as raster:
        pixels, _ = raster.read(slice(0, 20), slice(0, 20))
    assert np.array_equal(pixels, read_image(path))


def test_colours_are_no_alpha_by_accident(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", picture(16, 16, 4), photometric="RGB", alpha="NO")
    with rasterio.open(path) as file:
        assert file.colorinterp[3] != ColorInterp.alpha
    with open_raster(path) as raster:
        assert raster.channels == 4


def test_windows_fall_back_to_tiles_of_the_same_size() -> None:
    """What a scan gives a predictor as a window is small enough to be answered at once."""
    for values in (100, 512, 5000):
        footprint = Footprint(reach=900, values=values)
        plan = tiles.plan_windows(footprint, 1.0, 3)
        assert 4 * values * plan.side**2 <= tiles.WHOLE_BYTES or plan.side**2 <= tiles.SMALL
