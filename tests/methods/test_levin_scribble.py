"""levin_scribble and nearest_hint: weights and solution by hand, and what the card says must hold of any picture."""

import numpy as np
import pytest
from skimage import data

from restore_ml import registry
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.guided_colorization.levin_scribble import LevinScribble, affinities, spread
from restore_ml.metrics.colour import psnr_ab
from restore_ml.restoring import harness

CASES = registry.parts("guided_colorization").cases
PICTURE = Record("a" * 64, {"image": data.coffee()}, {"name": "coffee"})


def by_hand(grey: np.ndarray) -> np.ndarray:
    """W as a full matrix, a pixel at a time."""
    height, width = grey.shape
    matrix = np.zeros((height * width,) * 2)
    for row in range(height):
        for column in range(width):
            near = [(r, c) for r in range(max(row - 1, 0), min(row + 2, height))
                    for c in range(max(column - 1, 0), min(column + 2, width)) if (r, c) != (row, column)]
            squares = np.array([(grey[place] - grey[row, column]) ** 2 for place in near])
            variance = np.var([grey[place] for place in near] + [grey[row, column]])
            sigma = max(0.6 * variance, squares.min() / -np.log(0.01), 2e-6)
            weights = np.exp(-squares / sigma)
            for place, weight in zip(near, weights / weights.sum(), strict=True):
                matrix[row * width + column, place[0] * width + place[1]] = weight
    return matrix


def test_weights_by_hand():
    grey = np.random.default_rng(0).random((6, 7))
    grey[1:4, 1:4] = 0.5  # flat: the least variance
    grey[5, 6] = 5.0  # alone: the nearest neighbour keeps 0.01
    found = affinities(grey).toarray()
    np.testing.assert_allclose(found, by_hand(grey), atol=1e-12)
    np.testing.assert_allclose(found.sum(1), 1, atol=4e-16 * 8)
    assert np.count_nonzero(found[0]) == 3 and np.count_nonzero(found[8]) == 8 and not found.diagonal().any()


def test_the_least_spread_by_hand():
    """A pixel 0.001 brighter than a flat picture, where the variance is next to nothing: e^(-1e-6 / 2e-6) = 0.6065."""
    grey = np.full((3, 3), 0.5)
    grey[1, 1] = 0.501
    corner = affinities(grey).toarray()[0]
    np.testing.assert_allclose(corner[[1, 3, 4]], np.array([1, 1, 0.60653]) / 2.60653, atol=1e-5)


def test_the_solution_by_hand():
    draws = np.random.default_rng(1)
    grey, hint, fixed = draws.random((6, 7)), draws.normal(size=(6, 7, 2)), draws.random((6, 7)) < 0.15
    system = np.where(fixed.ravel()[:, None], np.eye(42), np.eye(42) - by_hand(grey))
    expected = np.linalg.solve(system, np.where(fixed[..., None], hint, 0).reshape(42, 2))
    np.testing.assert_allclose(spread(grey, hint, fixed).reshape(42, 2), expected, atol=1e-5)


@pytest.mark.parametrize("number", [1, 10, 50])
def test_hints_are_kept_and_bound_the_colours(number):
    sample = CASES.sample(PICTURE, f"hints_{number}", 1, {"size": 48})
    ab = harness.restore(LevinScribble({}), Model(), sample.inputs, 1)["ab"]
    there, hint = sample.inputs["hinted"][..., 0] > 0, sample.inputs["hint"]
    np.testing.assert_array_equal(ab[there], hint[there])
    for channel in range(2):  # the maximum principle
        values = hint[there][:, channel]
        assert values.min() - 1e-3 <= ab[..., channel].min() and ab[..., channel].max() <= values.max() + 1e-3


def test_on_flat_grey_colours_are_harmonic():
    """A row of pixels between two hints: a straight line."""
    hint, fixed = np.zeros((1, 11, 2)), np.zeros((1, 11), bool)
    hint[0, 0], hint[0, 10], fixed[0, [0, 10]] = (-30, 10), (50, 20), True
    line = spread(np.full((1, 11), 0.4), hint, fixed)
    np.testing.assert_allclose(line[0], np.linspace([-30, 10], [50, 20], 11), atol=1e-4)


def test_colour_stops_at_an_edge_of_grey():
    grey = np.full((12, 16), 0.2)
    grey[:, 8:] = 0.8
    hint, fixed = np.zeros((12, 16, 2)), np.zeros((12, 16), bool)
    hint[6, 2], hint[6, 13], fixed[6, [2, 13]] = (40, 0), (-40, 0), True
    ab = spread(grey, hint, fixed)
    assert ab[:, :8, 0].min() > 39 and ab[:, 8:, 0].max() < -39


