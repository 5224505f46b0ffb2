"""Scans predicted in windows: the mask of the whole, what holds no data, what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from geotiffs import PLAN, Channels, expected, picture, read, save
from PIL import Image

from delineo import finished_rows, scans, tiles
from delineo.data import rasters
from delineo.data.samples import Task
from delineo.data.sizing import refuse_depth
from delineo.ensemble import Ensemble
from delineo.errors import ConfigError, DataError
from delineo.outputs import predict_files
from delineo.scans import predict_scan
from delineo.targets import Wanted
from delineo.tiles import Footprint


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


def test_without_rasterio_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "scan.tif", picture(30, 30))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"pip install 'delineo\[geo\]'"):
        predict_scan(Channels(), path, [tmp_path / "mask.tif"])


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


def test_windows_fall_back_to_tiles_of_the_same_size() -> None:
    """What a scan gives a predictor as a window is small enough to be answered at once."""
    for values in (100, 512, 5000):
        footprint = Footprint(reach=900, values=values)
        plan = tiles.plan_windows(footprint, 1.0, 3)
        assert 4 * values * plan.side**2 <= tiles.WHOLE_BYTES or plan.side**2 <= tiles.SMALL
