"""The paired bootstrap: coverage, groups kept together, the same bits again; ranks and wins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.evaluation.statistics import bootstrap, bootstraps, paired, ranks, resamples, wins
from restore_ml.seeds import generator


def test_resamples_are_seeded_and_whole() -> None:
    draws = resamples(7, 1, 500)
    assert draws.shape == (500, 7) and (draws.sum(axis=1) == 7).all()
    resamples.cache_clear()
    assert np.array_equal(draws, resamples(7, 1, 500))
    assert not np.array_equal(draws, resamples(7, 2, 500))


def test_the_interval_is_that_of_the_normal_law_for_many_photographs() -> None:
    values = np.random.default_rng(0).normal(30, 2, 400)
    found = bootstrap(values, [str(number) for number in range(400)], seed=1)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert (found.pictures, found.groups) == (400, 400)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    names = [str(number) for number in range(40)]
    hits = 0
    for _ in range(200):
        found = bootstrap(rng.normal(5, 1, 40), names, 1, 0.9, 1000)
        hits += found.low <= 5 <= found.high
    assert 0.83 <= hits / 200 <= 0.96


def test_tiles_of_a_photograph_count_as_one() -> None:
    photographs = np.random.default_rng(2).normal(0, 1, 12)
    tiles, names = np.repeat(photographs, 25), np.repeat([f"p{number}" for number in range(12)], 25)
    together = bootstrap(tiles, names.tolist(), 1)
    alone = bootstrap(tiles, [str(number) for number in range(300)], 1)
    once = bootstrap(photographs, [f"p{number}" for number in range(12)], 1)
    assert together.mean == pytest.approx(once.mean)
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert together.high - together.low > 4 * (alone.high - alone.low)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 30), groups=st.integers(2, 8))
def test_laws_of_the_paired_difference(seed: int, count: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=count), rng.normal(size=count)
    names = [str(number % groups) for number in range(count)]
    forth, back = paired(a, b, names, 1, count=300), paired(b, a, names, 1, count=300)
    assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-12)
    assert forth.low <= forth.high
    same = paired(a + 1, a, names, 1, count=300)
    assert (same.mean, same.low, same.high) == pytest.approx((1, 1, 1))
    order = rng.permutation(count)
    again = paired(a[order], b[order], [names[place] for place in order], 1, count=300)
    assert (again.mean, again.low, again.high) == pytest.approx((forth.mean, forth.low, forth.high), abs=1e-12)


def test_pairing_sees_a_small_steady_gain_that_single_intervals_hide() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(28, 5, 12)
    better = base + rng.normal(0.2, 0.05, 12)
    names = [str(number) for number in range(12)]
    assert paired(better, base, names, 1).low > 0.1
    assert bootstrap(better, names, 1).low < base.mean()


def test_what_was_not_measured_is_left_out() -> None:
    values = np.array([1.0, math.nan, 3.0, math.nan])
    found = bootstrap(values, ["a", "a", "b", "c"], 1)
    assert (found.mean, found.pictures, found.groups) == (2, 2, 2)
    assert paired(values, np.array([0.0, 0, math.nan, 0]), ["a", "b", "c", "d"], 1).pictures == 1
    one = bootstrap(np.array([1.0, 3.0]), ["a", "a"], 1)
    assert one.mean == 2 and math.isnan(one.low) and one.groups == 1
    nothing = bootstrap(np.full(3, math.nan), ["a", "b", "c"], 1)
    assert math.isnan(nothing.mean) and nothing.pictures == 0


def test_ranks_and_wins() -> None:
    assert ranks([3, 5, math.nan, 5, 1], 1) == [3, 1, None, 1, 4]
    assert ranks([3, 5, math.nan, 5, 1], -1) == [2, 3, None, 3, 1]
    table = np.array([[1.0, 2, math.nan, 4], [1, 3, math.nan, 2], [0, math.nan, math.nan, 5]])
    assert wins(table, 1).tolist() == [1, 2, 1]
    assert wins(table, -1).tolist() == [1, 1, 1]


def test_rows_together_are_rows_alone() -> None:
    rng = np.random.default_rng(4)
    table = rng.normal(size=(5, 30))
    table[1, 3:7] = table[3, 3:7] = math.nan
    table[4] = math.nan
    names = [str(number // 2) for number in range(30)]
    for row, together in zip(table, bootstraps(table, names, 1, count=400), strict=True):
        alone = bootstrap(row, names, 1, count=400)
        assert (together.pictures, together.groups) == (alone.pictures, alone.groups)
        assert (together.mean, together.low, together.high) == pytest.approx((alone.mean, alone.low, alone.high),
                                                                             abs=1e-12, nan_ok=True)


def test_resamples_drawn_in_parts_are_those_drawn_at_once() -> None:
    groups, count = 3000, 800
    whole = generator(2, "bootstrap", groups).multinomial(groups, np.full(groups, 1 / groups), size=count)
    assert np.array_equal(resamples(groups, 2, count), whole)
