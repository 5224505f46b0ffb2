"""What is said of masks holds, and masks of every kind become class indices."""

from pathlib import Path

import numpy as np
import pytest
from mask_folders import BLACK, BLUE, RED, SIZE, blocks, look, paint, read_all, save

from delineo.data.encoding import encode_mask, read_mask, unknown_values
from delineo.data.inferred import infer_encoding
from delineo.data.layouts import Layout, find_layout
from delineo.data.rle import encode
from delineo.data.samples import DataFolder, Encoding
from delineo.data.scan import scan
from delineo.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "shared/data"


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
