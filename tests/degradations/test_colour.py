"""Colour spaces against the cards' tables, scikit-image and round trips; lightness after gamut mapping."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import color, data

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import (
    fit_chroma,
    grey,
    grey_from_lightness,
    lab_to_rgb,
    rgb_to_lab,
    rgb_to_ycbcr,
    rgb_to_yuv,
    to_rgb8,
    ycbcr_to_rgb,
    yuv_to_rgb,
)

LAB = {(0, 0, 0): (0, 0, 0), (255, 255, 255): (100, -0.00245, 0.00465), (128, 128, 128): (53.5850, -0.00147, 0.00279),
       (255, 0, 0): (53.2406, 80.0923, 67.2028), (0, 255, 0): (87.7351, -86.1830, 83.1797),
       (0, 0, 255): (32.2957, 79.1856, -107.8573), (0, 255, 255): (91.1133, -48.0906, -14.1263),
       (255, 0, 255): (60.3235, 98.2331, -60.8210), (255, 255, 0): (97.1395, -21.5547, 94.4781),
       (224, 172, 105): (73.7885, 11.2767, 41.5337), (10, 200, 77): (70.8063, -66.6255, 48.8599),
       (5, 3, 8): (1.0381, 1.2182, -1.7077)}
pictures = arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.moveaxis(array, -1, 0).copy())


def test_lab_table_of_the_card():
    rgb = np.array(list(LAB), np.uint8)
    expected = np.array(list(LAB.values()))
    np.testing.assert_allclose(rgb_to_lab(rgb), expected, atol=1e-3)
    np.testing.assert_allclose(rgb_to_lab((rgb / 255).astype(np.float32)), expected, atol=1e-3)


def test_lab_equals_scikit_image():
    rgb = np.random.default_rng(0).random((200, 200, 3))
    there = color.rgb2lab(rgb)
    np.testing.assert_allclose(rgb_to_lab(rgb), there, atol=1e-12)
    np.testing.assert_allclose(lab_to_rgb(there), rgb, atol=1e-13)
    wild = np.random.default_rng(1).random((100, 100, 3)) * [100, 160, 160] - [0, 80, 80]
    with pytest.warns(UserWarning, match="negative Z"):
        np.testing.assert_allclose(lab_to_rgb(wild), color.lab2rgb(wild), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lab_round_trip_is_exact_in_8_bit(dtype):
    steps = np.arange(0, 256, 5)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3).astype(np.uint8)
    lab = rgb_to_lab((cube / 255).astype(dtype))
    assert lab.dtype == dtype
    np.testing.assert_array_equal(np.rint(lab_to_rgb(lab) * 255), cube)
    np.testing.assert_array_equal(to_rgb8(lab[..., :1], lab[..., 1:]), cube)


def test_ycbcr_of_the_card():
    rgb = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_allclose(rgb_to_ycbcr(rgb)[:, 0], [235, 16, 81.481, 144.553, 40.966], atol=1e-12)
    noise = np.random.default_rng(0).standard_normal((300, 300, 3))
    assert rgb_to_ycbcr(noise)[..., 0].std() / 255 == pytest.approx(0.5742, abs=0.005)


def test_ycbcr_and_yuv_equal_scikit_image():
    rgb = np.random.default_rng(0).random((50, 40, 3))
    np.testing.assert_allclose(rgb_to_ycbcr(rgb), color.rgb2ycbcr(rgb), atol=1e-12)
    np.testing.assert_allclose(rgb_to_yuv(rgb), color.rgb2yuv(rgb), atol=1e-14)


def test_yuv_of_the_card():
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [224, 172, 105]], np.uint8)
    expected = [[0.299, -0.147141, 0.614975], [0.587, -0.288869, -0.514965], [0.114, 0.436010, -0.100010],
                [0.705529, -0.144565, 0.151684]]
    np.testing.assert_allclose(rgb_to_yuv(rgb), expected, atol=1e-6)


@pytest.mark.parametrize(("there", "back"), [(rgb_to_lab, lab_to_rgb), (rgb_to_ycbcr, ycbcr_to_rgb),
                                             (rgb_to_yuv, yuv_to_rgb)])
@settings(deadline=None, max_examples=25)
@given(rgb=pictures)
def test_round_trips_and_tensors(there, back, rgb):
    np.testing.assert_allclose(back(there(rgb)) * 255, rgb, atol=1e-9)
    np.testing.assert_array_equal(there(rgb), there(rgb / 255))
    mine = there(tensor(rgb / 255))
    np.testing.assert_allclose(np.moveaxis(mine.numpy(), 0, -1), there(rgb), atol=1e-10)
    np.testing.assert_allclose(np.moveaxis(back(mine).numpy(), 0, -1) * 255, rgb, atol=1e-9)
    single = there(tensor((rgb / 255).astype(np.float32))[None])
    assert single.dtype == torch.float32 and single.shape[1] == 3
    np.testing.assert_allclose(np.moveaxis(single[0].numpy(), 0, -1), there(rgb), atol=2e-3)


@pytest.mark.parametrize("function", [rgb_to_lab, lab_to_rgb, rgb_to_ycbcr, ycbcr_to_rgb, rgb_to_yuv, yuv_to_rgb])
def test_tensors_are_differentiable(function):
    start = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    if function is lab_to_rgb:
        start = rgb_to_lab(start)
    assert torch.autograd.gradcheck(function, (start.requires_grad_(),))


def test_gradients_are_finite_at_black_and_outside_the_gamut():
    black = torch.zeros(3, 1, 1, requires_grad=True)
    rgb_to_lab(black).sum().backward()
    outside = torch.tensor([[0.0, 50.0, 100.0], [90.0, -90.0, 0.0], [-100.0, 90.0, 0.0]])[..., None].requires_grad_()
    lab_to_rgb(outside).sum().backward()
    assert torch.isfinite(black.grad).all() and torch.isfinite(outside.grad).all()


def test_the_three_greys_are_three():
    green = np.array([[[0, 255, 0]]], np.uint8)
    assert grey(green, "lab_L").item() == pytest.approx(87.7351, abs=1e-3)
    assert grey(green, "y601").item() == pytest.approx(0.587)
    assert grey(green, "mean").item() == pytest.approx(1 / 3)
    assert grey(tensor(green / 255)[None], "mean").shape == (1, 1, 1)
    steps = np.arange(0, 256, 3)
    cube = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3).astype(np.uint8)
    luma_as_grey = np.repeat(grey(cube, "y601")[..., None], 3, -1)
    shift = np.abs(grey(luma_as_grey, "lab_L") - grey(cube, "lab_L"))
    assert shift.mean() == pytest.approx(5.2, abs=0.1) and shift.max() == pytest.approx(25.8, abs=0.05)
    with pytest.raises(UserError, match="none of"):
        grey(green, "value")


def test_grey_from_lightness():
    lightness = np.linspace(0, 100, 401)
    value = grey_from_lightness(lightness)
    np.testing.assert_allclose(grey(np.repeat(value[:, None], 3, 1), "lab_L"), lightness, atol=2e-4)
    np.testing.assert_allclose(grey_from_lightness(torch.from_numpy(lightness)).numpy(), value, atol=1e-12)
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    np.testing.assert_array_equal(np.rint(grey_from_lightness(grey(levels, "lab_L")) * 255), levels[:, 0])


def test_gamut_extent_and_neutral_colours():
    steps = np.arange(0, 256, 15)
    lab = rgb_to_lab(np.stack(np.meshgrid(steps, steps, steps), -1).astype(np.uint8))
    assert [lab[..., 1].min(), lab[..., 1].max()] == pytest.approx([-86.183, 98.233], abs=0.01)
    assert [lab[..., 2].min(), lab[..., 2].max()] == pytest.approx([-107.857, 94.478], abs=0.01)
    neutral = lab_to_rgb(np.stack([np.linspace(0, 100, 201), np.zeros(201), np.zeros(201)], -1))
    assert np.ptp(neutral, axis=1).max() < 5e-5


def test_gamut_mapping_keeps_lightness_where_clipping_does_not():
    rng = np.random.default_rng(0)
    lightness, ab = rng.random((200, 200)) * 100, rng.random((200, 200, 2)) * 160 - 80
    fitted = fit_chroma(lightness, ab)
    outside = (fitted != ab).any(-1)
    assert outside.mean() == pytest.approx(0.69, abs=0.01)
    floats = lab_to_rgb(np.concatenate([lightness[..., None], fitted], -1))
    assert np.abs(grey(floats, "lab_L") - lightness).max() < 1e-3
    assert np.abs(grey(to_rgb8(lightness, ab), "lab_L") - lightness).max() < 0.25
    clipped = np.abs(grey(to_rgb8(lightness, ab, "clip"), "lab_L") - lightness)[outside]
    assert clipped.max() > 15 and clipped.mean() > 3.5


@settings(deadline=None, max_examples=25)
@given(arrays(np.float64, (5, 3), elements=st.floats(-130, 130, width=32)))
def test_gamut_mapping_keeps_hue_and_enters_the_gamut(lab):
    lightness, ab = np.abs(lab[:, 0]).clip(0, 100), lab[:, 1:]
    fitted = fit_chroma(lightness, ab)
    cross = fitted[:, 0] * ab[:, 1] - fitted[:, 1] * ab[:, 0]
    assert np.abs(cross).max() < 1e-8 and ((fitted * ab).sum(1) >= 0).all()
    assert (np.hypot(*fitted.T) <= np.hypot(*ab.T) + 1e-9).all()
    again = fit_chroma(lightness, fitted)
    np.testing.assert_allclose(again, fitted, atol=1e-3)


def test_colours_of_photographs_are_not_touched():
    photo = data.astronaut()
    lab = rgb_to_lab(photo.astype(np.float32) / 255)
    np.testing.assert_array_equal(to_rgb8(lab[..., 0], lab[..., 1:]), photo)
    np.testing.assert_array_equal(to_rgb8(lab[..., :1], lab[..., 1:], "clip"), photo)
    exact = rgb_to_lab(photo)
    np.testing.assert_array_equal(fit_chroma(exact[..., 0], exact[..., 1:]), exact[..., 1:])


def test_wrong_shapes_and_names_are_refused():
    for wrong in (np.zeros((4, 4)), torch.zeros(2, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(UserError):
            rgb_to_lab(wrong)
    with pytest.raises(UserError, match="gamut"):
        to_rgb8(np.zeros((2, 2)), np.zeros((2, 2, 2)), "soft")
