"""unsharp_mask: the formula against scipy, its range, and what it does to blur."""

import numpy as np
import pytest
from scipy import ndimage

from restore_ml.degradations import dense
from restore_ml.method import Model
from restore_ml.methods.restoration.unsharp_mask import METHOD
from restore_ml.metrics.fidelity import psnr
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.tasks.examples import picture


@pytest.mark.parametrize(("radius", "amount"), [(1.0, 1.0), (1.5, 0.4)])
def test_the_formula(radius, amount):
    image = np.random.default_rng(0).integers(100, 140, (30, 34, 3), dtype=np.uint8)
    found = METHOD({"radius": radius, "amount": amount}).restore_arrays(Model(), {"image": image}, 1)["image"]
    x = image / 255
    soft = np.stack([ndimage.gaussian_filter(x[..., c], radius, mode="mirror", truncate=4) for c in range(3)], 2)
    np.testing.assert_allclose(found, x + amount * (x - soft), atol=2e-4)


def test_it_is_clipped_and_a_flat_picture_comes_back():
    step = np.zeros((16, 16, 3), np.uint8)
    step[:, 8:] = 255
    found = METHOD({"amount": 3.0}).restore_arrays(Model(), {"image": step}, 1)["image"]
    assert found.min() == 0 and found.max() == 1
    flat = np.full((16, 16, 3), 77, np.uint8)
    assert np.array_equal(restore(METHOD({}), Model(), {"image": flat}, 1)["image"], flat)


def test_a_blurred_picture_comes_nearer_to_the_truth():
    gains = []
    for seed in range(4):
        seen, truth = dense.blur(picture(), generator(seed))
        gains.append(psnr(restore(METHOD({}), Model(), {"image": seen}, 1)["image"], truth) - psnr(seen, truth))
    assert np.mean(gains) > 0.5


def test_what_it_is_for():
    method = METHOD({})
    assert [case for case in ("old_photo", "haze", "rain", "noise_25", "blur", "watermark", "as_found")
            if method.unsupported(case) is None] == ["blur"]
    assert METHOD.paper == {"radius": 1.0, "amount": 1.0} and not method.trains
