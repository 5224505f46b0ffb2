"""Pairs of GeoTIFFs: many bands, any compression, no data, and places that do not agree."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from annotated import SIDE, assert_commands_end_well
from PIL import Image
from rasterio.transform import from_origin

from delineo.data import dataset, encoding
from delineo.data.check import Checkup, check_folder
from delineo.data.encoding import read_mask
from delineo.data.findings import Finding
from delineo.data.images import read_image
from delineo.data.rasters import open_raster, read_valid
from delineo.decision import Decision
from delineo.errors import DataError
from delineo.evaluation import count_images


def write(path: Path, bands: np.ndarray, *, corner=(500_000, 5_800_000), crs=32632, **more) -> None:
    """Bands, (bands, height, width), as a GeoTIFF of 10 m pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), bands.shape, strict=True))
    place = {"transform": from_origin(*corner, 10, 10), "crs": f"EPSG:{crs}"}
    with rasterio.open(path, "w", "GTiff", dtype=bands.dtype, **shape, **place, **more) as file:
        file.write(bands)


def field(number: int) -> np.ndarray:
    """A mask of 0 and 1 with a last column of no data, 255."""
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, 5 : 15 + number, 4:20] = 1
    mask[:, :, -1] = 255
    return mask


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    root, random = tmp_path / "fields", np.random.default_rng(0)
    for number in range(12):
        bands = random.integers(0, 10_000, (6, SIDE, SIDE), np.uint16)
        write(root / f"images/{number}.tif", bands, compress="lzw")
        write(root / f"masks/{number}.tif", field(number), compress="lzw", nodata=255)
    return root


def found(checkup: Checkup, code: str) -> Finding:
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def test_bands_compression_and_no_data(fields: Path) -> None:
    checkup = check_folder(fields)
    assert (checkup.ok, checkup.of("warning")) == (True, ())
    assert (checkup.summary["channels"], checkup.summary["task"]) == (6, "binary")
    assert any("no data, so ignored: mask value 255" in line for line in checkup.assumptions)
    assert checkup.folder is not None
    sample = checkup.folder.samples[0]
    assert np.array_equal(read_mask(sample, checkup.folder, (SIDE, SIDE)), field(0)[0])
    with rasterio.open(sample.image) as file:
        assert np.array_equal(read_image(sample.image), np.moveaxis(file.read(), 0, -1))


def test_declared_values_go_before_no_data(fields: Path) -> None:
    (fields / "dataset.yaml").write_text("values: {0: background, 1: crop, 255: crop}")
    checkup = check_folder(fields)
    assert checkup.folder is not None
    mask = read_mask(checkup.folder.samples[0], checkup.folder, (SIDE, SIDE))
    assert mask[0, -1] == 1


def test_zero_is_background_even_where_it_is_called_no_data(fields: Path) -> None:
    for path in fields.glob("masks/*.tif"):
        write(path, field(0).clip(0, 1), nodata=0)
    summary = check_folder(fields).summary
    assert summary["class_pixels"]["foreground"] == pytest.approx((10 * 16 + 32) / 1024)


def test_what_an_image_calls_no_data_is_ignored(fields: Path) -> None:
    """Where all bands hold it: one band may be dark."""
    random = np.random.default_rng(0)
    bands = random.integers(1, 10_000, (6, SIDE, SIDE), np.uint16)
    bands[:, :8] = 0
    bands[:5, 20] = 0
    write(fields / "images/3.tif", bands, nodata=0)
    checkup = check_folder(fields)
    assert checkup.folder is not None
    finding = found(checkup, "no-data")
    assert (finding.severity, finding.files) == ("note", ("images/3.tif",))
    assert "up to 25 % of an image" in finding.message
    sample = next(sample for sample in checkup.folder.samples if sample.id == "3")
    expected = field(3)[0]
    expected[:8] = 255
    for image, mask in (
        encoding.read_sample(sample, checkup.folder),
        dataset.read_pair(checkup.folder, sample),
    ):
        assert np.array_equal(image, np.moveaxis(bands, 0, -1))
        assert np.array_equal(mask, expected)
    whole = checkup.folder.samples[0]
    assert np.array_equal(encoding.read_sample(whole, checkup.folder)[1], field(0)[0])


def with_gap(path: Path, kind: str) -> np.ndarray:
    """Six bands that hold no data in eight rows, in one of the ways to say so; where they do."""
    bands = np.random.default_rng(0).integers(1, 10_000, (6, SIDE, SIDE), np.uint16)
    valid = np.ones((SIDE, SIDE), bool)
    valid[4:12] = False
    values = {"value": -9999.0, "smallest": -3.4028234663852886e38, "part": 0.1, "nan": np.nan}
    if kind == "double":
        gap = -1.7976931348623157e308
        write(path, np.where(valid, bands.astype(np.float64), gap), nodata=gap)
    elif kind in values or kind == "not a number":
        gap = values.get(kind, np.nan)
        nodata = {"nodata": gap} if kind in values else {}
        write(path, np.where(valid, bands.astype(np.float32), np.float32(gap)), **nodata)
    elif kind == "alpha":
        alpha = np.where(valid, 65535, 0).astype(np.uint16)
        write(path, np.concatenate([bands[:3], alpha[None]]), alpha="YES", photometric="RGB")
    else:
        write(path, bands)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "mask"),
            rasterio.open(path, "r+") as file,
        ):
            file.write_mask(valid)
    return valid


