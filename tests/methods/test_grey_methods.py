"""gray_ab0, gray_slicing and gray_transform: card values, thresholds and fits against references."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from skimage.color import rgb2lab
from skimage.filters import threshold_multiotsu

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.method import Model
from restore_ml.methods.colorization import gray_slicing, gray_transform
from restore_ml.metrics.colour import rmse_ab
from restore_ml.metrics.fidelity import psnr
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material
from tests.methods.colour_project import error, lightness_of, make, trained

RAMP = np.arange(256).reshape(16, 16).astype(np.uint8)


@pytest.mark.parametrize("slices", [1, 3, 8, 256])
@pytest.mark.parametrize("thresholds", ["uniform", "otsu"])
def test_slicing_gives_at_most_n_colours_and_l_fixed_ab(slices: int, thresholds: str) -> None:
    method = make("gray_slicing", slices=slices, thresholds=thresholds)
    output = method.restore(Model(), {"L": lightness_of(RAMP)}, 1)
    colours = output["rgb"].flatten(2)[0].T.unique(dim=0)
    assert len(colours) == slices
    reference = rgb2lab(output["rgb"][0].movedim(0, -1).numpy())[..., 1:]
    np.testing.assert_allclose(output["ab"][0].movedim(0, -1).numpy(), reference, atol=2e-3)


@pytest.mark.parametrize("levels", [[64, 128, 192], [1, 2, 255]])
def test_a_level_belongs_to_the_upper_slice(levels: list[int]) -> None:
    output = make("gray_slicing", slices=4, levels=levels).restore(Model(), {"L": lightness_of(RAMP)}, 1)["rgb"]
    flat, table = output.flatten(2)[0].T, gray_slicing.slice_colours(4)
    for number, level in enumerate(levels):
        assert torch.equal(flat[level], table[number + 1]) and torch.equal(flat[level - 1], table[number])


@pytest.mark.parametrize("levels", [[64, 64, 192], [192, 128, 64], [0, 10, 20], [10, 20], [1, 2, 256]])
def test_thresholds_must_rise(levels: list[int]) -> None:
    with pytest.raises(UserError, match="rising"):
        make("gray_slicing", slices=4, levels=levels)


@pytest.mark.parametrize("slices", [2, 3, 4])
def test_otsu_thresholds_equal_scikit_image(slices: int) -> None:
    """scikit-image names the last level of the lower class, we the first of the upper."""
    picture = data.camera()[::4, ::4]
    found = gray_slicing.otsu_levels(np.bincount(picture.ravel(), minlength=256), slices)
    reference = threshold_multiotsu(picture, slices, nbins=256)

    def between(levels: np.ndarray) -> float:
        place = np.searchsorted(levels, picture.ravel(), side="right")
        return sum((place == k).mean() * picture.ravel()[place == k].var() for k in range(slices) if (place == k).any())

    # Both are optimal; empty bins between make several thresholds equally good.
    assert between(np.array(found)) == pytest.approx(between(reference + 1), rel=1e-9)


def test_the_rainbow_has_the_card_s_values() -> None:
    rgb = 255 * gray_transform.rainbow(torch.tensor([0, 64, 128, 255]).view(1, 1, 1, 4) / 255)[0, :, 0].T
    assert rgb.round().int().tolist() == [[0, 0, 255], [0, 255, 254], [2, 255, 0], [255, 0, 0]]
    output = make("gray_transform").restore(Model(), {"L": lightness_of(RAMP)}, 1)
    assert torch.allclose(255 * output["rgb"][0, :, 8, 0], torch.tensor([2.0, 255, 0]), atol=0.05)


def test_the_sinusoid_shifts_one_curve_by_thirds() -> None:
    rgb = gray_transform.sinusoid(torch.linspace(0, 1, 301).view(1, 1, 1, -1))[0, :, 0]
    assert float(rgb.min()) >= 0 and float(rgb.max()) <= 1
    torch.testing.assert_close(rgb[0, 100:], rgb[1, :-100], atol=1e-5, rtol=0)
    torch.testing.assert_close(rgb[1, 100:], rgb[2, :-100], atol=1e-5, rtol=0)
    twice = gray_transform.sinusoid(torch.linspace(0, 0.5, 301).view(1, 1, 1, -1), 2.0)[0, :, 0]
    torch.testing.assert_close(twice, rgb, atol=1e-5, rtol=0)


def test_the_cubic_is_the_least_squares_fit_over_all_training_pixels(project: Path, material: Material) -> None:
    lab = np.concatenate([rgb2lab(record.arrays["rgb"]).reshape(-1, 3) for record in material.records])
    reference = np.polynomial.polynomial.polyfit(lab[:, 0] / 100, lab[:, 1:], 3)
    np.testing.assert_allclose(gray_transform.fit_polynomial(material), reference, rtol=1e-6, atol=1e-6)
    method, model, facts = trained(project, "gray_transform", fit="poly3")
    assert facts["parameters_total"] == 8
    fitted, grey = error(method, model)
    assert fitted < 0.6 * grey  # here lightness alone nearly tells sky from ground


def test_wrong_names_are_refused() -> None:
    for name, changes in (("gray_transform", {"curve": "jet"}), ("gray_transform", {"fit": "poly9"}),
                          ("gray_slicing", {"thresholds": "mean"}), ("gray_slicing", {"slices": 0})):
        with pytest.raises(UserError, match=str(next(iter(changes)))):
            make(name, **changes)


def test_gray_ab0_reproduces_the_published_grey_figures() -> None:
    """The grey-baseline row of the card for the bundled astronaut: PSNR 17.8029 dB, RMSE 31.2276."""
    picture = data.astronaut()
    lab = rgb_to_lab(picture / 255.0)
    lightness = lab[..., :1].astype(np.float32)
    ab = harness.restore(registry.method_class("colorization", "gray_ab0")({}), Model(), {"L": lightness}, 1)["ab"]
    assert not ab.any() and ab.shape == (512, 512, 2)
    assert psnr(to_rgb8(lightness, ab), picture) == pytest.approx(17.8029, abs=2e-3)
    assert rmse_ab(ab, lab[..., 1:].astype(np.float32)) == pytest.approx(31.2276, abs=1e-3)
