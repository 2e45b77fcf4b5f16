"""Hole metrics: the link with the whole picture, blindness to known pixels, the contour."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics import fidelity, hole


def sample(seed: int, share: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, composed output and mask: noise inside the hole, truth outside."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
    mask = (rng.random((32, 40, 1)) < share).astype(np.uint8)
    output = np.where(mask > 0, rng.integers(0, 256, truth.shape, dtype=np.uint8), truth)
    return output, truth, mask


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 1.0))
def test_whole_and_hole_psnr_differ_by_the_hole_ratio(seed: int, share: float) -> None:
    output, truth, mask = sample(seed, share)
    if not mask.any() or (output == truth).all():
        return
    ratio = mask.mean()
    linked = hole.psnr_hole(output, truth, mask) - 10 * math.log10(ratio)
    assert fidelity.psnr(output, truth) == pytest.approx(linked, abs=1e-9)
    assert fidelity.l1_percent(output, truth) == pytest.approx(hole.l1_hole(output, truth, mask) * ratio, abs=1e-9)


def test_known_pixels_do_not_count() -> None:
    output, truth, mask = sample(1)
    other = np.where(mask > 0, output, 255 - output)
    assert hole.psnr_hole(other, truth, mask) == hole.psnr_hole(output, truth, mask)
    assert hole.l1_hole(other, truth, mask) == hole.l1_hole(output, truth, mask)


def test_ssim_of_the_hole_is_the_mean_of_the_map_there() -> None:
    output, truth, mask = sample(2)
    everywhere = np.ones_like(mask)
    whole = fidelity.ssim_map(output, truth)
    assert hole.ssim_hole(output, truth, everywhere) == pytest.approx(whole.mean(), abs=1e-12)
    assert hole.ssim_hole(output, truth, mask) == pytest.approx((whole * mask[..., 0]).sum() / mask.sum(), abs=1e-12)
    assert hole.ssim_hole(truth, truth, mask) == pytest.approx(1, abs=1e-7)


def test_squares_and_spread_by_hand() -> None:
    """Two missing pixels of two channels: 10, 30 where 20, 20 is true and 0, 8 where 4, 4 is."""
    truth = np.array([[[20, 4], [20, 4], [99, 7]]], np.uint8)
    output = np.array([[[10, 0], [30, 8], [0, 0]]], np.uint8)
    mask = np.array([[1, 1, 0]])
    assert hole.l2_hole(output, truth, mask) == pytest.approx(100 * (100 + 100 + 16 + 16) / 4 / 255**2, abs=1e-12)
    assert hole.l2_hole(output, truth, mask, 10.0) == pytest.approx(58.0, abs=1e-12)
    assert math.isnan(hole.spread_hole(output, truth, mask)), "a flat truth has no spread"
    # variances 100 and 16 (mean 58) against 25 and 1 (mean 13)
    truth = np.array([[[20, 4], [30, 6], [99, 7]]], np.uint8)
    assert hole.spread_hole(output, truth, mask) == pytest.approx(math.sqrt(58 / 13), abs=1e-12)
    assert hole.spread_hole(truth, truth, mask) == 1 and hole.spread_hole(0 * truth + 9, truth, mask) == 0


def test_without_a_hole_there_is_no_figure() -> None:
    output, truth, mask = sample(3)
    for measure in (hole.psnr_hole, hole.l1_hole, hole.l2_hole, hole.spread_hole, hole.ssim_hole, hole.seam_error):
        assert math.isnan(measure(output, truth, mask * 0))


def test_seam_is_the_step_at_the_contour() -> None:
    truth = np.tile(np.arange(12.0)[:, None], (1, 10))[..., None]
    mask = np.zeros((12, 10))
    mask[4:8, 3:7] = 1
    raised = truth + 5 * mask[..., None]
    assert hole.seam_error(truth, truth, mask) == 0
    assert hole.seam_error(raised, truth, mask) == pytest.approx(5)
    slope = truth + (np.arange(12.0) - 3)[:, None, None] * mask[..., None]  # errors of 1 to 4 down the hole
    assert hole.seam_error(slope, truth, mask) == pytest.approx((4 * 1 + 4 * 4 + 10 + 10) / 16)
    inner = truth.copy()
    inner[5:7, 4:6] += 50
    assert hole.seam_error(inner, truth, mask) == 0
