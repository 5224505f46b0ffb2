"""TIFF of every kind in windows: what is a scan, and pixels as images have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from geotiffs import PLACE, picture, save
from PIL import Image
from rasterio.enums import ColorInterp

from delineo.data import rasters
from delineo.data.images import read_image
from delineo.data.rasters import is_scan, open_raster


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
