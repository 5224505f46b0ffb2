"""What predict leaves on disk: names, values, and what happens to images it cannot read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

from delineo import targets
from delineo.data.palette import class_color
from delineo.data.samples import DataFolder, Encoding, Task
from delineo.data.submission import Submission, TableForm
from delineo.decision import Decision
from delineo.drawing import displayable, draw_classes, draw_overlay, outline
from delineo.errors import ConfigError
from delineo.inputs import Source, find_images
from delineo.origins import NOTE
from delineo.outputs import predict_files
from delineo.prediction import Predictor
from delineo.recipe import Recipe
from delineo.targets import Wanted, file_names, name_targets

CLASSES: dict[Task, tuple[str, ...]] = {
    "binary": ("disc",),
    "multiclass": ("ground", "tree", "car"),
    "multilabel": ("hole", "a/b c"),
}


class Columns(nn.Module):
    """Class k is sure at columns where the red channel, 0 to 255, is 10 k."""

    def __init__(self, outputs: int, first: int) -> None:
        super().__init__()
        self.outputs, self.first = outputs, first
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        values = self.first + torch.arange(self.outputs)
        found = (images[:, :1] - 10 * values.view(1, -1, 1, 1)).abs() < 1
        return found.float() * 40 - 20 + self.unused


def predictor_of(task: Task) -> Predictor:
    classes = CLASSES[task]
    data = {"image_size": [32, 32], "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    recipe = Recipe.parse({"data": data, "precision": "fp32"})
    network = Columns(len(classes), 0 if task == "multiclass" else 1).eval()
    folder = DataFolder(Path(), "test", task, classes, 3, Encoding(), (), {})
    return Predictor(network, recipe, folder, Decision.default(task, classes))


def stripes() -> np.ndarray:
    """7 x 9: red is 0, 10 and 20 in three stripes; classes 0, 1 and 2."""
    image = np.zeros((7, 9, 3), np.uint8)
    image[:, 3:6, 0], image[:, 6:, 0] = 10, 20
    return image


INDICES = stripes()[:, :, 0] // 10


def save(path: Path, image: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stripes() if image is None else image).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def written(folder: Path) -> set[str]:
    """All but the note of what predicted it."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return files - {NOTE}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_mask_holds_indices_and_shows_colours(tmp_path: Path, task: Task) -> None:
    image = save(tmp_path / "a.png")
    predict_files(predictor_of(task), [image], tmp_path / "out")
    assert written(tmp_path / "out") == {"a.png"}
    with Image.open(tmp_path / "out" / "a.png") as mask:
        assert mask.mode == "P"
        expected = INDICES if task == "multiclass" else INDICES == 1
        assert np.array_equal(np.array(mask), expected)
        shown = np.array(mask.convert("RGB"))
    assert tuple(shown[0, 4]) == class_color(1)


