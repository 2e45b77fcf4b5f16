"""Cutting and pasting: the cheapest seam by trying all of them, and blending by its equation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from restore_ml.nn.hole_filling import differences
from restore_ml.nn.seams import distance_to, minimum_cut, poisson_paste


def cost_of(taken: np.ndarray, difference: np.ndarray, hole: np.ndarray, band: np.ndarray, away: np.ndarray) -> float:
    """What a seam costs, pair by pair."""
    inside = np.where(hole, 0, difference)
    total = away[band & taken].sum()
    height, width = hole.shape
    for y, x in np.ndindex(height, width):
        for below, beside in ((y + 1, x), (y, x + 1)):
            if below < height and beside < width and taken[y, x] != taken[below, beside]:
                total += abs(inside[y, x] - inside[below, beside])
    return float(total)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A difference on 6 x 7, a hole of 4 pixels, its ring as band of 10 of the 12 around it, costs of known pixels."""
    rng = np.random.default_rng(seed)
    hole, band = np.zeros((6, 7), bool), np.zeros((6, 7), bool)
    hole[2:4, 2:4] = True
    band[1:5, 1:5] = ~hole[1:5, 1:5]
    band[1, 1] = band[4, 4] = False
    return np.round(rng.random((6, 7)), 3), hole, band, np.round(0.2 * rng.random((6, 7)), 3)


@pytest.mark.parametrize("seed", range(6))
def test_the_cut_is_the_cheapest_of_all_seams(seed: int) -> None:
    difference, hole, band, away = scene(seed)
    taken, cost = minimum_cut(difference, hole, band, away)
    assert taken[hole].all() and not taken[~hole & ~band].any()
    assert cost == pytest.approx(cost_of(taken, difference, hole, band, away), abs=1e-3)
    places, least = np.argwhere(band), float("inf")
    for choice in product((False, True), repeat=len(places)):
        trial = hole.copy()
        trial[tuple(places[list(choice)].T)] = True
        least = min(least, cost_of(trial, difference, hole, band, away))
    assert cost == pytest.approx(least, abs=1e-3)


def test_where_picture_and_donor_agree_there_is_no_seam_beyond_the_hole() -> None:
    difference, hole, band, away = scene(0)
    taken, cost = minimum_cut(np.zeros_like(difference), hole, band, away + 0.1)
    assert np.array_equal(taken, hole) and cost == 0


def test_a_seam_runs_where_the_difference_does_not_change() -> None:
    """The donor differs by 0.5 in the hole's ring and less and less two pixels on: the seam lies where it is flat."""
    hole, band, difference = (np.zeros((9, 9), kind) for kind in (bool, bool, float))
    hole[4, 4] = band[3, 4] = band[4, 3] = band[4, 5] = band[5, 4] = True
    difference[:] = 0.5
    free, cost = minimum_cut(difference, hole, band, np.zeros((9, 9)))
    assert cost == 0 and free.sum() == 5
    dear, cost = minimum_cut(difference, hole, band, np.full((9, 9), 0.6))
    assert cost == pytest.approx(4 * 0.5) and np.array_equal(dear, hole)


def test_distance_is_that_of_the_nearest_missing_pixel() -> None:
    hole = np.zeros((7, 8), bool)
    hole[1, 1] = hole[5, 6] = True
    wanted = [[min(np.hypot(y - 1, x - 1), np.hypot(y - 5, x - 6)) for x in range(8)] for y in range(7)]
    np.testing.assert_allclose(distance_to(hole), wanted, atol=1e-5)


def test_pasting_keeps_the_donors_second_differences_and_the_pictures_rim() -> None:
    rng = np.random.default_rng(0)
    picture, donor, region = rng.random((12, 13, 3)), rng.random((12, 13, 3)), np.zeros((12, 13), bool)
    region[3:8, 4:10] = True
    region[0:2, 11:] = True  # at the border, over which nothing flows
    pasted = poisson_paste(picture, donor, region)
    assert np.array_equal(pasted[~region], picture[~region])
    np.testing.assert_allclose(differences(pasted).sum(0)[region], differences(donor).sum(0)[region], atol=1e-9)


def test_pasting_what_differs_by_a_constant_leaves_nothing_to_see() -> None:
    rng = np.random.default_rng(1)
    picture, region = rng.random((9, 9, 3)), np.zeros((9, 9), bool)
    region[2:6, 3:8] = True
    np.testing.assert_allclose(poisson_paste(picture, picture - 0.3, region), picture, atol=1e-9)
    assert np.array_equal(poisson_paste(picture, picture - 0.3, np.zeros_like(region)), picture)
