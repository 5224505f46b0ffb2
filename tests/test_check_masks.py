"""What the check finds in masks: values, lossy files, soft edges, masks empty or full."""

import numpy as np
import pytest
from checked import codes, found, in_two_classes, mask_file, read, rewrite, rewrite_masks
from PIL import Image

from delineo.data.check import check_folder


def test_colour_masks_saved_as_jpeg_are_told(shapes):
    for path in list((shapes / "masks").iterdir()):
        colors = np.array([(0, 0, 0), (128, 0, 0), (255, 0, 0)], np.uint8)
        Image.fromarray(colors[in_two_classes(read(path))]).save(path.with_suffix(".jpg"))
        path.unlink()
    checkup = check_folder(shapes)
    assert checkup.ok
    finding = found(checkup, "jpeg-mask")
    assert (finding.severity, len(finding.files)) == ("warning", 48)
    assert "between #000000 and #ff0000, show a line of #800000" in finding.message
    assert set(checkup.summary["classes"]) == {"#000000", "#ff0000", "#800000"}
    shares = checkup.summary["class_pixels"].values()
    assert abs(sum(shares) - 1) < 1e-6


def test_jpeg_masks_are_read_and_warned_of(shapes):
    for path in list((shapes / "masks").iterdir()):
        Image.fromarray(read(path)).save(path.with_suffix(".jpg"), quality=85)
        path.unlink()
    checkup = check_folder(shapes)
    assert checkup.ok
    assert len(found(checkup, "jpeg-mask").files) == 48
    assert checkup.folder is not None
    assert checkup.folder.encoding.threshold == 127


@pytest.mark.parametrize("more", [{}, {"exif": b"Exif\0\0"}])
def test_lossy_webp_masks_are_read_as_jpeg_is_and_lossless_ones_as_they_are(shapes, more):
    for path in list((shapes / "masks").iterdir()):
        colors = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)
        drawn = Image.fromarray(colors[in_two_classes(read(path))])
        lossless = path.stem < "disc40"
        drawn.save(path.with_suffix(".webp"), lossless=lossless, **more)
        path.unlink()
    checkup = check_folder(shapes)
    assert checkup.ok
    assert checkup.folder is not None
    assert set(checkup.folder.classes) == {"#000000", "#ff0000", "#00ff00"}
    finding = found(checkup, "jpeg-mask")
    assert "8 masks saved as JPEG or lossy WebP" in finding.message
    assert finding.files[0] == "masks/disc40.webp"


def test_soft_edges_are_read_and_warned_of(shapes):
    def smooth(mask: np.ndarray) -> np.ndarray:
        image = Image.fromarray(mask).resize((640, 480), Image.Resampling.BICUBIC)
        return np.array(image.resize((64, 48), Image.Resampling.BILINEAR))

    for index in range(3):
        rewrite(mask_file(shapes, index), smooth)
    checkup = check_folder(shapes)
    assert checkup.ok
    assert found(checkup, "soft-mask-edges").files == tuple(
        f"masks/disc{index:02}.png" for index in range(3)
    )


def test_values_outside_the_declared_classes_are_errors(shapes):
    rewrite_masks(shapes, in_two_classes)
    (shapes / "dataset.yaml").write_text("classes: [background, left, right]\n")
    assert check_folder(shapes).ok
    rewrite(mask_file(shapes, 9), lambda mask: np.where(mask == 2, 77, mask).astype(np.uint8))
    finding = found(check_folder(shapes), "unknown-value")
    assert (finding.severity, finding.files) == ("error", ("masks/disc09.png",))
    assert "77" in finding.message


def test_a_class_made_of_a_few_stray_pixels_is_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)

    def slip(mask: np.ndarray) -> np.ndarray:
        mask[0, 0] = 3
        return mask

    rewrite(mask_file(shapes, 9), slip)
    finding = found(check_folder(shapes), "stray-value")
    assert finding.files == ("masks/disc09.png",)
    assert "value 3 stands in 1 mask only (1 pixel)" in finding.message


def test_foreground_written_in_two_ways_is_warned_of(shapes):
    rewrite(mask_file(shapes, 2), lambda mask: mask // 255)
    finding = found(check_folder(shapes), "mixed-mask-values")
    assert finding.files == ("masks/disc02.png",)
    assert "1 in 1 and 255 in 47" in finding.message


def test_empty_masks_are_noted_and_nothing_but_empty_ones_is_an_error(shapes):
    rewrite(mask_file(shapes, 11), np.zeros_like)
    checkup = check_folder(shapes)
    assert checkup.ok
    assert found(checkup, "empty-mask").files == ("masks/disc11.png",)
    assert checkup.summary["empty_masks"] == 1
    rewrite_masks(shapes, np.zeros_like)
    assert found(check_folder(shapes), "no-object").severity == "error"


def test_masks_ignored_everywhere_are_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)
    rewrite(mask_file(shapes, 4), lambda mask: np.full_like(mask, 255))
    checkup = check_folder(shapes)
    assert checkup.ok
    assert found(checkup, "ignored-mask").files == ("masks/disc04.png",)


def test_full_masks_and_a_foreground_that_may_be_background_are_noted(shapes):
    rewrite_masks(shapes, lambda mask: 255 - mask)
    rewrite(mask_file(shapes, 0), lambda mask: np.full_like(mask, 255))
    checkup = check_folder(shapes)
    assert codes(checkup, "error", "warning") == set()
    assert found(checkup, "full-mask").files == ("masks/disc00.png",)
    majority = found(checkup, "foreground-majority")
    assert "covers 9" in majority.message
    assert "write `values: {0: foreground, 255: background}` in dataset.yaml" in majority.fix


def test_one_drawing_for_many_images_is_warned_of(shapes):
    for index in range(1, 20):
        mask_file(shapes, index).write_bytes(mask_file(shapes, 0).read_bytes())
    assert len(found(check_folder(shapes), "repeated-mask").files) == 20


def test_classes_nobody_has_drawn_are_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)
    (shapes / "dataset.yaml").write_text("classes: [background, left, right, top]\n")
    assert "top" in found(check_folder(shapes), "class-missing").message


def test_rare_classes_are_noted(shapes):
    rewrite_masks(shapes, in_two_classes)
    for index in range(46):
        rewrite(mask_file(shapes, index), lambda mask: np.minimum(mask, 1))
    assert "class 2" in found(check_folder(shapes), "rare-class").message
