"""DISTS against hand-made maps, an independent formula, and the values of its authors' code."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics.dists import Dists, halved, load_dists
from tests.metrics.test_lpips import official, picture, pictures
from tests.metrics.test_perceptual import toy

CHANNELS = Dists(lambda x: {}, torch.full((3,), 0.25), torch.full((3,), 0.75))
"""No network: the pictures' own channels."""


def flat(level: int) -> np.ndarray:
    return np.full((32, 32, 3), level, np.uint8)


def test_flat_pictures_by_hand() -> None:
    texture = 2 * 0.2 * 0.8 / (0.2**2 + 0.8**2)  # structure is 1: neither varies
    assert CHANNELS(flat(51), flat(204)) == pytest.approx(1 - (0.25 * texture + 0.75), abs=1e-5)
    assert CHANNELS(flat(51), flat(51)) == 0


def test_a_negative_by_hand() -> None:
    stripes = flat(0)
    stripes[::2] = 255  # mean 1/2, variance 1/4; its negative has covariance -1/4
    assert CHANNELS(stripes, 255 - stripes) == pytest.approx(1 - (0.25 - 0.75), abs=1e-4)


def test_maps_are_halved_under_a_window() -> None:
    x = torch.zeros(1, 2, 5, 6)
    x[0, 0, 2, 2], x[0, 1, 0, 0] = 4.0, 2.0
    out = halved(x)
    assert out.shape == (1, 2, 3, 3)
    assert out[0, 0, 1, 1] == pytest.approx(4 * 0.5) and out[0, 0].sum() == pytest.approx(2, abs=1e-4)
    assert out[0, 1, 0, 0] == pytest.approx(2 * 0.5)
    x = torch.ones(1, 1, 6, 6)
    torch.testing.assert_close(halved(x)[0, 0, 1:, 1:], torch.ones(2, 2))
    odd = torch.zeros(1, 1, 5, 5)
    odd[0, 0, 1, 2] = 8.0  # between two places: a quarter of the square's weight goes to each
    assert halved(odd)[0, 0, :2, 1].tolist() == pytest.approx([8 * 0.125**0.5] * 2)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_it_is_the_formula_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha, beta = rng.random(15), rng.random(15)
    a, b = pictures(seed)
    tensors = [torch.from_numpy(value.transpose(2, 0, 1)[None] / np.float32(255)) for value in (a, b)]
    maps = [np.concatenate([value.double().flatten(2).mean(2) for value in (x, *toy(x).values())], 1)
            for x in tensors]
    assert [value.shape for value in maps] == [(1, 15)] * 2
    similarity = []
    for one, two in zip(*([x, *toy(x).values()] for x in tensors), strict=True):
        for p, q in zip(one[0].double().numpy(), two[0].double().numpy(), strict=True):
            covariance = np.cov(p.ravel(), q.ravel(), bias=True)
            similarity.append(((2 * p.mean() * q.mean() + 1e-6) / (p.mean() ** 2 + q.mean() ** 2 + 1e-6),
                               (2 * covariance[0, 1] + 1e-6) / (covariance[0, 0] + covariance[1, 1] + 1e-6)))
    texture, structure = np.array(similarity).T
    expected = 1 - (alpha @ texture + beta @ structure) / (alpha.sum() + beta.sum())
    measure = Dists(toy, torch.tensor(alpha, dtype=torch.float32), torch.tensor(beta, dtype=torch.float32))
    assert measure(a, b) == pytest.approx(expected, abs=1e-4)
    assert measure(b, a) == pytest.approx(measure(a, b), abs=1e-6)
    assert measure(a, a) == pytest.approx(0, abs=1e-6)
    assert measure.distance(measure.features(a), measure.features(b)) == measure(a, b)


def test_sizes_that_do_not_fit_are_refused() -> None:
    a, b = pictures(0)
    with pytest.raises(ValueError, match="must be equal"):
        CHANNELS(a, b[:-1])
    with pytest.raises(ValueError, match="must be equal"):
        CHANNELS.distance(CHANNELS.features(a), CHANNELS.features(b[:-1]))
    with pytest.raises(ValueError, match="at least 32 pixels"):
        CHANNELS.features(a[:, :31])


@pytest.mark.benchmark_data
@pytest.mark.usefixtures("published_weights")
@pytest.mark.parametrize("pair", ["I06", "I08", "I19"])
def test_it_equals_the_official_values(benchmark_data: Path, pair: str) -> None:
    measure = load_dists()
    truth, distorted = (measure.features(picture(benchmark_data, f"{pair}_{which}")) for which in ("ref", "dist"))
    assert measure.distance(truth, distorted) == pytest.approx(official(benchmark_data, "dists")[pair], abs=0.001)
    assert measure.distance(distorted, truth) == pytest.approx(measure.distance(truth, distorted), abs=1e-6)
    assert measure.distance(truth, truth) == pytest.approx(0, abs=1e-6)