IN_FLOATS = ("value", "smallest", "double", "part", "nan", "not a number")
IN_INTEGERS = ("alpha", "mask", "mask beside it")


@pytest.mark.parametrize("kind", IN_FLOATS + IN_INTEGERS)
def test_gaps_are_the_same_in_training_and_prediction(fields: Path, kind: str) -> None:
    path = fields / "images/3.tif"
    valid = with_gap(path, kind)
    with open_raster(path) as raster:
        predicted, there = raster.read(slice(0, SIDE), slice(0, SIDE))
    assert np.array_equal(there, valid)
    for other in set(fields.glob("images/*.tif")) - {path}:
        if kind in IN_FLOATS:  # all of one kind
            write(other, np.random.default_rng(1).random((6, SIDE, SIDE), np.float32))
        elif kind == "alpha":
            write(other, np.random.default_rng(1).integers(0, 999, (3, SIDE, SIDE), np.uint16))
    checkup = check_folder(fields)
    assert checkup.folder is not None, checkup.findings
    assert checkup.folder.channels == predicted.shape[2]
    assert found(checkup, "no-data").files == ("images/3.tif",)
    sample = next(sample for sample in checkup.folder.samples if sample.id == "3")
    image, mask = dataset.read_pair(checkup.folder, sample)
    assert np.array_equal(image, predicted)
    assert np.isfinite(image).all()
    assert image.min() > 0
    assert np.array_equal(mask, np.where(valid, field(3)[0], 255))


@pytest.mark.parametrize(
    ("dtype", "gap", "tag"),
    [("float32", np.nan, {}), ("float32", 0.5, {"nodata": 0.5}), ("int16", -9999, {})],
)
def test_what_is_no_class_in_a_mask_of_numbers_is_ignored(
    fields: Path, dtype: str, gap: float, tag: dict
) -> None:
    for path in fields.glob("masks/*.tif"):
        mask = np.where(field(3) == 255, gap, field(3).astype(float)).astype(dtype)
        write(path, mask, **tag)
    checkup = check_folder(fields)
    assert (checkup.ok, checkup.summary["task"]) == (True, "binary")
    assert any("no data, so ignored: mask value -9999" in line for line in checkup.assumptions)
    assert checkup.folder is not None
    read = read_mask(checkup.folder.samples[0], checkup.folder, (SIDE, SIDE))
    assert np.array_equal(read, field(3)[0])


def test_fractions_are_no_classes(fields: Path) -> None:
    write(fields / "masks/3.tif", field(3).astype(np.float32) / 2, nodata=0.25)
    assert "fractions" in found(check_folder(fields), "unreadable").message


def test_a_plain_tiff_with_no_number_is_still_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), np.nan, np.float32))
    pixels, valid = read_valid(tmp_path / "a.tif")
    assert np.isnan(pixels).all()
    assert valid.all()


def test_transparency_of_a_geotiff_needs_rasterio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_gap(tmp_path / "a.tif", "alpha")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"a\.tif is a GeoTIFF.*pip install 'delineo\[geo\]'"):
        read_valid(tmp_path / "a.tif")


def test_scores_leave_out_what_holds_no_data(fields: Path) -> None:
    bands = np.ones((6, SIDE, SIDE), np.uint16)
    bands[:, :8] = 0
    write(fields / "images/3.tif", bands, nodata=0)
    folder = check_folder(fields).folder
    assert folder is not None
    (sample,) = [sample for sample in folder.samples if sample.id == "3"]

    class Everything:
        task, classes = folder.task, folder.classes
        channels, decision = folder.channels, Decision.default(folder.task, folder.classes)

        def __call__(self, image: np.ndarray) -> np.ndarray:
            return np.ones(image.shape[:2], np.uint8)

    counts = count_images(Everything(), folder, [sample])["3"]
    assert counts.valid == (field(3)[0, 8:] != 255).sum()


def test_without_rasterio_the_command_that_installs_it(
    fields: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"compressed with LZW.*pip install 'delineo\[geo\]'"):
        read_image(fields / "images/0.tif")


def test_masks_of_another_place(fields: Path) -> None:
    write(fields / "masks/3.tif", field(3), corner=(500_040, 5_800_000), nodata=255)
    write(fields / "masks/4.tif", field(4), corner=(500_004, 5_800_000), nodata=255)
    finding = found(check_folder(fields), "elsewhere-on-map")
    assert (finding.severity, finding.files) == ("warning", ("masks/3.tif",))
    assert "by up to 4.0 pixels" in finding.message
    write(fields / "masks/3.tif", field(3), crs=32633, nodata=255)
    message = found(check_folder(fields), "elsewhere-on-map").message
    assert "in another coordinate system" in message


def test_a_tif_that_is_none_is_read_as_what_it_is(fields: Path) -> None:
    for path in fields.glob("masks/*.tif"):
        Image.fromarray(field(1)[0]).save(path, format="PNG")
    assert check_folder(fields).ok


def test_from_the_command_line(fields: Path, tmp_path: Path) -> None:
    assert_commands_end_well(fields, tmp_path / "run")
