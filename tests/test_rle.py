"""Run-length codes against the definition of the competitions."""

import csv
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from delineo.data.mask_pixels import read_mask_pixels
from delineo.data.rle import decode, encode, encode_strips
from delineo.errors import DataError

SHARED = Path(__file__).parents[2] / "shared/data"


def test_positions_count_from_one_down_the_columns() -> None:
    mask = decode("2 3 6 1", height=3, width=2)
    np.testing.assert_array_equal(mask, np.array([[0, 1], [1, 0], [1, 1]], bool))


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_encode_then_decode_is_identity(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode(encode(mask), *mask.shape), mask)


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)),
    st.lists(st.integers(1, 11), unique=True).map(sorted),
)
def test_strips_give_the_code_of_the_whole(mask: np.ndarray, cuts: list[int]) -> None:
    places = [0, *(cut for cut in cuts if cut < len(mask)), len(mask)]
    strips = [mask[top:end] for top, end in pairwise(places)]
    expected, place = [], 1
    for inside, group in groupby(mask.T.ravel()):
        length = len(list(group))
        expected += [f"{place} {length}"] if inside else []
        place += length
    assert encode(mask) == encode_strips(strips, len(mask)) == " ".join(expected)


@given(st.permutations([(1, 2), (4, 1), (7, 3)]))
def test_order_of_runs_does_not_matter(runs: list[tuple[int, int]]) -> None:
    text = " ".join(f"{start} {length}" for start, length in runs)
    assert encode(decode(text, 4, 3)) == "1 2 4 1 7 3"


@pytest.mark.parametrize("text", ["", " ", "-1", "nan"])
def test_empty_codes(text: str) -> None:
    assert not decode(text, 4, 5).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "3 numbers"),
        ("0 2", "count from 1"),
        ("3 0", "count from 1"),
        ("19 3", "reaches pixel 21, the image has 20"),
        ("1 30 4 1", "reaches pixel 30"),
        ("1 4 3 2", "overlapping runs, 1 4 and 3 2"),
        ("1 two", "'two'"),
    ],
)
def test_wrong_codes_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(text, 4, 5)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_table_of_tgs_salt_equals_its_mask_files() -> None:
    with (SHARED / "tgs_salt/train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:400]
    for row in rows:
        mask = read_mask_pixels(SHARED / "tgs_salt/train/masks" / f"{row['id']}.png") > 0
        np.testing.assert_array_equal(decode(row["rle_mask"], 101, 101), mask)
        assert encode(mask) == row["rle_mask"]