def test_without_hints_there_is_no_colour_and_with_all_there_is_theirs():
    sample = CASES.sample(PICTURE, "hints_0", 1, {"size": 32})
    for method in (LevinScribble({}), registry.method("guided_colorization", "nearest_hint", {})):
        noise = {**sample.inputs, "hint": np.full((32, 32, 2), 9, np.float32)}  # colours that nobody gave
        assert not harness.restore(method, Model(), noise, 1)["ab"].any()
        full = {**sample.inputs, "hint": sample.target["ab"], "hinted": np.ones((32, 32, 1), np.float32)}
        np.testing.assert_array_equal(harness.restore(method, Model(), full, 1)["ab"], sample.target["ab"])


def test_a_grey_that_is_hinted_counts_and_what_is_not_hinted_does_not():
    sample = CASES.sample(PICTURE, "hints_1", 1, {"size": 32})
    for method in (LevinScribble({}), registry.method("guided_colorization", "nearest_hint", {})):
        neutral = {**sample.inputs, "hint": np.zeros((32, 32, 2), np.float32)}
        assert not harness.restore(method, Model(), neutral, 1)["ab"].any()
        noise = np.where(sample.inputs["hinted"] > 0, sample.inputs["hint"], np.float32(77))
        np.testing.assert_array_equal(harness.restore(method, Model(), {**sample.inputs, "hint": noise}, 1)["ab"],
                                      harness.restore(method, Model(), sample.inputs, 1)["ab"])


def test_grey_is_the_value_of_that_lightness():
    """The grey picture's own values, not its lightness: (g, g, g) of an 8-bit grey picture gives g / 255."""
    grey = data.camera()[200:232, 200:232]
    grey_picture = Record("c" * 64, {"image": np.repeat(grey[..., None], 3, 2)}, {})
    lightness = CASES.sample(grey_picture, "hints_0", 1, {"size": 0}).inputs["L"]
    hint, hinted = np.zeros((32, 32, 2), np.float32), np.zeros((32, 32, 1), np.float32)
    hint[4, 4], hint[28, 20], hinted[4, 4], hinted[28, 20] = (50, 0), (0, 50), 1, 1
    found = LevinScribble({}).restore_arrays(Model(), {"L": lightness, "hint": hint, "hinted": hinted}, 1)["ab"]
    np.testing.assert_allclose(found, spread(grey / 255, hint.astype(float), hinted[..., 0] > 0), atol=0.05)


def test_the_nearest_hint_by_hand():
    sample = CASES.sample(PICTURE, "hints_10", 1, {"size": 40})
    ab = harness.restore(registry.method("guided_colorization", "nearest_hint", {}), Model(), sample.inputs, 1)["ab"]
    places = np.argwhere(sample.inputs["hinted"][..., 0])
    for row, column in [(0, 0), (39, 39), (20, 5), (7, 33)]:
        squares = np.square(places - [row, column]).sum(1)
        nearest = [tuple(sample.inputs["hint"][tuple(place)]) for place in places[squares == squares.min()]]
        assert tuple(ab[row, column]) in nearest


def test_every_pixel_takes_the_colour_of_the_hint_that_is_nearest_by_a_ruler():
    """Three hints in 4 x 6 pixels; the second has the coordinates of no colour and counts all the same."""
    hint, hinted = np.full((4, 6, 2), 77, np.float32), np.zeros((4, 6, 1), np.float32)  # 77: nobody gave it
    for row, column, colour in ((0, 0, (-20, 5)), (3, 1, (0, 0)), (1, 5, (30, -40))):
        hint[row, column], hinted[row, column] = colour, 1
    ab = registry.method("guided_colorization", "nearest_hint", {}).restore_arrays(
        Model(), {"L": np.zeros((4, 6, 1), np.float32), "hint": hint, "hinted": hinted}, 1)["ab"]
    a = [[-20, -20, -20, 30, 30, 30], [-20, -20, None, 30, 30, 30], [0, 0, 0, None, 30, 30], [0, 0, 0, 0, 30, 30]]
    b = {-20: 5, 0: 0, 30: -40}
    for row, column in np.ndindex(4, 6):
        if a[row][column] is not None:  # those two are as near to two hints
            assert tuple(ab[row, column]) == (a[row][column], b[a[row][column]]), (row, column)


def test_more_hints_and_edges_help():
    """On a photograph: 50 hints beat 10, which beat 1; following edges beats the nearest hint."""
    figures = {}
    for number in (1, 10, 50):
        sample = CASES.sample(PICTURE, f"hints_{number}", 1, {"size": 48})
        for name in ("levin_scribble", "nearest_hint"):
            method = registry.method("guided_colorization", name, {})
            figures[name, number] = psnr_ab(harness.restore(method, Model(), sample.inputs, 1)["ab"],
                                            sample.target["ab"])
    levin = [figures["levin_scribble", number] for number in (1, 10, 50)]
    assert levin == sorted(levin) and levin[2] > figures["nearest_hint", 50]


def test_cases():
    assert LevinScribble({}).unsupported("hints_0") == "needs hints"
    assert LevinScribble({}).unsupported("hints_1") is None
    few = LevinScribble({"cases": ["hints_10"]})
    assert few.unsupported("hints_10") is None and few.unsupported("hints_0") == "needs hints"
    assert few.unsupported("hints_1") == "left out by the run's setting cases"
