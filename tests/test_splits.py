"""Parts: given, made, stratified, with groups and copies together."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given as draw
from hypothesis import strategies as st

from delineo.data.groups import fill_parts, guess_groups, kept_together, named_groups
from delineo.data.layouts import Layout, find_layout
from delineo.data.samples import PARTS
from delineo.data.splits import (
    Given,
    complete,
    examine_given,
    make_splits,
    read_given,
    read_splits_file,
)
from delineo.errors import DataError


def singles(count: int) -> list[tuple[str, ...]]:
    return [(f"i{index:04}",) for index in range(count)]


def sizes(splits) -> tuple[int, ...]:
    return tuple(len(splits[part]) for part in PARTS)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (1, 1, 0)),
        (3, (2, 1, 0)),
        (4, (3, 1, 0)),
        (5, (3, 1, 1)),
        (10, (7, 2, 1)),
        (100, (70, 15, 15)),
        (1000, (700, 150, 150)),
    ],
)
def test_shares_of_small_and_large_folders(count, expected):
    assert sizes(make_splits(singles(count), {})) == expected


def test_parts_depend_on_seed_and_ids_alone():
    units = singles(60)
    assert make_splits(units, {}) == make_splits(units, {})
    assert make_splits(units, {}, seed=1) != make_splits(units, {}, seed=2)
    first = make_splits(units, {})
    backwards = make_splits(units[::-1], {})
    assert {part: set(ids) for part, ids in first.items()} == {
        part: set(ids) for part, ids in backwards.items()
    }


def test_rare_classes_reach_every_part():
    labels = {f"i{index:04}": ["common"] for index in range(200)}
    for index in range(0, 200, 28):
        labels[f"i{index:04}"] = ["common", "rare"]
    splits = make_splits(singles(200), labels)
    rare = {part: sum("rare" in labels[one] for one in ids) for part, ids in splits.items()}
    assert sizes(splits) == (140, 30, 30)
    assert rare["train"] >= 5
    assert rare["val"] >= 1
    assert rare["test"] >= 1


@draw(
    unit_sizes=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    labels=st.lists(st.sets(st.sampled_from("abcd")), min_size=360, max_size=360),
    seed=st.integers(0, 5),
)
def test_every_id_is_in_one_part_and_units_are_whole(unit_sizes, labels, seed):
    names = iter(f"i{index:04}" for index in range(400))
    units = [tuple(next(names) for _ in range(size)) for size in unit_sizes]
    ids = [one for unit in units for one in unit]
    splits = make_splits(units, dict(zip(ids, labels, strict=False)), seed=seed)
    assert sorted(one for part in splits.values() for one in part) == sorted(ids)
    where = {one: part for part, named in splits.items() for one in named}
    assert all(len({where[one] for one in unit}) == 1 for unit in units)
    assert splits["train"]
    assert bool(splits["val"]) == (len(units) > 1)
    assert bool(splits["test"]) == (len(units) >= 5)


def test_groups_are_guessed_from_ids_that_show_them():
    cars = [f"{car:012x}_{view:02}" for car in range(10**9, 10**9 + 12) for view in range(1, 9)]
    groups = guess_groups(cars)
    assert len(set(groups.values())) == 12
    assert groups[cars[0]] == groups[cars[7]] != groups[cars[8]]
    slices = [f"patient{p}_slice_{s:03}" for p in range(9) for s in range(5 + p % 3)]
    assert len(set(guess_groups(slices).values())) == 9


@pytest.mark.parametrize(
    ("ids", "groups"),
    [
        ([f"{car:012x}_{view:02}" for car in range(10**9, 10**9 + 6) for view in range(4)], 6),
        ([f"patient{p}_slice_{s:03}" for p in range(5) for s in range(20)], 5),
        ([f"P{p:02}_{s}" for p in range(6) for s in range(5 + 4 * p)], 6),
        ([f"sub-{p:02}_{s:04}" for p in range(7) for s in range(30)], 7),
        ([f"{eye}-{side}" for eye in range(100, 110) for side in ("left", "right")], 10),
        ([f"patient{p}/images/{s:03}" for p in range(5) for s in range(12)], 5),
        ([f"video{v}-{i:04}" for v in range(8) for i in range(300 if v == 3 else 40)], 8),
    ],
)
def test_few_groups_are_guessed_where_whole_ones_fill_the_parts(ids, groups):
    guessed = guess_groups(ids)
    assert len(set(guessed.values())) == groups
    splits = make_splits(kept_together(ids, guessed, []), {})
    parts = [{guessed[one] for one in splits[part]} for part in PARTS]
    assert sum(map(len, parts)) == groups
    train, val, test = (size / len(ids) for size in sizes(splits))
    assert 0.5 <= train <= 0.85
    assert min(val, test) >= 0.075


@pytest.mark.parametrize(
    "ids",
    [
        [f"{scene}_{i:04}" for scene in ("0001TP", "0006R0", "0016E5") for i in range(200)],
        [f"patient{p}_{s:03}" for p in range(4) for s in range(25)],
        [f"patient{p}_{s:03}" for p in range(6) for s in range(90 if p < 3 else 2)],
    ],
)
def test_groups_too_few_or_unequal_for_three_parts_are_seen_and_not_kept_together(ids):
    assert set(named_groups(ids)) == set(ids)
    assert not fill_parts(named_groups(ids))
    assert guess_groups(ids) == {}


@pytest.mark.parametrize(
    "ids",
    [
        [f"{index:02}" for index in range(30)],
        [f"IMD{index:03}" for index in range(200)],
        [f"IMG_{index:04}" for index in range(200)],
        [f"DSC{index:05}" for index in range(200)],
        [f"ISIC_{index:07}" for index in range(200)],
        [f"2007_{index:06}" for index in range(600)],
        [f"IMG_{year}_{i:02}" for year in range(2012, 2022) for i in range(12)],
        [f"{year}-{i:03}" for year in range(2018, 2023) for i in range(30)],
        [f"IMG_20190{day}_{i:06}" for day in range(501, 509) for i in range(120000, 120009)],
        [f"{defect}_{i:03}" for defect in ("crack", "dent", "hole") for i in range(50)],
        [f"{defect}-{i}" for defect in "abcdefgh" for i in range(50)],
        [f"grade{grade}_{i:03}" for grade in range(5) for i in range(40)],
        [f"Class {kind}_{i:03}" for kind in range(9) for i in range(40)],
        [f"{zoom}x_{i:03}" for zoom in (40, 100, 200, 400) for i in range(40)],
        [f"{label}_{i:03}" for label in (0, 1) for i in range(40)],
        [f"{part}/images/{i:03}" for part in ("train", "val", "test") for i in range(40)],
        [f"{kind}/{i}" for kind in ("benign", "malignant", "normal") for i in range(40)],
        [f"axial-{index:03}" for index in range(96)],
        [f"frame_{index:05}" for index in range(300)],
        [f"video1_{index:04}" for index in range(300)],
        [f"GOPR0123_{index:04}" for index in range(300)],
        [f"{index:08x}_1" for index in range(100)],
        ["a_1", "b"],
        [],
    ],
)
def test_groups_are_not_guessed_where_that_is_doubtful(ids):
    assert named_groups(ids) == guess_groups(ids) == {}


def test_groups_and_copies_join_over_each_other():
    ids = ["a1", "a2", "b1", "b2", "c", "d"] + [f"e{i}" for i in range(30)]
    groups = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    units = kept_together(ids, groups, [("a2", "c"), ("c", "b1")])
    assert units[0] == ("a1", "a2", "b1", "b2", "c")
    assert Counter(map(len, units)) == {5: 1, 1: 31}


def test_a_film_of_near_copies_is_cut_into_blocks_of_neighbours():
    ids = [f"f{index:03}" for index in range(100)]
    units = kept_together(ids, {}, list(pairwise(ids)))
    assert {len(unit) for unit in units} == {5}
    assert units[3] == tuple(ids[15:20])
    assert sizes(make_splits(units, {})) == (70, 15, 15)


def test_val_is_held_out_of_train_with_groups_whole():
    ids = [f"i{index:03}" for index in range(40)]
    groups = {one: one[:3] for one in ids}
    parts = Given({"train": tuple(ids[:30]), "val": (), "test": tuple(ids[30:])}, "folders")
    splits, notes = complete(parts, kept_together(ids, groups, []), {})
    assert splits["test"] == tuple(ids[30:])
    assert set(splits["train"]) | set(splits["val"]) == set(ids[:30])
    assert {one[:3] for one in splits["val"]}.isdisjoint(one[:3] for one in splits["train"])
    assert "no val part was given" in notes[0]


@pytest.mark.parametrize(
    ("count", "written", "tests"), [(150, False, 26), (60, False, 0), (150, True, 0)]
)
def test_test_images_are_held_out_of_large_unlisted_folders_only(count, written, tests):
    ids = [f"i{index:03}" for index in range(count)]
    given = Given({"train": tuple(ids[20:]), "val": tuple(ids[:20]), "test": ()}, "x", written)
    splits, notes = complete(given, [(one,) for one in ids], {})
    assert splits["val"] == tuple(ids[:20])
    assert len(splits["test"]) == pytest.approx(tests, abs=4)
    assert len(notes) == 1


def test_whole_given_parts_stay_as_they_are():
    given = Given({"train": ("b", "a"), "val": ("c",), "test": ("d",)}, "splits.json")
    assert complete(given, [("a", "b", "c", "d")], {}) == (given.parts, ())


@pytest.fixture
def layout(tmp_path, make_shapes) -> Layout:
    return find_layout(make_shapes(tmp_path / "data", count=6))


def write_splits(layout: Layout, content) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (layout.root / "splits.json").write_text(text)


def test_splits_file_wins_and_may_name_files(layout):
    write_splits(layout, {"train": ["disc00.png", "disc01"], "valid": ["disc02"], "test": []})
    given = read_given(layout)
    assert given is not None
    assert given.parts == {"train": ("disc00", "disc01"), "val": ("disc02",), "test": ()}
    assert given.source == "splits.json"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a list"),
        ({"train": "a"}, "'train' is not a list of ids"),
        ({"trian": ["a"]}, "'trian' is none of train, val, test"),
    ],
)
def test_a_wrong_splits_file_is_explained(layout, content, said):
    write_splits(layout, content)
    with pytest.raises(DataError, match=said) as error:
        read_splits_file(layout.root / "splits.json")
    assert "splits.json" in str(error.value)
    assert '{"train": [ids]' in str(error.value)


def test_given_parts_are_examined():
    parts = {"train": ("a", "b", "b", "x"), "val": ("a",), "test": ()}
    findings = examine_given(Given(parts, "splits.json"), ["a", "b", "c"])
    assert {(finding.code, finding.severity, finding.files) for finding in findings} == {
        ("split-unknown-id", "error", ("x",)),
        ("id-in-two-parts", "error", ("a",)),
        ("split-id-twice", "error", ("b",)),
        ("in-no-part", "warning", ("c",)),
    }


def test_each_of_many_ids_is_looked_at_a_few_times() -> None:
    looks = 0

    class Id(str):
        def __hash__(self) -> int:
            nonlocal looks
            looks += 1
            return super().__hash__()

    ids = [Id(index) for index in range(1000)]
    parts = {"train": tuple(ids[:500]), "val": tuple(ids[500:]), "test": ()}
    assert examine_given(Given(parts, "splits.json"), ids) == []
    assert 0 < looks < 20 * len(ids)
