"""What people say of their data: class lists and dataset.yaml."""

import pytest
from laid_out import Tree, pairs

from delineo.data.layouts import find_layout
from delineo.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("classes.json", '["sky", "car"]', ("sky", "car")),
        ("classes.json", '{"sky": 0, "car": 1}', ("sky", "car")),
        ("classes.json", '{"1": "car", "0": "sky"}', ("sky", "car")),
        ("classes.txt", "sky\ncar\n", ("sky", "car")),
        ("class_names.txt", "__ignore__\nsky\ncar", ("sky", "car")),
        ("labels.txt", "0: sky\n7: car\n255: void", ("sky", "car")),
        ("class_dict.csv", "name,r,g,b\nsky,1,2,3\ncar,4,5,6\nVoid,0,0,0", ("sky", "car")),
        ("label_colors.txt", "\ufeff1 2 3\tsky\r\n4 5 6\tcar\r\n", ("sky", "car")),
    ],
)
def test_class_lists(tree: Tree, name: str, text: str, classes: tuple[str, ...]) -> None:
    root = tree("images/a.png masks/a.png")
    (root / name).write_text(text)
    declared = find_layout(root).declared
    assert declared.classes == classes
    if name == "labels.txt":
        assert declared.values == {0: "sky", 7: "car", 255: "ignore"}
    if name == "class_dict.csv":
        assert declared.colors == {(1, 2, 3): "sky", (4, 5, 6): "car", (0, 0, 0): "ignore"}


def test_void_in_a_class_list_keeps_its_value(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "classes.txt").write_text("sky\nvoid\ncar\n")
    assert find_layout(root).declared.values == {0: "sky", 1: "ignore", 2: "car"}


def test_broken_class_list_is_named(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "classes.json").write_text("{")
    with pytest.raises(DataError, match=r"classes.json does not list classes"):
        find_layout(root)


@pytest.mark.parametrize("row", ["road, paved,1,2,3", "road,1,2"])
def test_a_row_of_other_columns_is_named(tree: Tree, row: str) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "class_dict.csv").write_text(f"name,r,g,b\nsky,4,5,6\n{row}\n")
    with pytest.raises(DataError, match=r"class_dict.csv does not list classes \(line 3 has other"):
        find_layout(root)


DATASET = """
images: photos/2024
masks: drawn
task: multiclass
classes: [ground, crack, fray]
values: {0: ground, 50: crack, 100: fray, 200: ignore}
ignore_value: 7
group: ^(\\w+)_
splits: {train: [p_1], val: [q_1], test: []}
"""


def test_dataset_yaml_with_the_slashes_of_windows(tree: Tree) -> None:
    root = tree("photos/2024/p.jpg photos/2023/p.jpg drawn/all/p.png other/p.png")
    (root / "dataset.yaml").write_bytes(b"images: .\\photos\\2024\r\nmasks: drawn\\all\\\r\n")
    assert pairs(find_layout(root)) == {"p": "drawn/all/p.png"}


def test_dataset_yaml_says_everything(tree: Tree) -> None:
    root = tree("photos/2024/p_1.jpg photos/2024/q_1.jpg drawn/p_1.png drawn/q_1.png x/p_1.png")
    (root / "dataset.yaml").write_text(DATASET)
    (root / "classes.txt").write_text("other")
    layout = find_layout(root)
    assert pairs(layout) == {"p_1": "drawn/p_1.png", "q_1": "drawn/q_1.png"}
    assert [sample.group for sample in layout.samples] == ["p", "q"]
    assert layout.declared.classes == ("ground", "crack", "fray")
    assert layout.declared.values[50] == "crack"
    assert layout.declared.splits == {"train": ("p_1",), "val": ("q_1",), "test": ()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases: [a, b]", "did you mean classes"),
        ("task: multi", "did you mean multilabel"),
        ("classes: [a, crack]\nvalues: {1: crak}", "did you mean 'crack'"),
        ("classes: [a, a]", "twice"),
        ("group: abc", "one pair of parentheses"),
        ("group: '('", "no regular expression"),
        ("colors: {a: [1, 2, 300]}", "0 to 255"),
        ("splits: {training: [a]}", "train"),
        ("values: [0, 1]", "values"),
    ],
)
def test_wrong_dataset_yaml(tree: Tree, text: str, message: str) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"dataset.yaml") as caught:
        find_layout(root)
    assert message in str(caught.value)


def test_group_that_is_found_nowhere(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "dataset.yaml").write_text("group: ^(x+)_")
    with pytest.raises(DataError, match="found in no id; ids look like 'a'"):
        find_layout(root)
