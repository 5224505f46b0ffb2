"""Each trap of real mask files, written to disk, scanned, inferred and read back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from delineo.data.contents import read_contents
from delineo.data.encoding import encode_mask, read_mask, unknown_values
from delineo.data.facts import Facts
from delineo.data.inferred import Inferred, infer_encoding
from delineo.data.layouts import Layout, find_layout
from delineo.data.rle import encode
from delineo.data.samples import DataFolder, Encoding
from delineo.data.scan import scan
from delineo.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "shared/data"
SIZE = (24, 32)


def save(root: Path, masks: dict[str, np.ndarray], suffix: str = ".png") -> Path:
    """images/ID.png and masks/ID.png for each mask; a name with / makes layers."""
    for name, pixels in masks.items():
        image, mask = root / f"images/{name.rpartition('/')[2]}.png", root / f"masks/{name}{suffix}"
        image.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(image)
        Image.fromarray(pixels).save(mask)
    return root


def blocks(*values: int, dtype: type = np.uint8) -> np.ndarray:
    """A mask of vertical bars; the first value has most pixels."""
    mask = np.full(SIZE, values[0], dtype)
    for index, value in enumerate(values[1:]):
        mask[:, 16 + index * 2 : 18 + index * 2] = value
    return mask


def look(root: Path) -> tuple[Layout, dict[str, Facts], Inferred, DataFolder]:
    layout = find_layout(root)
    facts = scan(layout)
    inferred = infer_encoding(layout, facts)
    task, classes, encoding, assumptions = inferred
    samples = layout.samples
    folder = DataFolder(root, "", task, classes, 3, encoding, samples, {}, assumptions)
    return layout, facts, inferred, folder


def read_all(folder: DataFolder) -> dict[str, np.ndarray]:
    return {sample.id: read_mask(sample, folder, SIZE) for sample in folder.samples}


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 255, np.uint8), (0, 1, np.uint8), (0, 65535, np.uint16), (3, 9, np.uint8)],
)
def test_two_values_are_binary(tmp_path: Path, low: int, high: int, dtype: type) -> None:
    save(tmp_path, {"a": blocks(low, high, dtype=dtype), "b": blocks(low).astype(np.uint8)})
    _, _, (task, classes, encoding, assumptions), folder = look(tmp_path)
    assert (task, classes) == ("binary", ("foreground",))
    assert encoding.values == {low: 0, high: 1}
    assert f"{low} is background and {high} is foreground" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1))
    assert read_all(folder)["a"].dtype == np.uint8


@pytest.mark.parametrize("kind", ["1-bit", "gif", "grey rgb"])
def test_other_files_of_two_values(tmp_path: Path, kind: str) -> None:
    mask = blocks(0, 255)
    pixels = {"1-bit": mask > 0, "gif": mask, "grey rgb": np.repeat(mask[:, :, None], 3, 2)}[kind]
    save(tmp_path, {"a": pixels}, ".gif" if kind == "gif" else ".png")
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1))


def test_empty_masks_only(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0)})
    _, _, (task, _, _, assumptions), folder = look(tmp_path)
    assert task == "binary"
    assert "all masks are empty" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0))
    assert encode_mask(blocks(0, 255), folder.encoding).max() == 1


def test_numbered_classes(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 2), "b": blocks(0, 3)})
    _, _, (task, classes, encoding, _), folder = look(tmp_path)
    assert (task, len(classes)) == ("multiclass", 4)
    assert encoding.values == {0: 0, 1: 1, 2: 2, 3: 3}
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2))


def test_255_beside_classes_is_ignored(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 2, 255), "b": blocks(0, 255)})
    _, _, (task, classes, _, assumptions), folder = look(tmp_path)
    assert (task, len(classes)) == ("multiclass", 3)
    assert "255 is ignored" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2, 255))


def test_255_beside_one_class_is_ignored(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 255), "b": blocks(0, 255)})
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 255))


def test_two_habits_in_one_folder(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1), "b": blocks(0, 255)})
    _, _, (_, _, _, assumptions), folder = look(tmp_path)
    assert "some masks are 0/1 and others 0/255" in assumptions[0]
    for mask in read_all(folder).values():
        np.testing.assert_array_equal(mask, blocks(0, 1))


def test_sparse_values_are_taken_in_order(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 50, 100), "b": blocks(0, 150)})
    _, _, (_, classes, _, assumptions), folder = look(tmp_path)
    assert classes == ("value 0", "value 50", "value 100", "value 150")
    assert "0, 50, 100, 150 are classes 0 to 3, in this order" in assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["b"], blocks(0, 3))


def test_classes_that_count_from_one(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(1, 2, 3, 255)})
    *_, folder = look(tmp_path)
    assert len(folder.classes) == 3
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2, 255))


def _disc(side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return ((y**2 + x**2 < (side / 3) ** 2) * 255).astype(np.uint8)


def test_jpeg_noise_is_cut_at_the_middle(tmp_path: Path) -> None:
    save(tmp_path, {"a": _disc(), "b": np.zeros((96, 96), np.uint8)}, ".jpg")
    _, _, (task, _, encoding, assumptions), folder = look(tmp_path)
    assert (task, encoding.threshold) == ("binary", 127)
    assert "JPEG noise" in assumptions[0]
    masks = read_all(folder)
    assert np.mean(masks["a"] != (_disc() > 0)) < 0.01
    assert not masks["b"].any()


def test_resized_edges_are_cut_at_the_middle(tmp_path: Path) -> None:
    small = Image.fromarray(_disc(200)).resize((96, 96), Image.Resampling.BILINEAR)
    save(tmp_path, {"a": np.array(small)})
    _, _, (task, _, encoding, assumptions), folder = look(tmp_path)
    assert (task, encoding.threshold) == ("binary", 127)
    assert "resized edges" in assumptions[0]
    assert set(np.unique(read_all(folder)["a"])) == {0, 1}


def test_another_class_with_smoothed_edges_is_not_merged(tmp_path: Path) -> None:
    """0, 127 and 255 with soft edges: cut in the middle, one class would be background."""
    masks = {f"{index}": _disc(200) for index in range(4)}
    soft = {
        name: np.array(Image.fromarray(mask).resize((96, 96), Image.Resampling.BILINEAR))
        for name, mask in (masks | {"other": _disc(200) // 2}).items()
    }
    save(tmp_path / "two", {name: soft[name] for name in masks})
    assert look(tmp_path / "two")[2].encoding.threshold == 127
    save(tmp_path / "three", soft)
    with pytest.raises(DataError, match=r"objects of about 127, which may be another class"):
        look(tmp_path / "three")
    (tmp_path / "three" / "dataset.yaml").write_text("task: binary\n")
    assert look(tmp_path / "three")[2].encoding.threshold == 127


def test_many_numbered_classes_of_which_a_mask_shows_a_few(tmp_path: Path) -> None:
    """150 classes, as in ADE20K; the same values all in one mask are no classes."""
    masks = {
        f"{first}": np.arange(first, first + 10, dtype=np.uint8).repeat(77)[:768].reshape(SIZE)
        for first in range(0, 150, 10)
    }
    save(tmp_path / "few", masks)
    _, _, (task, classes, _, _), _ = look(tmp_path / "few")
    assert (task, len(classes)) == ("multiclass", 150)
    save(tmp_path / "all", {"a": np.arange(768).reshape(SIZE).astype(np.uint8) % 150})
    with pytest.raises(DataError, match=r"150 different values.*look like no classes"):
        look(tmp_path / "all")


def test_photographs_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path, {"a": np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8)})
    with pytest.raises(DataError, match=r"look like no classes.*dataset.yaml"):
        look(tmp_path)


RED, BLACK, BLUE = (200, 0, 0), (0, 0, 0), (0, 0, 90)


def paint(mask: np.ndarray, *colors: tuple[int, int, int]) -> np.ndarray:
    return np.array(colors, np.uint8)[mask]


def test_colors_by_frequency(tmp_path: Path) -> None:
    a, b = paint(blocks(0, 1, 2), RED, BLACK, BLUE), paint(blocks(0), BLACK)
    save(tmp_path, {"a": a, "b": b})
    _, _, (task, classes, encoding, _), folder = look(tmp_path)
    assert (task, classes) == ("multiclass", ("#000000", "#c80000", "#00005a"))
    assert list(encoding.colors) == [BLACK, RED, BLUE]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(1, 0, 2))
    np.testing.assert_array_equal(read_all(folder)["b"], blocks(0))


def test_two_colors_are_binary(tmp_path: Path) -> None:
    save(tmp_path, {"a": paint(blocks(0, 1), RED, BLACK)})
    *_, folder = look(tmp_path)
    assert folder.task == "binary"
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(1, 0))


def patches(classes: int, seed: int) -> np.ndarray:
    """(96, 128) class indices in smooth patches; class 0 has most pixels."""
    noise = np.random.default_rng(seed).normal(size=(classes, 96, 128))
    smooth = np.stack([gaussian_filter(one, 9) for one in noise])
    smooth[0] += 0.02
    return smooth.argmax(0).astype(np.uint8)


def save_jpegs(root: Path, colors: np.ndarray, quality: int = 75) -> list[np.ndarray]:
    """Four masks in these colours, or grey values, as JPEG with halved colour; their classes."""
    drawn = [patches(len(colors), seed) for seed in range(4)]
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number, mask in enumerate(drawn):
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(root / f"images/{number}.png")
        Image.fromarray(colors[mask]).save(root / f"masks/{number}.jpg", quality=quality)
    return drawn


PALETTES = {
    "primary": [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)],
    "two": [(0, 0, 0), (200, 0, 0)],
    "houses": [(255, 255, 255), (0, 0, 255), (0, 255, 255), (255, 255, 0), (255, 0, 0)],
    "shades": [0, 128, 255],
}


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("palette", list(PALETTES))
def test_jpeg_colors_take_the_nearest(tmp_path: Path, palette: str, quality: int) -> None:
    colors = np.array(PALETTES[palette], np.uint8)
    drawn = save_jpegs(tmp_path, colors, quality)
    layout, facts, inferred, folder = look(tmp_path)
    assert inferred.encoding.nearest
    assert "every pixel takes the nearest" in inferred.assumptions[0]
    found = [color if colors.ndim == 2 else color[0] for color in inferred.encoding.colors]
    assert len(found) == len(colors)
    apart = np.abs(np.array(sorted(found)) - np.array(sorted(PALETTES[palette])))
    assert apart.max() <= 3
    order = np.array([np.argmin([np.abs(np.subtract(c, f)).sum() for f in found]) for c in colors])
    contents = read_contents(facts, inferred)
    for sample, mask in zip(layout.samples, drawn, strict=True):
        encoded = read_mask(sample, folder, mask.shape)
        assert encoded.dtype == np.uint8
        assert (encoded == order[mask]).mean() > 0.98
        assert not unknown_values(facts[sample.id].masks[0], inferred.encoding)
        if folder.task == "multiclass":
            counted = np.bincount(encoded.ravel(), minlength=len(colors))
            assert np.abs(contents[sample.id].pixels - counted).max() < 0.02 * mask.size
            assert sum(contents[sample.id].pixels) == mask.size


@pytest.mark.parametrize("kind", ["values", "colors"])
def test_declared_jpeg_masks_take_the_nearest(tmp_path: Path, kind: str) -> None:
    grey = kind == "values"
    colors = np.array([0, 100, 255] if grey else [BLACK, RED, (0, 200, 0)], np.uint8)
    drawn = save_jpegs(tmp_path, colors)
    said = (
        "{0: ground, 100: roof, 255: wall}"
        if grey
        else "{ground: [0, 0, 0], roof: [200, 0, 0], wall: [0, 200, 0]}"
    )
    (tmp_path / "dataset.yaml").write_text(f"classes: [ground, roof, wall]\n{kind}: {said}\n")
    *_, folder = look(tmp_path)
    assert folder.encoding.nearest
    for mask, found in zip(drawn, read_all(folder).values(), strict=True):
        assert (mask == found).mean() > 0.98


def test_colors_that_jpeg_mixes_up_are_refused(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array([(0, 0, 0), (255, 0, 0), (230, 0, 0)], np.uint8))
    (tmp_path / "dataset.yaml").write_text(
        "colors: {a: [0, 0, 0], b: [255, 0, 0], c: [230, 0, 0]}\n"
    )
    with pytest.raises(DataError, match=r"#ff0000 and #e60000 are too much alike. Export .* PNG"):
        look(tmp_path)


def test_declared_colors_that_are_not_there_are_refused(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array(PALETTES["primary"], np.uint8))
    (tmp_path / "dataset.yaml").write_text("colors: {a: [0, 0, 0], b: [0, 255, 0]}\n")
    with pytest.raises(DataError, match=r"only \d\d% of the pixels are near to #000000, #00ff00"):
        look(tmp_path)


def test_colour_photographs_are_no_masks(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(3, 96, 128))
    smooth = np.stack([gaussian_filter(one, 4) for one in noise], 2)
    save(tmp_path, {"a": (128 + smooth / smooth.std() * 60).clip(0, 255).astype(np.uint8)}, ".jpg")
    with pytest.raises(DataError, match=r"masks are JPEG or lossy WebP, .*Export masks as PNG"):
        look(tmp_path)


def test_one_jpeg_of_other_colours_is_found(tmp_path: Path) -> None:
    save_jpegs(tmp_path, np.array(PALETTES["primary"], np.uint8))
    *_, inferred, _ = look(tmp_path)
    odd = np.full((96, 128, 3), (128, 0, 128), np.uint8)
    Image.fromarray(odd).save(tmp_path / "masks/0.jpg")
    facts = scan(find_layout(tmp_path))
    left = {id: unknown_values(known.masks[0], inferred.encoding) for id, known in facts.items()}
    assert [id for id, values in left.items() if values] == ["0"]
    assert left["0"] == ((128, 0, 128),)


def test_colors_of_a_table(tmp_path: Path) -> None:
    save(tmp_path, {"a": paint(blocks(0, 1, 2), RED, BLACK, BLUE)})
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroof,0,0,90\nwall,200,0,0\nVoid,0,0,0\n")
    _, _, (task, classes, _, assumptions), folder = look(tmp_path)
    assert (task, classes, assumptions) == ("multiclass", ("roof", "wall"), ())
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(1, 255, 0))


def test_names_without_colors_ask_for_them(tmp_path: Path) -> None:
    save(tmp_path, {"a": paint(blocks(0, 1, 2), RED, BLACK, BLUE)})
    (tmp_path / "classes.txt").write_text("roof\nwall\nsky\n")
    with pytest.raises(ConfigError, match=r"class: \[200, 0, 0\]"):
        look(tmp_path)


@pytest.mark.parametrize("kind", ["values", "colors"])
def test_undeclared_values_name_the_file(tmp_path: Path, kind: str) -> None:
    grey = kind == "values"
    a, b = blocks(0, 1), blocks(0, 1, 2)
    masks = (
        {"a": a, "b": b}
        if grey
        else {n: paint(m, BLACK, RED, BLUE) for n, m in (("a", a), ("b", b))}
    )
    save(tmp_path, masks)
    said = "{0: ground, 1: roof}" if grey else "{ground: [0, 0, 0], roof: [200, 0, 0]}"
    (tmp_path / "dataset.yaml").write_text(
        f"task: multiclass\nclasses: [ground, roof]\n{kind}: {said}\n"
    )
    layout, facts, inferred, folder = look(tmp_path)
    left = {id: unknown_values(known.masks[0], inferred.encoding) for id, known in facts.items()}
    assert left == {"a": (), "b": (2,) if grey else (BLUE,)}
    with pytest.raises(DataError, match=r"masks/b.png: the mask holds"):
        read_mask(layout.samples[1], folder, SIZE)


@pytest.mark.parametrize(
    ("text", "pixels", "task", "classes", "expected"),
    [
        ("classes: [crack]", (0, 255), "binary", ("crack",), (0, 1)),
        ("classes: [background, crack]", (0, 1), "binary", ("crack",), (0, 1)),
        ("classes: [bg, crack]\ntask: multiclass", (0, 1), "multiclass", ("bg", "crack"), (0, 1)),
        ("classes: [cell, wall]", (0, 255), "multiclass", ("cell", "wall"), (0, 1)),
        ("values: {0: crack, 9: background}", (0, 9), "binary", ("crack",), (1, 0)),
        ("classes: [crack]\nvalues: {0: crack, 9: bg, 4: ignore}", (0, 9, 4), "binary",
         ("crack",), (1, 0, 255)),
        ("classes: [a, b]\nvalues: {0: background, 9: a, 5: b}", (0, 9, 5), "multiclass",
         ("background", "a", "b"), (0, 1, 2)),
        ("classes: [a, b, c]\nvalues: {7: 2, 9: 0}", (7, 9), "multiclass", ("a", "b", "c"), (2, 0)),
        ("ignore_value: 128", (0, 255, 128), "binary", ("foreground",), (0, 1, 255)),
        ("ignore_value: 0", (0, 1, 2), "binary", ("foreground",), (255, 0, 1)),
        ("classes: [a, b, c]", (0, 127, 255), "multiclass", ("a", "b", "c"), (0, 1, 2)),
        ("classes: [a, b, c]\nignore_value: 9", (0, 1, 9, 2), "multiclass", ("a", "b", "c"),
         (0, 1, 255, 2)),
        ("task: multiclass", (0, 1), "multiclass", ("background", "foreground"), (0, 1)),
        ("task: binary", (0, 1), "binary", ("foreground",), (0, 1)),
    ],
)  # fmt: skip
def test_declarations_win(
    tmp_path: Path, text: str, pixels: tuple, task: str, classes: tuple, expected: tuple
) -> None:
    save(tmp_path, {"a": blocks(*pixels)})
    (tmp_path / "dataset.yaml").write_text(text)
    *_, folder = look(tmp_path)
    assert (folder.task, folder.classes) == (task, classes)
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(*expected))


def test_a_value_beyond_the_names_is_void(tmp_path: Path) -> None:
    save(tmp_path, {"a": np.resize(np.arange(4, dtype=np.uint8), SIZE)})
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    _, _, inferred, _ = look(tmp_path)
    assert inferred.encoding.values == {0: 0, 1: 1, 2: 2, 3: 255}
    assert "3, which has no name, is ignored" in inferred.assumptions[0]


def test_a_value_beyond_the_names_makes_0_the_background_of_most_pixels(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1, 2, 3)})
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    *_, folder = look(tmp_path)
    assert folder.classes == ("background", "a", "b", "c")
    assert "taken as background" in folder.assumptions[0]
    np.testing.assert_array_equal(read_all(folder)["a"], blocks(0, 1, 2, 3))


@pytest.mark.parametrize(("ones", "high"), [(1, 1), (1, 255), (255, 255), (7, 9)])
def test_pieces_are_joined(tmp_path: Path, ones: int, high: int) -> None:
    first, second = blocks(0, ones), np.rot90(blocks(0, high), 2).copy()
    save(tmp_path, {"a_mask": first, "a_mask_1": second, "b_mask": blocks(0)})
    for name in ("a", "b"):
        (tmp_path / f"images/{name}_mask.png").rename(tmp_path / f"images/{name}.png")
    (tmp_path / "images/a_mask_1.png").unlink()
    layout, facts, inferred, folder = look(tmp_path)
    assert [sample.id for sample in layout.samples] == ["a", "b"]
    assert inferred.task == "binary"
    expected = (first > 0) | (second > 0)
    np.testing.assert_array_equal(read_all(folder)["a"], expected)
    (mask,) = facts["a"].masks
    assert sorted(mask.values.values()) == sorted([expected.sum(), (~expected).sum()])
    assert not read_all(folder)["b"].any()


def test_pieces_that_cannot_be_joined_are_named(tmp_path: Path) -> None:
    save(tmp_path, {"a_mask": blocks(0, 255), "a_mask_1": blocks(0, 255)[:-1]})
    (tmp_path / "images/a_mask.png").rename(tmp_path / "images/a.png")
    (tmp_path / "images/a_mask_1.png").unlink()
    (error,) = scan(find_layout(tmp_path))["a"].errors
    assert "a_mask_1.png cannot be joined" in error.message
    assert "(23, 32), theirs (24, 32)" in error.message


def test_layers(tmp_path: Path) -> None:
    masks = {"fray/a": blocks(0, 255), "crack/a": blocks(255, 0), "crack/b": blocks(0, 255)}
    save(tmp_path, masks)
    _, _, (task, classes, _, assumptions), folder = look(tmp_path)
    assert (task, classes) == ("multilabel", ("crack", "fray"))
    assert "may overlap" in assumptions[0]
    masks = read_all(folder)
    np.testing.assert_array_equal(masks["a"], np.stack([blocks(1, 0), blocks(0, 1)]))
    np.testing.assert_array_equal(masks["b"], np.stack([blocks(0, 1), blocks(0)]))


def test_layers_of_many_values_are_refused(tmp_path: Path) -> None:
    save(tmp_path, {"fray/a": blocks(0, 1, 2), "crack/a": blocks(0, 3)})
    with pytest.raises(DataError, match=r"two values each, got 0, 1, 2, 3"):
        look(tmp_path)


def test_run_lengths(tmp_path: Path) -> None:
    first, second = blocks(0, 1), blocks(1, 0)
    save(tmp_path, {"a": first, "b": first})
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    table = f"ImageId,ClassId,EncodedPixels\na.png,1,{encode(first)}\na.png,2,{encode(second)}\n"
    (tmp_path / "train.csv").write_text(table)
    *_, folder = look(tmp_path)
    masks = read_all(folder)
    assert folder.classes == ("1", "2")
    np.testing.assert_array_equal(masks["a"], np.stack([first, second]))
    assert masks["b"].shape == (2, *SIZE)
    assert not masks["b"].any()
    (tmp_path / "train.csv").write_text(f"id,rle_mask\na,{encode(first)}\nb,\n")
    *_, folder = look(tmp_path)
    np.testing.assert_array_equal(read_all(folder)["a"], first)


def test_wrong_run_length_names_the_image(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0)})
    (tmp_path / "masks/a.png").unlink()
    (tmp_path / "train.csv").write_text("id,rle_mask\na,900 1\n")
    with pytest.raises(DataError, match=r"^a: .*reaches pixel 900"):
        read_all(look(tmp_path)[3])


def test_contradictions_are_refused(tmp_path: Path) -> None:
    save(tmp_path, {"a": blocks(0, 1)})
    (tmp_path / "dataset.yaml").write_text("task: binary\nclasses: [a, b, c]")
    with pytest.raises(ConfigError, match=r"dataset.yaml: task binary has one class"):
        look(tmp_path)
    (tmp_path / "dataset.yaml").write_text("task: multilabel")
    with pytest.raises(ConfigError, match="multilabel needs one mask per class"):
        look(tmp_path)


def test_wide_integers_are_encoded() -> None:
    encoding = Encoding(values={0: 0, 70000: 1})
    pixels = np.array([[0, 70000]], np.int64)
    np.testing.assert_array_equal(encode_mask(pixels, encoding), [[0, 1]])
    with pytest.raises(DataError, match="holds 5"):
        encode_mask(np.array([[5]], np.int64), encoding)


REAL = {
    "ph2": ("binary", ("lesion",)),
    "isbi2012_em": ("binary", ("foreground",)),
    "magnetic_tile_severstal_format": ("multilabel", ("1", "2", "3", "4", "5")),
}


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", list(REAL))
def test_real_folders(name: str) -> None:
    layout = find_layout(SHARED / name)
    some = Layout(layout.root, layout.name, layout.samples[::10], layout.declared)
    facts = scan(some)
    task, classes, encoding, _ = infer_encoding(some, facts)
    assert (task, classes) == REAL[name]
    folder = DataFolder(some.root, "", task, classes, 3, encoding, some.samples, {})
    for sample in some.samples[:10]:
        image = facts[sample.id].image
        assert image is not None
        mask = read_mask(sample, folder, (image.height, image.width))
        assert mask.shape[-2:] == (image.height, image.width)
        assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_camvid_ignores_the_value_without_a_name() -> None:
    layout = find_layout(SHARED / "camvid")
    some = Layout(layout.root, layout.name, layout.samples[::40], layout.declared)
    inferred = infer_encoding(some, scan(some))
    assert inferred.encoding.values == {**{value: value for value in range(11)}, 11: 255}
    assert len(inferred.classes) == 11
