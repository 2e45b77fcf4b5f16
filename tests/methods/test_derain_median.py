"""derain_median: the median along a row by hand, edges, and what it does to rain."""

import numpy as np
import pytest

from restore_ml.base.errors import SettingError
from restore_ml.degradations import dense
from restore_ml.method import Model
from restore_ml.methods.restoration.derain_median import METHOD
from restore_ml.metrics.fidelity import psnr
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.tasks.examples import picture


@pytest.mark.parametrize("width", [3, 5, 7])
def test_the_median_by_hand(width):
    image, reach = np.random.default_rng(0).integers(0, 256, (6, 11, 3), dtype=np.uint8), width // 2
    found = restore(METHOD({"width": width}), Model(), {"image": image}, 1)["image"]
    for y in range(6):
        for x in range(11):
            places = np.clip(np.arange(x - reach, x + reach + 1), 0, 10)
            assert np.array_equal(found[y, x], np.median(image[y, places], axis=0))


def test_an_upright_line_goes_and_a_lying_one_stays():
    image = np.full((20, 20, 3), 50, np.uint8)
    image[:, 9:12] = 250
    assert (restore(METHOD({}), Model(), {"image": image}, 1)["image"] == 50).all()
    lying = image.transpose(1, 0, 2)
    assert np.array_equal(restore(METHOD({}), Model(), {"image": lying}, 1)["image"], lying)


def test_rain_is_taken_off_by_more_than_two_decibels():
    gains = []
    for seed in range(4):
        seen, truth = dense.rain(picture(), generator(seed))
        gains.append(psnr(restore(METHOD({}), Model(), {"image": seen}, 1)["image"], truth) - psnr(seen, truth))
    assert np.mean(gains) > 2


def test_what_it_is_for():
    method = METHOD({})
    assert [case for case in ("old_photo", "haze", "rain", "noise_25", "blur", "watermark", "as_found")
            if method.unsupported(case) is None] == ["old_photo", "rain", "as_found"]
    assert METHOD.paper == {"width": 7} and not method.trains
    with pytest.raises(SettingError, match="3, 5 or 7"):
        METHOD({"width": 4})
