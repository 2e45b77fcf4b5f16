"""frame_repeat, frame_blend and flow_interp: by hand, by what must not change a frame, and by the card's figures."""

import cv2
import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.frame_interpolation.flow_interp import warp
from restore_ml.metrics.fidelity import psnr

NAMES = ("frame_repeat", "frame_blend", "flow_interp")


def restored(name: str, before: np.ndarray, after: np.ndarray, percent: int = 50, **settings) -> np.ndarray:
    method = registry.method_class("frame_interpolation", name)(settings)
    inputs = {key: torch.from_numpy(value)[None].permute(0, 3, 1, 2) / 255 for key, value in
              (("before", before), ("after", after))}
    frame = method.restore(Model(), {**inputs, "percent": torch.tensor([percent])}, 1)["frame"]
    return np.rint(frame[0].permute(1, 2, 0).double().numpy().clip(0, 1) * 255)


def texture(shift: float, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth coloured picture moved to the right by `shift` pixels."""
    rows, columns = np.mgrid[:height, :width].astype(float)
    x = columns - shift
    waves = [128 + 60 * np.sin(x / (3 + channel)) * np.cos(rows / (4 - channel)) + 40 * np.sin((x + rows) / 9)
             for channel in range(3)]
    return np.rint(np.stack(waves, 2)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_two_equal_frames_give_that_frame(name):
    frame = texture(0)
    assert np.array_equal(restored(name, frame, frame), frame)


def test_the_floors_by_hand():
    before, after = texture(0), texture(4)
    assert np.array_equal(restored("frame_repeat", before, after, 80), before)
    expected = 0.8 * before.astype(float) + 0.2 * after
    assert np.abs(restored("frame_blend", before, after, 20) - expected).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("flow", ["tvl1", "dis"])
def test_a_translation_is_followed_to_any_time(flow):
    """4 pixels of motion: a quarter of the time is 1 pixel. Blending is 14 dB away there."""
    before, after = texture(0), texture(4)
    for percent in (25, 50, 75):
        truth = texture(4 * percent / 100)
        inner = np.s_[8:-8, 10:-10]
        followed = psnr(restored("flow_interp", before, after, percent, flow=flow)[inner], truth[inner].astype(float))
        blended = psnr(restored("frame_blend", before, after, percent)[inner], truth[inner].astype(float))
        assert followed > 34 and followed > blended + 10, (percent, followed, blended)


def test_swapping_frames_and_time_gives_the_same_frame():
    before, after = texture(0), texture(3)
    one = restored("flow_interp", before, after, 30, flow="dis")
    other = restored("flow_interp", after, before, 70, flow="dis")
    assert np.abs(one - other).max() <= 1


def test_near_the_first_frame_it_is_that_frame():
    before, after = texture(0), texture(2)
    assert psnr(restored("flow_interp", before, after, 1, flow="dis"), before.astype(float)) > 40


def test_warping_reads_at_the_place_that_the_flow_says():
    picture = np.random.default_rng(0).random((12, 14, 2)) * 255
    flow = np.zeros((12, 14, 2))
    flow[..., 0], flow[..., 1] = 2, -1
    np.testing.assert_allclose(warp(picture, flow)[3:-3, 3:-3], picture[2:-4, 5:-1], atol=1e-9)
    ramp = np.tile(np.arange(20.0), (16, 1))[..., None]
    flow = np.full((16, 20, 2), 0.0)
    flow[..., 0] = 0.5
    np.testing.assert_allclose(warp(ramp, flow)[:, 6:-6], ramp[:, 6:-6] + 0.5, atol=1e-3)  # a spline keeps a ramp


def test_cases_that_a_run_leaves_out():
    method = registry.method_class("frame_interpolation", "flow_interp")({"cases": ["gap_2"]})
    assert method.unsupported("gap_2") is None
    assert method.unsupported("gap_4") == "left out by the run's setting `cases`"
    assert registry.method_class("frame_interpolation", "flow_interp")({}).unsupported("gap_4") is None
    with pytest.raises(UserError, match="flow of flow_interp is 'farneback'; it must be tvl1 or dis"):
        registry.method_class("frame_interpolation", "flow_interp")({"flow": "farneback"})


@pytest.mark.benchmark_data
@pytest.mark.parametrize(("name", "settings", "figures"), [
    ("frame_repeat", {}, {2: 24.4, 4: 19.8}), ("frame_blend", {}, {2: 30.6, 4: 22.9}),
    ("flow_interp", {"flow": "tvl1"}, {2: 33.4, 4: 31.0}),
])
def test_the_card_s_figures_on_a_real_clip(benchmark_data, name, settings, figures):
    """Calendar of SPMC, triplets around frames 9, 17 and 23, 8-bit RGB without a border."""
    folder = next(iter(sorted(benchmark_data.glob("video_spmc/**/calendar*"))), None)
    files = sorted(folder.rglob("*.png")) if folder else []
    if not files:
        pytest.skip("The clip calendar of SPMC is not among the benchmark pictures.")
    frames = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    for gap, figure in figures.items():
        values = [psnr(restored(name, frames[middle - gap], frames[middle + gap], **settings),
                       frames[middle].astype(float)) for middle in (8, 16, 22)]  # the frames 9, 17 and 23
        assert np.mean(values) == pytest.approx(figure, abs=0.15)