def test_layers_get_a_file_each(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png")
    predict_files(predictor_of("multilabel"), [image], tmp_path / "out")
    assert written(tmp_path / "out") == {"a_hole.png", "a_a_b_c.png"}
    assert np.array_equal(pixels(tmp_path / "out" / "a_hole.png"), (INDICES == 1) * 255)
    assert np.array_equal(pixels(tmp_path / "out" / "a_a_b_c.png"), (INDICES == 2) * 255)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_probabilities_are_16_bit(tmp_path: Path, task: Task) -> None:
    image, out = save(tmp_path / "a.png"), tmp_path / "out"
    predict_files(predictor_of(task), [image], out, Wanted(probabilities=True))
    for index, name in enumerate(file_names(CLASSES[task])):
        values = pixels(out / f"a_probability_{name}.png")
        assert values.dtype == np.uint16
        number = index + (task != "multiclass")
        inside = number == INDICES
        assert (values[inside] == 65535).all()
        assert (values[~inside] == 0).all()


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_overlays_have_the_size_of_the_image(tmp_path: Path, task: Task) -> None:
    image, out = save(tmp_path / "a.png"), tmp_path / "out"
    predict_files(predictor_of(task), [image], out, Wanted(overlay=True))
    overlay = pixels(out / "a_overlay.png")
    assert overlay.shape == (7, 9, 3)
    assert overlay.dtype == np.uint8
    assert np.array_equal(overlay[:, :3], stripes()[:, :3])
    assert tuple(overlay[0, 3]) == class_color(1)


def test_masks_have_native_size_whatever_the_kind_of_file(tmp_path: Path) -> None:
    images = tmp_path / "images"
    save(images / "grey.jpg", np.zeros((5, 8), np.uint8))
    save(images / "rgba.png", np.zeros((1, 8, 4), np.uint8))
    save(images / "wide.png", np.zeros((8, 1), np.uint16))
    tifffile.imwrite(images / "real.tif", np.zeros((4, 6), np.float32))
    turned = Image.fromarray(stripes())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(images / "turned.jpg", exif=exif)
    result = predict_files(predictor_of("binary"), [images], tmp_path / "out", Wanted(overlay=True))
    assert not result.failed
    sizes = {"grey": (5, 8), "rgba": (1, 8), "wide": (8, 1), "real": (4, 6), "turned": (9, 7)}
    for name, size in sizes.items():
        assert pixels(tmp_path / "out" / f"{name}.png").shape == size
        assert pixels(tmp_path / "out" / f"{name}_overlay.png").shape == (*size, 3)


def test_what_cannot_be_read_is_listed_and_the_others_done(tmp_path: Path) -> None:
    images = tmp_path / "images"
    first, last = save(images / "a.png"), save(images / "z.png")
    (images / "broken.jpg").write_bytes(b"no image")
    (images / "empty.png").touch()
    tifffile.imwrite(images / "nan.tif", np.full((4, 4), np.nan, np.float32))
    bands = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0,) * 5}
    tifffile.imwrite(images / "many.tif", np.zeros((4, 4, 6), np.uint8), **bands)
    bands = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": (0,) * 3}
    tifffile.imwrite(images / "infrared.tif", np.zeros((4, 4, 4), np.uint8), **bands)
    (images / "notes.txt").write_text("no image")
    (images / ".hidden.png").touch()
    result = predict_files(predictor_of("binary"), [images], tmp_path / "out")
    assert result.done == [first, last]
    reasons = {path.name: reason for path, reason in result.failed.items()}
    assert reasons.keys() == {
        "broken.jpg", "empty.png", "nan.tif", "many.tif", "infrared.tif",
    }  # fmt: skip
    assert "known format" in reasons["broken.jpg"]
    assert "is empty" in reasons["empty.png"]
    assert "NaN" in reasons["nan.tif"]
    assert "6 bands" in reasons["many.tif"]
    assert "has 4 bands, the model takes 3" in reasons["infrared.tif"]
    assert written(tmp_path / "out") == {"a.png", "z.png"}


def test_a_file_that_is_no_image_is_listed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    result = predict_files(predictor_of("binary"), [tmp_path / "notes.txt"], tmp_path / "out")
    assert list(result.failed) == [tmp_path / "notes.txt"]


def test_folders_keep_their_structure(tmp_path: Path) -> None:
    for name in ("a.png", "day/a.png", "day/night/b.b.jpg"):
        save(tmp_path / "images" / name)
    single = save(tmp_path / "elsewhere" / "c.bmp")
    out = tmp_path / "out"
    result = predict_files(predictor_of("binary"), [tmp_path / "images", single], out)
    assert len(result.done) == 4
    assert written(out) == {"a.png", "day/a.png", "day/night/b.b.png", "c.png"}


def names(paths: list[Path]) -> list[str]:
    out = Path("out")
    targets = name_targets(find_images(paths, out), out, predictor_of("binary"))
    return [target.stem.name for target in targets]


def test_equal_stems_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a_png.jpg", "b.jpg"):
        save(tmp_path / "one" / name)
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "two" / name)
    found = names([tmp_path / "one", tmp_path / "two"])
    assert len(set(found)) == 6
    assert found[:2] == ["a", "a_png"]
    assert found[3:] == ["b", "a_jpg", "b_jpg"]
    thrice = names([save(tmp_path / folder / "b.jpg") for folder in ("one", "two", "three")])
    assert thrice == ["b", "b_jpg", "b_jpg_2"]


def test_thousands_of_equal_names_need_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def files(stem: Path, endings: Sequence[str]) -> tuple[Path, ...]:
        tried.append(stem)
        return (stem.with_name(f"{stem.name}{endings[0]}"),)

    monkeypatch.setattr(targets, "_files", files)
    sources = [Source(Path(f"patient{n}/image.jpg"), Path("image.jpg")) for n in range(2000)]
    found = name_targets(sources, Path("out"), predictor_of("binary"))
    assert len({target.stem for target in found}) == 2000
    assert found[-1].stem.name == "image_jpg_1999"
    assert len(tried) <= 3 * 2000


