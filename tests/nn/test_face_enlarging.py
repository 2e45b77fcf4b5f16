"""What networks that enlarge faces of one size share: which faces they take, and in what light training shows them."""

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.degradations.resize import imresize
from restore_ml.nn.face_enlarging import FaceEnlarger, bicubic, centred, known_mean, to_unit
from tests.methods.by_hand import draw, step_with

INPUTS, TARGET = {"lr": draw(3, 3, 8, 8)}, {"hr": draw(3, 3, 64, 64, seed=1)}


class Enlarger(FaceEnlarger):
    paper = {"patch": 128, "kinds": ["plain"], "jitter": 0.0}


def enlarger(**settings) -> Enlarger:
    return Enlarger({"patch": 64, **settings})


def test_one_size_and_the_kinds_that_it_was_trained_on():
    run = enlarger(kinds=["plain", "noise"])
    assert run.unsupported("8_to_64") is None and run.unsupported("8_to_64_noise") is None
    assert run.unsupported("16_to_128") == "made for faces of 64 pixels"
    assert run.unsupported("8_to_64_blur_noise") == "not trained on it (its setting `kinds`)"
    assert Enlarger({}).unsupported("16_to_128") is None
    for kinds in ([], ["plain", "blur"]):
        with pytest.raises(UserError, match="it must name some of plain, noise, blur_noise"):
            enlarger(kinds=kinds)
    with pytest.raises(UserError, match="it must be 64 or 128"):
        enlarger(patch=96)


def test_another_size_is_refused_in_words():
    assert enlarger().small_faces(INPUTS) is INPUTS["lr"]
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 10"):
        enlarger().small_faces({"lr": draw(1, 3, 10, 9)})
    with pytest.raises(UserError, match="its network takes faces of 8 x 8 pixels, not 9 x 8"):
        enlarger().small_faces({"lr": draw(1, 3, 8, 9)})
    with pytest.raises(UserError, match="16 x 16"):
        Enlarger({}).small_faces(INPUTS)


def test_jitter_changes_small_and_true_faces_alike():
    run, step = enlarger(jitter=0.2), step_with(INPUTS, TARGET, {})
    small, true = run.shown(step)
    lines = []
    for seen, given in ((small, INPUTS["lr"]), (true, TARGET["hr"])):
        fits = np.array([[np.polyfit(given[face, channel].double().ravel(), seen[face, channel].double().ravel(), 1)
                          for channel in range(3)] for face in range(3)])
        expected = fits[:, :, :1, None] * given.double().numpy() + fits[:, :, 1:, None]
        np.testing.assert_allclose(seen.numpy(), expected, atol=1e-5)
        lines.append(fits)
    np.testing.assert_allclose(lines[0], lines[1], atol=1e-4)
    assert (np.abs(lines[0] - [1, 0]) <= 0.2).all() and np.ptp(lines[0], axis=(0, 1)).min() > 0.1
    assert np.ptp(lines[0], axis=1).min() > 0.01, "each channel its own"
    assert run.shown(step)[0] is small, "drawn once a step"
    assert not torch.equal(run.lit(step, *run.shown(step))[0], small), "other faces, other light"
    plain = enlarger().shown(step_with(INPUTS, TARGET, {}))
    assert plain[0] is INPUTS["lr"] and plain[1] is TARGET["hr"]


def test_ranges_and_the_bicubic_picture():
    values = torch.tensor([0.0, 0.5, 1.0])
    assert centred(values).tolist() == [-1, 0, 1]
    assert to_unit(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert to_unit(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert torch.equal(bicubic(INPUTS["lr"]), imresize(INPUTS["lr"], 8.0))


def test_the_mean_of_what_is_known():
    values, known = torch.tensor([1.0, 5.0, float("inf")]), torch.tensor([True, True, False])
    assert known_mean(values, known).item() == 3
    assert known_mean(values, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_methods_of_the_task_take_it():
    method = registry.method("face_super_resolution", "facn", {"patch": 64})
    assert isinstance(method, FaceEnlarger) and method.task == "face_super_resolution"
