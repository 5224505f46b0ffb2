"""Bootstrap intervals: seeds, chunks, coverage, and pairing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineo import intervals
from delineo.intervals import paired_difference


def mean_of(values: np.ndarray):
    """The statistic that everybody knows the spread of."""

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": weights @ values / weights.sum(1)}

    return statistic


def test_each_resample_draws_as_many_images_as_there_are():
    totals = []

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        totals.append(weights.sum(1))
        return {"total": weights.sum(1)}

    intervals.intervals(statistic, 30, resamples=500)
    assert np.concatenate(totals[1:]).tolist() == [30.0] * 500


def test_spread_is_the_standard_error_of_a_mean():
    values = np.random.default_rng(0).normal(size=400)
    result = intervals.intervals(mean_of(values), 400)["mean"]
    half = 1.96 * values.std() / 20
    assert result.value == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert result.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_the_interval_covers_the_true_mean_about_95_times_in_100():
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        result = intervals.intervals(mean_of(random.random(60)), 60, resamples=400)["mean"]
        hits += bool(result.low <= 0.5 <= result.high)
    # 3 standard deviations of a binomial share around what 60 images give (0.94)
    assert 0.90 <= hits / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval():
    statistic = mean_of(np.arange(20.0))
    first, again = (intervals.intervals(statistic, 20, seed=3)["mean"] for _ in range(2))
    other = intervals.intervals(statistic, 20, seed=4)["mean"]
    assert first == again
    assert first != other


def test_memory_chunks_do_not_change_the_result(monkeypatch):
    statistic = mean_of(np.arange(50.0))
    whole = intervals.intervals(statistic, 50, resamples=300)["mean"]
    monkeypatch.setattr(intervals, "WEIGHTS_AT_ONCE", 50 * 7)
    assert intervals.intervals(statistic, 50, resamples=300)["mean"] == whole


def test_resamples_without_a_value_are_left_out():
    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        seen = weights[:, 0] > 0
        never = np.full(len(weights), np.nan)
        return {"both": np.stack([np.where(seen, 2.0, np.nan), never], axis=1)}

    result = intervals.intervals(statistic, 5)["both"]
    assert result.low[0] == result.high[0] == 2.0
    assert np.isnan([result.value[1], result.low[1], result.high[1]]).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_interval_lies_within_the_values_and_around_their_mean(values):
    result = intervals.intervals(mean_of(np.array(values)), len(values), resamples=200)["mean"]
    assert min(values) - 1e-9 <= result.low <= result.high <= max(values) + 1e-9


def test_a_difference_that_is_the_same_everywhere_has_no_spread():
    values = np.random.default_rng(0).random(30)
    result = paired_difference(mean_of(values + 0.1), mean_of(values), 30)["mean"]
    assert [result.value, result.low, result.high] == pytest.approx([0.1, 0.1, 0.1])


def test_pairing_sees_what_separate_intervals_cannot():
    random = np.random.default_rng(2)
    hard = random.random(50)
    better = hard + random.normal(0.02, 0.01, 50)
    alone = [intervals.intervals(mean_of(values), 50)["mean"] for values in (hard, better)]
    assert alone[0].high > alone[1].low
    assert paired_difference(mean_of(better), mean_of(hard), 50)["mean"].low > 0


def test_groups_are_drawn_whole():
    """Each image as often as its group; an image of no group is one of its own."""
    groups = ["a", "b", "a", None, "b", None]
    drawn = []

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn.append(weights)
        return {"total": weights.sum(1)}

    intervals.intervals(statistic, 6, resamples=300, groups=groups)
    weights = np.concatenate(drawn[1:])
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 3] != weights[:, 5]).any()
    assert (weights[:, [0, 1, 3, 5]].sum(1) == 4).all()


def test_copies_in_a_group_tell_nothing_more():
    values = np.random.default_rng(0).random(25)
    once = intervals.intervals(mean_of(values), 25)["mean"]
    names = [str(index % 25) for index in range(100)]
    copies = intervals.intervals(mean_of(np.tile(values, 4)), 100, groups=names)["mean"]
    assert np.allclose(copies, once)


def test_one_group_has_no_interval():
    result = intervals.intervals(mean_of(np.arange(4.0)), 4, groups=["car"] * 4)["mean"]
    assert result.value == 1.5
    assert np.isnan(result.low)


def test_differences_are_of_the_same_groups():
    values, names = np.arange(12.0), [str(index // 3) for index in range(12)]
    result = paired_difference(mean_of(values + 1), mean_of(values), 12, groups=names)["mean"]
    assert (result.value, result.low, result.high) == pytest.approx((1, 1, 1))
