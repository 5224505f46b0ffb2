"""The data doctor: a clean folder passes in silence, every trap is found and its files named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from delineo.data.check import Checkup, check_folder, open_folder
from delineo.data.findings import Finding
from delineo.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "shared/data"


@pytest.fixture
def shapes(tmp_path, make_shapes) -> Path:
    """Forty-eight discs, enough for parts that are not small."""
    return make_shapes(tmp_path / "data", count=48)


def image_file(root: Path, index: int) -> Path:
    return root / "images" / f"disc{index:02}.png"


def mask_file(root: Path, index: int) -> Path:
    return root / "masks" / f"disc{index:02}.png"


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    Image.fromarray(change(read(path))).save(path)


def rewrite_masks(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in (root / "masks").iterdir():
        rewrite(path, change)


def in_two_classes(mask: np.ndarray) -> np.ndarray:
    """0/255 -> 0 background, 1 the left of the disc, 2 its right."""
    inside = (mask > 0).astype(np.uint8)
    inside[:, 32:] *= 2
    return inside


def found(checkup: Checkup, code: str) -> Finding:
    """The one finding of a code."""
    (finding,) = [finding for finding in checkup.findings if finding.code == code]
    return finding


def codes(checkup: Checkup, *severities: str) -> set[str]:
    return {finding.code for finding in checkup.findings if finding.severity in severities}


def write_splits(root: Path, **parts: range) -> None:
    named = {part: [f"disc{index:02}" for index in numbers] for part, numbers in parts.items()}
    (root / "splits.json").write_text(json.dumps(named))


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


def test_classes_nobody_has_drawn_are_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)
    (shapes / "dataset.yaml").write_text("classes: [background, left, right, top]\n")
    assert "top" in found(check_folder(shapes), "class-missing").message


def test_classes_that_a_part_lacks_are_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)
    for index in range(40, 48):
        rewrite(mask_file(shapes, index), lambda mask: np.minimum(mask, 1))
    write_splits(shapes, train=range(30), val=range(30, 40), test=range(40, 48))
    finding = found(check_folder(shapes), "class-missing-in-split")
    assert "test has no image with class 2" in finding.message


def test_rare_classes_are_noted(shapes):
    rewrite_masks(shapes, in_two_classes)
    for index in range(46):
        rewrite(mask_file(shapes, index), lambda mask: np.minimum(mask, 1))
    assert "class 2" in found(check_folder(shapes), "rare-class").message


def halve(path: Path) -> None:
    """Half the size, the kind of copy that thumbnails leave."""
    with Image.open(path) as image:
        small = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    small.save(path)


def test_copies_across_given_parts_are_warned_of(shapes):
    write_splits(shapes, train=range(30), val=range(30, 39), test=range(39, 48))
    image_file(shapes, 45).write_bytes(image_file(shapes, 3).read_bytes())
    rewrite(image_file(shapes, 46), lambda _: read(image_file(shapes, 4)))
    rewrite(image_file(shapes, 46), lambda image: image // 8 * 7)
    checkup = check_folder(shapes)
    assert checkup.ok
    exact = found(checkup, "exact-duplicates-across-splits")
    assert exact.files == ("disc03 (train) = disc45 (test)",)
    assert "train and test 1" in exact.message
    near = found(checkup, "near-duplicates-across-splits")
    assert near.files == ("disc04 (train) = disc46 (test)",)
    different = found(checkup, "copies-with-different-masks")
    assert different.files == ("disc03 = disc45",)


def test_copies_stay_in_one_part_where_parts_are_made(shapes):
    for index in range(10):
        image_file(shapes, 47 - index).write_bytes(image_file(shapes, index).read_bytes())
        mask_file(shapes, 47 - index).write_bytes(mask_file(shapes, index).read_bytes())
    checkup = check_folder(shapes)
    assert codes(checkup, "error", "warning") == {"exact-duplicate"}
    assert len(found(checkup, "exact-duplicate").files) == 10


def rename_by_car(root: Path, views: int = 6) -> None:
    """disc07 -> car1_01: so many views each."""
    for path in [*(root / "images").iterdir(), *(root / "masks").iterdir()]:
        index = int(path.stem[4:])
        path.rename(path.with_name(f"car{index // views}_{index % views:02}.png"))


@pytest.mark.parametrize(("views", "cars"), [(6, 8), (8, 6)])
def test_guessed_groups_stay_in_one_part_and_are_told(shapes, views, cars):
    rename_by_car(shapes, views)
    checkup = check_folder(shapes)
    assert codes(checkup, "error", "warning") == set()
    (said,) = [line for line in checkup.assumptions if f"{cars} groups, such as 'car0'" in line]
    assert "if each image stands alone, write `group: (.+)` in dataset.yaml" in said
    assert checkup.folder is not None
    parts = [{one[:4] for one in ids} for ids in checkup.folder.splits.values()]
    assert sum(map(len, parts)) == cars


def test_groups_too_few_for_three_parts_are_warned_of_until_denied(shapes):
    rename_by_car(shapes, 12)
    checkup = check_folder(shapes)
    assert checkup.ok
    finding = found(checkup, "group-across-splits")
    assert finding.message.startswith("4 groups of 4 (images of one thing, as the ids look) in two")
    assert finding.files[0].startswith("car0 (train, ")
    assert "too few, or too unequal, to fill train, val and test" in finding.fix
    assert "write `group: (.+)` in dataset.yaml" in finding.fix
    assert checkup.folder is not None
    alike = checkup.folder.splits
    (shapes / "dataset.yaml").write_text("group: (.+)\n")
    denied = check_folder(shapes)
    assert codes(denied, "error", "warning") == set()
    assert denied.folder is not None
    assert denied.folder.splits == alike


def test_groups_across_given_parts_are_warned_of(shapes):
    rename_by_car(shapes)
    ids = sorted(path.stem for path in (shapes / "images").iterdir())
    splits = {"train": ids[:27], "val": ids[27:36], "test": ids[36:]}
    (shapes / "splits.json").write_text(json.dumps(splits))
    finding = found(check_folder(shapes), "group-across-splits")
    assert (finding.severity, finding.files) == ("warning", ("car4 (train, val)",))


def test_declared_groups_win(shapes):
    (shapes / "dataset.yaml").write_text('group: "disc(\\\\d)"\n')
    folder = open_folder(shapes)
    tens = [{one[4] for one in ids} for ids in folder.splits.values()]
    assert sum(map(len, tens)) == 5


def test_wrong_splits_are_errors(shapes):
    write_splits(shapes, train=range(30), val=range(29, 60))
    checkup = check_folder(shapes)
    assert found(checkup, "id-in-two-parts").files == ("disc29",)
    assert len(found(checkup, "split-unknown-id").files) == 12
    assert checkup.folder is None
    (shapes / "splits.json").write_text("[")
    assert not check_folder(shapes).ok
    assert "is not JSON" in found(check_folder(shapes), "splits-unreadable").message


def test_images_in_no_part_are_warned_of(shapes):
    write_splits(shapes, train=range(20), val=range(20, 40))
    checkup = check_folder(shapes)
    assert len(found(checkup, "in-no-part").files) == 8
    assert any("no test part" in sentence for sentence in checkup.assumptions)


def test_few_images_are_parted_as_well_as_can_be(tmp_path, make_shapes):
    one = check_folder(make_shapes(tmp_path / "one", count=1))
    assert one.ok
    finding = found(one, "no-val")
    assert finding.severity == "warning"
    assert "`delineo train` will refuse this folder, which can only be scored" in finding.message
    five = check_folder(make_shapes(tmp_path / "five", count=5))
    assert codes(five, "warning") == set()
    assert "1 image in val" in found(five, "small-part").message


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


def make_codes(root: Path, rows: list[str]) -> Path:
    (root / "train_images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(25):
        pixels = rng.integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(root / "train_images" / f"s{index:02}.jpg")
    (root / "train.csv").write_text("\n".join(["ImageId,ClassId,EncodedPixels", *rows]) + "\n")
    return root


def test_layers_from_codes_are_counted_and_overlap(tmp_path):
    rows = [f"s{index:02}.jpg,{cls},1 {20 * cls}" for index in range(20) for cls in (1, 2)]
    checkup = check_folder(make_codes(tmp_path / "data", rows))
    assert checkup.ok
    assert checkup.summary["task"] == "multilabel"
    assert checkup.summary["class_pixels"] == pytest.approx(
        {"1": 20 * 20 / (600 * 25), "2": 40 * 20 / (600 * 25)}
    )
    assert len(found(checkup, "empty-mask").files) == 5


def test_wrong_codes_are_errors(tmp_path):
    rows = [f"s{index:02}.jpg,{1 + index % 2},1 20" for index in range(20)]
    rows[4] = "s04.jpg,1,590 20"
    finding = found(check_folder(make_codes(tmp_path / "data", rows)), "bad-run-length")
    assert (finding.severity, finding.files) == ("error", ("train_images/s04.jpg",))
    assert "600" in finding.message


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
