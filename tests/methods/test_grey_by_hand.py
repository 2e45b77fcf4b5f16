"""gray_ab0, gray_slicing and gray_transform through the harness, by hand."""

from typing import Any

import numpy as np
import pytest
from skimage.color import rgb2lab

from restore_ml.method import Model
from restore_ml.restoring import harness
from tests.methods.colour_project import make

LEVELS = np.random.default_rng(0).integers(0, 256, (13, 11)).astype(np.uint8)
LIGHTNESS = rgb2lab(np.repeat(LEVELS[..., None], 3, -1) / 255)[..., :1].astype(np.float32)


def restored(name: str, model: Model | None = None, **settings: Any) -> dict[str, np.ndarray]:
    return harness.restore(make(name, **settings), model or Model(), {"L": LIGHTNESS}, 1)


def rainbow(levels: np.ndarray) -> np.ndarray:
    """The card's curve of 0 ... 255."""
    levels = np.asarray(levels, float)
    return np.stack([4 * levels - 510, np.minimum(4 * levels, 4 * (255 - levels)), 510 - 4 * levels], -1).clip(0, 255)


def near(rgb: np.ndarray, expected: np.ndarray) -> None:
    """Within one grey level (the grey of a lightness is exact to a fraction of one)."""
    assert np.abs(rgb.astype(float) - expected).max() <= 1
    assert rgb.dtype == np.uint8


def own_ab(output: dict[str, np.ndarray], rgb: np.ndarray) -> None:
    np.testing.assert_allclose(output["ab"], rgb2lab(rgb / 255)[..., 1:], atol=0.3)


def test_the_rainbow() -> None:
    output = restored("gray_transform")
    near(output["rgb"], rainbow(LEVELS))
    own_ab(output, rainbow(LEVELS))


@pytest.mark.parametrize("cycles", [1.0, 2.5])
def test_the_sinusoid(cycles: float) -> None:
    expected = 255 * np.abs(np.sin(np.pi * cycles * LEVELS[..., None] / 255 + np.pi / 3 * np.arange(3)))
    output = restored("gray_transform", curve="sinusoid", cycles=cycles)
    assert np.abs(output["rgb"] - expected).max() <= 2
    own_ab(output, expected)


def test_the_fitted_cubic() -> None:
    """a and b are each a cubic of L / 100; the picture's own rgb is not given."""
    coefficients = np.array([[1.0, -2.0], [30.0, 5.0], [-40.0, 60.0], [7.0, -8.0]])
    output = restored("gray_transform", Model(arrays={"polynomial": coefficients}), fit="poly3")
    t = LIGHTNESS[..., 0] / 100
    expected = np.stack([1 + 30 * t - 40 * t**2 + 7 * t**3, -2 + 5 * t + 60 * t**2 - 8 * t**3], -1)
    np.testing.assert_allclose(output["ab"], expected, atol=1e-3)
    assert set(output) == {"ab"}


def test_nothing_is_fitted_for_a_formula(material: Any) -> None:
    method = make("gray_transform")
    assert getattr(method, "fit", method.prepare)(material, 1) == {}


@pytest.mark.parametrize(("settings", "levels"), [
    ({"slices": 8}, [32, 64, 96, 128, 160, 192, 224]), ({"slices": 3}, [256 / 3, 512 / 3]),
    ({"slices": 4, "levels": [10, 100, 250]}, [10, 100, 250]), ({"slices": 1}, [])])
def test_slices_have_the_rainbow_s_colours_at_their_middles(settings: dict[str, Any], levels: list[float]) -> None:
    output = restored("gray_slicing", **settings)
    number = np.searchsorted(levels, LEVELS, side="right")
    count = len(levels) + 1
    expected = rainbow(255 * (np.arange(count) + 0.5) / count)[number]
    near(output["rgb"], expected)
    own_ab(output, expected)


@pytest.mark.parametrize("slices", [2, 3])
def test_otsu_s_thresholds_are_the_best_of_all(slices: int) -> None:
    """Every cut of the picture's own histogram tried."""
    import itertools

    values = LEVELS.ravel().astype(float)
    table = restored("gray_slicing", slices=slices, thresholds="otsu")["rgb"].reshape(-1, 3)
    _, own = np.unique(table, axis=0, return_inverse=True)

    def within(labels: np.ndarray) -> float:
        return sum(float(np.square(values[labels == k] - values[labels == k].mean()).sum()) for k in np.unique(labels))

    cuts = itertools.combinations(np.unique(values)[1:], slices - 1)
    best = min(within(np.searchsorted(cut, values, side="right")) for cut in cuts)
    assert within(own.ravel()) == pytest.approx(best)
    assert len(np.unique(own)) == slices


def test_no_colour() -> None:
    output = restored("gray_ab0")
    assert output["ab"].shape == (13, 11, 2) and not output["ab"].any() and set(output) == {"ab"}


def test_uniform_thresholds_cut_256_levels_into_equal_slices() -> None:
    from restore_ml.methods.colorization.gray_slicing import uniform_levels

    np.testing.assert_allclose(uniform_levels(5), [51.2, 102.4, 153.6, 204.8])
    assert uniform_levels(1) == []
