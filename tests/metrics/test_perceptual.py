"""Feature distances against the method card's toy network and Gaussians."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from restore_ml.metrics import perceptual


def toy(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The card's toy trunk, with LPIPS's scaling of the input."""
    x = (x - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)) / torch.tensor([0.458, 0.448, 0.450]).view(
        1, 3, 1, 1)
    first = 0.3 * torch.sin(0.37 * torch.arange(108.0)).reshape(4, 3, 3, 3)
    second = 0.3 * torch.sin(0.37 * torch.arange(288.0)).reshape(8, 4, 3, 3)
    one = torch.relu(torch.nn.functional.conv2d(x, first, padding=1))
    return {"one": one, "two": torch.relu(torch.nn.functional.conv2d(one, second, padding=1, stride=2))}


def test_uniform_lpips_of_the_toy_network() -> None:
    k = torch.arange(2 * 3 * 256, dtype=torch.float32)
    x = torch.sin(0.05 * k).reshape(2, 3, 16, 16)
    y = 0.8 * x + 0.1 * torch.cos(0.11 * k).reshape(2, 3, 16, 16)
    distance = perceptual.lpips_uniform(toy, x, y)
    assert distance.tolist() == pytest.approx([0.0370353, 0.0324069], abs=2e-6)
    assert perceptual.lpips_uniform(toy, x, x).tolist() == [0, 0]
    assert torch.equal(perceptual.lpips_uniform(toy, y, x), distance)


def test_pictures_and_names() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(2))
    tensors = [torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float() / 255 for picture in (a, b)]
    assert perceptual.feature_distance(toy, a, b) == pytest.approx(float(perceptual.lpips_uniform(toy, *tensors)[0]))
    assert perceptual.pooled(toy, [a, b, a], "two").shape == (3, 8)
    assert perceptual.distance_name("minivgg-01234567") == "feat_dist@minivgg-01234567"
    assert perceptual.frechet_name("minivgg-01234567") == "fid_minivgg_01234567"


def test_frechet_of_the_card() -> None:
    assert perceptual.frechet_distance(np.array([0.0]), np.array([[1.0]]), np.array([3.0]),
                                       np.array([[4.0]])) == pytest.approx(10)
    other = np.array([[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1.5]])
    measured = perceptual.frechet_distance(np.zeros(3), np.diag([1.0, 2, 3]), np.array([1, -1, 0.5]), other)
    assert measured == pytest.approx(2.967220, abs=1e-6)
    i, d = np.mgrid[:40, :4]
    x = np.sin(0.37 * i * (d + 1)) + 0.1 * d
    y = np.cos(0.23 * i * (d + 1)) + 0.05 * i / 40
    measured = perceptual.frechet_distance(*perceptual.moments(x), *perceptual.moments(y))
    assert measured == pytest.approx(0.138176, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), dims=st.integers(1, 6))
def test_frechet_is_that_of_the_matrix_root(seed: int, dims: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, dims)), rng.normal(1, 2, size=(25, dims))
    (ma, sa), (mb, sb) = perceptual.moments(x), perceptual.moments(y)
    expected = np.sum((ma - mb) ** 2) + np.trace(sa + sb - 2 * np.real(sqrtm(sa @ sb)))
    assert perceptual.frechet_distance(ma, sa, mb, sb) == pytest.approx(expected, abs=1e-6)
    assert perceptual.frechet_distance(mb, sb, ma, sa) == pytest.approx(expected, abs=1e-6)
    assert perceptual.frechet_distance(ma, sa, ma, sa) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    rng = np.random.default_rng(2)
    same = [perceptual.kernel_distance(rng.normal(size=(30, 3)), rng.normal(size=(30, 3))) for _ in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(60)
    assert perceptual.kernel_distance(rng.normal(size=(30, 3)), rng.normal(2, 1, size=(30, 3))) > 5 * np.std(same)
    with pytest.raises(ValueError, match="two samples"):
        perceptual.kernel_distance(np.zeros((1, 3)), np.zeros((5, 3)))
