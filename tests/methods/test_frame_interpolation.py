"""frame_repeat, frame_blend and flow_interp: by hand, by what must not change a frame, and by the card's figures."""

import cv2
import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.frame_interpolation import flow_interp
from restore_ml.methods.frame_interpolation.flow_interp import FLOWS, misses, warp
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


def noise(seed: int, height: int = 40, width: int = 44) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def constant(u: float, v: float, height: int = 40, width: int = 44) -> np.ndarray:
    return np.broadcast_to([float(u), float(v)], (height, width, 2))


def raw(before: np.ndarray, after: np.ndarray, percent: int, **settings) -> np.ndarray:
    """What the method itself gives, before the harness rounds and clips it, in grey levels."""
    method = registry.method_class("frame_interpolation", "flow_interp")(settings)
    frame = method.restore_arrays(Model(), {"before": before, "after": after, "percent": np.int32(percent)}, 1)["frame"]
    assert frame.dtype == np.float32
    return frame.astype(np.float64) * 255


def test_each_frame_is_read_by_the_flow_that_leads_from_the_place_between(monkeypatch):
    """A quarter of the time: I0 by a quarter of F10, I1 by three quarters of F01, blended 3 to 1. Which flow is asked
    for first, and of what grey, stands in `asked`."""
    before, after = noise(1), noise(2)
    asked = []

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        asked.append((first, second))
        return constant(4, -8) if len(asked) == 1 else constant(8, 12)

    monkeypatch.setitem(FLOWS, "tvl1", flow)
    found = raw(before, after, 25)
    inner = np.s_[8:-8, 8:-8]
    moved = np.roll(before, (-3, -2), (0, 1)), np.roll(after, (6, -3), (0, 1))  # I0(x + 2, y + 3), I1(x + 3, y - 6)
    expected = 0.75 * moved[0].astype(float) + 0.25 * moved[1]
    np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)
    grey = [picture @ np.array([0.299, 0.587, 0.114]) for picture in (before, after)]
    for (first, second), order in zip(asked, (grey, grey[::-1]), strict=True):
        assert first.dtype == np.uint8 and np.abs(first - order[0]).max() < 1 and np.abs(second - order[1]).max() < 1


def test_overshoots_of_the_splines_are_cut(monkeypatch):
    monkeypatch.setitem(FLOWS, "tvl1", lambda first, second: constant(1, 1))
    before = np.where(np.indices((40, 44))[1][..., None] % 8 < 4, 0, 255).astype(np.uint8).repeat(3, axis=2)
    after = before.copy()
    after[0, 0] = 7  # equal frames are not moved at all
    found = raw(before, after, 50)
    assert found.min() == 0 and found.max() == 255


def test_where_one_frame_hides_a_place_the_other_one_is_shown(monkeypatch):
    """A thing moves from the columns 12 to 15 to the columns 16 to 19. Read at the middle of the time: F01 leads from
    12 to 15 to its new place, and F10 from there back; what F10 says at 12 to 15 (ground) does not lead back."""
    forward, backward = np.zeros((40, 44, 2)), np.zeros((40, 44, 2))
    forward[:, 12:16, 0], backward[:, 16:20, 0] = 4, -4
    forward[:, 30:32, 0], backward[:, 30:32, 0] = 4, -4  # neither leads back: both frames are blended there

    def whole(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
        """`warp` for flows of whole pixels to the side: splines would ring at the thing's edges."""
        rows, columns = np.indices(flow.shape[:2])
        return picture[rows, np.clip(columns + np.rint(flow[..., 0]).astype(int), 0, flow.shape[1] - 1)]

    monkeypatch.setattr(flow_interp, "warp", whole)
    assert (misses(backward, forward, 1.0).any(axis=0) == np.isin(np.arange(44), [*range(12, 16), 30, 31])).all()
    assert (misses(forward, backward, 1.0).any(axis=0) == np.isin(np.arange(44), [*range(16, 20), 30, 31])).all()
    assert not misses(forward, backward, 4.0).any()
    monkeypatch.setitem(FLOWS, "tvl1", lambda first, second: forward if np.array_equal(first, grey) else backward)
    before, after = noise(1), noise(2)
    grey = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY)
    both, one = raw(before, after, 50), raw(before, after, 50, one_sided=1.0)
    columns = np.arange(44)
    np.testing.assert_allclose(one[:, 12:16], after[:, 14:18], atol=1e-3)  # I0 hides it: I1 by half of F01
    np.testing.assert_allclose(one[:, 16:20], before[:, 14:18], atol=1e-3)
    others = (columns < 12) | (columns >= 20)
    assert np.array_equal(one[:, others], both[:, others]) and np.abs(one - both)[:, 12:20].mean() > 20
    assert np.array_equal(both, raw(before, after, 50, one_sided=8.0))


def test_sampling_is_cubic_and_the_last_pixels_go_on_beyond_the_edges():
    x = np.arange(24.0)
    wave = np.broadcast_to(100 * np.sin(x / 1.5), (20, 24))[..., None]
    found = warp(wave, np.broadcast_to([0.5, 0.0], (20, 24, 2)))
    truth = 100 * np.sin((x + 0.5) / 1.5)
    assert np.abs(found[10, 6:-6, 0] - truth[6:-6]).max() < 1  # linear sampling is 5 away, without prefilter 15
    ramp = np.broadcast_to(np.arange(24.0), (20, 24))[..., None]
    np.testing.assert_allclose(warp(ramp, np.broadcast_to([30.0, 30.0], (20, 24, 2))), 23, atol=1e-3)


def test_the_flows_are_those_of_the_libraries_in_pixels_right_and_down(monkeypatch):
    import skimage.registration

    first, second = (cv2.cvtColor(texture(shift), cv2.COLOR_RGB2GRAY) for shift in (0, 2))
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(first, second, None)
    assert np.array_equal(FLOWS["dis"](first, second), dis) and 1.5 < np.median(dis[..., 0]) < 2.5
    asked = []

    def known(reference: np.ndarray, moving: np.ndarray) -> np.ndarray:
        asked.append((reference, moving))
        return np.stack([np.full(reference.shape, 7.0), np.full(reference.shape, -3.0)])  # rows, then columns

    monkeypatch.setattr(skimage.registration, "optical_flow_tvl1", known)
    found = FLOWS["tvl1"](first, second)
    assert (found[..., 0] == -3).all() and (found[..., 1] == 7).all()
    np.testing.assert_allclose(asked[0][0], first / 255)
    np.testing.assert_allclose(asked[0][1], second / 255)
    assert registry.method_class("frame_interpolation", "flow_interp").paper == {
        "flow": "tvl1", "cases": [], "one_sided": 0.0}


def test_cases_that_a_run_leaves_out():
    method = registry.method_class("frame_interpolation", "flow_interp")({"cases": ["gap_2"]})
    assert method.unsupported("gap_2") is None
    assert method.unsupported("gap_4") == "left out by the run's setting cases"
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
