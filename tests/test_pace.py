"""Keeping the budget: never cut short when in time, and in time when cut short."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from delineo.pace import ENOUGH, LATELY, SLACK, Pace


def pace_of(step: float, validation: float = 0.0, seen: int = LATELY) -> Pace:
    pace = Pace()
    for _ in range(seen):
        pace.saw_step(float(step))
    pace.saw_validation(float(validation))
    return pace


def test_nothing_is_shortened_before_enough_was_seen() -> None:
    assert pace_of(100.0, seen=ENOUGH - 1).steps_within(10.0, 0.0, 500, 50) == 500
    assert pace_of(100.0, seen=ENOUGH).steps_within(10.0, 0.0, 500, 50) == 0


def test_in_time_nothing_changes() -> None:
    assert pace_of(0.1, 1).steps_within(100.0, 20.0, 500, 50) == 500


def test_a_little_late_is_not_worth_it() -> None:
    needed, budget = 500 * 0.1 + 10 * 1, 59.5
    assert needed <= budget * (1 + SLACK)
    assert pace_of(0.1, 1).steps_within(budget, 0.0, 500, 50) == 500


def test_the_validations_count() -> None:
    assert pace_of(0.1).steps_within(55.0, 0.0, 500, 50) == 500
    assert pace_of(0.1, 2).steps_within(55.0, 0.0, 500, 50) < 500
    assert pace_of(0.1, 2).seconds_for(101, 50) == pytest.approx(10.1 + 3 * 2)


def test_a_single_slow_step_is_no_sign() -> None:
    pace = pace_of(0.1)
    pace.saw_step(60.0)
    assert pace.steps_within(55.0, 0.0, 500, 50) == 500


def test_a_loader_that_is_late_again_and_again_counts() -> None:
    pace = pace_of(0.1)
    for number in range(LATELY):
        pace.saw_step(1.7 if number % 8 == 0 else 0.1)
    assert pace.steps_within(55.0, 0.0, 500, 50) < 250


def test_what_was_long_ago_is_forgotten() -> None:
    pace = pace_of(10)
    for _ in range(LATELY):
        pace.saw_step(0.1)
    assert pace.steps_within(55.0, 0.0, 500, 50) == 500


def test_when_the_time_is_up_no_step_is_left() -> None:
    assert pace_of(0.1, 1).steps_within(60.0, 70.0, 500, 50) == 0


@given(
    step=st.floats(0.001, 10),
    validation=st.floats(0, 100),
    budget=st.floats(1, 5000),
    share=st.floats(0, 1.2),
    left=st.integers(1, 5000),
    per_epoch=st.integers(1, 300),
)
def test_what_is_left_ends_in_time(
    step: float, validation: float, budget: float, share: float, left: int, per_epoch: int
) -> None:
    pace, spent = pace_of(step, validation), share * budget
    fits = pace.steps_within(budget, spent, left, per_epoch)
    assert 0 <= fits <= left
    if fits:
        assert spent + pace.seconds_for(fits, per_epoch) <= budget * (1 + SLACK) + 1e-6
    if fits < left:
        assert spent + pace.seconds_for(fits + 1, per_epoch) > budget - 1e-6 * budget
