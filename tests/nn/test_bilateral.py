"""The joint bilateral filter against OpenCV and its limits; DAISY against scikit-image."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.feature import daisy as skimage_daisy

from restore_ml.nn.bilateral import joint_bilateral, pad_symmetric
from restore_ml.nn.daisy_features import daisy


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def test_guided_by_itself_it_is_opencv_s_bilateral_filter() -> None:
    """OpenCV's window is a disc; with a radius of many sigmas the corners weigh nothing."""
    picture = noise(1, 1, 24, 31)
    reference = cv2.bilateralFilter(picture[0, 0].numpy(), 13, 0.2, 1.2, borderType=cv2.BORDER_REFLECT)
    np.testing.assert_allclose(joint_bilateral(picture, picture, 6, 1.2, 0.2)[0, 0].numpy(), reference, atol=2e-4)


def test_with_an_infinite_range_it_is_a_gaussian_blur() -> None:
    picture = noise(1, 2, 20, 20)
    found = joint_bilateral(picture, noise(1, 1, 20, 20), 8, 2.0, float("inf"))
    for channel in range(2):
        reference = cv2.GaussianBlur(picture[0, channel].numpy(), (17, 17), 2.0, borderType=cv2.BORDER_REFLECT)
        np.testing.assert_allclose(found[0, channel].numpy(), reference, atol=1e-5)


def test_constants_stay_and_noise_falls_where_the_guide_is_flat() -> None:
    guide = noise(1, 1, 24, 24)
    assert float((joint_bilateral(torch.full((1, 2, 24, 24), 0.3), guide, 4, 2.0, 0.05) - 0.3).abs().max()) < 1e-6
    uv = noise(1, 2, 48, 48)
    smooth = joint_bilateral(uv, torch.full((1, 1, 48, 48), 0.5), 8, 4.0, 0.05)
    assert float(uv.std() / smooth[..., 8:-8, 8:-8].std()) > 5


def test_colour_does_not_bleed_over_an_edge_of_the_guide() -> None:
    step = (torch.arange(40) >= 20).float().expand(1, 1, 40, 40)
    found = joint_bilateral(step, 0.25 + 0.5 * step, 8, 4.0, 0.05, iterations=2)
    assert float((found - step).abs().max()) < 1e-3
    assert float((joint_bilateral(step, torch.zeros_like(step), 8, 4.0, 0.05) - step).abs().max()) > 0.1


def test_strips_are_the_whole_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    values, guide = noise(2, 3, 37, 20), noise(2, 1, 37, 20)
    whole = joint_bilateral(values, guide, 4, 2.0, 0.1, iterations=2)
    monkeypatch.setattr("restore_ml.nn.bilateral.STRIP", 2000)
    assert torch.equal(joint_bilateral(values, guide, 4, 2.0, 0.1, iterations=2), whole)


def test_padding_beyond_the_picture_s_size_is_numpy_s() -> None:
    picture = noise(2, 3, 5, 4)
    reference = np.pad(picture.numpy(), [(0, 0), (0, 0), (9, 9), (9, 9)], mode="symmetric")
    assert (pad_symmetric(picture, 9).numpy() == reference).all()


@pytest.mark.parametrize("radius", [7, 15])
def test_daisy_equals_scikit_image_on_the_mirrored_picture(radius: int) -> None:
    pictures = np.stack([data.camera()[100:150, 50:110], data.camera()[200:250, 200:260]]).astype(np.float64) / 255
    found = daisy(torch.from_numpy(pictures).float()[:, None], radius)
    assert found.shape == (2, 32, 50, 60)
    for picture, mine in zip(pictures, found, strict=True):
        mirrored = np.pad(picture, radius, mode="symmetric")
        reference = skimage_daisy(mirrored, step=1, radius=radius, rings=1, histograms=3)
        np.testing.assert_allclose(mine.permute(1, 2, 0).numpy(), reference, atol=1e-5)


def test_daisy_of_a_flat_picture_is_uniform() -> None:
    np.testing.assert_allclose(daisy(torch.full((1, 1, 9, 9), 0.5)).numpy(), 1 / 32, atol=1e-6)
