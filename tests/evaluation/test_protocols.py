"""Each task's protocol: its figures on samples whose answer is known, and the pictures that it shows."""

import math

import numpy as np
import pytest
import skimage.data
from skimage.color import rgb2lab

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.evaluation.scoring import check
from restore_ml.tasks.protocol import CAP, protocol

Arrays = dict[str, np.ndarray]


def sample(task: str) -> tuple[Arrays, Arrays, Arrays]:
    """Inputs, a wrong output and the target of a task."""
    rng = np.random.default_rng(0)
    rgb = np.ascontiguousarray(skimage.data.astronaut()[64:128, 200:264])
    noise = np.clip(rgb + rng.normal(0, 12, rgb.shape), 0, 255).astype(np.uint8)
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[20:40, 10:50] = 1
    if task == "super_resolution":
        return {"lr": rgb[::2, ::2].copy(), "scale": np.array(2, np.int32)}, {"sr": noise}, {"hr": rgb}
    if task == "inpainting":
        return {"image": rgb * (1 - mask), "mask": mask}, {"image": np.where(mask > 0, noise, rgb)}, {"image": rgb}
    if task == "colorization":
        lab = rgb2lab(rgb).astype(np.float32)
        return {"L": lab[..., :1]}, {"ab": 0.5 * lab[..., 1:]}, {"ab": lab[..., 1:], "rgb": rgb}
    if task == "frame_interpolation":
        moved = {"before": np.roll(rgb, 3, axis=1), "after": np.roll(rgb, -3, axis=1)}
        return {**moved, "percent": np.array(50, np.int32)}, {"frame": noise}, {"truth": rgb}
    bands = rng.random((64, 64, 4)).astype(np.float32)
    output = np.where(mask > 0, np.float32(0.5), bands)
    return ({"target": np.where(mask > 0, np.float32(1), bands), "reference": bands, "mask": mask}, {"image": output},
            {"truth": bands})


def perfect(task: str, target: Arrays) -> Arrays:
    key = {"super_resolution": ("sr", "hr"), "inpainting": ("image", "image"), "colorization": ("ab", "ab"),
           "cloud_removal": ("image", "truth"), "frame_interpolation": ("frame", "truth")}[task]
    return {key[0]: target[key[1]]}


@pytest.mark.parametrize("task", registry.tables())
def test_protocol_is_whole(task: str) -> None:
    rules = protocol(task)
    names = [metric.name for metric in rules.metrics]
    assert rules.task == task and len(set(names)) == len(names)
    assert rules.metric(rules.primary).direction != 0
    assert {guard.metric for guard in rules.guards} <= set(names) - {rules.primary} and rules.guards
    for guard in rules.guards:
        assert (guard.margin is None) or rules.metric(guard.metric).direction != 0
    assert rules.primary_degradation in registry.parts(task).cases.degradations({})
    with pytest.raises(UserError, match="no metric"):
        rules.metric("psrn")


@pytest.mark.parametrize("task", registry.tables())
def test_the_truth_beats_a_wrong_output_in_every_metric(task: str) -> None:
    rules = protocol(task)
    inputs, wrong, target = sample(task)
    context = rules.context([target])
    right = perfect(task, target)
    check(task, right, inputs, target)
    check(task, wrong, inputs, target)
    best = rules.measure(inputs, right, target, context)
    worse = rules.measure(inputs, wrong, target, context)
    assert set(best) <= {metric.name for metric in rules.metrics}
    assert best[rules.primary] == CAP
    for metric in rules.metrics:
        if metric.name in best and not math.isnan(best[metric.name]):
            assert math.isfinite(best[metric.name]) and math.isfinite(worse[metric.name])
            if metric.direction and not metric.name.startswith("l_error"):
                assert metric.direction * best[metric.name] > metric.direction * worse[metric.name], metric.name


@pytest.mark.parametrize("task", registry.tables())
def test_pictures_shown_are_rgb_of_one_size(task: str) -> None:
    rules = protocol(task)
    inputs, output, target = sample(task)
    assert set(rules.show(inputs, None, target)) == {"input", "truth"}
    shown = rules.show(inputs, output, target)
    assert set(shown) == {"input", "output", "truth"}
    assert {picture.shape for picture in shown.values()} == {(64, 64, 3)}
    assert {picture.dtype for picture in shown.values()} == {np.dtype(np.uint8)}
    right = rules.show(inputs, perfect(task, target), target)
    assert np.abs(right["output"].astype(int) - right["truth"]).max() == 0
    assert (shown["input"] != shown["truth"]).any()


def test_colorization_keeps_lightness_and_scores_rgb_methods_twice() -> None:
    rules = protocol("colorization")
    inputs, wrong, target = sample("colorization")
    context = rules.context([target])
    wild = {"ab": np.full_like(target["ab"], 80.0)}
    values = rules.measure(inputs, wild, target, context)
    assert values["l_error_8bit"] < 0.25 < values["l_error_8bit_unmapped"]
    assert values["chroma_ratio"] > 2
    assert rules.measure(inputs, wrong, target, context)["chroma_ratio"] == pytest.approx(0.5, abs=1e-6)
    assert "raw_ssim" not in values
    dark = (target["rgb"] * 0.8).astype(np.uint8)
    both = rules.measure(inputs, {"ab": target["ab"], "rgb": dark}, target, context)
    assert both["raw_psnr_rgb"] < 30 < both["psnr_rgb"]


def test_a_watermark_is_shown_as_observed_and_a_hole_in_grey() -> None:
    rules = protocol("inpainting")
    inputs, _, target = sample("inpainting")
    hole = inputs["mask"][..., 0] > 0
    assert (rules.show(inputs, None, target)["input"][hole] == 200).all()
    marked = {**inputs, "image": np.where(inputs["mask"] > 0, np.uint8(90), target["image"])}
    assert np.array_equal(rules.show(marked, None, target)["input"], marked["image"])


def test_grey_pictures_are_shown_in_three_channels() -> None:
    rules = protocol("inpainting")
    inputs, _, target = sample("inpainting")
    grey = {"image": target["image"][..., :1]}
    shown = rules.show({**inputs, "image": inputs["image"][..., :1]}, grey, grey)
    assert {picture.shape for picture in shown.values()} == {(64, 64, 3)}


def test_primary_case_is_the_nearest_there_is() -> None:
    rules = protocol("super_resolution")
    assert rules.primary_case(["set5/x2", "photos/x3", "photos/x2"]) == "photos/x2"
    assert rules.primary_case(["urban/x2", "set5/x2", "photos/x3"]) == "set5/x2"
    assert rules.primary_case(["set5/x3", "photos/x4"]) == "photos/x4"
    with pytest.raises(UserError, match="no test case"):
        rules.primary_case([])
    with pytest.raises(UserError, match="Did you mean 'inpainting'"):
        protocol("inpaintin")
