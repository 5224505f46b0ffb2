"""Multi-class masks that are cleaned in strips are those that `decide` cleans whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from delineo.decision import CleanUp, Decision, confidence, decide
from delineo.exclusive_regions import exclusive_strips, ranked


def smooth_maps(seed: int, classes: int, height: int, width: int) -> np.ndarray:
    """Probabilities of regions of many sizes; with equal ones, in eighths, for odd seeds."""
    noise = np.random.default_rng(seed).random((classes, height, width), np.float32)
    if seed % 2:
        return np.round(noise * 8) / 8
    return ndimage.gaussian_filter(noise, (0, 1, 1))


def in_strips(maps: np.ndarray, clean_ups: list[CleanUp], heights: list[int]) -> np.ndarray:
    """Of strips of these heights, again and again."""
    ranking, sure = ranked(maps), [confidence(own) for own in maps]
    places = np.cumsum(heights * maps.shape[1])
    places = places[places < maps.shape[1]]

    def strips() -> Iterator[np.ndarray]:
        yield from np.split(ranking, places, axis=1)

    return np.concatenate(list(exclusive_strips(strips, clean_ups, sure)))


def decided(maps: np.ndarray, clean_ups: list[CleanUp]) -> np.ndarray:
    names = [f"c{index}" for index in range(len(maps))]
    steps = {
        step: {name: getattr(each, step) for name, each in zip(names, clean_ups, strict=True)}
        for step in CleanUp._fields
        if step != "largest_hole"
    }
    return decide(maps, Decision.parse({"task": "multiclass", **steps}))


STEPS = st.builds(
    CleanUp,
    smallest_region=st.sampled_from((0, 0, 3, 12, 60, 1000)),
    only_largest=st.booleans(),
    smallest_area=st.sampled_from((0, 0, 40, 2000)),
    least_confidence=st.sampled_from((0.0, 0.0, 0.8, 0.9)),
)


@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 40), width=st.integers(1, 30),
    clean_ups=st.lists(STEPS, min_size=2, max_size=5),
    heights=st.lists(st.integers(1, 12), min_size=1, max_size=3),
)  # fmt: skip
def test_strips_give_what_the_whole_gives(
    seed: int, height: int, width: int, clean_ups: list[CleanUp], heights: list[int]
) -> None:
    maps = smooth_maps(seed, len(clean_ups), height, width)
    assert np.array_equal(in_strips(maps, clean_ups, heights), decided(maps, clean_ups))


@pytest.mark.parametrize("classes", [3, 4, 5])
@pytest.mark.parametrize(
    "step",
    [
        {"smallest_region": 9},
        {"smallest_region": 5000},
        {"only_largest": True},
        {"smallest_area": 600},
        {"least_confidence": 0.95},
        {"smallest_region": 9, "only_largest": True, "smallest_area": 150},
    ],
)
def test_each_step_alone_changes_the_mask_to_the_same(
    classes: int, step: dict[str, float | bool]
) -> None:
    """In all classes but the first; the size of 5,000 takes all of them from every pixel."""
    first = CleanUp() if step != {"smallest_region": 5000} else CleanUp(**step)  # pyright: ignore[reportArgumentType]
    clean_ups = [first, *[CleanUp(**step)] * (classes - 1)]  # pyright: ignore[reportArgumentType]
    maps = smooth_maps(2, classes, 40, 35)
    whole = decided(maps, clean_ups)
    assert np.array_equal(in_strips(maps, clean_ups, [7]), whole)
    if first == CleanUp():
        assert not np.array_equal(whole, decided(maps, [CleanUp()] * classes))


def test_where_nothing_is_known_the_first_class_grows_and_255_stays() -> None:
    maps = smooth_maps(4, 3, 40, 35)
    maps[:, 10:25, 5:30] = 0
    empty = (maps == 0).all(axis=0)
    ranking = np.where(empty, np.uint8(255), ranked(maps))
    clean_ups = [CleanUp(smallest_region=400, smallest_area=401)] * 3
    mask = np.concatenate(
        list(
            exclusive_strips(lambda: np.split(ranking, [9, 20], axis=1), clean_ups, [1.0, 1.0, 1.0])
        )
    )
    assert np.array_equal(mask, np.where(empty, np.uint8(255), decided(maps, clean_ups)))


def test_rankings_are_those_of_a_stable_sort() -> None:
    for seed, classes in ((0, 1), (1, 2), (2, 5), (3, 21)):
        maps = smooth_maps(seed, classes, 9, 8)
        expected = np.argsort(-maps, axis=0, kind="stable")
        assert np.array_equal(ranked(maps), expected)


def test_in_memory_is_one_strip() -> None:
    """In each pass over the mask, whatever the steps."""
    ranking, alive = ranked(smooth_maps(0, 3, 60, 10)), set()

    def strips() -> Iterator[np.ndarray]:
        for top in range(0, 60, 5):
            assert not alive
            alive.add(top)
            yield ranking[:, top : top + 5]
            alive.remove(top)

    clean_ups = [CleanUp(smallest_region=20, only_largest=True, smallest_area=5)] * 3
    heights = [len(mask) for mask in exclusive_strips(strips, clean_ups, [1.0] * 3)]
    assert heights == [5] * 12
