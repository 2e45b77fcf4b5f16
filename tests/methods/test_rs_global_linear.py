"""rs_global_linear: one straight line a band, by numpy's own least squares and by hand."""

import numpy as np
import pytest
import torch

from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_direct, rs_global_linear
from restore_ml.restoring.harness import restore
from tests.methods.test_cloud_by_hand import dates, given
from tests.methods.test_cloud_methods import psnr, sample


def restored(*scene: np.ndarray) -> np.ndarray:
    return restore(rs_global_linear.METHOD({}), Model(), given(*scene), 1)["image"]


@pytest.mark.parametrize("seed", [0, 1])
def test_hidden_pixels_are_ordinary_least_squares_of_the_clear_ones(seed):
    target, reference, missing = (value.astype(np.float32) if value.dtype != bool else value for value in dates(seed))
    image = restored(target, reference, missing)
    assert image.dtype == np.float32 and np.array_equal(image[~missing], target[~missing])
    for band in range(2):
        known = np.stack([reference[..., band][~missing], np.ones((~missing).sum())], 1).astype(np.float64)
        (slope, offset), *_ = np.linalg.lstsq(known, target[..., band][~missing].astype(np.float64), rcond=None)
        np.testing.assert_allclose(image[..., band][missing], slope * reference[..., band][missing] + offset,
                                   atol=1e-6)


def test_by_hand_and_each_band_for_itself():
    """Clear pixels (0, 1) and (1, 3) of one band, (0, 5) and (1, 4) of the other: lines 1 + 2 r and 5 - r, at r = 2 and
    r = 3. What the target has under the cloud tells nothing."""
    reference = np.array([[[0.0, 0.0], [1.0, 1.0], [2.0, 3.0]]])
    missing = np.array([[False, False, True]])
    for under in (-7.0, 9.0):
        target = np.array([[[1.0, 5.0], [3.0, 4.0], [under, under]]])
        np.testing.assert_allclose(restored(target, reference, missing), [[[1, 5], [3, 4], [5, 2]]], atol=1e-6)


def test_one_affine_change_is_restored_exactly():
    _, reference, missing = dates(2)
    target = reference * np.array([0.7, -1.3]) + np.array([0.1, 0.9])
    np.testing.assert_allclose(restored(target, reference, missing), target, atol=1e-6)


def test_without_contrast_or_clear_pixels():
    """A constant reference keeps a = 1, so its hidden detail is added to the target's mean; nothing clear gives the
    reference itself."""
    target, reference, missing = dates(3)
    reference[..., 0][~missing] = 0.4
    image = restored(target, reference, missing)
    expected = target[..., 0][~missing].mean() + reference[..., 0][missing] - 0.4
    np.testing.assert_allclose(image[..., 0][missing], expected, atol=1e-6)
    everything = np.ones_like(missing)
    assert np.array_equal(restored(target, reference, everything), reference.astype(np.float32))


def test_a_band_of_less_than_one_digital_number_counts_as_constant():
    target, reference, missing = dates(4)
    reference[..., 1] = 0.4 + 1e-4 * reference[..., 1]
    image = restored(target, reference, missing)[..., 1]
    offset = target[..., 1][~missing].mean() - reference[..., 1][~missing].mean()
    np.testing.assert_allclose(image[missing], reference[..., 1][missing] + offset, atol=1e-6)


def test_it_is_beyond_direct_replacement_on_drawn_scenes():
    rows = []
    for index in range(3):
        made = sample(20 + index)
        rows.append([psnr(restore(method.METHOD({}), Model(), made.inputs, 1)["image"], made)
                     for method in (rs_direct, rs_global_linear)])
    direct, linear = np.mean(rows, axis=0)
    assert linear > direct + 0.5


def test_tensors_of_any_number_of_bands():
    generator = torch.Generator().manual_seed(1)
    inputs = {"target": torch.rand(1, 6, 9, 7, generator=generator), "mask": torch.zeros(1, 1, 9, 7)}
    inputs["reference"] = 2 * inputs["target"] - 0.5
    inputs["mask"][..., 2:5, 3:] = 1
    hidden = {**inputs, "target": inputs["target"] * (1 - inputs["mask"])}
    image = rs_global_linear.METHOD({}).restore(Model(), hidden, 1)["image"]
    assert image.shape == (1, 6, 9, 7) and image.dtype == torch.float32
    torch.testing.assert_close(image, inputs["target"], atol=1e-5, rtol=0)
