"""The information fidelity criterion against the method card's figures and its laws."""

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter

from restore_ml.metrics.ifc import ifc_freq
from tests.metrics.test_fidelity import procedural


def test_figures_of_the_card() -> None:
    cam = skimage.data.camera().astype(np.float64)
    noisy = cam + 25 * np.random.RandomState(0).randn(512, 512)
    ladder = [ifc_freq(cam, gaussian_filter(cam, sigma, mode="reflect")) for sigma in (0.5, 1, 2, 4)]
    assert ladder == pytest.approx([6.78, 2.83, 1.183, 0.465], rel=2e-3)
    assert ifc_freq(cam, noisy) == pytest.approx(0.599, abs=1e-3)
    assert ifc_freq(*procedural(192)) == pytest.approx(7.960, abs=5e-3)


def test_laws() -> None:
    truth = skimage.data.camera()[100:228, 150:290].astype(np.float64)
    blurred = gaussian_filter(truth, 1.0, mode="reflect")
    value = ifc_freq(truth, blurred)
    assert ifc_freq(truth, truth) > 10 * value > 0
    assert ifc_freq(truth / 255, blurred / 255) == pytest.approx(value, rel=1e-3)
    assert ifc_freq(truth, blurred + 40) == pytest.approx(value, rel=1e-6)
    unrelated = np.random.default_rng(0).normal(0, 30, truth.shape)
    assert ifc_freq(truth + unrelated, truth) != pytest.approx(ifc_freq(truth, truth + unrelated), rel=0.05)
    assert ifc_freq(truth, unrelated) < 0.2 * value
    with pytest.raises(ValueError, match="96"):
        ifc_freq(truth[:95], blurred[:95])


@pytest.mark.parametrize("shape", [(97, 131), (100, 99)])
def test_odd_sides(shape: tuple[int, int]) -> None:
    truth = skimage.data.camera()[: shape[0], : shape[1]].astype(np.float64)
    values = [ifc_freq(truth, gaussian_filter(truth, sigma, mode="reflect")) for sigma in (0.5, 1, 2)]
    assert values[0] > values[1] > values[2] > 0
