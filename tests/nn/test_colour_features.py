"""Colours of a picture as a vector: against independent references and values by hand."""

import numpy as np
import pytest
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from restore_ml.nn.ab_classes import class_centres
from restore_ml.nn.colour_features import (
    ciede2000,
    distribution,
    dominant_colours,
    kl,
    palette_distance,
)

ZERO = int(np.flatnonzero((class_centres() == 0).all(1))[0])


def test_a_distribution_is_the_mean_of_the_pixels_soft_classes() -> None:
    """One colour on a node: its ten nearest nodes by exp(-d^2 / 50); half of another colour moves half of the mass."""
    ab = torch.zeros(2, 2, 4, 6)
    ab[1, :, :2] = torch.tensor([60.0, 30.0]).view(2, 1, 1)
    found = distribution(ab)
    assert found.shape == (2, 313) and found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    squares = np.sort(np.square(class_centres()).sum(1))[:10]
    assert found[0, ZERO].item() == pytest.approx(1 / np.exp(-squares / 50).sum(), rel=1e-5)
    assert int((found[0] > 0).sum()) == 10
    assert found[1, ZERO].item() == pytest.approx(found[0, ZERO].item() / 2, rel=1e-5)
    assert int(found[1].topk(2).indices.max()) == 239  # the card: (60, 30) is class 239


def test_kl_by_hand() -> None:
    one, other = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([0.25, 0.5, 0.25])
    assert kl(one, other).tolist() == pytest.approx([0.5 * np.log10(2), np.log10(4)], abs=1e-6)
    assert kl(one, one).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert kl(other, one[1]).item() == pytest.approx(
        0.25 * np.log10(0.25) + 0.5 * np.log10(0.5e8) + 0.25 * np.log10(0.25e8), rel=1e-5)
    assert kl(torch.rand(4, 7, 313), torch.rand(4, 1, 313)).shape == (4, 7)


def test_ciede2000_equals_an_independent_one() -> None:
    draws = np.random.default_rng(0)
    one, other = (draws.uniform([0, -100, -100], [100, 100, 100], (4000, 3)) for _ in range(2))
    other[:1000] = one[:1000] + draws.normal(0, 3, (1000, 3))
    one[1000:1200, 1:] = 0  # grey
    other[1100:1300, 1:] = 0
    found = ciede2000(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_allclose(found.numpy(), deltaE_ciede2000(one, other), rtol=1e-6)
    single = ciede2000(torch.from_numpy(one).float(), torch.from_numpy(other).float())
    np.testing.assert_allclose(single.numpy(), found.numpy(), atol=2e-2, rtol=1e-3)


def test_published_pairs_of_ciede2000() -> None:
    """Three pairs of Sharma, Wu and Dalal's table."""
    pairs = torch.tensor([[[50, 2.6772, -79.7751], [50, 0, -82.7485]], [[50, 2.49, -0.001], [50, -2.49, 0.0011]],
                          [[22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619]]], dtype=torch.float64)
    assert ciede2000(pairs[:, 0], pairs[:, 1]).tolist() == pytest.approx([2.0425, 7.2195, 2.0373], abs=1e-4)


def test_palette_distance_is_the_mean_over_ten_colours() -> None:
    draws = np.random.default_rng(1)
    one, other = (draws.random((3, 30)).astype(np.float32) for _ in range(2))
    expected = deltaE_ciede2000(rgb2lab(one.reshape(3, 10, 3)), rgb2lab(other.reshape(3, 10, 3))).mean(1)
    np.testing.assert_allclose(palette_distance(torch.from_numpy(one), torch.from_numpy(other)), expected, rtol=1e-3)
    every = palette_distance(torch.from_numpy(one)[:, None], torch.from_numpy(other))
    assert every.shape == (3, 3)
    np.testing.assert_allclose(every.diagonal(), expected, rtol=1e-3)


def test_dominant_colours_come_by_their_number_of_pixels() -> None:
    picture = np.zeros((8, 10, 3), np.uint8)
    picture[:5], picture[5:7], picture[7:] = (200, 40, 40), (30, 60, 220), (20, 200, 30)
    found = dominant_colours(picture)
    assert found.shape == (30,) and found.dtype == np.float32
    expected = np.array([[200, 40, 40], [30, 60, 220], [20, 200, 30]]) / 255
    np.testing.assert_allclose(found.reshape(10, 3)[:3], expected, atol=0.02)
    np.testing.assert_array_equal(found.reshape(10, 3)[3:6], found.reshape(10, 3)[:3])
