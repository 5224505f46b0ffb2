"""Masks that are cleaned in strips are those that are cleaned whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from delineo.decision import TOUCHING, CleanUp, cleaned, confidence
from delineo.polygons import polygons_of, simple_polygons
from delineo.regions import cleaned_strips, count_regions, highest, outlines


@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 40), width=st.integers(1, 30),
    density=st.sampled_from((0.0, 0.3, 0.45, 0.6, 0.9, 1.0)), strip=st.integers(1, 12),
    clean_up=st.builds(
        CleanUp, st.sampled_from((0, 3, 9)), st.sampled_from((0, 1, 8)), st.booleans(),
        st.sampled_from((0, 40)), st.sampled_from((0.0, 0.97)),
    ),
)  # fmt: skip
def test_strips_give_what_the_whole_gives(
    seed: int, height: int, width: int, density: float, strip: int, clean_up: CleanUp
) -> None:
    probabilities = np.random.default_rng(seed).random((height, width), np.float32)
    layer = probabilities < density
    whole = cleaned(layer.copy(), probabilities, clean_up)
    tops = range(0, height, strip)
    strips = cleaned_strips(
        lambda: (layer[top : top + strip] for top in tops), clean_up, confidence(probabilities)
    )
    for _ in range(2):
        assert np.array_equal(np.concatenate(list(strips())), whole)


@pytest.mark.parametrize("strip", [1, 3, 7])
def test_a_spiral_through_all_strips_is_one_region(strip: int) -> None:
    """A snake of one pixel's width, and a dot that is smaller."""
    snake = np.zeros((21, 15), bool)
    snake[::4] = True
    snake[1:20:8, -1] = snake[2:20:8, -1] = snake[3:20:8, -1] = True
    snake[5:20:8, 0] = snake[6:20:8, 0] = snake[7:20:8, 0] = True
    snake[18, 7] = False
    dotted = snake.copy()
    dotted[18, 7] = True
    strips = cleaned_strips(
        lambda: (dotted[top : top + strip] for top in range(0, 21, strip)),
        CleanUp(only_largest=True),
        1.0,
    )
    assert np.array_equal(np.concatenate(list(strips())), snake)


def test_highest_values_are_the_largest() -> None:
    values = np.random.default_rng(0).random((2, 50)).astype(np.float32)
    assert np.array_equal(np.sort(highest(values, 7), axis=1), np.sort(values, axis=1)[:, -7:])
    assert highest(values, 60).shape == (2, 50)


@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 25), width=st.integers(1, 20),
    density=st.sampled_from((0.0, 0.3, 0.45, 0.6, 0.9, 1.0)), strip=st.integers(1, 12),
)  # fmt: skip
def test_regions_are_counted_and_outlined_in_strips_as_whole(
    seed: int, height: int, width: int, density: float, strip: int
) -> None:
    layer = np.random.default_rng(seed).random((height, width)) < density
    numbers, count = ndimage.label(layer, TOUCHING)
    whole = [numbers == number for number in range(1, count + 1)]

    def strips() -> list[np.ndarray]:
        return [layer[top : top + strip] for top in range(0, height, strip)]

    assert count_regions(strips) == (layer.sum(), count)
    found = sorted((each.pixels, polygons_of(each.corners)) for each in outlines(strips))
    assert found == sorted((int(each.sum()), simple_polygons(each)) for each in whole)


def test_a_region_is_done_as_soon_as_nothing_follows() -> None:
    """What is in memory does not grow with the number of strips."""
    seen = []

    def strips() -> Iterator[np.ndarray]:
        for number in range(50):
            seen.append(number)
            yield np.tile(np.array([[True, False, False]]), (1, 4)) & (number % 2 == 0)

    after = [seen[-1] for _ in outlines(strips)]
    assert after == [number for number in range(1, 50, 2) for _ in range(4)]
