from __future__ import annotations

import numpy as np
import pytest
import torch

from restore_ml.base.errors import UserError
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.method import Method, Model
from restore_ml.registry import method_class
from restore_ml.serving.photos import restore_photo

RNG = np.random.default_rng(5)


class Sepia(Method):
    """Colour that does not depend on the picture."""

    task = "colorization"
    paper: dict = {}

    def restore(self, model, inputs, seed):
        grey = inputs["L"]
        return {"ab": torch.cat([torch.full_like(grey, 10.0), torch.full_like(grey, 25.0)], 1)}


@pytest.mark.parametrize("shape", [(31, 17, 3), (300, 411, 1), (16, 16, 3)])
def test_colour_of_any_size_keeps_the_lightness(shape):
    picture = RNG.integers(40, 200, shape, dtype=np.uint8)
    out = restore_photo(Sepia({}), Model(), picture)
    assert out.shape == (*shape[:2], 3) and out.dtype == np.uint8
    grey = np.repeat(picture, 3, 2) if shape[2] == 1 else picture
    before, after = (rgb_to_lab(value / 255.0)[..., 0] for value in (grey, out))
    assert np.abs(before - after).max() < 0.25


def test_super_resolution_of_a_grey_picture():
    out = restore_photo(method_class("super_resolution", "bicubic")({}), Model(), np.full((9, 13, 1), 77, np.uint8),
                        scale=3)
    assert out.shape == (27, 39, 3) and (out == 77).all()


def test_inpainting_keeps_known_pixels_and_needs_its_mask():
    method, picture = method_class("inpainting", "telea")({}), RNG.integers(0, 256, (33, 47, 3), dtype=np.uint8)
    mask = np.zeros((33, 47), np.uint8)
    mask[10:15, 20:30] = 255
    out = restore_photo(method, Model(), picture, mask)
    assert np.array_equal(out[mask == 0], picture[mask == 0]) and not np.array_equal(out, picture)
    for wrong, sentence in ((None, "needs a mask"), (mask[:5], "same size"), (np.ones_like(mask), "whole picture"),
                            (np.zeros_like(mask), "marks nothing")):
        with pytest.raises(UserError, match=sentence):
            restore_photo(method, Model(), picture, wrong)


def test_scenes_are_no_photographs():
    with pytest.raises(UserError, match="takes scenes, not photographs"):
        restore_photo(method_class("cloud_removal", "rs_direct")({}), Model(), np.zeros((20, 20, 3), np.uint8))


class Peek(Method):
    """Gives back what it is shown, a grey level brighter."""

    task = "inpainting"
    paper: dict = {}

    def restore(self, model, inputs, seed):
        return {"image": inputs["image"] + 1 / 255}


@pytest.mark.parametrize("looks", [False, True])
def test_what_lies_under_a_mask_is_shown_only_to_methods_that_look_there(looks, monkeypatch):
    monkeypatch.setattr(Peek, "sees_under_mask", looks)
    picture, mask = np.full((20, 24, 3), 90, np.uint8), np.zeros((20, 24), np.uint8)
    mask[5:9, 5:9] = 255
    out = restore_photo(Peek({}), Model(), picture, mask)
    assert (out[5:9, 5:9] == (91 if looks else 1)).all() and (out[mask == 0] == 90).all()
