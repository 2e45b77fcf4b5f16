"""The task video_super_resolution: how clips are made small, what training sees, and what is measured, by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.metrics import structural_similarity

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations.blur import gaussian_blur
from restore_ml.degradations.resize import imresize
from restore_ml.metrics.temporal import flow_difference
from restore_ml.tasks.protocol import protocol
from restore_ml.tasks.video_super_resolution.shrinking import shrunk

PARTS = registry.parts("video_super_resolution")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("video_super_resolution")
PICTURE = data.astronaut()[:83, 100:209]


def clip(frames: int = 9) -> np.ndarray:
    """The picture moves to the left by two pixels a frame."""
    return np.stack([np.roll(PICTURE, -2 * step, axis=1) for step in range(frames)])


def numbered(frames: int = 9, height: int = 64, width: int = 80) -> np.ndarray:
    """Frame n is 10 n everywhere, but for a corner that tells the sides apart."""
    made = np.zeros((frames, height, width, 3), np.uint8)
    made += 10 * np.arange(frames, dtype=np.uint8)[:, None, None, None]
    made[:, :16, :16] += 100
    return made


def record(frames: np.ndarray) -> Record:
    return Record("a" * 64, {"frames": frames}, {"name": "clip"})


@pytest.mark.parametrize(("degradation", "scale"), [("x2", 2), ("x3", 3), ("x4", 4), ("x4_bd", 4), ("x3_bd", 3)])
def test_every_frame_is_made_small_by_itself(degradation, scale):
    """BI: imresize of the cropped frame. BD: a Gaussian of 1.6 and 13 pixels, then each scale-th pixel from 0 on."""
    frames = clip()
    sample = CASES.sample(record(frames), degradation, 1, {})
    height, width = 83 - 83 % scale, 109 - 109 % scale
    np.testing.assert_array_equal(sample.target["hr"], frames[:, :height, :width])
    for small, frame in zip(sample.inputs["lr"], frames, strict=True):
        whole = frame[:height, :width]
        expected = (gaussian_blur(whole, 1.6, 13)[::scale, ::scale] if degradation.endswith("bd")
                    else imresize(whole, 1 / scale))
        assert np.abs(small.astype(int) - expected).max() <= (0 if degradation.endswith("bd") else 1)
        assert (small != expected).mean() < 1e-3
    assert int(sample.inputs["scale"]) == scale and sample.facts == {"scale": scale, "frames": 9}
    for name, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[name]) is None


def test_a_grey_clip_becomes_three_channels():
    sample = CASES.sample(record(clip()[..., :1]), "x4", 1, {})
    assert sample.inputs["lr"].shape == (9, 20, 27, 3) and (sample.inputs["lr"] == sample.inputs["lr"][..., :1]).all()


def test_clips_that_are_too_short_or_small_are_left_out_in_words():
    assert TASK.accepts(clip(6), {}) == "6 frames, at least 7 are needed" and TASK.accepts(clip(7), {}) is None
    assert TASK.accepts(clip()[:, :47], {}) == "a side is below 48 pixels" and TASK.accepts(clip()[:, :48], {}) is None
    assert TASK.accepts(np.zeros((9, 64, 64, 4), np.uint8), {}) == "4 channels"


@pytest.mark.parametrize("name", ["x1", "x5", "x4_noise", "4", "x4bd", "../x4"])
def test_degradations_that_there_are_not(name):
    with pytest.raises(UserError, match="write x2, x3 or x4, with _bd after it"):
        CASES.sample(record(clip()), name, 1, {})
    with pytest.raises(UserError):
        PARTS.check_settings({"degradations": [name]})


def test_degradations_follow_the_setting():
    assert CASES.degradations({}) == ["x4", "x4_bd", "x3", "x2"]
    assert CASES.degradations({"degradations": ["x2_bd"]}) == ["x2_bd"]
    for wrong in ([], "x4"):
        with pytest.raises(UserError, match="it must be a list"):
            TASK.resolve({"degradations": wrong})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 5]), st.sampled_from(["x4", "x4_bd", "x2"]))
def test_training_sees_frames_in_a_row_at_the_same_place(seed, count, degradation):
    stored = next(iter(TRAINING.records([record(numbered())], 1, {})))
    run = {"patch": 50, "frames": count, "degradation": degradation}
    sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), run, {})
    scale = int(degradation[1])
    side = 50 // scale
    lr, hr = sample.inputs["lr"], sample.target["hr"]
    assert lr.shape == (count, side, side, 3) and hr.shape == (count, side * scale, side * scale, 3)
    assert int(sample.inputs["scale"]) == scale
    values = np.array([np.median(frame) for frame in hr])
    assert abs(np.diff(values)).tolist() == [10.0] * (count - 1) and len({*np.sign(np.diff(values))}) == 1
    assert [np.median(frame) for frame in lr] == values.tolist()
    if degradation != "x4_bd":  # frames of one colour but for a corner, whose edges lie on the grid of both sizes
        shown, true = lr.astype(int) > values[:, None, None, None] + 50, hr > values[:, None, None, None] + 50
        np.testing.assert_array_equal(shown.repeat(scale, 1).repeat(scale, 2), true)


def test_training_draws_places_times_and_both_directions():
    stored = next(iter(TRAINING.records([record(numbered())], 1, {"degradations": ["x4"]})))
    assert set(stored.arrays) == {"hr", "lr_x4"}
    samples = [TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32}, {}) for seed in range(200)]
    firsts = [int(np.median(sample.target["hr"][0])) for sample in samples]
    signs = [np.sign(int(np.median(sample.target["hr"][1])) - first) for sample, first in zip(samples, firsts,
                                                                                                 strict=True)]
    assert 60 < signs.count(1) < 140 and signs.count(0) == 0 and set(firsts) == set(range(0, 90, 10))
    corners = [(sample.target["hr"][0] >= firsts[number] + 100).any() for number, sample in enumerate(samples)]
    assert 0 < sum(corners) < 200


@pytest.mark.parametrize(("run", "words"), [
    ({"patch": 32, "degradation": "x3"}, "no x3; add it"), ({"patch": 32, "frames": 11}, "11 frames and a patch of 32"),
    ({"patch": 68}, "a training clip of 9 frames of 80 x 64"), ({"patch": 3}, "3 frames and a patch of 3")])
def test_runs_that_the_material_does_not_serve(run, words):
    stored = next(iter(TRAINING.records([record(numbered())], 1, {"degradations": ["x4"]})))
    with pytest.raises(UserError, match=words):
        TRAINING.sample(stored, {}, np.random.default_rng(0), run, {})


def y(frame: np.ndarray) -> np.ndarray:
    return 16 + frame[8:-8, 8:-8].astype(float) @ np.array([65.481, 128.553, 24.966]) / 255


def test_the_figures_by_hand():
    """Frames 4 to 6 of 9, 8 pixels shaved."""
    truth = clip()
    noise = np.random.default_rng(0).integers(-9, 10, truth.shape)
    noise[:3] *= 5  # what is left out
    noise[6:] *= 5
    restored = np.clip(truth.astype(int) + noise, 0, 255).astype(np.uint8)
    values = RULES.measure({}, {"sr": restored}, {"hr": truth}, None)
    middle = range(3, 6)
    errors = [np.square(y(restored[number]) - y(truth[number])).mean() for number in middle]
    assert values["psnr_y"] == pytest.approx(np.mean([10 * np.log10(255 ** 2 / error) for error in errors]))
    assert values["ssim_y"] == pytest.approx(np.mean([structural_similarity(
        y(restored[number]), y(truth[number]), data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False) for number in middle]), abs=1e-6)
    assert values["tof"] == pytest.approx(flow_difference(restored[3:6], truth[3:6], 8)) and values["tof"] > 0.01
    same = RULES.measure({}, {"sr": truth}, {"hr": truth}, None)
    assert same == {"psnr_y": 60.0, "ssim_y": pytest.approx(1.0), "tof": 0.0}


def test_the_motion_of_a_frozen_clip_is_wrong_by_the_true_motion():
    """Smooth waves that move by 1.5 pixels to the right and 0.5 down a frame, against one frame repeated."""
    rows, columns = np.mgrid[:80, :96].astype(float)
    moving = np.stack([np.rint(128 + 50 * np.sin((columns - 1.5 * step) / 5) + 50 * np.cos((rows - 0.5 * step) / 6))
                       for step in range(4)]).astype(np.uint8)[..., None].repeat(3, 3)
    assert flow_difference(moving[:1].repeat(4, 0), moving, 8) == pytest.approx(np.hypot(1.5, 0.5), abs=0.05)
    assert flow_difference(moving, moving, 8) == 0 and np.isnan(flow_difference(moving[:1], moving[:1], 8))
    assert flow_difference(moving[::-1], moving, 8) == pytest.approx(2 * np.hypot(1.5, 0.5), abs=0.1)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in moving[:2]]
    flow = cv2.calcOpticalFlowFarneback(*grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)[8:-8, 8:-8]
    np.testing.assert_allclose(flow_difference(moving[:1].repeat(2, 0), moving[:2], 8),
                               np.linalg.norm(flow.astype(float), axis=2).mean(), rtol=1e-4)
    with pytest.raises(ValueError, match="shapes"):
        flow_difference(moving[1:], moving, 8)


def test_what_is_shown_is_the_middle_frame():
    sample = CASES.sample(record(numbered()), "x4", 1, {})
    shown = RULES.show(sample.inputs, {"sr": sample.target["hr"]}, sample.target)
    assert all(picture.shape == (64, 80, 3) and picture[40, 40, 0] == 40 for picture in shown.values())
    np.testing.assert_array_equal(shown["input"][::4, ::4], sample.inputs["lr"][4])
    np.testing.assert_array_equal(RULES.trivial(sample)[5], imresize(sample.inputs["lr"][5], 4.0))
    assert RULES.show(sample.inputs, None, sample.target).keys() == {"input", "truth"}


def test_shrinking_does_not_mix_frames():
    frames = numbered()
    alone = np.concatenate([shrunk(frames[number:number + 1], "x4_bd") for number in range(9)])
    np.testing.assert_array_equal(shrunk(frames, "x4_bd"), alone)
