"""Blurs against OpenCV and scipy, noise by its statistics, both by what must hold for any picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data

from restore_ml.base.errors import UserError
from restore_ml.degradations.blur import (
    blur_decimate,
    convolve,
    gaussian_blur,
    gaussian_kernel,
    motion_blur,
    motion_kernel,
)
from restore_ml.degradations.noise import gaussian_noise, jpeg, salt_and_pepper, speckle

CV_BORDERS = {"reflect": cv2.BORDER_REFLECT_101, "symmetric": cv2.BORDER_REFLECT, "edge": cv2.BORDER_REPLICATE}


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def test_gaussian_kernel_equals_opencv_and_the_video_literature():
    np.testing.assert_allclose(gaussian_kernel(13, 1.6), cv2.getGaussianKernel(13, 1.6)[:, 0], atol=1e-15)
    impulse = np.zeros((13, 13))
    impulse[6, 6] = 1
    kernel = gaussian_kernel(13, 1.6)
    np.testing.assert_allclose(np.outer(kernel, kernel), ndimage.gaussian_filter(impulse, 1.6, truncate=4), atol=1e-12)


@pytest.mark.parametrize("border", CV_BORDERS)
def test_gaussian_blur_equals_opencv(border):
    image = np.random.default_rng(0).random((40, 50, 3))
    there = cv2.GaussianBlur(image, (13, 13), 1.6, borderType=CV_BORDERS[border])
    np.testing.assert_allclose(gaussian_blur(image, 1.6, 13, border), there, atol=1e-12)


def test_blur_decimate_keeps_every_pixel_from_the_first():
    image = data.astronaut()[:131, :133]
    small = blur_decimate(image, 4)
    there = cv2.GaussianBlur(image[:128, :132].astype(float), (13, 13), 1.6, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(small, np.floor(there + 0.5)[::4, ::4])
    assert small.shape == (32, 33, 3) and small.flags.c_contiguous


@settings(deadline=None, max_examples=25)
@given(st.floats(0, 40), st.floats(-360, 360))
def test_motion_kernel(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1) and (kernel >= 0).all() and kernel.shape[0] % 2 == 1
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-9)
    along = np.arange(len(kernel)) - len(kernel) // 2
    rows, columns = np.meshgrid(-along, along, indexing="ij")
    direction = np.radians(angle)
    spread = (kernel * (columns * np.cos(direction) + rows * np.sin(direction)) ** 2).sum()
    across = (kernel * (rows * np.cos(direction) - columns * np.sin(direction)) ** 2).sum()
    assert spread == pytest.approx(length**2 / 12, abs=0.3) and across < 0.3


def test_motion_blur_of_a_row():
    np.testing.assert_allclose(motion_kernel(0, 0)[1], [0, 1, 0], atol=1e-12)
    point = np.zeros((21, 21))
    point[10, 10] = 1
    blurred = motion_blur(point, 8, 0)
    assert (blurred[10, 7:14] > 0.12).all() and blurred[9].max() < 1e-12 and blurred[10, :5].max() < 1e-12
    upwards = motion_blur(point, 8, 90)
    np.testing.assert_allclose(upwards, blurred.T, atol=1e-9)


def test_convolution_flips_the_kernel_and_handles_channels():
    kernel = np.zeros((3, 3))
    kernel[0, 0] = 1
    image = np.random.default_rng(0).random((6, 7, 2))
    np.testing.assert_array_equal(convolve(image, kernel)[:5, :6], image[1:, 1:])


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 255), st.sampled_from(sorted(CV_BORDERS)))
def test_blurs_keep_constants_and_dtypes(height, width, level, border):
    image = np.full((height, width, 3), level, np.uint8)
    for blurred in (gaussian_blur(image, 2.0, border=border), motion_blur(image, 5, 30, border)):
        np.testing.assert_array_equal(blurred, image)
    assert gaussian_blur(image.astype(np.float32), 1.0, border=border).dtype == np.float32


def test_gaussian_noise_has_its_deviation_and_clips():
    grey = np.full((400, 400, 3), 128, np.uint8)
    noisy = gaussian_noise(grey, 10, generator())
    difference = noisy.astype(float) - 128
    assert difference.std() == pytest.approx(np.sqrt(100 + 1 / 12), rel=0.01) and abs(difference.mean()) < 0.05
    channels = difference.reshape(-1, 3)
    assert np.abs(np.corrcoef(channels.T) - np.eye(3)).max() < 0.01
    assert gaussian_noise(np.full((50, 50), 255, np.uint8), 30, generator()).max() == 255
    np.testing.assert_array_equal(noisy, gaussian_noise(grey, 10, generator()))
    np.testing.assert_array_equal(gaussian_noise(grey, 0, generator()), grey)


def test_speckle_grows_with_brightness():
    levels = np.repeat(np.array([0, 50, 100], np.uint8), 40000).reshape(3, 40000)
    noisy = speckle(levels, 0.1, generator()).astype(float)
    assert noisy[0].max() == 0
    np.testing.assert_allclose(noisy.std(1)[1:], [5, 10], rtol=0.03)


def test_salt_and_pepper_hits_whole_pixels():
    image = np.full((300, 300, 3), 90, np.uint8)
    noisy = salt_and_pepper(image, 0.2, generator(), salt=0.25)
    assert (noisy[..., :1] == noisy).all()
    assert (noisy[..., 0] == 255).mean() == pytest.approx(0.05, abs=0.005)
    assert (noisy[..., 0] == 0).mean() == pytest.approx(0.15, abs=0.01)
    assert (image == 90).all()


def test_jpeg_loses_more_at_lower_quality():
    image = data.astronaut()
    errors = [np.square(jpeg(image, quality).astype(float) - image).mean() for quality in (10, 50, 90)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    for shape in ((40, 40), (40, 40, 1)):
        assert jpeg(image[:40, :40, 0].reshape(shape), 80).shape == shape


def test_absurd_settings_are_refused():
    image = np.zeros((8, 8, 3), np.uint8)
    for call in (lambda: gaussian_kernel(4, 1), lambda: gaussian_kernel(5, 0),
                 lambda: gaussian_blur(image, 1, 5, "wrap"), lambda: motion_kernel(-1, 0),
                 lambda: motion_kernel(1e9, 0),
                 lambda: convolve(image, np.ones((2, 2))),
                 lambda: gaussian_noise(image, -1, generator()), lambda: gaussian_noise(image / 255, 1, generator()),
                 lambda: salt_and_pepper(image, 1.5, generator()), lambda: speckle(image, float("nan"), generator()),
                 lambda: jpeg(image, 0), lambda: jpeg(np.zeros((8, 8, 4), np.uint8), 50)):
        with pytest.raises(UserError):
            call()
