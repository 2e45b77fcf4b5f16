"""Gabor kernels against OpenCV, their normalisation against the card's sums, textures against filter2D."""

import math

import cv2
import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.nn.gabor import DIRECTIONS, SIZES, gabor_bank, gabor_kernel, normalise, texture


def test_the_bank_has_24_kernels_equal_to_opencv_and_symmetric() -> None:
    bank = gabor_bank()
    assert sorted(bank) == [(size, direction) for size in SIZES for direction in DIRECTIONS]
    for (size, direction), kernel in bank.items():
        reference = cv2.getGaborKernel((size, size), 1.0, math.radians(direction), math.pi / 2, 0.5, 0)
        assert kernel.shape == (size, size)
        np.testing.assert_allclose(kernel.numpy(), reference, atol=1e-15, rtol=0)
        np.testing.assert_allclose(kernel.numpy(), kernel.flip(0, 1).numpy(), atol=1e-12)


def test_other_parameters_equal_opencv_too() -> None:
    kernel = gabor_kernel(9, 30, sigma=2.5, wavelength=4.0, aspect=0.8, phase=0.7)
    reference = cv2.getGaborKernel((9, 9), 2.5, math.radians(30), 4.0, 0.8, 0.7)
    np.testing.assert_allclose(kernel.numpy(), reference, atol=1e-14)


def test_the_card_s_row_and_sums() -> None:
    row = [.009374, -.019691, -.396455, 1, -.396455, -.019691, .009374]
    assert gabor_kernel(7, 0)[3].tolist() == pytest.approx(row, abs=1e-6)
    sums = [float(gabor_kernel(size, 0).sum()) for size in SIZES]
    assert sums == pytest.approx([.862801, .910122, .926466, .930594, .931407, .931531], abs=1e-6)
    assert float(gabor_kernel(7, 45).sum()) == pytest.approx(.026989, abs=1e-6)


def test_norms() -> None:
    assert float(normalise(gabor_kernel(7, 0), "sum").sum()) == pytest.approx(2 / 3)
    assert float(normalise(gabor_kernel(17, 45), "l1").abs().sum()) == pytest.approx(1)
    with pytest.warns(UserWarning, match="saturates"):
        normalise(gabor_kernel(7, 135), "sum")
    with pytest.raises(UserError, match="is none of"):
        normalise(gabor_kernel(7, 0), "l2")
    with pytest.raises(UserError, match="odd size"):
        gabor_kernel(8, 0)


@pytest.mark.parametrize("size", [7, 17])
@pytest.mark.parametrize("direction", [0, 90])
def test_textures_equal_opencv_s_filter(size: int, direction: int) -> None:
    grey = np.random.default_rng(0).uniform(0, 1, (40, 33)).astype(np.float32)
    kernel = normalise(gabor_kernel(size, direction), "sum")
    reference = cv2.filter2D(grey, cv2.CV_32F, kernel.numpy(), borderType=cv2.BORDER_REFLECT_101)
    found = texture(torch.from_numpy(grey)[None, None], kernel)[0, 0].numpy()
    np.testing.assert_allclose(found, reference.clip(0, 1), atol=1e-5)
    assert found.std() > 0.01
