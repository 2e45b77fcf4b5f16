"""Grain and seam: values by hand, and what they must not depend on."""

import numpy as np
import pytest

from restore_ml.metrics.without_truth import BESIDE, NORMAL, WORDS, grain, seam


def test_the_grain_of_one_block_by_hand():
    block = np.array([[10, 2], [1, 5]])[..., None]
    assert grain(block) == pytest.approx(abs(10 - 2 - 1 + 5) / 2 / NORMAL)
    odd = np.array([[1.0, 0.0, 9.0], [0.0, 0.0, 9.0], [9.0, 9.0, 9.0]])[..., None]
    assert grain(odd) == pytest.approx(0.5 / NORMAL)


def test_the_grain_is_the_deviation_of_white_noise_and_forgets_level_ramps_and_edges_of_the_grid():
    noise = np.random.default_rng(0).normal(0, 7, (256, 256, 3))
    assert grain(noise) == pytest.approx(7, rel=0.02)
    rows, columns = np.mgrid[:256, :256]
    ramp = 3.0 * rows[..., None] + 2.0 * columns[..., None] + 40 + 100 * (columns[..., None] >= 128)
    assert grain(noise + ramp) == pytest.approx(grain(noise), rel=1e-9)
    assert grain(ramp) == pytest.approx(0, abs=1e-9)


def test_the_grain_of_bytes_is_that_of_their_values():
    picture = np.random.default_rng(1).integers(0, 256, (33, 41, 3), dtype=np.uint8)
    assert grain(picture) == grain(picture.astype(np.float64))


def test_the_grain_of_a_part_sees_blocks_that_lie_in_it_whole():
    picture = np.zeros((8, 8, 1))
    picture[4:, 4:] = np.random.default_rng(2).normal(0, 5, (4, 4, 1))
    where = np.zeros((8, 8, 1), np.uint8)
    where[3:, 3:] = 1
    assert grain(picture, where) == grain(picture[4:, 4:])
    where[5, 5] = 0  # one block less
    left = picture[4:, 4:].reshape(2, 2, 2, 2)
    values = np.abs(left[:, 0, :, 0] - left[:, 0, :, 1] - left[:, 1, :, 0] + left[:, 1, :, 1]) / 2
    assert grain(picture, where) == pytest.approx(np.median(values.ravel()[1:]) / NORMAL)
    assert np.isnan(grain(picture, np.zeros((8, 8))))


def strip(hole: list[float], *, known: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """One row: 8 known pixels that rise by `known`, the hole, 8 more that rise by it."""
    left, right = known * np.arange(8), 100 + known * np.arange(8)
    values = np.concatenate([left, hole, right])[None, :, None]
    mask = np.zeros(values.shape[:2], np.uint8)
    mask[0, 8:8 + len(hole)] = 1
    return values, mask


def test_the_seam_by_hand():
    values, mask = strip([24.0, 50.0, 90.0])  # from 14 to 24, and from 90 to 100
    assert seam(values, mask) == pytest.approx(10 / 2)
    assert seam(values, mask[..., None]) == seam(values, mask)
    assert seam(values.transpose(1, 0, 2), mask.T) == seam(values, mask)
    assert seam(-values, mask) == seam(values, mask)


def test_the_seam_knows_only_what_lies_beside_the_rim():
    values, mask = strip([24.0, 50.0, 90.0])
    values[0, 0] = -1000  # further away than it looks
    assert BESIDE == 3 and seam(values, mask) == pytest.approx(5)
    values[0, 6] += 3  # steps 5 and -1 instead of 2 and 2, among four
    assert seam(values, mask) == pytest.approx(10 / ((2 + 2 + 5 + 1) / 4))


def test_the_seam_of_a_picture_that_goes_on_is_one():
    noise = np.random.default_rng(3).normal(0, 9, (128, 128, 3))
    mask = np.zeros((128, 128), np.uint8)
    mask[30:100, 20:90] = 1
    assert seam(noise, mask) == pytest.approx(1, abs=0.1)
    flat = noise.copy()
    flat[mask > 0] += 60
    assert seam(flat, mask) > 4


@pytest.mark.parametrize("mask", [np.zeros((8, 8)), np.ones((8, 8))])
def test_there_is_no_seam_without_a_rim(mask):
    assert np.isnan(seam(np.random.default_rng(4).normal(size=(8, 8, 1)), mask))


def test_there_is_no_seam_beside_a_flat_surrounding():
    values, mask = strip([24.0], known=0.0)
    assert np.isnan(seam(values, mask))


def test_both_are_told_of():
    assert set(WORDS) == {"grain", "seam"}
