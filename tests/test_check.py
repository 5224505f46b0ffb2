"""The data doctor: a clean folder passes in silence, and what is no folder of masks is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from checked import (
    codes,
    found,
    image_file,
    in_two_classes,
    make_codes,
    mask_file,
    read,
    rewrite,
    rewrite_masks,
)
from PIL import Image

from delineo.data.check import check_folder, open_folder
from delineo.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "shared/data"


def test_a_clean_folder_passes_in_silence(shapes):
    checkup = check_folder(shapes)
    assert checkup.ok
    assert codes(checkup, "error", "warning") == set()
    folder = checkup.folder
    assert folder is not None
    assert (folder.task, folder.classes, folder.channels) == ("binary", ("foreground",), 3)
    assert {part: len(ids) for part, ids in folder.splits.items()} == {
        "train": 33, "val": 8, "test": 7,
    }  # fmt: skip
    assert open_folder(shapes) == folder
    assert any("0 is background and 255 is foreground" in line for line in checkup.lines())


def test_the_summary_counts_pixels_sizes_and_brightness(shapes):
    summary = check_folder(str(shapes)).summary
    masks = [read(path) for path in (shapes / "masks").iterdir()]
    images = np.concatenate([read(p).reshape(-1, 3) for p in (shapes / "images").iterdir()])
    assert summary["class_pixels"]["foreground"] == pytest.approx(np.mean(masks) / 255)
    assert summary["class_images"]["foreground"] == {"all": 48, "train": 33, "val": 8, "test": 7}
    assert summary["size"] == {"min": [48, 64], "median": [48, 64], "max": [48, 64]}
    assert summary["mean"] == pytest.approx(images.mean(0), abs=0.01)
    assert summary["std"] == pytest.approx(images.std(0), abs=0.01)
    assert (summary["images"], summary["dtypes"]) == (48, {"uint8": 48})


def test_json_is_complete_and_repeatable(shapes):
    first = check_folder(shapes).to_json()
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert first == check_folder(shapes).to_json()
    assert first.keys() >= {"findings", "assumptions", "summary", "fingerprint", "ok", "layout"}
    rewrite(mask_file(shapes, 5), lambda mask: np.roll(mask, 1))
    assert check_folder(shapes).fingerprint != first["fingerprint"]


def test_text_names_the_first_files_and_counts_the_rest(shapes):
    for index in range(5):
        mask_file(shapes, index).unlink()
    finding = found(check_folder(shapes), "unpaired-image")
    assert len(finding.to_json()["files"]) == 5
    text = finding.text()
    assert "images/disc00.png, images/disc01.png, images/disc02.png and 2 more" in text
    assert text.startswith("5 images without a mask")


def test_resized_masks_of_several_classes_are_an_error_that_names_them(shapes):
    """Classes 0, 100 and 200 run over all values between along edges: not 201 classes."""

    def resized(mask: np.ndarray) -> np.ndarray:
        small = Image.fromarray(mask).resize((16, 12), Image.Resampling.BILINEAR)
        return np.array(small.resize((64, 48), Image.Resampling.BILINEAR))

    def drawn(mask: np.ndarray) -> np.ndarray:
        classes = in_two_classes(mask)
        classes[:, :20] = 1
        return resized(classes * 100)

    rewrite_masks(shapes, drawn)
    checkup = check_folder(shapes)
    assert not checkup.ok
    finding = found(checkup, "unclear-masks")
    assert "look like no classes" in finding.message
    assert "number single objects" in finding.message
    assert len(finding.files) > 24
    most = mask_file(shapes, 0).parent / Path(finding.files[0]).name
    assert len(np.unique(read(most))) == max(
        len(np.unique(read(path))) for path in (shapes / "masks").iterdir()
    )


def test_one_photograph_among_colour_masks_is_named(shapes):
    colors = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
    rewrite_masks(shapes, lambda mask: colors[in_two_classes(mask)])
    rewrite(mask_file(shapes, 7), lambda _: read(image_file(shapes, 7)))
    finding = found(check_folder(shapes), "unclear-masks")
    assert finding.files == ("masks/disc07.png",)
    assert finding.text().endswith("Most values are in: masks/disc07.png")


def test_photographs_in_place_of_masks_are_an_error_and_no_traceback(shapes):
    for path in (shapes / "masks").iterdir():
        path.write_bytes((shapes / "images" / path.name).read_bytes())
    checkup = check_folder(shapes)
    assert not checkup.ok
    assert checkup.folder is None
    assert "colours" in found(checkup, "unclear-masks").message


def test_a_folder_that_is_not_understood_is_an_error_with_advice(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    checkup = check_folder(tmp_path)
    assert not checkup.ok
    assert "dataset.yaml" in found(checkup, "no-pairs").message
    with pytest.raises(DataError, match="does not exist"):
        check_folder(tmp_path / "nowhere")


def test_a_wrong_dataset_yaml_is_raised(shapes):
    (shapes / "dataset.yaml").write_text("clases: [a]\n")
    with pytest.raises(ConfigError, match="classes"):
        check_folder(shapes)


def test_layers_from_codes_are_counted_and_overlap(tmp_path):
    rows = [f"s{index:02}.jpg,{cls},1 {20 * cls}" for index in range(20) for cls in (1, 2)]
    checkup = check_folder(make_codes(tmp_path / "data", rows))
    assert checkup.ok
    assert checkup.summary["task"] == "multilabel"
    assert checkup.summary["class_pixels"] == pytest.approx(
        {"1": 20 * 20 / (600 * 25), "2": 40 * 20 / (600 * 25)}
    )
    assert len(found(checkup, "empty-mask").files) == 5


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(
    ("name", "warnings"),
    [
        ("isbi2012_em", set()),
        ("ph2-original-layout", {"no-val"}),
        ("magnetic_tile_severstal_format", {"near-duplicates-across-splits"}),
        ("ph2", set()),
    ],
)
def test_real_folders_pass_with_the_warnings_they_deserve(name, warnings):
    checkup = check_folder(SHARED / name)
    assert checkup.ok
    assert codes(checkup, "warning") == warnings
