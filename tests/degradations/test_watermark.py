"""Watermarks: exact inversion, share, no trace outside the mask; and the dense corruptions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.degradations import dense
from restore_ml.degradations.watermark import LEAST, MOST, random_watermark
from restore_ml.seeds import generator

SEEDS = st.integers(0, 2**32)


def picture(seed: int, height: int = 64, width: int = 80) -> np.ndarray:
    coarse = generator("picture", seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((8, 8, 1), np.uint8))


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, size=st.sampled_from([48, 64, 128, 200]))
def test_known_alpha_matte_and_colour_invert_the_mark(seed, size):
    rng = generator(seed)
    mark, image = random_watermark(size, size + 16, rng), rng.random((size, size + 16, 3))
    assert np.abs(mark.take_off(mark.put_on(image)) - image).max() < 1e-5
    assert 0.3 <= mark.alpha <= 0.8 and mark.matte.min() >= 0 and mark.matte.max() <= 1
    assert mark.matte.max() > 0.5


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, size=st.sampled_from([48, 64, 128, 200]))
def test_the_mask_holds_the_whole_mark_and_a_small_share_of_the_picture(seed, size):
    mark = random_watermark(size, size, generator(seed))
    assert LEAST <= mark.mask.mean() <= MOST
    assert mark.matte[mark.mask == 0].max() == 0
    assert np.array_equal(mark.mask, random_watermark(size, size, generator(seed)).mask)


def test_the_matte_is_smooth_at_its_edges():
    matte = random_watermark(128, 128, generator(4)).matte
    assert ((matte > 0.1) & (matte < 0.9)).sum() > 0.1 * (matte > 0.1).sum()


@pytest.mark.parametrize("name", dense.DENSE)
@settings(deadline=None, max_examples=8)
@given(seed=SEEDS)
def test_dense_corruptions_are_repeatable_and_leave_the_given_picture_alone(name, seed):
    image = picture(seed)
    before = image.copy()
    seen, truth = dense.DENSE[name](image, generator(seed))
    assert seen.dtype == truth.dtype == np.uint8 and seen.shape == truth.shape == image.shape
    assert np.array_equal(image, before) and not np.array_equal(seen, truth)
    assert np.array_equal(seen, dense.DENSE[name](image, generator(seed))[0])
    grey = np.ptp(truth, axis=2).max() == 0
    assert np.array_equal(truth, image) or (name == "old_photo" and grey)


def test_haze_is_the_atmospheric_model():
    """Two pictures through the same haze: their difference shrinks by the transmission, which falls with depth."""
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    low, high = (dense.haze(image, generator(1))[0].astype(float) for image in (black, white))
    through = (high - low) / 255
    assert np.ptp(through, axis=2).max() < 0.01
    assert through.max() > 0.98 and np.exp(-1.8) - 0.01 < through.min() < np.exp(-0.6) + 0.01
    light = low / np.maximum(255 * (1 - through), 1e-9)
    far = through < 0.7
    assert np.ptp(light[far]) < 0.07 and 0.68 <= light[far].mean() <= 1.02


def test_rain_only_brightens_and_is_nearly_vertical():
    dark = np.zeros((128, 128, 3), np.uint8)
    ratios = []
    for seed in range(6):
        seen = dense.rain(dark, generator(seed))[0].astype(int)
        assert seen.min() == 0 and seen.max() > 100 and np.ptp(seen, axis=2).max() == 0
        across, down = (np.abs(np.diff(seen[..., 0], axis=axis)).sum() for axis in (1, 0))
        ratios.append(across / down)
    assert min(ratios) > 1.2 and np.mean(ratios) > 2
    assert dense.rain(dark, generator(3), heavy=True)[0].min() >= 25


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_mosaic_is_flat_in_its_blocks_and_only_there(seed):
    image = generator("noise", seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    seen, mask = dense.mosaic(image, generator(seed))
    assert 0.03 <= mask.mean() <= 0.22
    assert np.array_equal(seen[mask == 0], image[mask == 0])
    inside = np.where(mask[..., None] > 0, seen, 0).astype(int)
    equal = (np.diff(inside, axis=1) == 0).all(axis=2)[(mask[:, 1:] & mask[:, :-1]) > 0]
    assert equal.mean() > 0.5


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS)
def test_a_highlight_only_adds_light_and_its_mask_is_where_it_is_strong(seed):
    image = np.full((96, 96, 3), 40, np.uint8)
    seen, mask = dense.highlight(image, generator(seed))
    added = (seen.astype(int) - image)[..., 0]
    assert added.min() >= 0 and mask.any()
    assert added[mask > 0].min() >= 51 and added[mask == 0].max() <= 51
