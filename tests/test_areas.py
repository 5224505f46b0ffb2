"""The table of areas: the numbers are those of the masks, in both kinds of file."""

import csv
from pathlib import Path

import numpy as np
import pytest

from delineo.areas import Area, check_table_file, measure, write_areas
from delineo.errors import ConfigError
from delineo.maskfiles import Finished, mean_probabilities

MASK = np.array([[0, 0, 1, 1], [2, 0, 0, 1], [0, 2, 0, 0], [0, 0, 2, 0]], np.uint8)
ITEM = Finished(Path("in/a.png"), "a.png", (4, 4), lambda: [MASK], (0.75, 0.5, None))
CLASSES = ("ground", "tree", "car")


def test_areas_of_exclusive_classes() -> None:
    """By hand; the diagonal of 2 touches with corners."""
    assert list(measure(ITEM, "multiclass", CLASSES)) == [
        Area("a.png", "ground", 10, 10 / 16, 1, 0.75),
        Area("a.png", "tree", 3, 3 / 16, 1, 0.5),
        Area("a.png", "car", 3, 3 / 16, 1, None),
    ]


def test_areas_of_other_masks() -> None:
    binary = ITEM._replace(strips=lambda: [(MASK == 1).astype(np.uint8)], certainty=(0.9,))
    assert list(measure(binary, "binary", ("tree",))) == [Area("a.png", "tree", 3, 3 / 16, 1, 0.9)]
    layers = np.stack([MASK != 1, MASK > 9]).astype(np.uint8)
    both = ITEM._replace(strips=lambda: [layers], certainty=(0.9, None))
    assert list(measure(both, "multilabel", ("rest", "nothing"))) == [
        Area("a.png", "rest", 13, 13 / 16, 1, 0.9),
        Area("a.png", "nothing", 0, 0.0, 0, None),
    ]


def test_mean_probabilities() -> None:
    maps = np.array([[[0.6, 0.2]], [[0.4, 0.8]]], np.float32)
    assert mean_probabilities(np.array([[0, 1]], np.uint8), maps, "multiclass") == (0.6, 0.8)
    assert mean_probabilities(np.array([[0, 0]], np.uint8), maps, "multiclass") == (0.4, None)
    assert mean_probabilities(np.array([[1, 1]], np.uint8), maps[:1], "binary") == (0.4,)
    layers = np.array([[[1, 1]], [[0, 1]]], np.uint8)
    assert mean_probabilities(layers, maps, "multilabel") == (0.4, 0.8)


def test_both_kinds_of_table_hold_the_same(tmp_path: Path) -> None:
    from pyarrow import parquet

    for name in ("new/areas.csv", "new/areas.PARQUET"):
        write_areas(tmp_path / name, [ITEM, ITEM], "multiclass", CLASSES)
    with (tmp_path / "new/areas.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "class", "pixels", "share", "regions", "mean_probability"]
    table = parquet.read_table(tmp_path / "new/areas.PARQUET")
    assert table.column_names == header
    assert [str(kind) for kind in table.schema.types] == [
        "string", "string", "int64", "double", "int64", "double",
    ]  # fmt: skip
    assert [
        ["" if value is None else str(value) for value in row.values()] for row in table.to_pylist()
    ] == rows
    assert len(rows) == 6


def test_a_table_that_cannot_be_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.csv or \.parquet, got areas\.xlsx"):
        check_table_file(Path("areas.xlsx"))
    check_table_file(Path("areas.parquet"))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"pip install 'delineo\[parquet\]'"):
        check_table_file(Path("areas.parquet"))
