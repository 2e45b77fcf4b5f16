from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from restore_ml import registry
from restore_ml.method import Method, Model
from restore_ml.restoring import loading as restoration
from restore_ml.restoring.harness import _ramp, restore, spans
from restore_ml.tasks.protocol import protocol


class Blur(Method):
    """A local method: a 5 x 5 mean, so that tiles with enough overlap agree with the whole picture."""

    task = "inpainting"
    paper: dict = {}
    multiple = 8
    seen: list = []

    def restore(self, model, inputs, seed):
        image = inputs["image"]
        assert image.shape[-1] % 8 == 0 and image.shape[-2] % 8 == 0
        self.seen.append((tuple(image.shape), float(inputs["mask"].sum())))
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
        return {"image": torch.nn.functional.avg_pool2d(padded, 5, 1)}


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    mask = (rng.random((45, 61, 1)) < 0.3).astype(np.uint8)
    return {"image": rng.integers(0, 256, (45, 61, 3), dtype=np.uint8) * (1 - mask), "mask": mask}


def test_pads_to_the_multiple_and_crops(inputs):
    method = Blur({})
    method.seen.clear()
    out = restore(method, Model(), inputs, 1)["image"]
    assert method.seen == [((1, 3, 48, 64), float(inputs["mask"].sum()))]  # padding counts as known
    assert out.shape == (45, 61, 3) and out.dtype == np.uint8


def test_known_pixels_are_kept_bit_for_bit(inputs):
    out = restore(Blur({}), Model(), inputs, 1)["image"]
    known = inputs["mask"][:, :, 0] == 0
    assert np.array_equal(out[known], inputs["image"][known])
    assert not np.array_equal(out, inputs["image"])


def test_tiles_agree_with_the_whole(inputs, monkeypatch):
    whole = restore(Blur({}), Model(), inputs, 1)["image"]
    monkeypatch.setattr(Blur, "tile", 32)
    monkeypatch.setattr(Blur, "overlap", 16)
    tiled = restore(Blur({}), Model(), inputs, 1)["image"]
    inner = (slice(3, -6), slice(3, -6))  # the padding of an edge tile differs from that of the picture
    assert np.abs(whole[inner].astype(int) - tiled[inner].astype(int)).max() <= 12
    assert np.abs(whole.astype(int) - tiled.astype(int)).mean() < 1.0


@given(st.integers(1, 3000), st.integers(16, 512), st.integers(0, 200), st.sampled_from([1, 4, 16, 32]))
@settings(deadline=None, max_examples=200)
def test_spans_cover_and_overlap(length, tile, overlap, multiple):
    assume(tile - overlap >= multiple)
    found = spans(length, tile, overlap, multiple)
    assert found[0][0] == 0 and found[-1][1] == length
    assert len({end - start for start, end in found}) == 1 and found[0][1] <= tile
    assert all(start % multiple == 0 for start, _ in found[:-1])
    for (before, end), (start, _) in pairwise(found):
        assert before < start and end - start >= overlap


def test_a_picture_just_beyond_two_tiles_costs_little_more():
    found = spans(1000, 512, 32)
    assert len(found) == 3 and sum(end - start for start, end in found) <= 1000 + 2 * 32 + 3


@given(st.integers(33, 400), st.integers(4, 12), st.sampled_from([1, 2, 4]), st.sampled_from([1, 4]))
@settings(deadline=None, max_examples=50)
def test_every_pixel_of_a_tiled_picture_has_weight(length, overlap, scale, multiple):
    total = np.zeros(length * scale)
    for start, end in spans(length, 32, overlap, multiple):
        total[start * scale:end * scale] += _ramp(start, end, length, overlap, scale)
    assert total.min() > 0.2


def test_a_wrong_or_infinite_output_is_refused(inputs, monkeypatch):
    monkeypatch.setattr(Blur, "restore", lambda self, model, inputs, seed: {"picture": inputs["image"]})
    with pytest.raises(ValueError, match="wants image"):
        restore(Blur({}), Model(), inputs, 1)
    monkeypatch.setattr(Blur, "restore", lambda self, model, inputs, seed: {"image": inputs["image"] * float("nan")})
    with pytest.raises(ValueError, match="not finite"):
        restore(Blur({}), Model(), inputs, 1)


def test_every_task_declares_its_arrays():
    for name in registry.tables():
        task = registry.task(name)
        assert task.name == name and task.inputs and task.output
        assert task.target or protocol(name).canary() is None, "without a truth nothing is asked of a canary"
        assert set(task.optional_output) <= set(task.output)


def test_restoring_needs_a_model(tmp_path):
    from restore_ml.base.errors import UserError

    with pytest.raises(UserError, match="does not exist"):
        restoration.load_model(tmp_path)
