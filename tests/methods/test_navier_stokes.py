"""The Navier-Stokes filling: OpenCV's, on a blanked hole."""

import cv2
import numpy as np
import pytest

from restore_ml.degradations.irregular_masks import irregular_bucket
from restore_ml.method import Model
from restore_ml.methods.inpainting.navier_stokes import METHOD, navier_stokes
from restore_ml.seeds import generator


def picture(seed: int, channels: int = 3) -> np.ndarray:
    rng = generator("navier_stokes", seed)
    y, x = np.mgrid[:48, :56] / 48
    waves = [127 + 100 * np.sin(5 * (y * rng.random() + x * rng.random()) + rng.random() * 6) for _ in range(channels)]
    return np.stack(waves, axis=2).astype(np.uint8)


def hole(seed: int) -> np.ndarray:
    return irregular_bucket(48, 56, generator("hole", seed), 2)


@pytest.mark.parametrize("radius", [1, 3, 9])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_method_is_opencvs_at_the_runs_radius(radius, channels):
    image, mask = picture(2, channels), hole(2)
    inputs = {"image": image, "mask": mask[..., None]}
    got = METHOD({"radius": radius}).restore_arrays(Model(), inputs, 1)["image"]
    blank = image * (1 - mask[..., None])
    expected = cv2.inpaint(blank if channels == 3 else blank[..., 0], mask, radius, cv2.INPAINT_NS)
    assert got.dtype == np.uint8 and np.array_equal(got, expected.reshape(image.shape))


def test_the_usual_radius_is_three():
    image, mask = picture(3), hole(3)
    assert METHOD.paper == {"radius": 3}
    expected = cv2.inpaint(image * (1 - mask[..., None]), mask, 3, cv2.INPAINT_NS)
    assert np.array_equal(navier_stokes(image, mask), expected)


def test_known_pixels_stay_and_values_under_the_hole_tell_nothing():
    for seed, channels in ((4, 3), (5, 1)):
        image, mask = picture(seed, channels), hole(seed)
        noise = generator("other", seed).integers(0, 256, image.shape, dtype=np.uint8)
        wild = np.where(mask[..., None] > 0, noise, image)
        shown = [each if channels == 3 else each[..., 0] for each in (image, wild)]
        filled = navier_stokes(shown[0], 255 * mask)
        assert np.array_equal(filled[mask == 0], shown[0][mask == 0])
        assert np.array_equal(filled, navier_stokes(shown[1], mask))


def test_it_fills_better_than_the_mean():
    gains = []
    for seed in range(8):
        image, mask = picture(seed), hole(seed)
        mean = image[mask == 0].mean(axis=0)
        errors = [((guess.astype(float) - image)[mask > 0] ** 2).mean()
                  for guess in (np.broadcast_to(mean, image.shape), navier_stokes(image, mask))]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert min(gains) > 6


@pytest.mark.parametrize("shape", [(48, 56, 3), (48, 56)])
def test_a_picture_without_a_known_pixel_stays_empty_and_one_wholly_known_comes_back(shape):
    image = picture(1)[..., 0] if len(shape) == 2 else picture(1)
    assert not navier_stokes(image, np.ones((48, 56), np.uint8)).any()
    assert np.array_equal(navier_stokes(image, np.zeros((48, 56), np.uint8)), image)
