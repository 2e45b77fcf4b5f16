"""Kinds of arrays: turned like numpy turns them, moved like pixels move, and back from tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml import arrays, kinds
from restore_ml.arrays import ArraySpec

HEIGHT, WIDTH = 5, 7
GRIDS = [kinds.PICTURE, kinds.MASK, kinds.FLOAT, kinds.LABELS, kinds.INSTANCES]
ALL = [kind for kind in vars(kinds).values() if isinstance(kind, kinds.Kind)]


def example(kind: kinds.Kind, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind is kinds.NUMBER:
        return np.array(rng.integers(0, 9), np.int32)
    shape = {kinds.VECTOR: (4,), kinds.POINTS: (6, 2), kinds.BOXES: (3, 4), kinds.TEXT: (8,),
             kinds.CLIP: (3, HEIGHT, WIDTH, 3), kinds.FLOW: (HEIGHT, WIDTH, 2)}.get(kind, (HEIGHT, WIDTH, 1))
    if kind.dtype == "float32":
        return rng.normal(size=shape).astype(np.float32)
    return rng.integers(0, 2 if kind is kinds.MASK else 6, shape).astype(kind.dtype)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_kind_takes_its_own_arrays_and_no_others(kind):
    spec = ArraySpec(kind, channels=0)
    assert spec.problem(example(kind)) is None
    assert "not " + kind.dtype in (spec.problem(example(kind).astype(np.float64)) or "")
    assert spec.problem(example(kind)[None]) is not None


@pytest.mark.parametrize("kind", [kinds.PICTURE, kinds.CLIP, kinds.VECTOR, kinds.POINTS],
                         ids=lambda kind: kind.name)
def test_a_wrong_number_of_channels_is_named(kind):
    count = kind.channels(example(kind))
    assert ArraySpec(kind, channels=count).problem(example(kind)) is None
    assert ArraySpec(kind, channels=count + 1).problem(example(kind)) == f"it has {count} channels, not {count + 1}"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_to_a_tensor_and_back(kind):
    value, spec = example(kind), ArraySpec(kind, channels=0)
    tensor = spec.to_tensor(np.stack([value, value]))
    assert tensor.shape[0] == 2 and torch.equal(tensor[0], tensor[1])
    assert tensor.dtype == (torch.int64 if kind in (kinds.LABELS, kinds.INSTANCES, kinds.NUMBER, kinds.TEXT)
                            else torch.float32)
    back = spec.to_array(tensor[0])
    assert back.dtype == value.dtype and np.array_equal(back, value)


def test_the_layouts_of_tensors():
    picture = example(kinds.PICTURE)
    assert torch.equal(kinds.PICTURE.to_tensor(picture[None])[0, 0], torch.from_numpy(picture[..., 0]) / 255)
    clip = example(kinds.CLIP)
    assert kinds.CLIP.to_tensor(clip[None]).shape == (1, 3, 3, HEIGHT, WIDTH)
    assert torch.equal(kinds.CLIP.to_tensor(clip[None])[0, 2, 1], torch.from_numpy(clip[2, :, :, 1]) / 255)
    assert kinds.MASK.to_tensor(example(kinds.MASK)[None]).unique().tolist() == [0, 1]


def test_pictures_are_clipped_and_rounded_half_to_even():
    value = np.array([-1.0, 0.5 / 255, 1.5 / 255, 2.0]).reshape(1, 4, 1)
    assert kinds.PICTURE.finish(value, ArraySpec(kinds.PICTURE)).ravel().tolist() == [0, 0, 2, 255]


def test_scores_of_classes_become_the_largest_class():
    scores = torch.tensor([[[0.1, 0.9]], [[0.5, 0.0]], [[0.4, 0.1]]])  # 3 classes, 1 x 2 pixels
    assert ArraySpec(kinds.LABELS).to_array(scores)[..., 0].tolist() == [[1, 0]]
    assert ArraySpec(kinds.NUMBER).to_array(torch.tensor([0.2, 0.1, 0.7])).tolist() == 2


@pytest.mark.parametrize("kind", GRIDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("quarters", range(4))
def test_grids_turn_as_numpy_turns_them(kind, mirror, quarters):
    value = example(kind)
    want = np.rot90(value[:, ::-1] if mirror else value, quarters)
    got = kind.turn(value, mirror, quarters, ArraySpec(kind), (HEIGHT, WIDTH))
    assert got.dtype == value.dtype and np.array_equal(got, want)


@given(st.booleans(), st.integers(0, 3), st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1))
@settings(deadline=None)
def test_points_boxes_and_flows_move_with_the_pixels(mirror, quarters, row, column):
    """One bright pixel with a vector to its right neighbour: the point, the box around it and the vector follow it."""
    picture = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    picture[row, column] = 9
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[row, column] = (2, 1)
    sample = {"image": picture, "flow": flow, "point": np.array([[column, row]], np.float32),
              "tip": np.array([[column + 2, row + 1]], np.float32),
              "box": np.array([[column, row, column + 1, row + 1], [0, 0, 0, 0]], np.float32)}
    specs = {"image": ArraySpec(kinds.PICTURE), "flow": ArraySpec(kinds.FLOW, 2, size_of="image"),
             "point": ArraySpec(kinds.POINTS, size_of="image"), "tip": ArraySpec(kinds.POINTS, size_of="image"),
             "box": ArraySpec(kinds.BOXES, size_of="image")}
    turned = {name: spec.kind.turn(sample[name], mirror, quarters, spec, (HEIGHT, WIDTH))
              for name, spec in specs.items()}
    (y,), (x,) = np.nonzero(turned["image"][..., 0])
    assert turned["point"].tolist() == [[x, y]]
    assert turned["box"].tolist() == [[x, y, x + 1, y + 1], [0, 0, 0, 0]]
    assert np.array_equal(turned["flow"][y, x], turned["tip"][0] - turned["point"][0])


def test_left_and_right_points_change_places_in_a_mirror_alone():
    points = np.array([[1, 0], [5, 0], [3, 2]], np.float32)  # left eye, right eye, nose
    spec = ArraySpec(kinds.POINTS, 3, pairs=((0, 1),))
    mirrored = kinds.POINTS.turn(points, True, 0, spec, (HEIGHT, WIDTH))
    assert mirrored.tolist() == [[1, 0], [5, 0], [3, 2]]
    turned = kinds.POINTS.turn(points, False, 2, spec, (HEIGHT, WIDTH))
    assert turned.tolist() == [[5, 4], [1, 4], [3, 2]]


def test_a_clip_is_turned_frame_by_frame():
    clip = example(kinds.CLIP)
    turned = kinds.CLIP.turn(clip, True, 1, ArraySpec(kinds.CLIP, 3), (HEIGHT, WIDTH))
    assert all(np.array_equal(new, np.rot90(old[:, ::-1])) for new, old in zip(turned, clip, strict=True))


def test_padding_reflects_pictures_and_adds_nothing_to_masks_and_classes():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert kinds.PICTURE.pad(picture, 1, 1)[..., 0].tolist() == [[0, 1, 2, 1], [3, 4, 5, 4], [0, 1, 2, 1]]
    for kind in (kinds.MASK, kinds.LABELS, kinds.INSTANCES):
        padded = kind.pad(np.ones((2, 3, 1), kind.dtype), 1, 2)
        assert padded.sum() == 6 and padded.shape == (3, 5, 1)
    assert kinds.CLIP.pad(example(kinds.CLIP), 1, 2).shape == (3, HEIGHT + 1, WIDTH + 2, 3)
    assert kinds.VECTOR.pad(example(kinds.VECTOR), 1, 2).shape == (4,)


def test_only_what_may_be_averaged_is_blended_from_tiles():
    assert kinds.PICTURE.blends(example(kinds.PICTURE)) and kinds.FLOW.blends(example(kinds.FLOW))
    assert not kinds.LABELS.blends(np.zeros((4, 4, 1))) and kinds.LABELS.blends(np.zeros((4, 4, 3)))
    assert not kinds.INSTANCES.blends(np.zeros((4, 4, 1)))


@pytest.mark.parametrize("kind", [*GRIDS, kinds.CLIP, kinds.FLOW], ids=lambda kind: kind.name)
def test_what_lies_on_a_grid_can_be_drawn(kind):
    drawn = kind.draw(example(kind), ArraySpec(kind))
    assert drawn.shape == (HEIGHT, WIDTH, 3) and drawn.dtype == np.uint8


def test_what_lies_on_none_is_no_picture():
    with pytest.raises(ValueError, match="vector is no picture"):
        kinds.VECTOR.draw(example(kinds.VECTOR), ArraySpec(kinds.VECTOR))


def test_sizes_that_a_spec_asks_for():
    specs = {"lr": ArraySpec(kinds.PICTURE, 3), "scale": ArraySpec(kinds.NUMBER),
             "hr": ArraySpec(kinds.PICTURE, 3, size_of="lr", scale="scale"), "style": ArraySpec(kinds.PICTURE, 3)}
    sample = {"lr": np.zeros((4, 6, 3), np.uint8), "scale": np.array(3, np.int32)}
    assert arrays.expected_size(specs["hr"], sample, specs) == (12, 18)
    assert arrays.expected_size(specs["style"], sample, specs) is None
    assert arrays.frame(specs) == "lr"
    assert [name for name in specs if arrays.shares_frame(name, specs)] == ["lr", "hr"]


def test_a_text_comes_back():
    assert arrays.words(arrays.text("été", 8)) == "été"
    with pytest.raises(ValueError, match="5 bytes"):
        arrays.text("été", 4)
