"""What a function may give, in the arrays of every task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_ml import registry
from restore_ml.arrays import ArraySpec
from restore_ml.kinds import BOXES, CLIP, FLOAT, INSTANCES, LABELS, MASK, NUMBER, PICTURE, VECTOR
from restore_ml.own.outputs import adapted
from restore_ml.tasks.base import Task
from tests.tasks.examples import example


class Answers(Task):
    name = "answers"


def given(spec: ArraySpec, value: object) -> np.ndarray:
    """The one output of a task that has it as `spec` says."""
    task = Answers()
    task.output = {"it": spec}  # type: ignore[misc]
    return adapted(task, value)["it"]


@pytest.mark.parametrize("name", registry.tables())
def test_what_is_right_passes_as_it_is_and_as_a_tensor(name: str) -> None:
    task, truth = registry.task(name), example(name).perfect(example(name).sample()[2])
    as_arrays = adapted(task, truth)
    tensors = {key: task.output[key].to_tensor(value[None].copy()) for key, value in truth.items()}
    as_tensors = adapted(task, tensors)
    for key, value in truth.items():
        for one in (as_arrays[key], as_tensors[key]):
            assert one.dtype == value.dtype and np.array_equal(one, value), key


PIXELS = np.array([[[0, 128, 255], [1, 2, 3]]], np.uint8)
"""One row of two pixels in three channels."""


@pytest.mark.parametrize("value", [
    PIXELS, PIXELS.astype(np.int64), PIXELS / 255, (PIXELS / 255).astype(np.float32), PIXELS[None], PIXELS.tolist(),
    torch.from_numpy(PIXELS).permute(2, 0, 1), torch.from_numpy(PIXELS).permute(2, 0, 1)[None] / 255,
    (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).double().requires_grad_(),
    (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).bfloat16().float()])
def test_a_picture_in_every_form(value: object) -> None:
    assert np.array_equal(given(ArraySpec(PICTURE, 3), value), PIXELS)


def test_floats_are_clipped_and_rounded_as_those_of_methods() -> None:
    values = np.array([[[-0.2, 0.5, 1.4]]])
    assert given(ArraySpec(PICTURE, 3), values).tolist() == [[[0, 128, 255]]]
    for wrong in (-0.51, 1.51):
        with pytest.raises(ValueError, match=f"holds floats from .*{wrong}|to {wrong}"):
            given(ArraySpec(PICTURE, 3), np.array([[[0.5, 0.5, wrong]]]))


def test_other_kinds() -> None:
    assert given(ArraySpec(FLOAT, 2), np.ones((2, 3, 2))).dtype == np.float32
    assert given(ArraySpec(FLOAT, 2), torch.ones(1, 2, 2, 3)).shape == (2, 3, 2)
    assert given(ArraySpec(MASK), np.array([[True, False]])).tolist() == [[[1], [0]]]
    assert given(ArraySpec(MASK), np.array([[0.6, 0.4]])).tolist() == [[[1], [0]]]
    scores = np.array([[[0.1, 0.9], [0.7, 0.3]]])
    assert given(ArraySpec(LABELS, 2), scores).tolist() == [[[1], [0]]]
    assert given(ArraySpec(LABELS, 2), torch.from_numpy(scores).permute(2, 0, 1)[None]).tolist() == [[[1], [0]]]
    assert given(ArraySpec(INSTANCES), np.array([[0, 70000]])).tolist() == [[[0], [70000]]]
    assert given(ArraySpec(NUMBER), 3) == 3 and given(ArraySpec(NUMBER), np.float64(3)) == 3
    assert given(ArraySpec(NUMBER), torch.tensor([0.1, 0.2, 0.9])) == 2
    assert given(ArraySpec(NUMBER), torch.tensor([[0.1, 0.2, 0.9]])[0]) == 2
    assert given(ArraySpec(VECTOR, 0), [1, 2]).tolist() == [1.0, 2.0]
    assert given(ArraySpec(BOXES, 0), np.zeros((2, 4), int)).dtype == np.float32
    clip = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    assert np.array_equal(given(ArraySpec(CLIP, 3), torch.from_numpy(clip).permute(0, 3, 1, 2)), clip)
    assert np.array_equal(given(ArraySpec(CLIP, 3), clip / 255), clip)


@pytest.mark.parametrize(("spec", "value", "words"), [
    (ArraySpec(NUMBER), 2.5, r"'it' holds fractions \(float64\); give whole numbers of int32"),
    (ArraySpec(NUMBER, low=0), -1, "'it' holds values from -1 to -1; they must lie from 0 to any number"),
    (ArraySpec(MASK), np.array([[0, 255]]), "'it' holds values from 0 to 255; they must lie from 0 to 1"),
    (ArraySpec(LABELS, 2), np.zeros(4, int), r"'it' is an array of shape \(4,\); one labels is H x W x C"),
    (ArraySpec(CLIP, 3), np.zeros((2, 4, 4)), "one clip is T x H x W x C"),
    (ArraySpec(CLIP, 3), torch.zeros(2, 4, 4), "a tensor of one clip has T x C x H x W"),
    (ArraySpec(FLOAT, 1), np.array([[[np.inf]]]), "1 of 1"),
    (ArraySpec(PICTURE, 3), object(), "'it' is no array of numbers but object"),
    (ArraySpec(PICTURE, 3), np.zeros((2, 2, 3), complex), "no array of numbers"),
])
def test_what_it_cannot_be_is_a_sentence(spec: ArraySpec, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        given(spec, value)


def test_one_array_where_a_task_wants_several() -> None:
    with pytest.raises(ValueError, match="gave one array; detection wants a mapping with boxes, labels, scores"):
        adapted(registry.task("detection"), np.zeros((0, 4), np.float32))
