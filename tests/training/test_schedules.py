"""Schedules against hand-computed factors."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_ml.training import schedules


def rates(schedule, steps, *chosen):
    return [schedule(step, steps) for step in chosen]


def test_constant():
    assert rates(schedules.constant(), 10, 0, 9) == [1, 1] and rates(schedules.constant(0.3), 10, 0, 9) == [0.3, 0.3]


def test_drops_hold_from_their_step_on_and_replace_each_other():
    table = {"6": 0.1, "4": 0.5}  # texts and no order, as JSON may have them
    assert rates(schedules.drops(table), 10, 0, 3, 4, 5, 6, 9) == [1, 1, 0.5, 0.5, 0.1, 0.1]
    assert rates(schedules.drops({10: 0.5, 9: 0.2}), 20, 8, 9, 10) == [1, 0.2, 0.5]
    assert rates(schedules.drops({}), 10, 0, 9) == [1, 1]


def test_steps_fall_after_each_equal_part():
    assert rates(schedules.steps(4), 8, 0, 1, 2, 3, 4, 6, 7) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001, 0.001])
    assert rates(schedules.steps(2, 0.5), 10, 4, 5, 9) == [1, 0.5, 0.5]


def test_linear_to_zero():
    assert rates(schedules.linear_to_zero(), 4, 0, 1, 2, 3) == [1, 0.75, 0.5, 0.25]
    assert rates(schedules.linear_to_zero(0.5), 8, 0, 4, 5, 6, 7) == [1, 1, 0.75, 0.5, 0.25]
    assert rates(schedules.linear_to_zero(0.75), 8, 5, 6, 7) == [1, 1, 0.5]


def test_cosine():
    assert rates(schedules.cosine(), 6, 0, 2, 3, 4) == pytest.approx([1, 0.75, 0.5, 0.25])
    assert rates(schedules.cosine(0.1), 6, 0, 3) == pytest.approx([1, 0.55])
    assert schedules.cosine(0.1)(10**6 - 1, 10**6) == pytest.approx(0.1, abs=1e-5)


def test_a_cosine_goes_on_over_phases():
    first, second = schedules.cosine(0.1, 0, 12), schedules.cosine(0.1, 4, 12)
    assert second(0, 8) == first(4, 4) == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 3)))
    assert schedules.cosine(0.1, 0, 0)(0, 5) == 1


def test_warm_cosine_rises_then_falls():
    schedule = schedules.warm_cosine(4)
    assert rates(schedule, 8, 0, 1, 3, 4) == pytest.approx(
        [0.25, 0.5 * 0.5 * (1 + math.cos(math.pi / 8)), 0.5 * (1 + math.cos(3 * math.pi / 8)), 0.5])
    assert rates(schedules.warm_cosine(0), 8, 0, 4) == rates(schedules.warm_cosine(1), 8, 0, 4) == pytest.approx(
        [1, 0.5])
    assert schedules.warm_cosine(2, 0.2)(8, 16) == pytest.approx(0.6)


@given(st.integers(1, 500), st.data())
def test_factors_stay_between_0_and_1(steps, data):
    step = data.draw(st.integers(0, steps - 1))
    for schedule in (schedules.steps(3), schedules.linear_to_zero(0.3), schedules.cosine(0.05),
                     schedules.warm_cosine(7), schedules.drops({3: 0.5})):
        assert 0 < schedule(step, steps) <= 1
