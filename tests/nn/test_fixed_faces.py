"""What the networks for faces of one size share: cases, refused sizes, training faces in other light."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.nn.fixed_faces import FixedFaces
from tests.methods.by_hand import draw, step_with


class OneSize(FixedFaces):
    paper: ClassVar[dict[str, Any]] = {"patch": 128, "kinds": ["plain"], "jitter": 0.0}


def one_size(**settings: Any) -> OneSize:
    return OneSize({"patch": 64, **settings})


INPUTS, TARGET = {"lr": draw(3, 3, 8, 8)}, {"hr": draw(3, 3, 64, 64, seed=1)}


def test_cases_of_another_size_or_kind_are_left_out():
    made = one_size()
    assert made.unsupported("8_to_64") is None and made.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert made.unsupported("8_to_64_noise") == "not trained on it (its setting kinds)"
    assert one_size(kinds=["plain", "noise"]).unsupported("8_to_64_noise") is None
    assert OneSize({}).unsupported("16_to_128") is None


@pytest.mark.parametrize("kinds", [[], ["plain", "blur"]])
def test_kinds_that_are_none_are_refused(kinds):
    with pytest.raises(UserError, match="it must name some of plain, noise, blur_noise"):
        one_size(kinds=kinds)


def test_another_size_is_refused_in_words():
    assert one_size().small(INPUTS) is INPUTS["lr"]
    for shape, words in (((8, 9), "not 9 x 8"), ((16, 8), "not 8 x 16")):
        with pytest.raises(UserError, match=f"its network takes faces of 8 x 8 pixels, {words}"):
            one_size().small({"lr": draw(1, 3, *shape)})
    with pytest.raises(UserError, match="patch of test_fixed_faces is 32; it must be 128 or 64"):
        one_size(patch=32)


def test_other_light_changes_small_and_true_faces_alike():
    step = step_with(INPUTS, TARGET, {})
    lit = one_size(jitter=0.2).faces(step)
    assert all(torch.equal(*pair) for pair in zip(lit, one_size(jitter=0.2).faces(step), strict=True)), "once a step"
    lines = []
    for seen, given in zip(lit, (INPUTS["lr"], TARGET["hr"]), strict=True):
        pairs = [(given[face, channel].double().numpy().ravel(), seen[face, channel].double().numpy().ravel())
                 for face in range(3) for channel in range(3)]
        lines.append(np.array([np.polyfit(x, y, 1) for x, y in pairs]))
        for (x, y), line in zip(pairs, lines[-1], strict=True):
            np.testing.assert_allclose(y, np.polyval(line, x), atol=1e-5)
    np.testing.assert_allclose(lines[0], lines[1], atol=1e-4)
    assert (np.abs(lines[0] - [1, 0]) <= 0.2).all() and (np.ptp(lines[0], axis=0) > 0.1).all()
    assert np.ptp(lines[0].reshape(3, 3, 2), axis=1).min() > 0.01, "each channel its own"
    assert (lines[0].min(0) < [1, 0]).all() and (lines[0].max(0) > [1, 0]).all(), "darker and lighter"
    plain = one_size().faces(step_with(INPUTS, TARGET, {}))
    assert plain[0] is INPUTS["lr"] and plain[1] is TARGET["hr"]


def test_other_faces_of_a_step_stand_in_light_of_their_own():
    step, run = step_with(INPUTS, TARGET, {}), one_size(jitter=0.2)
    first, second = run.faces(step), run.lit(step, INPUTS["lr"], TARGET["hr"])
    assert not torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    assert one_size().lit(step, INPUTS["lr"], TARGET["hr"])[1] is TARGET["hr"]
    grey = run.lit(step, torch.full((3, 3, 8, 8), 0.5), TARGET["hr"])[0][:, :, 0, 0]
    assert grey.std(1).min() > 0.01 and grey.std(0).min() > 0.01, "each channel of each face its own"


def test_cases_of_smaller_faces_are_left_out_too():
    assert OneSize({}).unsupported("8_to_64") == "made for faces of 128 pixels"


@pytest.mark.parametrize("name", ["bccnn", "gln", "urdgn", "wavelet_srnet", "tdae", "facn", "sigan", "cbn"])
def test_methods_of_the_task_take_it(name):
    """One base for all: none has a second way to refuse a size or to show faces in other light."""
    run = registry.method("face_super_resolution", name, {"patch": 64})
    assert isinstance(run, FixedFaces) and run.task == "face_super_resolution"
    with pytest.raises(UserError, match=f"patch of {name} is 96; it must be 128 or 64"):
        registry.method("face_super_resolution", name, {"patch": 96})
