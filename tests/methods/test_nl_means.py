"""nl_means: the published sizes and strengths, the estimate of the noise, and what it does to noise."""

from __future__ import annotations

import numpy as np
import pytest

from restore_ml.degradations.noise import gaussian_noise
from restore_ml.method import Model
from restore_ml.methods.restoration import nl_means as module
from restore_ml.methods.restoration.nl_means import METHOD
from restore_ml.metrics.fidelity import psnr
from restore_ml.metrics.without_truth import grain
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.tasks.examples import picture


@pytest.mark.parametrize(("sigma", "patch", "search", "strength"), [
    (20.0, 3, 21, 0.55), (25.0, 3, 21, 0.55), (26.0, 5, 35, 0.40), (55.0, 5, 35, 0.40), (60.0, 7, 35, 0.35),
    (150.0, 7, 35, 0.35)])
def test_the_published_sizes_and_strengths(sigma, patch, search, strength, monkeypatch):
    asked = {}

    def denoise(image, **given):
        asked.update(given, image=image)
        return image * 2 - 0.5

    monkeypatch.setattr(module, "denoise_nl_means", denoise)
    found = METHOD({"sigma": sigma}).restore_arrays(Model(), {"image": picture()}, 1)["image"]
    np.testing.assert_allclose(asked.pop("image"), picture() / 255)
    assert asked == {"patch_size": patch, "patch_distance": search // 2, "h": pytest.approx(strength * sigma / 255),
                     "sigma": pytest.approx(sigma / 255), "fast_mode": True, "channel_axis": -1}
    np.testing.assert_allclose(found, np.clip(picture() / 255 * 2 - 0.5, 0, 1), atol=1e-6)


def test_the_noise_is_estimated_from_the_picture():
    image = gaussian_noise(picture(), 15, generator(2))
    told = METHOD({"sigma": grain(image)}).restore_arrays(Model(), {"image": image}, 1)["image"]
    assert np.array_equal(METHOD({}).restore_arrays(Model(), {"image": image}, 1)["image"], told)
    assert METHOD.paper == {"sigma": 0.0}


def test_noise_is_taken_off_by_more_than_four_decibels_and_the_grain_with_it():
    for sigma in (15, 25, 50):
        seen = gaussian_noise(picture(), sigma, generator(3, sigma))
        found = restore(METHOD({}), Model(), {"image": seen}, 1)["image"]
        assert psnr(found, picture()) > psnr(seen, picture()) + 4 and grain(found) < grain(seen) / 3


def test_a_picture_without_noise_comes_back(monkeypatch):
    rows, columns = np.mgrid[:40, :40]
    smooth = np.repeat((2 * rows + 3 * columns)[..., None], 3, 2).astype(np.uint8)
    monkeypatch.setattr(module, "denoise_nl_means", None)  # never asked
    found = METHOD({}).restore_arrays(Model(), {"image": smooth}, 1)["image"]
    assert np.array_equal(found, smooth) and found is not smooth
    assert np.array_equal(METHOD({}).restore_arrays(Model(), {"image": smooth[:1]}, 1)["image"], smooth[:1])


def test_what_it_is_for():
    method = METHOD({})
    assert [case for case in ("old_photo", "haze", "rain", "noise_25", "noise", "blur", "watermark", "as_found")
            if method.unsupported(case) is None] == ["old_photo", "noise_25", "noise", "as_found"]
    assert not method.trains
