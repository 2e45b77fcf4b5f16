"""Colour metrics against the check values of the method cards."""

import math

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from restore_ml.metrics import colour, fidelity
from restore_ml.nn.ab_classes import class_centres
from tests.metrics.test_fidelity import procedural

GREY_ROWS = {"astronaut": (17.8029, 31.2276, 19.9680, 0.860466, 72.6052),
             "chelsea": (19.4030, 24.6687, 22.0158, 0.845080, 37.9574),
             "coffee": (14.1244, 47.0412, 16.4092, 0.711816, 76.9179),
             "rocket": (22.3109, 19.7802, 23.9341, 0.875414, 38.5592)}


@pytest.mark.parametrize("name", GREY_ROWS)
def test_grey_baseline_on_the_bundled_photographs(name: str) -> None:
    rgb = getattr(skimage.data, name)()
    lab = rgb2lab(rgb)
    truth, grey = lab[..., 1:], np.zeros_like(lab[..., 1:])
    shown = np.rint(255 * lab2rgb(np.concatenate([lab[..., :1], grey], -1))).astype(np.uint8)
    measured = (fidelity.psnr(shown, rgb), colour.rmse_ab(grey, truth), colour.psnr_ab(grey, truth),
                colour.auc(colour.ab_distance(grey, truth)), colour.colorfulness(rgb))
    assert measured == pytest.approx(GREY_ROWS[name], abs=1e-4)
    assert colour.chroma_ratio(grey, truth) == 0


@pytest.mark.parametrize(("distance", "value"), [(0, 1), (75, 76 / 151), (150, 1 / 151), (150.1, 0), (0.5, 150 / 151)])
def test_auc_of_one_distance(distance: float, value: float) -> None:
    assert colour.auc(np.full((3, 4), distance)) == pytest.approx(value, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_auc_is_the_mean_of_the_accuracy_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance, weights = rng.gamma(2, 30, (9, 11)), rng.random((9, 11))
    curve = [np.average(distance <= threshold, weights=weights) for threshold in range(151)]
    assert colour.auc(distance, weights) == pytest.approx(np.mean(curve), abs=1e-12)


def test_balanced_auc_gives_each_class_its_share() -> None:
    truth = np.zeros((10, 10, 2))
    truth[:1] = (50, 30)
    prior = colour.ab_prior([truth])
    assert prior.sum() == pytest.approx(1)
    rare_wrong = truth.copy()
    rare_wrong[:1] = (-100, -100)
    common_wrong = truth.copy()
    common_wrong[1:] = (110, 110)
    assert colour.auc_balanced(truth, truth, prior) == 1
    assert colour.auc_balanced(rare_wrong, truth, prior) == pytest.approx(0.5)
    assert colour.auc_balanced(common_wrong, truth, prior) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="prior"):
        colour.auc_balanced(truth, truth + 40, prior)


def test_the_nearest_grid_node_is_the_nearest_published_class() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    rgb[0, :6] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]]
    ab = rgb2lab(rgb)[..., 1:].reshape(-1, 2)
    classes = class_centres().astype(np.float64)
    assert classes.shape == (313, 2)
    nearest = classes[np.square(ab[:, None] - classes).sum(-1).argmin(1)]
    node = colour.ab_class(ab)
    assert np.array_equal(np.stack([node // 23 - 11, node % 23 - 11], -1) * 10, nearest)


def test_colorfulness_of_the_card() -> None:
    a, _ = procedural(64)
    picture = np.stack([a, np.roll(a, 3, 0), np.roll(a, 5, 1)], -1)
    assert colour.colorfulness(picture) == pytest.approx(76.978629, abs=1e-6)
    assert colour.colorfulness(skimage.data.astronaut()) == pytest.approx(72.605165, abs=1e-6)
    assert colour.colorfulness(np.full((5, 5, 3), 70, np.uint8)) == 0


def test_chroma_ratio_scales_with_the_output() -> None:
    truth = np.random.default_rng(5).normal(0, 30, (8, 8, 2))
    assert colour.chroma_ratio(0.4 * truth, truth) == pytest.approx(0.4)
    assert math.isnan(colour.chroma_ratio(truth, truth * 0))
    assert colour.psnr_ab(truth, truth) == math.inf
