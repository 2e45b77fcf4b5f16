"""dehaze_dcp: the dark channel, the air, the guided filter against loops by hand, and the card's checks."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from restore_ml import registry
from restore_ml.degradations import dense
from restore_ml.method import Model
from restore_ml.methods.restoration.dehaze_dcp import METHOD, air_light, dark_channel, guided_filter
from restore_ml.metrics.fidelity import psnr
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator

RNG = np.random.default_rng(0)


def test_the_published_settings():
    assert METHOD.paper == {"patch": 15, "radius": 60, "keep": 0.95, "least": 0.1, "eps": 1e-3}
    assert METHOD({}).unsupported("haze") is None
    assert METHOD({}).unsupported("rain") and METHOD({}).unsupported("as_found") and not METHOD({}).trains


@pytest.mark.parametrize("side", [1, 3, 5])
def test_the_dark_channel_by_hand(side):
    image, reach = RNG.random((9, 11, 3)), side // 2
    found = dark_channel(image, side)
    for y in range(9):
        for x in range(11):
            window = image[max(0, y - reach):y + reach + 1, max(0, x - reach):x + reach + 1]
            assert found[y, x] == window.min()


def test_the_air_has_the_mean_colour_of_the_haziest_thousandth():
    image, dark = RNG.random((50, 40, 3)), RNG.permutation(2000).reshape(50, 40) / 2000
    haziest = np.argsort(dark.ravel())[-2:]
    np.testing.assert_allclose(air_light(image, dark), image.reshape(-1, 3)[haziest].mean(axis=0))
    one = np.unravel_index(dark[:10, :10].argmax(), (10, 10))
    np.testing.assert_allclose(air_light(image[:10, :10], dark[:10, :10]), image[one])
    assert (air_light(np.zeros((4, 4, 3)), np.zeros((4, 4))) == 1 / 255).all()


def guided_by_hand(guide: np.ndarray, values: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Least squares in every window, then the mean of the lines of the windows that hold a pixel."""
    height, width = guide.shape
    lines = np.zeros((height, width, 2))
    for y in range(height):
        for x in range(width):
            window = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            g, v = guide[window].ravel(), values[window].ravel()
            slope = ((g * v).mean() - g.mean() * v.mean()) / (g.var() + eps)
            lines[y, x] = slope, v.mean() - slope * g.mean()
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            slope, offset = lines[window].reshape(-1, 2).mean(axis=0)
            out[y, x] = slope * guide[y, x] + offset
    return out


@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-3), (3, 0.1), (20, 1e-3)])
def test_the_guided_filter_against_loops(radius, eps):
    guide, values = RNG.random((13, 10)), RNG.random((13, 10))
    np.testing.assert_allclose(guided_filter(guide, values, radius, eps), guided_by_hand(guide, values, radius, eps),
                               atol=1e-9)


def test_the_guided_filter_keeps_edges_of_the_guide_and_what_is_a_line_of_it():
    guide = RNG.random((20, 20))
    np.testing.assert_allclose(guided_filter(guide, 3 * guide - 1, 4, 1e-9), 3 * guide - 1, atol=1e-5)
    np.testing.assert_allclose(guided_filter(guide, np.full((20, 20), 0.3), 4, 1e-3), 0.3, atol=1e-12)


@pytest.mark.parametrize(("lowest", "thick"), [(0, False), (190, True)])
def test_the_whole_of_it_by_hand(lowest, thick):
    """With windows of one pixel it is He's formula pixel by pixel; in thick haze less than 0.3 of the light passes."""
    image = RNG.integers(lowest, 216, (12, 12, 3), dtype=np.uint8)
    method = METHOD({"patch": 1, "radius": 1, "keep": 0.8, "least": 0.3, "eps": 0.01})
    clear = method.restore_arrays(Model(), {"image": image}, 1)["image"]
    x = image / 255
    air = np.maximum(x.reshape(-1, 3)[x.min(2).ravel().argmax()], 1 / 255)
    through = 1 - 0.8 * (x / air).min(2)
    through = guided_by_hand(x @ [0.299, 0.587, 0.114], through, 1, 0.01)
    assert (through < 0.3).any() == thick
    expected = np.clip((x - air) / np.maximum(through, 0.3)[..., None] + air, 0, 1)
    np.testing.assert_allclose(clear, expected, atol=1e-5)


def test_lengths_go_with_the_picture(monkeypatch):
    from restore_ml.methods.restoration import dehaze_dcp as module

    sides, radii = [], []
    monkeypatch.setattr(module, "dark_channel", lambda image, side: sides.append(side) or image.min(2))
    monkeypatch.setattr(module, "guided_filter", lambda g, v, radius, eps: radii.append(radius) or v)
    for side in (256, 128, 512):
        METHOD({}).restore_arrays(Model(), {"image": np.full((side, side + 10, 3), 90, np.uint8)}, 1)
    assert sides == [15, 15, 8, 8, 30, 30] and radii == [60, 30, 120]


def test_a_clear_dark_picture_stays_what_it_is():
    """The card: haze-free, unchanged within .05. Black lies everywhere, and the brightest dark pixel is dim."""
    image = RNG.integers(30, 120, (64, 64, 3), dtype=np.uint8)
    image[::4, ::4] = 0
    found = restore(METHOD({}), Model(), {"image": image}, 1)["image"]
    assert np.abs(found.astype(int) - image).max() <= 0.05 * 255


def test_haze_is_taken_off_by_more_than_two_decibels():
    """Of pictures with something dark everywhere, which is the prior."""
    for image in (skimage.data.coffee()[100:228, 200:328], skimage.data.chelsea()[80:208, 100:228]):
        for seed in range(2):
            seen, truth = dense.haze(np.ascontiguousarray(image), generator(seed))
            assert psnr(restore(METHOD({}), Model(), {"image": seen}, 1)["image"], truth) > psnr(seen, truth) + 2


def test_black_and_white_pictures_are_finite():
    for level in (0, 255):
        image = np.full((32, 40, 3), level, np.uint8)
        assert np.isfinite(registry.method("restoration", "dehaze_dcp", {}).restore_arrays(
            Model(), {"image": image}, 1)["image"]).all()
