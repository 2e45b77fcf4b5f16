"""The information fidelity criterion against the method card's figures and its laws."""

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter

from restore_ml.metrics.ifc import ifc_freq, least_side
from tests.metrics.test_fidelity import procedural


def test_figures_of_the_card() -> None:
    cam = skimage.data.camera().astype(np.float64)
    noisy = cam + 25 * np.random.RandomState(0).randn(512, 512)
    ladder = [ifc_freq(cam, gaussian_filter(cam, sigma, mode="reflect")) for sigma in (0.5, 1, 2, 4)]
    assert ladder == pytest.approx([6.78, 2.83, 1.183, 0.465], rel=2e-3)
    assert ifc_freq(cam, noisy) == pytest.approx(0.599, abs=1e-3)
    assert ifc_freq(*procedural(192)) == pytest.approx(7.960, abs=5e-3)


@pytest.mark.parametrize(("levels", "part"), [(4, np.s_[100:228, 150:290]), (3, np.s_[200:264, 200:264]),
                                              (3, np.s_[100:148, 190:240])])
def test_laws(levels: int, part: tuple[slice, slice]) -> None:
    """Of the whole pyramid, and of its three finest levels on pictures that have no room for a fourth."""
    truth = skimage.data.camera()[part].astype(np.float64)
    ladder = [ifc_freq(truth, gaussian_filter(truth, sigma, mode="reflect"), levels) for sigma in (0.5, 1, 2, 4)]
    assert ladder == sorted(ladder, reverse=True) and ladder[3] > 0 and min(-np.diff(np.log(ladder))) > 0.5
    blurred, value = gaussian_filter(truth, 1.0, mode="reflect"), ladder[1]
    assert ifc_freq(truth, truth, levels) > 10 * value > 0
    assert ifc_freq(truth / 255, blurred / 255, levels) == pytest.approx(value, rel=1e-3)
    assert ifc_freq(truth, blurred + 40, levels) == pytest.approx(value, rel=1e-6)
    unrelated = np.random.default_rng(0).normal(0, 30, truth.shape)
    noisy = truth + unrelated
    assert ifc_freq(noisy, truth, levels) != pytest.approx(ifc_freq(truth, noisy, levels), rel=0.05)
    assert ifc_freq(truth, unrelated, levels) < 0.2 * value
    least = least_side(levels)
    with pytest.raises(ValueError, match=f"IFC of {levels} levels needs grey pictures of at least {least} pixels"):
        ifc_freq(truth[:least - 1], blurred[:least - 1], levels)


def test_three_levels_are_four_without_the_coarsest() -> None:
    """So what is added to a picture's coarsest octave alone is seen by the fourth level and not by the other three."""
    truth = skimage.data.camera()[100:228, 150:278].astype(np.float64)
    blurred = gaussian_filter(truth, 1.0, mode="reflect")
    three, four = (ifc_freq(truth, blurred, levels) for levels in (3, 4))
    coarse = 20 * np.cos(2 * np.pi * np.arange(128) * 3 / 128)[:, None]  # 3 waves: below what the third passes
    assert three < four and ifc_freq(truth, blurred + coarse, 3) == pytest.approx(three, rel=1e-9)
    assert ifc_freq(truth, blurred + coarse, 4) < four - 1e-4


def test_the_two_orientations() -> None:
    """A picture that loses its detail along one axis alone keeps what the other band has."""
    truth = np.random.default_rng(1).normal(128, 20, (96, 96))
    down, across = (gaussian_filter(truth, sigma, mode="wrap") for sigma in ((2, 0), (0, 2)))
    for picture in (down, across):
        assert ifc_freq(truth.T, picture.T) == pytest.approx(ifc_freq(truth, picture), rel=1e-6)
        assert ifc_freq(truth, picture) > 1.2 * ifc_freq(truth, gaussian_filter(truth, 2, mode="wrap"))


@pytest.mark.parametrize("shape", [(97, 131), (100, 99)])
def test_odd_sides(shape: tuple[int, int]) -> None:
    truth = skimage.data.camera()[: shape[0], : shape[1]].astype(np.float64)
    values = [ifc_freq(truth, gaussian_filter(truth, sigma, mode="reflect")) for sigma in (0.5, 1, 2)]
    assert values[0] > values[1] > values[2] > 0
