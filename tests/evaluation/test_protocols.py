"""Each task's protocol: its figures on samples whose answer is known, and the pictures that it shows."""

import math

import numpy as np
import pytest

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import to_rgb8
from restore_ml.evaluation.scoring import check
from restore_ml.tasks.panels import panel
from restore_ml.tasks.protocol import protocol
from tests.tasks.examples import best, example


@pytest.mark.parametrize("task", registry.tables())
def test_protocol_is_whole(task: str) -> None:
    rules = protocol(task)
    names = [metric.name for metric in rules.metrics]
    assert rules.task == task and len(set(names)) == len(names)
    assert "`" not in rules.reading, "pages show it as it is"
    assert rules.metric(rules.primary).direction != 0
    assert {guard.metric for guard in rules.guards} <= set(names) - {rules.primary}
    assert rules.guards or not registry.task(task).target  # without a truth nothing is promoted
    for guard in rules.guards:
        assert (guard.margin is None) or rules.metric(guard.metric).direction != 0
    assert rules.primary_degradation in registry.parts(task).cases.degradations({})
    with pytest.raises(UserError, match="no metric"):
        rules.metric("psrn")


@pytest.mark.parametrize("task", registry.tables())
def test_the_truth_beats_a_wrong_output_in_every_metric(task: str) -> None:
    rules = protocol(task)
    inputs, wrong, target = example(task).sample()
    context = rules.context([target])
    right = example(task).perfect(target)
    check(task, right, inputs, target)
    check(task, wrong, inputs, target)
    good = rules.measure(inputs, right, target, context)
    worse = rules.measure(inputs, wrong, target, context)
    assert set(good) <= {metric.name for metric in rules.metrics}
    assert good[rules.primary] == best(task)
    for metric in rules.metrics:
        if metric.name in good and not math.isnan(good[metric.name]):
            assert math.isfinite(good[metric.name]) and math.isfinite(worse[metric.name])
            if metric.direction and not metric.name.startswith("l_error"):
                assert metric.direction * good[metric.name] > metric.direction * worse[metric.name], metric.name


@pytest.mark.parametrize("task", registry.tables())
def test_pictures_shown_are_rgb_and_the_output_lies_over_the_truth(task: str) -> None:
    rules = protocol(task)
    inputs, output, target = example(task).sample()
    without = rules.show(inputs, None, target)
    shown = {name: panel(one) for name, one in rules.show(inputs, output, target).items()}
    assert "input" in without and {*shown} == {*without, "output"}
    assert {one.frames.shape[3] for one in shown.values()} == {3}
    assert {one.frames.dtype for one in shown.values()} == {np.dtype(np.uint8)}
    if "truth" not in shown:
        return
    assert shown["output"].frames.shape == shown["truth"].frames.shape
    right = {name: panel(one) for name, one in rules.show(inputs, example(task).perfect(target), target).items()}
    assert np.abs(right["output"].frames.astype(int) - right["truth"].frames).max() == 0
    assert shown["input"].still.shape != shown["truth"].still.shape or (
        shown["truth"].annotated or (shown["input"].still != shown["truth"].still).any())


def test_colorization_keeps_lightness_and_scores_rgb_methods_twice() -> None:
    rules = protocol("colorization")
    inputs, wrong, target = example("colorization").sample()
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


def test_colorizations_that_sample_are_scored_by_their_first_result_and_by_all_of_them() -> None:
    rules = protocol("colorization")
    inputs, wrong, target = example("colorization").sample()
    context = rules.context([target])
    offsets = np.array([4.0, 3.0, -3.0, 0.0, 0.0, 2.0, 2.0, 4.0], np.float32)
    results = [target["ab"] + np.float32([offset, 0]) for offset in offsets]
    output = {"ab": results[0], "drawn": np.concatenate(results, 2)}
    check("colorization", output, inputs, target)
    values = rules.measure(inputs, output, target, context)
    assert values["rmse_ab"] == pytest.approx(4, abs=1e-4)
    assert values["eob_8"] == pytest.approx(0, abs=1e-4)
    assert values["var_8"] == pytest.approx(offsets.var() / 2, abs=1e-3)  # b does not vary
    apart = [{**output, "drawn": np.concatenate([first, *results[1:]], 2)} for first in (wrong["ab"], results[1])]
    for other in apart:
        with pytest.raises(ValueError, match="the first of the drawn results is not the output 'ab'"):
            rules.measure(inputs, other, target, context)
    with pytest.raises(ValueError, match="it has 14 channels, not 16"):
        check("colorization", {**output, "drawn": output["drawn"][..., :14]}, inputs, target)
    one = rules.measure(inputs, {"ab": wrong["ab"]}, target, context)
    assert not {"eob_8", "var_8", "lpips_pairs"} & set(one) and rules.drawn(inputs, wrong) == []
    seen = [to_rgb8(inputs["L"], ab) for ab in results]
    assert len(rules.drawn(inputs, output)) == 8
    assert all(np.array_equal(*pair) for pair in zip(rules.drawn(inputs, output), seen, strict=True))
    shown = rules.show(inputs, output, target)["output"]
    assert np.array_equal(shown.still, seen[0])
    assert all(np.array_equal(*pair) for pair in zip(shown.others, seen[1:3], strict=True))
    assert not {"eob_8", "var_8", "lpips_pairs"} & {metric.name for metric in protocol("guided_colorization").metrics}


def test_a_watermark_is_shown_as_observed_and_a_hole_in_grey() -> None:
    rules = protocol("inpainting")
    inputs, _, target = example("inpainting").sample()
    hole = inputs["mask"][..., 0] > 0
    assert (rules.show(inputs, None, target)["input"][hole] == 200).all()
    marked = {**inputs, "image": np.where(inputs["mask"] > 0, np.uint8(90), target["image"])}
    assert np.array_equal(rules.show(marked, None, target)["input"], marked["image"])


def test_grey_pictures_are_shown_in_three_channels() -> None:
    rules = protocol("inpainting")
    inputs, _, target = example("inpainting").sample()
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
