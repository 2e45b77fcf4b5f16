"""The 313 classes against published facts, the soft encoding against brute force, rebalancing and annealed mean."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from restore_ml.nn.ab_classes import (
    annealed_mean,
    class_centres,
    classes_of_histogram,
    nearest_class,
    rebalancing_weights,
    smoothed_prior,
    soft_encode,
)

CENTRES = class_centres()
ROWS = [5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10]


def picture(*colours: tuple[float, float]) -> torch.Tensor:
    """Colours as one 1 x 2 x 1 x W picture."""
    return torch.tensor(colours).T[None, :, None, :]


def index(a: float, b: float) -> int:
    return int(np.flatnonzero((np.array([a, b]) == CENTRES).all(1))[0])


def test_the_published_facts_of_the_313_classes() -> None:
    assert CENTRES.shape == (313, 2)
    assert (CENTRES.min(0).tolist(), CENTRES.max(0).tolist()) == ([-90, -110], [100, 100])
    assert (CENTRES[0].tolist(), CENTRES[-1].tolist()) == ([-90, 50], [100, 0])
    assert (index(0, 0), index(60, 30)) == (120, 239)
    assert [int((CENTRES[:, 0] == a).sum()) for a in range(-90, 101, 10)] == ROWS
    assert (np.lexsort((CENTRES[:, 1], CENTRES[:, 0])) == np.arange(313)).all()


@pytest.mark.parametrize(("half_width", "count"), [(9.7, 312), (9.8, 313), (10.05, 313), (10.1, 314)])
def test_the_count_is_robust_to_the_width(half_width: float, count: int) -> None:
    assert len(class_centres(half_width)) == count


def test_52_classes_are_never_the_nearest_of_an_srgb_colour() -> None:
    """The count over all 256^3 colours is 261; a grid of step 5 finds 260 of them, and none outside."""
    axis = np.arange(0, 256, 5) / 255
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    ab = torch.from_numpy(rgb2lab(cube)[..., 1:]).float().movedim(-1, 1)[:, :, None]
    assert len(nearest_class(ab).unique()) == 260


def brute_force(colours: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    squared = np.square(colours[:, None].astype(np.float32) - CENTRES).sum(-1)
    order = np.argsort(squared, 1, kind="stable")[:, :neighbours]
    nearest = np.take_along_axis(squared, order, 1).astype(np.float64)
    weights = np.exp(-nearest / 50)
    return order, weights / weights.sum(1, keepdims=True)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 10), st.integers(0, 2**31), st.booleans())
def test_soft_encoding_equals_brute_force_over_all_classes(neighbours: int, seed: int, whole: bool) -> None:
    colours = np.random.default_rng(seed).uniform(-110, 110, (200, 2)).astype(np.float32)
    colours = np.rint(colours / 5) * 5 if whole else colours  # on the grid and half-way: many ties
    classes, weights = soft_encode(picture(*map(tuple, colours)), neighbours)
    expected_classes, expected_weights = brute_force(colours, neighbours)
    inside = np.square(colours[:, None] - CENTRES).sum(-1).min(1) < 900  # far outside, exp() loses its digits
    assert (classes[0, :, 0].T.numpy() == expected_classes).all()
    np.testing.assert_allclose(weights[0, :, 0].T.numpy()[inside], expected_weights[inside], atol=2e-5)


def test_soft_encoding_has_the_card_s_values_and_orders_ties_by_index() -> None:
    classes, weights = soft_encode(picture((0, 0), (3, -4), (12.3, -27.8)))
    found = [[(*CENTRES[k].astype(int).tolist(), float(w)) for k, w in zip(classes[0, :, 0, p], weights[0, :, 0, p],
                                                                           strict=True)] for p in range(3)]
    assert [entry[:2] for entry in found[0]] == [(0, 0), (-10, 0), (0, -10), (0, 10), (10, 0)]
    assert [entry[2] for entry in found[0]] == pytest.approx([0.648786] + [0.087804] * 4, abs=1e-6)
    assert found[1] == [(0, 0, pytest.approx(0.406239, abs=1e-6)), (0, -10, pytest.approx(0.272310, abs=1e-6)),
                        (10, 0, pytest.approx(0.182535, abs=1e-6)), (10, -10, pytest.approx(0.122357, abs=1e-6)),
                        (-10, 0, pytest.approx(0.016559, abs=1e-6))]
    assert [entry[2] for entry in found[2]] == pytest.approx([.545609, .185286, .178021, .060455, .030628], abs=1e-5)
    decoded = sum(np.array(entry[:2]) * entry[2] for entry in found[1])
    assert decoded == pytest.approx([2.8833, -3.9467], abs=1e-4)


def test_colours_far_outside_and_beyond_the_grid_are_still_encoded() -> None:
    classes, weights = soft_encode(picture((-110, -110), (500, 500)))
    assert torch.isfinite(weights).all() and int(classes.max()) < 313
    assert weights.sum(1).flatten().tolist() == pytest.approx([1, 1])


def test_rebalancing_weights_have_the_card_s_values_and_limits() -> None:
    prior = np.exp(-np.square(CENTRES.astype(float)).sum(1) / 800)
    prior /= prior.sum()
    weights = rebalancing_weights(prior)
    assert weights.min() == pytest.approx(0.358176, abs=1e-6) and weights.argmin() == index(0, 0)
    assert weights.max() == pytest.approx(4.826571, abs=1e-6)
    assert (prior * weights).sum() == pytest.approx(1)
    np.testing.assert_allclose(rebalancing_weights(prior, 1.0), 1)
    inverse = rebalancing_weights(prior, 0.0)
    assert inverse.max() / inverse.min() == pytest.approx(prior.max() / prior.min())


def test_the_prior_of_one_colour_spreads_to_its_neighbours_only() -> None:
    prior = smoothed_prior(np.eye(313)[120] * 7)
    assert prior.sum() == pytest.approx(1) and prior.argmax() == 120
    assert prior[index(10, 0)] / prior[120] == pytest.approx(np.exp(-2))
    assert prior[index(-90, 50)] < 1e-12 and np.isfinite(rebalancing_weights(prior)).all()


def test_a_histogram_counts_each_colour_in_its_class_and_shares_borders() -> None:
    counts = np.zeros((221, 221), np.float32)
    counts[110 + 3, 110 - 4], counts[110 + 5, 110] = 6, 8  # (3, -4) is nearest to (0, 0); (5, 0) lies between two
    total = classes_of_histogram(counts)
    assert total.sum() == 14 and total[index(0, 0)] == 6 + 4 and total[index(10, 0)] == 4


@pytest.mark.parametrize(("temperature", "expected"), [
    (1, (33, -3)), (.77, (35.8107, -.4977)), (.58, (39.5835, 3.1665)), (.38, (46.3611, 10.6310)),
    (.29, (50.8287, 16.2180)), (.14, (58.6497, 27.6785)), (.05, (59.9982, 29.9967)), (.01, (60, 30))])
def test_annealed_mean_has_the_card_s_values(temperature: float, expected: tuple[float, float]) -> None:
    p = torch.zeros(1, 313, 1, 1)
    p[0, [index(60, 30), index(10, -60), index(0, 0)]] = torch.tensor([.5, .3, .2])[:, None, None]
    assert annealed_mean(p.log(), temperature).flatten().tolist() == pytest.approx(expected, abs=2e-4)


def test_annealed_mean_of_one_hot_logits_is_the_centre() -> None:
    logits = 1e3 * torch.eye(313)[None].transpose(1, 2)[..., None]
    np.testing.assert_allclose(annealed_mean(logits)[0, :, :, 0].T.numpy(), CENTRES, atol=1e-3)
