"""Canary pictures: the same every time, and each way of being insane is noticed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from restore_ml.degradations.resize import imresize
from restore_ml.promotion import canaries
from restore_ml.registry import tables
from restore_ml.tasks.protocol import Protocol, protocol

Arrays = dict[str, np.ndarray]


def inspect(task: str, restore: Callable[[Arrays, str], Arrays], tolerance: float = 3.0) -> dict[str, Any]:
    return canaries.inspect(task, protocol(task).primary_degradation, restore, tolerance)


def bicubic(inputs: Arrays, name: str) -> Arrays:
    scale = int(inputs["scale"])
    height, width = inputs["lr"].shape[:2]
    return {"sr": imresize(inputs["lr"], output_size=(scale * height, scale * width))}


def tinted(inputs: Arrays, value: float) -> Arrays:
    return {"ab": np.full((*inputs["L"].shape[:2], 2), value, np.float32)}


@pytest.mark.parametrize("task", [task for task in tables() if protocol(task).canary()])
def test_they_are_the_same_every_time_and_the_truth_is_sane(task: str) -> None:
    case = protocol(task).primary_degradation
    one, two = canaries.samples(task, case), canaries.samples(task, case)
    assert list(one) == ["flat", "gradient", "strokes", "chart", "lines", "odd size"]
    for name, sample in one.items():
        assert all(np.array_equal(value, two[name].inputs[key]) for key, value in sample.inputs.items())
    canary = protocol(task).canary()
    found = inspect(task, lambda inputs, name: {canary.output: one[name].target[canary.truth]})
    assert found["sane"] and found["sentence"] == "" and {entry["rmse"] for entry in found["pictures"]} == {0.0}


def test_what_everybody_gets_for_nothing_is_sane() -> None:
    assert inspect("super_resolution", bicubic, 0.0)["sane"]
    assert inspect("colorization", lambda inputs, name: tinted(inputs, 0))["sane"]


@pytest.mark.parametrize(("spoil", "word"), [
    (lambda value: value[1:], "pixels; it must be"), (lambda value: value.astype(np.float32), "float32"),
    (lambda value: np.clip(value.astype(int) + 20, 0, 255).astype(np.uint8), "mean lies"),
    (lambda value: np.full_like(value, value.mean()), "constant"),
    (lambda value: value[::-1].copy(), "above the trivial"),
    (lambda value: 1 / 0, "ZeroDivisionError")])
def test_insane_enlargements_are_noticed(spoil: Callable[[np.ndarray], np.ndarray], word: str) -> None:
    found = inspect("super_resolution", lambda inputs, name: {"sr": spoil(bicubic(inputs, name)["sr"])})
    assert not found["sane"] and any(word in entry["reason"] for entry in found["pictures"])
    assert word in found["sentence"] and found["sentence"].startswith("does not restore the canary pictures sanely")


def test_values_out_of_range_and_changed_known_pixels_are_noticed() -> None:
    high = inspect("cloud_removal", lambda inputs, name: {"image": inputs["reference"]})
    assert not high["sane"] and "known pixels" in high["sentence"]
    hole = inspect("cloud_removal", lambda inputs, name: {"image": np.where(
        inputs["mask"] > 0, np.float32(9), inputs["target"])})
    assert "outside -0.5 to 1.5" in hole["sentence"]
    assert "not finite" in inspect("colorization", lambda inputs, name: tinted(inputs, np.nan))["sentence"]
    assert "mean lies" in inspect("colorization", lambda inputs, name: tinted(inputs, 60))["sentence"]


def test_a_task_without_canaries_is_not_asked(monkeypatch) -> None:
    monkeypatch.setattr(type(protocol("colorization")), "canary", lambda self: None)
    assert canaries.samples("colorization", "lab_grey") == {}
    found = canaries.inspect("colorization", "lab_grey", bicubic, 3.0)
    assert found["sane"] and "no canary pictures" in found["sentence"]


def test_a_task_that_forgets_its_canaries_cannot_be_used() -> None:
    """None must be said: left out, the guard would be gone in silence."""
    rules = type(protocol("super_resolution"))
    with pytest.raises(TypeError, match="canary"):
        type("Forgetful", (rules,), {"canary": Protocol.canary})()
