"""imresize against the check values of the method card, MATLAB's own output, and what must hold for any picture."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat
from skimage import data
from torch.nn import functional

from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize, modcrop, weights

SCALES = (2, 3, 4)


def pattern() -> np.ndarray:
    row, column = np.mgrid[:12, :12]
    return ((7 * row + 13 * column) % 17) / 16


def test_weights_of_the_card():
    half = [-0.01171875, -0.03515625, 0.11328125, 0.43359375, 0.43359375, 0.11328125, -0.03515625, -0.01171875]
    row = weights(40, 20, 0.5)[10]
    np.testing.assert_allclose(row[row != 0], half, atol=1e-15)
    third = np.array([-1, -2, 9, 21, 27, 21, 9, -2, -1]) / 81
    row = weights(60, 20, 1 / 3)[10]
    np.testing.assert_allclose(row[np.abs(row) > 1e-12], third, atol=1e-15)
    odd = [-0.0234375, 0.2265625, 0.8671875, -0.0703125]
    double = weights(20, 40, 2.0)
    np.testing.assert_allclose(double[20][double[20] != 0], odd, atol=1e-15)
    np.testing.assert_allclose(double[21][double[21] != 0], odd[::-1], atol=1e-15)


@pytest.mark.parametrize(("scale", "gain"), [(2, 0.6542), (3, 0.6647), (4, 0.6626), (8, 0.6630)])
def test_noise_gain_of_enlarging(scale, gain):
    rows = weights(40, 40 * scale, scale)[10 * scale:11 * scale]
    assert (np.square(rows).sum() / scale) ** 2 == pytest.approx(gain, abs=5e-5)


def test_ramps_of_the_card():
    ramp = np.arange(1.0, 9)[None]
    expected = [1.44921875, 3.48828125, 5.51171875, 7.55078125]
    np.testing.assert_allclose(imresize(ramp, (1, 0.5))[0], expected, atol=1e-14)
    np.testing.assert_allclose(imresize(ramp, (1, 0.25))[0], [2.3759765625, 6.6240234375], atol=1e-14)
    expected = [0.90625, 1.1796875, 1.7265625, 2.25, 2.75, 3.2734375, 3.8203125, 4.09375]
    np.testing.assert_allclose(imresize(ramp[:, :4], (1, 2))[0], expected, atol=1e-14)


def test_pattern_of_the_card():
    quarter = [[0.4869519174, 0.4814154319, 0.5221340545], [0.4853393026, 0.5, 0.5146606974],
               [0.4778659455, 0.5185845681, 0.5130480826]]
    np.testing.assert_allclose(imresize(pattern(), 0.25), quarter, atol=1e-10)
    corner = [[0.4177513123, 0.5670547485], [0.4766988754, 0.5195674896]]
    np.testing.assert_allclose(imresize(pattern(), 0.5)[:2, :2], corner, atol=1e-10)


def test_sums_of_camera():
    """The card's x2 sum is 8,457,967 with halves rounded to even; there is one half, which MATLAB rounds up."""
    camera = data.camera()
    assert imresize(camera, 0.5).sum(dtype=np.int64) == 8_457_967 + 1
    assert np.rint(imresize(camera.astype(float), 0.5)).clip(0, 255).sum() == 8_457_967
    rows = (weights(512, 256, 0.5) * 1024).astype(np.int64)
    exact = rows @ camera.astype(np.int64) @ rows.T
    assert (exact % 2**20 == 2**19).sum() == 1
    np.testing.assert_array_equal(imresize(camera, 0.5), ((exact + 2**19) >> 20).clip(0, 255))
    assert imresize(camera, 0.25).sum(dtype=np.int64) == 2_114_562


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 1 / 8, 2, 3, 4, 8])
def test_equals_antialiased_torch_inside(scale):
    """Torch has the same kernel but treats the border differently: mirror first, then compare away from the padding."""
    image = np.random.default_rng(0).random((48, 72))
    pad = round(4 / min(scale, 1)) * (3 if scale == 1 / 3 else 1)
    wide = torch.from_numpy(np.pad(image, pad, "symmetric"))[None, None]
    there = functional.interpolate(wide, scale_factor=scale, mode="bicubic", antialias=True,
                                   recompute_scale_factor=False)
    cut = round(pad * scale)
    np.testing.assert_allclose(imresize(image, scale), there[0, 0, cut:-cut, cut:-cut].numpy(), atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1 / 8, 1 / 3, 0.37, 0.5, 1, 1.7, 2, 3]),
       st.sampled_from(["symmetric", "clamp"]))
def test_constants_stay_and_sizes_are_ceilings(height, width, scale, border):
    image = np.full((height, width, 3), 77, np.uint8)
    small = imresize(image, scale, border=border)
    assert small.dtype == np.uint8 and (small == 77).all()
    assert small.shape == (*(int(np.ceil(round(n * scale, 9))) for n in (height, width)), 3)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 30), st.integers(2, 30), st.sampled_from([1 / 4, 1 / 3, 0.5, 2, 3]), st.integers(0, 2**31))
def test_flips_and_linear_combinations_commute(height, width, scale, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, height * 12, width * 12))
    np.testing.assert_allclose(imresize(a[:, ::-1], scale), imresize(a, scale)[:, ::-1], atol=1e-12)
    mixed = 2 * imresize(a, scale) - 3 * imresize(b, scale)
    np.testing.assert_allclose(imresize(2 * a - 3 * b, scale), mixed, atol=1e-12)
    np.testing.assert_allclose(imresize(a.T, scale), imresize(a, scale).T, atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1 / 3, 3, (0.5, 2)])