def test_no_file_of_one_image_is_a_file_of_another(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png")
    save(tmp_path / "images" / "a_overlay.png")
    out = tmp_path / "out"
    predict_files(predictor_of("binary"), [tmp_path / "images"], out, Wanted(overlay=True))
    assert written(out) == {
        "a.png", "a_overlay.png", "a_overlay_png.png", "a_overlay_png_overlay.png",
    }  # fmt: skip
    assert pixels(out / "a_overlay.png").ndim == 3


def test_images_are_never_overwritten(tmp_path: Path) -> None:
    image = save(tmp_path / "a.png")
    before = image.read_bytes()
    for paths in ([image], [tmp_path]):
        with pytest.raises(ConfigError, match=r"a\.png is one of the images"):
            predict_files(predictor_of("binary"), paths, tmp_path)
    assert image.read_bytes() == before
    photo = save(tmp_path / "photo.jpg")
    predict_files(predictor_of("binary"), [photo], tmp_path)
    assert (tmp_path / "photo.png").exists()


def test_nothing_to_predict_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no images in .*empty"):
        predict_files(predictor_of("binary"), [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ConfigError, match="none does not exist"):
        predict_files(predictor_of("binary"), [tmp_path / "none"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "names",
    [
        ["overlay_1", "overlay"],
        ["overlay_0", "overlay"],
        ["a b_2", "a_b", "a b"],
        ["probability_x", "x"],
        ["x", "probability_x", "class_probability_x"],
    ],
)
def test_no_two_files_of_an_image_have_one_name(names: list[str]) -> None:
    safe = file_names(names)
    files = [*safe, *(f"probability_{name}" for name in safe), "overlay", "classes"]
    assert len(set(files)) == len(files)


def test_class_names_become_file_names() -> None:
    assert file_names(["road", "a/b", "a b", "grün-1.5", "../x"]) == [
        "road", "a_b", "a_b_2", "grün-1.5", ".._x",
    ]  # fmt: skip


def test_the_outline_is_where_a_region_touches_its_outside() -> None:
    inside = np.zeros((7, 7), bool)
    inside[1:6, 1:6] = True
    expected = inside.copy()
    expected[2:5, 2:5] = False
    assert np.array_equal(outline(inside), expected)
    assert not outline(np.ones((4, 4), bool)).any()


def test_overlays_mix_the_colours_in() -> None:
    image, mask = np.full((9, 9, 3), 100, np.uint8), np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 2
    overlay = draw_overlay(image, mask, opacity=0.5)
    assert np.array_equal(overlay[0, 0], image[0, 0])
    assert tuple(overlay[2, 2]) == class_color(2)
    mixed = np.round(50 + np.array(class_color(2)) / 2)
    assert np.array_equal(overlay[4, 4], mixed)
    assert np.array_equal(draw_overlay(image, np.zeros((9, 9), np.uint8)), image)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_image_can_be_shown(channels: int, dtype: type) -> None:
    image = np.arange(6 * 5 * channels).reshape(6, 5, channels).astype(dtype)
    shown = displayable(image)
    assert shown.shape == (6, 5, 3)
    assert shown.dtype == np.uint8
    if dtype == np.uint8:
        assert np.array_equal(shown[:, :, 0], image[:, :, 0])
    else:
        assert shown.min() == 0
        assert shown.max() > 200
    assert not displayable(np.zeros((3, 3, 1), np.float32)).any()


def green_and_purple(layers: np.ndarray) -> np.ndarray:
    return draw_classes(np.full((*layers.shape[1:], 3), 100, np.uint8), list(layers), list("1234"))


def test_classes_are_drawn_one_below_the_other_in_their_colours() -> None:
    layers = np.zeros((4, 40, 300), bool)
    layers[2, 10:30, 50:90] = True
    layers[3, 5:8, 100:200] = True
    page = green_and_purple(layers)
    height, left = (len(page) - 12) // 4, 12
    for index, layer in enumerate(layers):
        row = page[6 + index * height + 24 :][:40, left : left + 300]
        changed = (row != 100).any(2)
        assert np.array_equal(changed, layer)
        assert (row[outline(layer)] == class_color(index + 1)).all()
    swatch = [tuple(page[6 + index * height + 12, left + 5]) for index in range(4)]
    assert swatch == [class_color(index) for index in range(1, 5)]


def test_the_third_class_is_green_and_the_fourth_purple() -> None:
    """As pictures of Severstal's sheets have it."""
    red, green, blue = class_color(3)
    assert green > red + 50
    assert green > blue + 30
    red, green, blue = class_color(4)
    assert min(red, blue) > green + 50


def test_small_images_get_room_for_their_labels() -> None:
    page = draw_classes(np.zeros((4, 4, 3), np.uint8), [np.ones((4, 4), bool)], ["a long name"])
    assert page.shape[1] > 100
    assert page.dtype == np.uint8


@pytest.mark.parametrize(("task", "rows"), [("binary", 1), ("multiclass", 2), ("multilabel", 2)])
def test_class_overlays_have_a_row_for_each_class(tmp_path: Path, task: Task, rows: int) -> None:
    image, out = save(tmp_path / "a.png"), tmp_path / "out"
    predict_files(predictor_of(task), [image], out, Wanted(class_overlays=True))
    page = pixels(out / "a_classes.png")
    for index in range(rows):
        assert (page == class_color(index + 1)).all(2).any()
    assert not (page == class_color(rows + 1)).all(2).any()
    assert len(page) == rows * (24 + 7 + 6) + 12


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_class_masks_are_a_file_for_each_class(tmp_path: Path, task: Task) -> None:
    image, out, predictor = save(tmp_path / "a.png"), tmp_path / "out", predictor_of(task)
    predict_files(predictor, [image], out, Wanted(class_masks=True))
    files = [f"a_{name}.png" for name in file_names(predictor.classes)]
    layers = [pixels(out / file) for file in files]
    assert {int(value) for layer in layers for value in np.unique(layer)} == {0, 255}
    if task == "binary":
        assert np.array_equal(layers[0] == 255, pixels(out / "a.png") == 1)
    elif task == "multiclass":
        assert np.array_equal(np.argmax(layers, axis=0), pixels(out / "a.png"))
        assert (np.sum(layers, axis=0, dtype=int) == 255).all()
    else:
        assert sorted(file.name for file in out.glob("*.png")) == sorted(files)


def test_classes_that_are_called_like_pictures_keep_their_files() -> None:
    assert file_names(["overlay", "classes", "x"]) == ["overlay_0", "classes_1", "x"]


TABLES = {
    "severstal": "ImageId,ClassId,EncodedPixels\n",
    "severstal-joined": "ImageId_ClassId,EncodedPixels\n",
    "tgs": "id,rle_mask\n",
}


@pytest.mark.parametrize(
    ("task", "form", "rows"),
    [
        ("binary", "tgs", "a,22 21\nempty,\n"),
        ("binary", "severstal", "a.png,1,22 21\n"),
        ("binary", "severstal-joined", "a.png_1,22 21\nempty.png_1,\n"),
        ("multiclass", "severstal", "a.png,1,22 21\na.png,2,43 21\n"),
        ("multilabel", "severstal", "a.png,1,22 21\na.png,2,43 21\n"),
        (
            "multilabel",
            "severstal-joined",
            "a.png_1,22 21\na.png_2,43 21\nempty.png_1,\nempty.png_2,\n",
        ),
    ],
)
def test_tables_of_codes(tmp_path: Path, task: Task, form: TableForm, rows: str) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "empty.png", stripes() * 0)
    (tmp_path / "in" / "broken.png").write_text("no image")
    result = predict_files(predictor_of(task), [tmp_path / "in"], tmp_path, Wanted(rle=form))
    assert len(result.failed) == 1
    assert (tmp_path / "submission.csv").read_bytes().decode() == TABLES[form] + rows


def test_class_ids_are_the_names_where_all_are_numbers() -> None:
    submission = Submission("severstal", "multilabel", ("3", "1"))
    submission.add(Path("x.jpg"), lambda: [np.ones((2, 1, 2), np.uint8)], 1)
    assert submission.rows == [("x.jpg", "3", "1 2"), ("x.jpg", "1", "1 2")]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_tgs_has_room_for_one_class_only(tmp_path: Path, task: Task) -> None:
    image = save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=r"one mask per image, and this model has .* classes"):
        predict_files(predictor_of(task), [image], tmp_path / "out", Wanted(rle="tgs"))
    assert not (tmp_path / "out").exists()


def test_images_of_one_name_are_refused_in_a_table(tmp_path: Path) -> None:
    save(tmp_path / "in" / "one" / "a.png")
    save(tmp_path / "in" / "two" / "a.png")
    with pytest.raises(ConfigError, match=r"2 images 'a.png': .*one/a.png, .*two/a.png"):
        predict_files(
            predictor_of("binary"), [tmp_path / "in"], tmp_path / "out", Wanted(rle="severstal")
        )
