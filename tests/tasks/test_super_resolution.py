"""The samples of super-resolution: degradations, aligned crops, small and grey pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.blur import gaussian_blur
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.metrics.fsim import fsim
from restore_ml.metrics.ifc import ifc_freq
from restore_ml.tasks.base import Material
from restore_ml.tasks.protocol import protocol
from restore_ml.training.sampler import Sampler

TASK = registry.task("super_resolution")
PARTS = registry.parts("super_resolution")
RULES = protocol("super_resolution")


@pytest.fixture(scope="module")
def picture() -> Record:
    return Record("a" * 64, {"image": data.astronaut()[:131, :158]}, {"name": "astronaut"})


def train_record(image: np.ndarray, scales=(2, 3, 4)) -> Record:
    return next(PARTS.training.records([Record("b" * 64, {"image": image})], 1, {"scales": list(scales)}))


def crop(record: Record, scale: int, patch: int, seed: int = 0) -> dict[str, np.ndarray]:
    run = {"patch": patch, "scales": [scale]}
    sample = PARTS.training.sample(record, {}, np.random.default_rng(seed), run, {"scale": scale})
    return {**sample.inputs, **sample.target}


def test_degradations_follow_the_settings():
    assert PARTS.cases.degradations({}) == ["x2", "x3", "x4", "x2_blur", "x2_noise"]
    assert PARTS.cases.degradations({"scales": [4], "variants": ["x4_bd"]}) == ["x4", "x4_bd"]
    for wrong in ({"scale": [2]}, {"scales": [1]}, {"scales": [9]}, {"variants": ["x2_snow"]}, {"variants": ["../x2"]}):
        with pytest.raises(UserError):
            PARTS.check_settings(wrong)


@pytest.mark.parametrize("degradation", ["x2", "x3", "x4", "x2_blur", "x2_noise", "x4_bd"])
def test_test_samples_have_the_declared_arrays(picture, degradation):
    sample = PARTS.cases.sample(picture, degradation, 1, {})
    scale = int(degradation[1])
    lr, hr = sample.inputs["lr"], sample.target["hr"]
    assert hr.shape == (131 // scale * scale, 158 // scale * scale, 3) and lr.dtype == hr.dtype == np.uint8
    assert (lr.shape[0] * scale, lr.shape[1] * scale, 3) == hr.shape
    assert int(sample.inputs["scale"]) == scale and sample.inputs["scale"].dtype == np.int32
    np.testing.assert_array_equal(hr, picture.arrays["image"][:hr.shape[0], :hr.shape[1]])
    assert sample.facts == {"scale": scale, "channels": 3}
    again = PARTS.cases.sample(picture, degradation, 1, {})
    np.testing.assert_array_equal(lr, again.inputs["lr"])


def test_variants_are_what_their_names_say(picture):
    plain, blur, noise = (PARTS.cases.sample(picture, name, 1, {}).inputs["lr"].astype(float)
                          for name in ("x2", "x2_blur", "x2_noise"))
    hr = PARTS.cases.sample(picture, "x2", 1, {}).target["hr"]
    np.testing.assert_array_equal(plain, imresize(hr, 0.5))
    inside = (plain > 40) & (plain < 215)
    assert (noise - plain)[inside].std() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(blur, imresize(gaussian_blur(hr, 1.6, 13), 0.5))
    assert np.abs(np.diff(blur, axis=1)).mean() < 0.9 * np.abs(np.diff(plain, axis=1)).mean()
    other = PARTS.cases.sample(picture, "x2_noise", 2, {}).inputs["lr"]
    assert (other != noise).any()
    namesake = Record("b" * 64, picture.arrays)
    assert (PARTS.cases.sample(namesake, "x2_noise", 1, {}).inputs["lr"] != noise).any()  # noise of its own
    stronger = PARTS.cases.sample(picture, "x2_noise", 1, {"noise_sigma": 20.0}).inputs["lr"]
    assert (stronger - plain)[inside].std() == pytest.approx(20, rel=0.1)


def test_bd_is_shifted_against_imresize():
    """Kept pixels sit half a block further up and left: on a ramp, x4_bd reads (4 - 1) / 2 grey levels lower."""
    ramp = np.repeat(np.arange(0, 128, dtype=np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    record = Record("c", {"image": ramp})
    difference = (PARTS.cases.sample(record, "x4", 1, {}).inputs["lr"].astype(float)
                  - PARTS.cases.sample(record, "x4_bd", 1, {}).inputs["lr"])
    assert abs(difference[:, 4:-4].mean() - 1.5) <= 0.5


def test_bd_keeps_every_pixel_of_the_blurred_picture_s_grid(picture):
    lr = PARTS.cases.sample(picture, "x4_bd", 1, {"blur_sigma": 1.1, "blur_size": 7}).inputs["lr"]
    np.testing.assert_array_equal(lr, gaussian_blur(picture.arrays["image"][:128, :156], 1.1, 7)[::4, ::4])


def test_the_figures_by_hand():
    """IFC on the same luma as PSNR, FSIM on luma from 0 to 255, both without the border of `scale` pixels."""
    hr = np.ascontiguousarray(data.astronaut()[:104, :112])
    sr = gaussian_blur(hr, 1.0, 7)
    sr[:2] = sr[:, -2:] = 0  # the border counts for nothing
    given = {"scale": np.array(2, np.int32)}, {"sr": sr}, {"hr": hr}
    values = RULES.measure(*given, None)
    inner = [picture[2:-2, 2:-2].astype(float) for picture in (hr, sr)]
    luma = [16 + picture @ (np.array([65.481, 128.553, 24.966]) / 255) for picture in inner]
    assert values["ifc_freq"] == pytest.approx(ifc_freq(*luma), rel=1e-9)
    assert np.isnan(values["ms_ssim_rgb"])
    assert RULES.measure_on_primary(*given) == {"fsim": pytest.approx(fsim(*(
        picture @ [0.299, 0.587, 0.114] for picture in inner)), rel=1e-9)}
    small = RULES.measure(given[0], {"sr": sr[:99]}, {"hr": hr[:99]}, None)
    assert np.isnan(small["ifc_freq"]) and small["psnr_y"] > 0, "too small for IFC once the border is gone"


def test_grey_and_small_pictures():
    assert TASK.accepts(np.zeros((31, 100, 3), np.uint8), {}) == "smaller than 32 pixels"
    assert TASK.accepts(np.zeros((40, 100, 4), np.uint8), {}) == "4 channels"
    assert TASK.accepts(np.zeros((40, 100, 1), np.uint8), {}) is None
    sample = PARTS.cases.sample(Record("d", {"image": data.camera()[:64, :64, None]}), "x2", 1, {})
    assert sample.inputs["lr"].shape == (32, 32, 3) and (np.ptp(sample.inputs["lr"], axis=2) == 0).all()
    assert sample.target["hr"].shape == (64, 64, 3) and sample.facts["channels"] == 1
    small = crop(train_record(data.camera()[:40, :64, None]), 4, 96)
    assert small["hr"].shape == (96, 96, 3) and small["lr"].shape == (24, 24, 3)


@settings(deadline=None, max_examples=25)
@given(st.integers(32, 70), st.integers(32, 70), st.sampled_from([2, 3, 4]), st.integers(8, 80), st.integers(0, 99))
def test_crops_are_aligned(height, width, scale, patch, seed):
    """A smooth picture and its twin agree when the crop of one is shrunk, wherever the crop lies."""
    row, column = np.mgrid[:height, :width] / 70
    image = np.stack([255 * row, 255 * column, 127 * (row + column)], -1).astype(np.uint8)
    got = crop(train_record(image), scale, patch, seed)
    side = patch // scale
    assert got["lr"].shape == (side, side, 3) and got["hr"].shape == (side * scale, side * scale, 3)
    shrunk = got["hr"].reshape(side, scale, side, scale, 3).mean((1, 3))
    # one pixel of the low-resolution picture spans scale x 255 / 70 levels; misplaced by one it would show
    assert np.abs(shrunk - got["lr"]).mean() < 0.45 * scale * 255 / 70


def test_crops_vary_and_repeat():
    record = train_record(data.astronaut())
    first, second, third = (crop(record, 2, 48, seed)["hr"] for seed in (0, 1, 0))
    assert (first != second).any()
    np.testing.assert_array_equal(first, third)


def test_unknown_scale_and_tiny_patch_are_refused():
    record = train_record(data.astronaut()[:64, :64], scales=(2,))
    with pytest.raises(UserError, match="no scale 3"):
        crop(record, 3, 48)
    with pytest.raises(UserError, match="smaller than the scale"):
        crop(record, 2, 1)


def test_a_whole_batch_has_one_scale(tmp_path):
    images = [data.astronaut(), data.coffee(), data.chelsea()]
    pictures = [Record(f"{number:064x}", {"image": image}) for number, image in enumerate(images)]
    shards.write(tmp_path / "train" / "0.arrow", PARTS.training.records(pictures, 1, {}))
    sampler = Sampler(PARTS, Material(tmp_path / "train"), {"batch": 5, "patch": 41, "scales": [2, 3, 4]}, 1)
    seen = set()
    for step in range(12):
        batch = sampler[step]
        scales = set(batch.inputs["scale"].tolist())
        assert len(scales) == 1
        scale = scales.pop()
        assert batch.target["hr"].shape == (5, 41 // scale * scale, 41 // scale * scale, 3)
        assert batch.inputs["lr"].shape == (5, 41 // scale, 41 // scale, 3)
        seen.add(scale)
    assert seen == {2, 3, 4}
    assert Shards(tmp_path / "train").ids == [picture.id for picture in pictures]
    spec = TASK.output["sr"]
    ready = sampler.floats(batch, torch.device("cpu"))
    assert np.array_equal(spec.to_array(ready.target["hr"][0]), batch.target["hr"][0])


def crop_of_a_smaller_picture(image: np.ndarray, factor: float, scale: int, patch: int, seed: int):
    """The whole picture made smaller, its twin from that, both padded, cropped and turned: the long way round."""
    rng, side = np.random.default_rng(seed), patch // scale
    hr = modcrop(image if factor == 1 else imresize(image, factor), scale)
    lr = imresize(hr, 1 / scale)
    missing = [max(0, side - length) for length in lr.shape[:2]]
    lr = np.pad(lr, [*((0, more) for more in missing), (0, 0)], "symmetric")
    hr = np.pad(hr, [*((0, more * scale) for more in missing), (0, 0)], "symmetric")
    top, left = (int(rng.integers(length - side + 1)) for length in lr.shape[:2])
    lr = lr[top:top + side, left:left + side]
    hr = hr[top * scale:(top + side) * scale, left * scale:(left + side) * scale]
    flip, turns = rng.integers(2), rng.integers(4)
    return tuple(np.rot90(part[:, ::-1] if flip else part, turns) for part in (lr, hr))


@settings(deadline=None, max_examples=40)
@given(st.integers(32, 150), st.integers(32, 150), st.sampled_from([1.0, 0.9, 0.8, 0.75, 0.7, 0.6]),
       st.sampled_from([2, 3, 4]), st.integers(8, 80), st.integers(0, 99))
def test_augmented_scales_cut_from_the_smaller_picture(height, width, factor, scale, patch, seed):
    image = data.astronaut()[200:200 + height, 100:100 + width]
    run = {"patch": patch, "augment_scales": [factor]}
    sample = PARTS.training.sample(train_record(image), {}, np.random.default_rng(seed), run, {"scale": scale})
    lr, hr = crop_of_a_smaller_picture(image, factor, scale, patch, seed)
    for got, expected in ((sample.inputs["lr"], lr), (sample.target["hr"], hr)):
        assert got.shape == expected.shape and got.dtype == np.uint8
        difference = np.abs(got.astype(int) - expected)
        if factor == 1:
            assert not difference.any()  # the stored path
        assert difference.max() <= 1 and (difference != 0).mean() < 0.01  # sums in another order: halves may turn


def test_augmented_scales_are_drawn_from_the_sample_s_own_generator():
    record, plain = train_record(data.astronaut()), {"patch": 48}
    several = {**plain, "augment_scales": [1.0, 0.8, 0.6]}

    def sample(run, seed):
        return PARTS.training.sample(record, {}, np.random.default_rng(seed), run, {"scale": 2})

    for run in (plain, {**plain, "augment_scales": [1.0]}):
        np.testing.assert_array_equal(sample(run, 3).inputs["lr"], sample(plain, 3).inputs["lr"])
    np.testing.assert_array_equal(sample(several, 3).target["hr"], sample(several, 3).target["hr"])
    # Smaller pictures have steeper edges: factors of less than 1 make a difference, and are drawn about as often.
    steep = [np.abs(np.diff(sample(several, seed).target["hr"].astype(float), axis=0)).mean() for seed in range(150)]
    flat = [np.abs(np.diff(sample(plain, seed).target["hr"].astype(float), axis=0)).mean() for seed in range(150)]
    assert np.mean(steep) > 1.1 * np.mean(flat)


def test_all_eight_flips_and_quarter_turns_occur():
    corner = np.zeros((16, 16, 3), np.uint8)
    corner[:8, :4] = 200  # no symmetry
    record = train_record(corner, scales=(2,))
    seen = {crop(record, 2, 16, seed)["hr"].tobytes() for seed in range(80)}
    expected = {np.ascontiguousarray(np.rot90(part, turns)).tobytes()
                for part in (corner, corner[:, ::-1]) for turns in range(4)}
    assert seen == expected and len(expected) == 8
