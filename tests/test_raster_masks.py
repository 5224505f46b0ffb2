"""Masks of scans as GeoTIFF: coordinates, colours, and no file that is not a whole mask."""

from pathlib import Path
from typing import Any

import pytest
import rasterio
from geotiffs import PLACE, Channels, picture, save

from delineo.data import raster_masks
from delineo.errors import DataError
from delineo.scans import predict_scan


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