def test_tensors_and_arrays_agree(scale):
    image = np.random.default_rng(1).random((30, 45, 3))
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    np.testing.assert_allclose(imresize(tensor, scale)[0].permute(1, 2, 0).numpy(), imresize(image, scale), atol=1e-13)
    single = imresize(tensor.float(), scale)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single[0].permute(1, 2, 0).numpy(), imresize(image, scale), atol=1e-5)


def test_gradients_of_tensors():
    image = torch.rand(1, 2, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, 2), (image,))
    assert torch.autograd.gradcheck(lambda x: imresize(x, 1 / 3), (image,))


def test_autocast_does_not_coarsen_a_picture():
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(imresize(image, 2), imresize(image.clone(), 2))
        inside = imresize(image, 2)
    assert inside.dtype == torch.float32 and torch.equal(inside, imresize(image, 2))
    half = imresize(image.bfloat16(), 2)
    assert half.dtype == torch.bfloat16 and torch.allclose(half.float(), inside, atol=0.02)


def test_output_size_scales_each_axis():
    image = np.random.default_rng(2).random((20, 31))
    np.testing.assert_array_equal(imresize(image, output_size=(10, 31)), imresize(image, (0.5, 1.0)))
    assert imresize(image, output_size=(7, 50)).shape == (7, 50)


def test_integers_round_half_away_and_clip():
    image = np.random.default_rng(3).integers(0, 256, (24, 24), dtype=np.uint8)
    floats = imresize(image.astype(np.float64), 2)
    assert floats.min() < 0 and floats.max() > 255
    np.testing.assert_array_equal(imresize(image, 2), np.floor(floats.clip(0, 255) + 0.5))
    wide = imresize(image.astype(np.uint16) * 257, 0.5)
    assert wide.dtype == np.uint16
    np.testing.assert_allclose(wide / 257, imresize(image.astype(float), 0.5).clip(0, 255), atol=0.5 / 257 + 1e-9)


def test_modcrop():
    image = np.arange(513 * 511).reshape(513, 511)
    for scale, shape in ((2, (512, 510)), (3, (513, 510)), (4, (512, 508))):
        np.testing.assert_array_equal(modcrop(image, scale), image[:shape[0], :shape[1]])
        assert modcrop(torch.zeros(1, 3, 513, 511), scale).shape == (1, 3, *shape)
    with pytest.raises(UserError, match="smaller than the scale"):
        modcrop(image[:2], 3)
    with pytest.raises(UserError, match="at least 1"):
        modcrop(image, 0)


@pytest.mark.parametrize("arguments", [
    {"scale": 0}, {"scale": -1}, {"scale": float("nan")}, {"scale": float("inf")}, {"scale": 1e-9}, {"scale": 1e9}, {},
    {"scale": 2, "output_size": (4, 4)}, {"output_size": (0, 4)}, {"scale": 2, "border": "wrap"},
    {"scale": 2, "rounding": "never"}, {"scale": 1000, "image": np.zeros((3000, 3000))},
    {"scale": 2, "image": np.zeros((0, 4))}, {"scale": 2, "image": np.zeros((4, 4), bool)},
    {"scale": 2, "image": np.zeros((2, 2, 2, 2))}, {"scale": 2, "image": torch.zeros(3, 3, dtype=torch.uint8)},
    {"scale": 2, "image": [[1.0]]},
])
def test_absurd_requests_are_refused_in_a_sentence(arguments):
    with pytest.raises(UserError):
        imresize(**{"image": np.zeros((4, 4)), **arguments})


def test_any_multiple_shrinks_to_its_quotient():
    """1/k is not exact in binary; the length must not gain a pixel from that."""
    for factor in range(2, 60):
        for length in (1, 3, 7, 49, 98, 107, 161):
            assert imresize(np.zeros((1, length * factor)), (1, 1 / factor)).shape == (1, length)


@pytest.mark.benchmark_data
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_low_resolution_pngs_bit_for_bit(benchmark_data, name, scale):
    """These copies were made by the older MATLAB: clamped border, rounding after each pass."""
    pictures = sorted((benchmark_data / "sr_selfexsr" / name / f"image_SRF_{scale}").glob("*_HR.png"))
    assert len(pictures) == {"Set5": 5, "Set14": 14}[name]
    for path in pictures:
        hr = np.asarray(Image.open(path))
        lr = np.asarray(Image.open(path.with_name(path.name.replace("_HR", "_LR"))))
        np.testing.assert_array_equal(imresize(hr, 1 / scale, border="clamp", rounding="each_pass"), lr, path.name)


@pytest.mark.benchmark_data
@pytest.mark.parametrize("scale", SCALES)
def test_current_matlab_in_double_precision(benchmark_data, scale):
    there = loadmat(benchmark_data / "sr_vdsr_mat" / "Set5_mat" / f"bird_GT_x{scale}.mat")
    small = imresize(there["im_gt_y"], 1 / scale)
    np.testing.assert_allclose(small, there["im_l_y"], atol=1e-12)
    np.testing.assert_allclose(imresize(small, scale), there["im_b_y"], atol=1e-12)
