"""The task frame_interpolation: which frames are shown and learned from, and what is measured, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.tasks.protocol import protocol

PARTS = registry.parts("frame_interpolation")
TASK, CASES, TRAINING = PARTS.task, PARTS.cases, PARTS.training
RULES = protocol("frame_interpolation")


def clip(frames: int = 9, height: int = 40, width: int = 48) -> np.ndarray:
    """Frame n is n everywhere, but for a corner that tells the sides apart."""
    made = np.zeros((frames, height, width, 3), np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None, None]
    made[:, :4, :4] += 100
    return made


def record(frames: np.ndarray) -> Record:
    return Record("a" * 64, {"frames": frames}, {})


@pytest.mark.parametrize(("frames", "gap", "shown"), [(9, 1, (3, 4, 5)), (9, 4, (0, 4, 8)), (10, 4, (0, 4, 8)),
                                                      (3, 1, (0, 1, 2))])
def test_the_middle_frame_is_asked_for_from_those_around_it(frames, gap, shown):
    sample = CASES.sample(record(clip(frames)), f"gap_{gap}", 1, {"gaps": [gap]})
    values = tuple(int(array[10, 10, 0]) for array in (sample.inputs["before"], sample.target["truth"],
                                                       sample.inputs["after"]))
    assert values == shown and int(sample.inputs["percent"]) == 50 and sample.facts == {"gap": gap}
    for name, spec in TASK.arrays.items():
        assert spec.problem({**sample.inputs, **sample.target}[name]) is None


def test_clips_that_are_too_short_or_small_are_left_out_in_words():
    assert TASK.accepts(clip(8), {}) == "8 frames, the largest gap needs 9"
    assert TASK.accepts(clip(9), {}) is None and TASK.accepts(clip(5), {"gaps": [2]}) is None
    assert TASK.accepts(clip(9, height=31), {}) == "a side is below 32 pixels"
    with pytest.raises(UserError, match="A clip of 4 frames has no frame 2 before"):
        CASES.sample(record(clip(4)), "gap_2", 1, {})


@pytest.mark.parametrize("gaps", [[], [0], [True], [2.0], [17]])
def test_gaps_that_make_no_sense(gaps):
    with pytest.raises(UserError, match=r"`gaps` of frame_interpolation is .* whole numbers from 1 to 16"):
        TASK.resolve({"gaps": gaps})


@pytest.mark.parametrize("name", ["gap", "gap_0", "gap_-1", "gap_100", "x2"])
def test_degradations_that_there_are_not(name):
    with pytest.raises(UserError, match="write gap_1, gap_2"):
        CASES.sample(record(clip()), name, 1, {})


def test_degradations_follow_the_setting():
    assert CASES.degradations({}) == ["gap_1", "gap_2", "gap_4"] and CASES.degradations({"gaps": [3]}) == ["gap_3"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_training_sees_three_frames_at_equal_distances_both_ways(seed, frames):
    """The gap is one of the run's, as far as the clip has room; the crop is the same place of all three."""
    stored = next(iter(TRAINING.records([record(clip(frames))], 1, {})))
    sample = TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 40, "gaps": [1, 2, 4]}, {})
    values = [int(np.median(array)) for array in (sample.inputs["before"], sample.target["truth"],
                                                  sample.inputs["after"])]
    steps = {values[1] - values[0], values[2] - values[1]}
    assert len(steps) == 1 and abs(steps.pop()) in {min(gap, (frames - 1) // 2) for gap in (1, 2, 4)}
    places = [np.argwhere(array[..., 0] >= 100) for array in (*sample.inputs.values(), sample.target["truth"])
              if array.ndim == 3]
    assert all(np.array_equal(place, places[0]) for place in places)
    assert sample.inputs["before"].shape == (40, 40, 3)


def test_training_plays_backwards_as_often_as_forwards():
    stored = record(clip())
    signs = [np.sign(int(np.median(sample.inputs["after"])) - int(np.median(sample.inputs["before"])))
             for sample in (TRAINING.sample(stored, {}, np.random.default_rng(seed), {"patch": 32}, {})
                            for seed in range(200))]
    assert 60 < signs.count(1) < 140 and signs.count(0) == 0


def test_the_figures_by_hand():
    rng = np.random.default_rng(0)
    truth = rng.integers(40, 200, (48, 40, 3), dtype=np.uint8)
    frame = np.clip(truth.astype(int) + rng.integers(-9, 10, truth.shape), 0, 255).astype(np.uint8)
    error = np.square(frame.astype(float) - truth).mean()
    values = RULES.measure({}, {"frame": frame}, {"truth": truth}, None)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    y, y_truth = (16 + picture.astype(float) @ weights for picture in (frame, truth))
    assert values["psnr"] == pytest.approx(10 * np.log10(255 ** 2 / error))
    assert values["ie"] == pytest.approx(np.sqrt(error))
    assert values["ssim_y"] == pytest.approx(structural_similarity(
        y, y_truth, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False), abs=1e-6)
    same = RULES.measure({}, {"frame": truth}, {"truth": truth}, None)
    assert same == {"psnr": 60.0, "ssim_y": pytest.approx(1.0), "ie": 0.0}


def test_what_is_shown_are_clips_with_both_frames_over_each_other_in_the_input():
    inputs = {"before": np.full((4, 4, 3), 10, np.uint8), "after": np.full((4, 4, 3), 21, np.uint8)}
    shown = RULES.show(inputs, None, {"truth": inputs["before"]})
    assert shown.keys() == {"input", "truth"}
    assert [int(frame[0, 0, 0]) for frame in shown["input"].frames] == [10, 16, 21]
    assert [int(frame[0, 0, 0]) for frame in shown["truth"].frames] == [10, 10, 21]
    made = RULES.show(inputs, {"frame": inputs["after"]}, {"truth": inputs["before"]})["output"]
    assert (made.still == 21).all()
    sample = CASES.sample(record(clip()), "gap_4", 1, {})
    assert (RULES.trivial(sample)[10:, 10:] == 4).all()
