"""Metrics of reflectance: what leaves each of them unchanged, and plain formulas as references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics import spectral


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random((12, 14, 4)).astype(np.float32)
    return rng.random(truth.shape).astype(np.float32), truth, (rng.random((12, 14, 1)) < 0.4).astype(np.uint8)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([0.5, 2.0, 4.0]))
def test_identity_and_scaling(seed: int, factor: float) -> None:
    _, truth, mask = scene(seed)
    assert spectral.rmse(truth, truth, mask) == 0
    assert spectral.correlation(truth, truth, mask) == 1
    assert spectral.spectral_angle(truth, truth, mask) == 0
    assert spectral.correlation(factor * truth, truth, mask) == pytest.approx(1, abs=1e-9)
    assert spectral.spectral_angle(factor * truth, truth, mask) == pytest.approx(0, abs=1e-6)


def test_each_band_has_a_psnr_of_its_own() -> None:
    truth = np.full((2, 2, 3), 0.5)
    output = truth + np.array([[[0.1, 0.0, 0.0], [0.3, 0.0, 0.01]], [[9, 9, 9], [0, 0, 0.01]]])
    mask = np.array([[1, 1], [0, 1]])
    found = spectral.psnr_of_bands(output, truth, mask)
    assert found == pytest.approx([10 * math.log10(3 / 0.1), math.inf, 10 * math.log10(3 / 0.0002)])
    assert spectral.psnr_of_bands(2 * output, 2 * truth, mask, 2.0) == pytest.approx(found)
    assert np.isnan(spectral.psnr_of_bands(output, truth, 0 * mask)).all()


def test_against_plain_formulas() -> None:
    output, truth, mask = scene(7)
    a, b = output[mask[..., 0] > 0].astype(float), truth[mask[..., 0] > 0].astype(float)
    assert spectral.rmse(output, truth, mask) == pytest.approx(np.sqrt(((a - b) ** 2).mean()), abs=1e-12)
    bands = [np.corrcoef(a[:, band], b[:, band])[0, 1] for band in range(4)]
    assert spectral.correlation(output, truth, mask) == pytest.approx(np.mean(bands), abs=1e-12)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()
    assert spectral.spectral_angle(output, truth, mask) == pytest.approx(angle, abs=1e-6)


def test_right_angle_and_zero_spectra() -> None:
    truth, output = np.zeros((1, 3, 2)), np.zeros((1, 3, 2))
    truth[0, :2], output[0, 0], output[0, 1] = (1, 0), (0, 2), (0, 0)
    mask = np.ones((1, 3))
    assert spectral.spectral_angle(output, truth, mask) == pytest.approx(90)
    assert math.isnan(spectral.spectral_angle(output * 0, truth, mask))


def test_constant_bands_have_no_correlation() -> None:
    _, truth, mask = scene(8)
    for constant in (0.1, 0.3, 1 / 3, 0.7):  # their means are rounded: what is left after centring is noise
        flat = truth.astype(np.float64)
        flat[..., 0] = constant
        assert spectral.correlation(flat, truth.astype(np.float64), mask) == pytest.approx(0.75, abs=1e-12)
        assert spectral.correlation(flat, flat, mask) == 1
        other = flat.copy()
        other[..., 0] = 0.6
        assert spectral.correlation(other, flat, mask) == pytest.approx(0.75, abs=1e-12)


def test_known_pixels_do_not_count_and_no_hole_is_no_figure() -> None:
    output, truth, mask = scene(9)
    other = np.where(mask > 0, output, 9)
    for measure in (spectral.rmse, spectral.correlation, spectral.spectral_angle):
        assert measure(other, truth, mask) == measure(output, truth, mask)
        assert math.isnan(measure(output, truth, mask * 0))
