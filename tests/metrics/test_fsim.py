"""FSIM against the card's figures (which are the released program's) and its laws."""

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter

from restore_ml.metrics.fsim import fsim, grey, phase_congruency
from tests.metrics.test_fidelity import procedural


@pytest.mark.parametrize(("side", "figure"), [(64, 0.961869), (192, 0.960848)])
def test_the_card_s_procedural_pictures(side: int, figure: float) -> None:
    assert fsim(*procedural(side)) == pytest.approx(figure, abs=1e-6)


def test_the_card_s_camera_which_is_halved_as_matlab_does() -> None:
    cam = skimage.data.camera().astype(np.float64)
    assert fsim(cam, gaussian_filter(cam, 2.0, mode="reflect")) == pytest.approx(0.901292, abs=1e-6)
    assert fsim(cam, cam + 25 * np.random.RandomState(0).randn(512, 512)) == pytest.approx(0.792354, abs=1e-6)


def test_laws() -> None:
    truth = skimage.data.camera()[100:197, 150:240].astype(np.float64)
    values = [fsim(truth, gaussian_filter(truth, sigma)) for sigma in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and all(0 < value < 1 for value in values)
    assert fsim(gaussian_filter(truth, 2), truth) == pytest.approx(values[2], abs=1e-12)
    assert fsim(truth, truth) == pytest.approx(1, abs=1e-12)
    phases = phase_congruency(truth)
    assert phases.shape == truth.shape and phases.min() >= 0 and 0.3 < phases.max() <= 1
    flat = np.full((40, 40), 7.0)
    assert fsim(flat, flat) == 1.0 and not phase_congruency(flat).any()
    with pytest.raises(ValueError, match="H x W"):
        fsim(truth[..., None], truth[..., None])
    with pytest.raises(ValueError, match="must be equal"):
        fsim(truth, truth[1:])


def test_a_line_is_found_whatever_its_contrast() -> None:
    picture = np.full((64, 64), 90.0)
    picture[:, 32:] = 110
    phases = phase_congruency(picture)
    assert phases[32, 31:33].min() > 0.7 > 2 * phases[32, 28:36:7].max()
    np.testing.assert_allclose(phase_congruency(4 * picture)[20:44, 20:44], phases[20:44, 20:44], atol=1e-4)


def test_grey_by_hand() -> None:
    picture = np.array([[[10, 20, 30], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(grey(picture), [[0.299 * 10 + 0.587 * 20 + 0.114 * 30, 255]])
