"""Fidelity metrics against the method cards' check values, scikit-image and their own laws."""

import math

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_ml.metrics import fidelity


def procedural(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The check pictures A and B of the method card, float64."""
    i, j = np.mgrid[:n, :n]
    base = (127.5 + 60 * np.sin(2 * np.pi * i / 16) * np.cos(2 * np.pi * j / 11)
            + 30 * np.sin(2 * np.pi * (i + 2 * j) / 7))
    return np.clip(base, 0, 255), np.clip(base + 12 * np.cos(2 * np.pi * (3 * i - j) / 13) + 4, 0, 255)


@pytest.fixture(scope="module")
def camera() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cam = skimage.data.camera().astype(np.float64)
    noise = cam + 25 * np.random.RandomState(0).randn(512, 512)
    return cam, gaussian_filter(cam, 2.0, mode="reflect"), noise


def wang(a: np.ndarray, b: np.ndarray, peak: float = 255.0) -> float:
    return structural_similarity(a, b, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                 channel_axis=-1 if a.ndim == 3 else None)


def test_check_pictures_are_those_of_the_card() -> None:
    a, b = procedural(64)
    assert (a.mean(), a.std()) == pytest.approx((127.5, 36.78919), abs=1e-5)
    assert (b.mean(), b.std()) == pytest.approx((131.50166, 37.75744), abs=1e-5)


@pytest.mark.parametrize(("n", "psnr", "ssim"), [(64, 28.685627, 0.966246), (192, 28.685988, 0.966344)])
def test_psnr_and_ssim_of_the_check_table(n: int, psnr: float, ssim: float) -> None:
    a, b = procedural(n)
    assert fidelity.psnr(a, b) == pytest.approx(psnr, abs=1e-6)
    assert fidelity.ssim(a, b) == pytest.approx(ssim, abs=1e-6)


def test_camera_rows_of_the_check_table(camera: tuple[np.ndarray, ...]) -> None:
    cam, blurred, noisy = camera
    assert fidelity.psnr(cam, blurred) == pytest.approx(25.909115, abs=1e-6)
    assert fidelity.psnr(cam, noisy) == pytest.approx(20.185798, abs=1e-6)
    assert fidelity.ssim(cam, blurred) == pytest.approx(0.748698, abs=1e-6)
    assert fidelity.ssim(cam, noisy) == pytest.approx(0.278079, abs=1e-6)
    assert fidelity.ms_ssim(cam, blurred) == pytest.approx(0.929587, abs=1e-6)
    assert fidelity.ms_ssim(cam, noisy) == pytest.approx(0.728948, abs=1e-6)


def test_ms_ssim_of_the_procedural_pictures() -> None:
    assert fidelity.ms_ssim(*procedural(192)) == pytest.approx(0.992539, abs=1e-6)
    with pytest.raises(ValueError, match="161"):
        fidelity.ms_ssim(*procedural(160))
    assert 0 < fidelity.ms_ssim(*procedural(161)) < 1
    assert 0 < fidelity.ms_ssim(*procedural(64), scales=3) < 1


def test_luma_of_the_primaries() -> None:
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert fidelity.luma(colours)[0] == pytest.approx([235, 16, 81.481, 144.553, 40.966], abs=1e-9)


def test_one_grey_level_is_48_decibels() -> None:
    grey = np.full((20, 20), 100, np.uint8)
    assert fidelity.psnr(grey, grey + 1) == pytest.approx(48.1308, abs=1e-4)
    assert fidelity.psnr(grey, grey) == math.inf


def test_the_border_is_not_scored() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    restored = truth.copy()
    restored[:3], restored[-3:], restored[:, :3], restored[:, -3:] = 0, 0, 0, 0
    assert fidelity.psnr_y(restored, truth, 3) == math.inf
    assert fidelity.ssim_y(restored, truth, 3) == pytest.approx(1, abs=1e-7)
    assert fidelity.psnr_y(restored, truth, 2) < 20
    with pytest.raises(ValueError, match="leaves nothing"):
        fidelity.psnr_y(restored, truth, 20)


def test_noise_on_rgb_shrinks_on_luma() -> None:
    truth = np.full((256, 256, 3), 128, np.uint8)
    noisy = np.rint(truth + np.random.default_rng(1).normal(0, 10, truth.shape)).astype(np.uint8)
    gain = fidelity.psnr_y(noisy, truth, 0) - fidelity.psnr(noisy, truth)
    assert gain == pytest.approx(-20 * math.log10(0.5742), abs=0.05)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), height=st.integers(11, 60), width=st.integers(11, 60), colour=st.booleans(),
       kind=st.sampled_from(["noise", "halves", "sparse", "flat"]), sigma=st.sampled_from([0.5, 3.0, 12.0, 60.0]))
def test_ssim_is_that_of_scikit_image(seed: int, height: int, width: int, colour: bool, kind: str,
                                      sigma: float) -> None:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if colour else (height, width)
    start = {"noise": rng.integers(0, 256, shape), "flat": np.full(shape, rng.integers(0, 256)),
             "halves": np.where(np.arange(height).reshape(-1, *[1] * (len(shape) - 1)) < height // 2, 0, 255)
             + np.zeros(shape), "sparse": 255 * (rng.random(shape) < 0.02)}[kind]
    a = start.astype(np.uint8)
    b = np.clip(np.rint(start + rng.normal(0, sigma, shape)), 0, 255).astype(np.uint8)
    assert fidelity.ssim(a, b) == pytest.approx(wang(a, b), abs=1e-9)
    assert fidelity.ssim(a / 255, b / 255, 1.0) == pytest.approx(wang(a / 255, b / 255, 1.0), abs=1e-9)
    assert fidelity.ssim(b, a) == fidelity.ssim(a, b)
    assert fidelity.ssim(a, a) == pytest.approx(1, abs=1e-9)
    if (a != b).any():
        assert fidelity.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)


def test_ssim_is_exact_where_float32_is_not() -> None:
    """Flat black and white with faint noise: the moments cancel, float32 can miss by 1e-5."""
    rng = np.random.default_rng(5)
    a = np.where(np.arange(300)[:, None] % 97 < 48, 0, 255) + np.zeros((300, 310))
    b = np.clip(np.rint(a + rng.normal(0, 10, a.shape)), 0, 255).astype(np.uint8)
    a = a.astype(np.uint8)
    assert fidelity.ssim(a, b) == pytest.approx(wang(a, b), abs=1e-10)
    assert fidelity.ssim_of_map(fidelity.ssim_map(a, b)) == pytest.approx(fidelity.ssim(a, b), abs=1e-12)
    assert fidelity.ssim(a.astype(np.float32), b.astype(np.float32)) == fidelity.ssim(a, b)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 70), width=st.integers(1, 70), border=st.integers(0, 3),
       channels=st.sampled_from([0, 1, 3, 4]))
def test_the_error_of_bytes_is_exact(seed: int, height: int, width: int, border: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (height + 2 * border, width + 2 * border, *([channels] if channels else []))
    a, b = (fidelity.shaved(rng.integers(0, 256, shape, dtype=np.uint8), border) for _ in range(2))
    assert fidelity.mse(a, b) == np.square(a.astype(np.int64) - b).sum() / a.size


def test_the_whole_map_is_that_of_scikit_image() -> None:
    a, b = procedural(48)
    full = structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                 full=True)[1]
    assert np.abs(fidelity.ssim_map(a, b) - full).max() < 1e-9


def test_pictures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        fidelity.psnr(np.zeros((4, 4)), np.zeros((4, 5)))
    with pytest.raises(ValueError, match="11 x 11"):
        fidelity.ssim(np.zeros((10, 30)), np.zeros((10, 30)))


def test_legacy_protocol_of_pen_net() -> None:
    truth = skimage.data.astronaut()[:96, :80]
    other = np.clip(truth + np.random.default_rng(4).normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(truth, other, win_size=51, channel_axis=-1)
    assert fidelity.ssim_pen_net(other, truth) == pytest.approx(expected, abs=1e-9)
    assert fidelity.ssim_pen_net(truth, truth) == pytest.approx(1, abs=1e-12)
    with pytest.raises(ValueError, match="at least 51 pixels"):
        fidelity.ssim_pen_net(truth[:50], truth[:50])


def test_legacy_protocol_of_edgeconnect() -> None:
    rng = np.random.default_rng(3)
    truth = skimage.data.astronaut()[:96, :96]
    other = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    grey = [picture / 255 @ np.array([0.2125, 0.7154, 0.0721]) for picture in (truth, other)]
    expected = structural_similarity(*grey, data_range=1, win_size=51)
    assert fidelity.ssim_edgeconnect(other, truth) == pytest.approx(expected, abs=1e-9)
    ratio = np.abs(grey[0] - grey[1]).sum() / (grey[0] + grey[1]).sum()
    assert fidelity.mae_edgeconnect(other, truth) == pytest.approx(ratio, abs=1e-9)
    assert fidelity.mae_edgeconnect(truth * 0, truth * 0) == 0
    assert fidelity.l1_percent(truth, truth * 0) == pytest.approx(100 * truth.mean() / 255, abs=1e-9)
