"""What the check finds in files: pairs, sizes, turns, frames, depths, codes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from checked import codes, found, image_file, make_codes, mask_file, read, rewrite
from PIL import Image

from delineo.data.check import check_folder, open_folder
from delineo.errors import DataError


def test_masks_of_pieces_are_told(shapes):
    for index in range(3):
        whole = read(mask_file(shapes, index))
        left, right = whole.copy(), whole.copy()
        left[:, 30:], right[:, :30] = 0, 0
        Image.fromarray(left).save(shapes / "masks" / f"disc{index:02}_mask.png")
        Image.fromarray(right).save(shapes / "masks" / f"disc{index:02}_mask_1.png")
        mask_file(shapes, index).unlink()
    checkup = check_folder(shapes)
    assert checkup.ok
    finding = found(checkup, "joined-masks")
    assert finding.severity == "note"
    assert finding.message.startswith("3 images with several mask files, 6 in all; they are joined")
    assert finding.files[:2] == ("masks/disc00_mask.png", "masks/disc00_mask_1.png")
    shares = [sum(mask.values.values()) for mask in checkup.facts["disc00"].masks]
    assert shares == [48 * 64]


def test_unpaired_files_are_warned_of_and_left_out(shapes):
    mask_file(shapes, 3).unlink()
    image_file(shapes, 4).unlink()
    checkup = check_folder(shapes)
    assert checkup.ok
    assert found(checkup, "unpaired-image").files == ("images/disc03.png",)
    assert found(checkup, "unpaired-mask").files == ("masks/disc04.png",)
    assert checkup.summary["images"] == 46


def test_broken_files_are_errors(shapes):
    image_file(shapes, 1).write_bytes(image_file(shapes, 2).read_bytes()[:1000])
    mask_file(shapes, 3).write_bytes(b"")
    checkup = check_folder(shapes)
    assert not checkup.ok
    assert found(checkup, "unreadable").files == ("images/disc01.png", "masks/disc03.png")
    with pytest.raises(DataError, match=r"2 files cannot be read.*disc01\.png"):
        open_folder(shapes)


def test_masks_of_another_size_are_errors(shapes):
    rewrite(mask_file(shapes, 7), lambda mask: mask[::2, ::2])
    finding = found(check_folder(shapes), "size-mismatch")
    assert (finding.severity, finding.files) == ("error", ("masks/disc07.png",))
    assert "24 x 32, its image 48 x 64" in finding.message


def save_turned(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.unlink()
    Image.fromarray(pixels).save(path.with_suffix(".jpg"), exif=exif, quality=95)


def test_masks_drawn_before_exif_turned_the_image_are_errors(shapes):
    save_turned(image_file(shapes, 0), read(image_file(shapes, 0)), 6)
    finding = found(check_folder(shapes), "exif-size-mismatch")
    assert (finding.severity, finding.files) == ("error", ("masks/disc00.png",))


def test_masks_drawn_after_exif_turned_the_image_are_fine(shapes):
    stored = np.rot90(read(image_file(shapes, 0)))  # 6: to be turned clockwise
    save_turned(image_file(shapes, 0), np.ascontiguousarray(stored), 6)
    checkup = check_folder(shapes)
    assert checkup.ok
    assert codes(checkup, "warning") == set()
    assert found(checkup, "exif-rotated").files == ("images/disc00.jpg",)


def test_exif_turns_that_sizes_cannot_tell_are_warned_of(shapes):
    save_turned(image_file(shapes, 0), read(image_file(shapes, 0)), 3)
    finding = found(check_folder(shapes), "exif-unclear")
    assert (finding.severity, finding.files) == ("warning", ("images/disc00.jpg",))


def test_constant_images_are_warned_of_and_are_no_copies(shapes):
    for index in (0, 1):
        rewrite(image_file(shapes, index), lambda image: np.full_like(image, 80))
    checkup = check_folder(shapes)
    assert checkup.ok
    assert codes(checkup, "warning") == {"constant-image"}
    assert found(checkup, "constant-image").files == ("images/disc00.png", "images/disc01.png")


def test_images_with_nan_are_errors(shapes):
    for index in range(48):
        pixels = read(image_file(shapes, index))[..., 0].astype(np.float32)
        pixels[3, 3] = np.nan if index == 5 else 0
        image_file(shapes, index).unlink()
        Image.fromarray(pixels).save(image_file(shapes, index).with_suffix(".tif"))
    finding = found(check_folder(shapes), "non-finite-image")
    assert (finding.severity, finding.files) == ("error", ("images/disc05.tif",))


def test_grey_among_colour_images_is_noted(shapes):
    rewrite(image_file(shapes, 6), lambda image: image[..., 0])
    checkup = check_folder(shapes)
    assert checkup.ok
    assert found(checkup, "mixed-channels").files == ("images/disc06.png",)
    assert checkup.folder is not None
    assert checkup.folder.channels == 3


def save_frames(path: Path, **options) -> None:
    """The picture of a PNG with two more after it."""
    frames = [Image.fromarray(np.roll(read(path), 5 * k, axis=0)) for k in range(3)]
    suffix = options.pop("suffix")
    path.unlink()
    frames[0].save(path.with_suffix(suffix), save_all=True, append_images=frames[1:], **options)


def test_pictures_after_the_first_are_told_by_file(shapes):
    for index, suffix in enumerate((".gif", ".tif", ".webp", ".png")):
        save_frames(image_file(shapes, index), suffix=suffix)
    save_frames(mask_file(shapes, 5), suffix=".gif")
    save_frames(mask_file(shapes, 6), suffix=".tif", compression="tiff_lzw")
    checkup = check_folder(shapes)
    finding = found(checkup, "several-frames")
    assert finding.severity == "warning"
    assert finding.message.startswith("6 files of several pictures")
    assert set(finding.files) == {
        "images/disc00.gif",
        "images/disc01.tif",
        "images/disc02.webp",
        "images/disc03.png",
        "masks/disc05.gif",
        "masks/disc06.tif",
    }


def test_single_pictures_previews_and_overviews_are_no_frames(shapes):
    Image.fromarray(read(mask_file(shapes, 0))).save(shapes / "masks/disc00.gif")
    mask_file(shapes, 0).unlink()
    large = read(image_file(shapes, 1))
    image_file(shapes, 1).unlink()
    with tifffile.TiffWriter(shapes / "images/disc01.tif") as file:
        file.write(large, photometric="rgb")
        file.write(large[::2, ::2].copy(), photometric="rgb", subfiletype=1)
    photo = Image.fromarray(read(image_file(shapes, 2)))
    image_file(shapes, 2).unlink()
    photo.save(shapes / "images/disc02.jpg", format="MPO", save_all=True, append_images=[photo])
    assert "several-frames" not in codes(check_folder(shapes), "error", "warning", "note")


def test_16_bit_among_8_bit_images_is_warned_of(shapes):
    for index in range(48):
        rewrite(image_file(shapes, index), lambda image: image[..., 0])
    rewrite(image_file(shapes, 6), lambda image: image.astype(np.uint16) * 257)
    finding = found(check_folder(shapes), "mixed-depth")
    assert (finding.severity, finding.files) == ("warning", ("images/disc06.png",))


def test_wrong_codes_are_errors(tmp_path):
    rows = [f"s{index:02}.jpg,{1 + index % 2},1 20" for index in range(20)]
    rows[4] = "s04.jpg,1,590 20"
    finding = found(check_folder(make_codes(tmp_path / "data", rows)), "bad-run-length")
    assert (finding.severity, finding.files) == ("error", ("train_images/s04.jpg",))
    assert "600" in finding.message
