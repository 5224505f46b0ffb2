"""From probabilities to masks: each step against a slow one, their order, old files."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineo.decision import (
    CleanUp,
    Decision,
    cleaned,
    confidence,
    decide,
    largest_region,
    with_holes_filled,
    without_small_regions,
)
from delineo.errors import ConfigError, RunError


def regions(layer: np.ndarray, diagonal: bool) -> list[set[tuple[int, int]]]:
    """Connected regions by flood fill, in reading order."""
    left = {(int(row), int(column)) for row, column in np.argwhere(layer)}
    steps = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r or c) and (diagonal or not r * c)]
    found = []
    for start in sorted(left):
        if start not in left:
            continue
        region, border = set(), [start]
        left.discard(start)
        while border:
            row, column = border.pop()
            region.add((row, column))
            near = {(row + r, column + c) for r, c in steps} & left
            left -= near
            border += near
        found.append(region)
    return found


def painted(shape: tuple[int, int], pixels: set[tuple[int, int]]) -> np.ndarray:
    layer = np.zeros(shape, bool)
    for row, column in pixels:
        layer[row, column] = True
    return layer


@st.composite
def layers(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    return random.random((height, width)) < draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))


@given(layers(), st.integers(0, 9))
def test_small_regions_go(layer: np.ndarray, smallest: int):
    kept = [region for region in regions(layer, diagonal=True) if len(region) >= smallest]
    expected = painted(layer.shape, set().union(*kept))
    assert np.array_equal(without_small_regions(layer, smallest), expected)


@given(layers(), st.integers(0, 9))
def test_holes_are_filled_but_not_bays(layer: np.ndarray, largest: int):
    height, width = layer.shape
    holes = [
        hole
        for hole in regions(~layer, diagonal=False)
        if len(hole) <= largest
        and all(0 < row < height - 1 and 0 < column < width - 1 for row, column in hole)
    ]
    expected = layer | painted(layer.shape, set().union(*holes))
    assert np.array_equal(with_holes_filled(layer, largest), expected)


@given(layers())
def test_the_largest_region_stays(layer: np.ndarray):
    found = regions(layer, diagonal=True)
    kept = largest_region(layer)
    assert kept.sum() == max(map(len, found), default=0)
    assert not (kept & ~layer).any()
    assert len(regions(kept, diagonal=True)) == min(1, len(found))


def test_confidence_is_the_mean_of_the_highest_thousandth():
    values = np.random.default_rng(0).random((100, 200)).astype(np.float32)
    assert confidence(values) == pytest.approx(np.sort(values.ravel())[-20:].mean())
    assert confidence(values[:2, :2]) == values[:2, :2].max()


BLOB = np.zeros((9, 12), np.float32)
BLOB[1:6, 1:6] = 0.9  # 25 pixels with a hole of one
BLOB[3, 3] = 0.1
BLOB[7, 9:11] = 0.7  # two pixels


def mask_of(**steps: object) -> np.ndarray:
    return decide(
        BLOB[None],
        Decision.parse({"task": "binary", "thresholds": {"a": 0.5}}
                       | {name: {"a": value} for name, value in steps.items()}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "pixels"),
    [
        ({}, 26),
        ({"thresholds": 0.8}, 24),
        ({"smallest_region": 2}, 26),
        ({"smallest_region": 3}, 24),
        ({"largest_hole": 1}, 27),
        ({"only_largest": True}, 24),
        ({"smallest_area": 26}, 26),
        ({"smallest_area": 27}, 0),
        ({"smallest_area": 27, "largest_hole": 1}, 27),
        ({"smallest_area": 26, "only_largest": True}, 0),
        ({"smallest_region": 25, "largest_hole": 1}, 0),
        ({"least_confidence": 0.89}, 26),
        ({"least_confidence": 0.91}, 0),
    ],
)
def test_steps_and_their_order(steps: dict[str, object], pixels: int):
    mask = mask_of(**steps)
    assert mask.dtype == np.uint8
    assert mask.sum() == pixels


def test_each_class_has_its_own_steps():
    decision = Decision(
        task="multilabel",
        thresholds={"a": 0.5, "b": 0.5},
        smallest_region={"a": 3, "b": 0},
        largest_hole={"a": 0, "b": 1},
    )
    both = decide(np.stack([BLOB, BLOB]), decision)
    assert both.sum((1, 2)).tolist() == [24, 27]


def exclusive(**steps: dict[str, object]) -> np.ndarray:
    """Three classes: sky everywhere, a road, and in it a spot whose second guess is the road."""
    maps = np.zeros((3, 8, 10), np.float32)
    maps[0] = 0.6
    maps[1, 4:] = 0.8
    maps[2, 5:7, 3:5] = 0.9
    maps[2, 0, 0] = 0.65
    decision = Decision.parse({"task": "multiclass", **steps})
    return decide(maps, decision.for_classes("multiclass", ("sky", "road", "car")))


@pytest.mark.parametrize(
    ("steps", "pixels"),
    [
        ({}, [39, 36, 5]),
        ({"smallest_region": {"car": 2}}, [40, 36, 4]),
        ({"smallest_region": {"car": 5}}, [40, 40, 0]),
        ({"smallest_region": {"car": 5, "road": 40}}, [80, 0, 0]),
        ({"only_largest": {"car": True}}, [40, 36, 4]),
        ({"smallest_area": {"car": 6}}, [40, 40, 0]),
        ({"smallest_area": {"car": 6, "road": 37}}, [80, 0, 0]),
        ({"smallest_area": {"sky": 99, "road": 99, "car": 99}}, [39, 36, 5]),
        ({"least_confidence": {"car": 0.95}}, [40, 40, 0]),
    ],
)
def test_what_a_class_loses_goes_to_the_next_most_probable(
    steps: dict[str, dict[str, object]], pixels: list[int]
):
    assert np.bincount(exclusive(**steps).ravel(), minlength=3).tolist() == pixels


def test_after_the_last_class_the_first_follows_then_the_second_however_improbable():
    """All regions are too small as any class; then the third pixel parts two regions of sky."""
    first = [0.9, 1e-9, 2e-9]
    maps = np.array([first, first, [0.1, 0.9, 0.0], first], np.float32).T[:, None]
    names = ("sky", "road", "car")
    steps = {"smallest_region": dict.fromkeys(names, 5), "only_largest": {"sky": True}}
    decision = Decision.parse({"task": "multiclass", **steps}).for_classes("multiclass", names)
    assert decide(maps, decision).tolist() == [[0, 0, 1, 2]]


@given(st.integers(0, 99), st.sampled_from(["binary", "multilabel", "multiclass"]))
def test_cleaning_makes_masks_of_the_same_kind(seed: int, task: str):
    random = np.random.default_rng(seed)
    names = ("a",) if task == "binary" else ("a", "b", "c")
    maps = random.random((len(names), 11, 13)).astype(np.float32)
    steps = {name: dict.fromkeys(names, value) for name, value in {
        "smallest_region": 3, "largest_hole": 2, "only_largest": True, "smallest_area": 20,
        "least_confidence": 0.5}.items()}  # fmt: skip
    if task == "multiclass":
        del steps["largest_hole"]
    before = maps.copy()
    decision = Decision.default(task, names)  # pyright: ignore[reportArgumentType]
    mask, plain = decide(maps, decision.model_copy(update=steps)), decide(maps, decision)
    assert (mask.shape, mask.dtype) == (plain.shape, plain.dtype)
    assert mask.max() < max(2, len(names))
    assert np.array_equal(maps, before)


def test_nothing_found_is_not_looked_at_twice():
    nothing = np.zeros((4, 4), bool)
    clean_up = CleanUp(3, 16, True, 1, 0.5)
    assert not cleaned(nothing, np.zeros((4, 4), np.float32), clean_up).any()


def test_a_file_from_before_these_steps_still_decides(tmp_path: Path):
    path = tmp_path / "decision.json"
    path.write_text(json.dumps({"task": "binary", "thresholds": {"salt": 0.4}}))
    decision = Decision.read(path).for_classes("binary", ("salt",))
    assert decision.thresholds == {"salt": 0.4}
    assert decision.temperature == 1
    default = Decision.default("binary", ("salt",))
    assert decision.model_copy(update={"thresholds": {"salt": 0.5}}) == default


def test_what_is_written_is_what_is_read(tmp_path: Path):
    path = tmp_path / "decision.json"
    decision = Decision.default("multilabel", ("b", "a")).model_copy(
        update={"smallest_region": {"b": 4, "a": 0}, "temperature": 1.25}
    )
    path.write_text(decision.model_dump_json())
    read = Decision.read(path).for_classes("multilabel", ("b", "a"))
    assert read == decision
    assert list(read.for_classes("multilabel", ("a", "b")).smallest_region.values()) == [0, 4]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"smallest_region": {"sand": 3}}, "smallest_region for sand, which can be said of salt"),
        ({"thresholds": {}}, "with thresholds of no class, the run has binary masks of salt"),
    ],
)
def test_classes_that_are_not_there(values: dict[str, object], message: str):
    decision = Decision.parse({"task": "binary", "thresholds": {"salt": 0.4}, **values})
    with pytest.raises(RunError, match=message):
        decision.for_classes("binary", ("salt",))


def test_holes_of_exclusive_classes_are_refused():
    decision = Decision(task="multiclass", largest_hole={"road": 3})
    with pytest.raises(RunError, match="no class of multi-class masks"):
        decision.for_classes("multiclass", ("sky", "road"))


@pytest.mark.parametrize(
    "values",
    [{"temperature": 0}, {"smallest_area": {"a": -1}}, {"least_confidence": {"a": 1.5}}],
)
def test_values_that_cannot_be(values: dict[str, object]):
    with pytest.raises(ConfigError):
        Decision.parse({"task": "binary", "thresholds": {"a": 0.5}, **values})
