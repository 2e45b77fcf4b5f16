from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restore_ml.method import Method, Model
from restore_ml.restoring import arithmetic as inference
from restore_ml.serving.restore_command import load_for, restore_picture
from restore_ml.training import precision as arithmetic
from tests.serving.conftest import picture, served

__all__ = ["served"]


class Enlarge(Method):
    """Nearest-neighbour enlargement, times a network's gain."""

    task = "super_resolution"
    paper: dict[str, Any] = {}

    def restore(self, model: Model, inputs: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
        large = inputs["lr"].repeat_interleave(2, 2).repeat_interleave(2, 3)
        return {"sr": model.networks["net"](large).float()}


def with_kernel(weight: float, bias: float) -> Model:
    """A 1 x 1 convolution of each channel alone."""
    net = nn.Conv2d(3, 3, 1, groups=3)
    nn.init.constant_(net.weight, weight)
    nn.init.constant_(net.bias, bias)
    return Model({"net": net})


def test_the_rule_measures_bf16_against_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grey levels of 1/255 do not survive 8 bits of mantissa around 1, and less so after 20 comes and goes."""
    monkeypatch.setattr(arithmetic, "fast_cpu", lambda: True)
    near, far = with_kernel(1.0, 0.0), with_kernel(1.0, 20.0)
    found = inference.difference(Enlarge({}), near)
    assert found is not None and found.largest <= 1 and found.tolerable and near.precision == "fp32"
    assert inference.choose(Enlarge({}), near) == "bf16"
    monkeypatch.setattr(Enlarge, "restore", lambda self, model, inputs, seed: {
        "sr": model.networks["net"](inputs["lr"].repeat_interleave(2, 2).repeat_interleave(2, 3)).float() - 20})
    found = inference.difference(Enlarge({}), far)
    assert found is not None and found.largest > 5 and found.decibels < -0.01 and not found.tolerable
    assert inference.choose(Enlarge({}), far) == "fp32"
    assert inference.choose(Enlarge({}), far, "bf16") == "bf16", "a person may force it"


@pytest.mark.parametrize(("largest", "decibels", "tolerable"), [
    (0, 0.0, True), (1, 0.01, True), (1, -0.01, True), (2, 0.0, False), (1, 0.011, False), (1, -0.011, False)])
def test_the_tolerance(largest: int, decibels: float, tolerable: bool) -> None:
    assert inference.Difference(largest, 0.1, decibels).tolerable is tolerable


def test_only_a_fast_processor_and_only_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "fast_cpu", lambda: False)
    assert inference.choose(Enlarge({}), with_kernel(1.0, 0.0)) == "fp32"
    monkeypatch.setattr(arithmetic, "fast_cpu", lambda: True)
    assert inference.choose(Enlarge({}), Model(arrays={"a": np.zeros(1)}), "bf16") == "fp32"
    monkeypatch.setattr(Enlarge, "task", "inpainting")
    assert inference.choose(Enlarge({}), with_kernel(1.0, 0.0)) == "fp32", "nothing is won there"


def test_a_model_that_breaks_on_the_canaries_stays_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "fast_cpu", lambda: True)
    monkeypatch.setattr(Enlarge, "restore", lambda self, model, inputs, seed: 1 / 0)
    model = with_kernel(1.0, 0.0)
    assert inference.choose(Enlarge({}), model) == "fp32" and model.precision == "fp32"


@pytest.mark.parametrize(("task", "run"), [("super_resolution", "vdsr"), ("inpainting", "glcic"),
                                           ("colorization", "colorful")])
def test_a_persons_picture_in_either_arithmetic(served: Path, task: str, run: str) -> None:
    shown, hole = picture(2, 40, 56), np.zeros((40, 56), np.uint8)
    hole[10:20, 10:30] = 1
    made = []
    for wanted in ("fp32", "bf16"):
        _, method, model = load_for(served, task, run, wanted)
        assert model.precision == wanted
        made.append(restore_picture(method, model, shown, hole if task == "inpainting" else None).astype(int))
    assert (made[0] != made[1]).any() or task == "colorization", "bf16 is really another arithmetic"
    assert np.abs(made[0] - made[1]).mean() < 3
