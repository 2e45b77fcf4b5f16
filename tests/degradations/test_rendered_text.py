"""Rendered text: letters of two colours, the same for a seed."""

import numpy as np
import pytest

from restore_ml.degradations.rendered_text import CELL, text_patch


@pytest.mark.parametrize("side", [64, 128])
def test_a_patch_is_text_of_two_colours(side):
    shapes = set()
    for seed in range(8):
        patch = text_patch(side, np.random.default_rng(seed))
        assert patch.shape == (side, side, 3) and patch.dtype == np.uint8
        low, high = (np.percentile(patch.reshape(-1, 3), at, axis=0) for at in (2, 98))
        assert (high - low > 70).all(), "dark on light, or light on dark"
        dark = (patch < (low + high) / 2).all(2).mean()
        assert 0.1 < dark < 0.9 and dark != 0.5
        shapes.add(dark > 0.5)
    assert shapes == {True, False}, "both of them"


def test_the_same_seed_gives_the_same_patch_and_another_one_another():
    first, again, other = (text_patch(64, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_letters_are_those_of_the_built_in_font():
    """A single cell of the bitmap font, enlarged, lies in the patch where the draws say."""
    from PIL import ImageFont

    box = ImageFont.load_default_imagefont().getbbox("x")
    assert (box[2], box[3]) == CELL
