"""Procedural scenes, simulated clouds and the detector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from restore_ml.degradations import clouds
from restore_ml.seeds import generator


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 1000), size=st.sampled_from([32, 64, 100]),
       bands=st.integers(3, 6))
def test_a_scene_has_two_dates_in_digital_numbers(seed, index, size, bands):
    made = clouds.scene(seed, index, size, bands)
    for date in ("target", "reference"):
        values = made[date]
        assert values.shape == (size, size, bands) and values.dtype == np.float32
        assert values.min() >= 0 and values.max() <= 1
        numbers = values.astype(np.float64) * 10000
        assert np.abs(numbers - numbers.round()).max() < 1e-3
    assert made["labels"].shape == (size, size, 1) and made["labels"].dtype == np.uint8
    assert set(np.unique(made["labels"] % 100)) <= set(range(6))
    again = clouds.scene(seed, index, size, bands)
    assert all(np.array_equal(made[key], again[key]) for key in made)


def test_unchanged_land_changes_by_one_affine_map_a_class_and_band():
    made = clouds.scene(3, 1, 128, 4)
    labels, gains = made["labels"][..., 0], []
    for kind in range(6):
        # Away from the borders of a class, where the blur mixes two spectra.
        inner = ndimage.binary_erosion(labels == kind, iterations=3)
        if inner.sum() < 60:
            continue
        for band in range(4):
            r, t = made["reference"][..., band][inner], made["target"][..., band][inner]
            gain, offset = np.polyfit(r, t, 1)
            assert np.abs(t - gain * r - offset).std() < 0.02
            gains.append(gain)
    assert len(gains) >= 8 and np.ptp(gains) > 0.2


def test_the_changed_share_is_the_one_asked_for_and_there_the_reference_tells_nothing():
    made = clouds.scene(1, 2, 128, 4, changed=0.05)
    changed = made["labels"][..., 0] >= 100
    assert abs(changed.mean() - 0.05) < 1e-3
    inner = ndimage.binary_erosion(changed, iterations=2)
    r, t = made["reference"][inner][:, 0], made["target"][inner][:, 0]
    assert abs(np.corrcoef(r, t)[0, 1]) < 0.5


@pytest.mark.parametrize("frac", [0.05, 0.1, 0.2, 0.4])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_clouds_cover_their_share_in_connected_blobs(frac, seed):
    mask = clouds.simulated_cloud(96, 128, generator(seed), frac)
    assert abs(mask.mean() - frac) < 0.005 and set(np.unique(mask)) == {0, 1}
    parts, _ = ndimage.label(mask)
    assert np.bincount(parts.ravel())[1:].max() > 10
    assert np.array_equal(mask, clouds.simulated_cloud(96, 128, generator(seed), frac))


@settings(deadline=None, max_examples=25)
@given(down=st.integers(-20, 20), right=st.integers(-20, 20))
def test_a_shift_moves_every_pixel_and_wraps_nothing(down, right):
    mask = generator(down, right).integers(0, 2, (16, 18)).astype(np.uint8)
    moved = clouds.shifted(mask, down, right)
    for y in range(16):
        for x in range(18):
            inside = 0 <= y - down < 16 and 0 <= x - right < 18
            assert moved[y, x] == (mask[y - down, x - right] if inside else 0)


def test_what_lies_under_a_cloud_is_overwritten_and_the_truth_is_untouched():
    truth = clouds.scene(1, 0, 64)["target"]
    before, cloud = truth.copy(), clouds.simulated_cloud(64, 64, generator(1), 0.3)
    shadow = clouds.shifted(cloud, 12, 9) & (1 - cloud)
    seen = clouds.cover(truth, cloud, generator(2), shadow)
    assert np.array_equal(truth, before)
    clear = (cloud == 0) & (shadow == 0)
    assert np.array_equal(seen[clear], truth[clear])
    assert seen[cloud > 0].min() >= 0.8 and np.ptp(seen[cloud > 0], axis=1).max() == 0
    assert np.abs(seen[shadow > 0] - 0.3 * truth[shadow > 0]).max() < 1e-4
    other = clouds.cover(np.where(cloud[..., None] > 0, np.float32(0.123), truth), cloud, generator(2), shadow)
    assert np.array_equal(seen, other)


def test_snow_is_bright_and_redder_bands_are_darker():
    truth = clouds.scene(1, 0, 64)["target"]
    ground = clouds.simulated_cloud(64, 64, generator(5), 0.2)
    seen = clouds.snow(truth, ground, generator(1))
    assert np.array_equal(seen[ground == 0], truth[ground == 0])
    assert seen[ground > 0].min() > 0.6 and seen[ground > 0].max() <= 0.9
    assert (seen[ground > 0][:, 0] > seen[ground > 0][:, -1]).all()


def test_the_rim_is_three_pixels():
    cloud = np.zeros((21, 21), np.uint8)
    cloud[10, 10] = 1
    distance = np.abs(np.mgrid[-10:11, -10:11]).sum(axis=0)
    assert np.array_equal(clouds.soft_rim(cloud), (distance <= 3).astype(np.uint8))


def test_the_detector_finds_clouds_and_their_shadows_on_vegetation():
    rng = generator("vegetation")
    land = np.array([0.04, 0.07, 0.05, 0.35]) + 0.01 * rng.standard_normal((96, 96, 4))
    cloud = np.zeros((96, 96), np.uint8)
    cloud[20:40, 20:40] = 1
    seen = clouds.cover(np.clip(land, 0, 1).astype(np.float32), cloud, rng, clouds.shifted(cloud, 24, 18) & (1 - cloud))
    seen[80, 80] = 0.9  # a single bright pixel is no cloud
    found = clouds.detect_clouds(seen)
    assert (found[cloud > 0] == 4).all()
    assert (found[clouds.shifted(cloud, 24, 18) > 0] != 0).mean() > 0.95
    assert (found == 4).sum() < 1.9 * cloud.sum() and found[80, 80] == 0 and not found[:15].any()


def test_the_detector_leaves_clear_vegetation_alone():
    land = np.array([0.04, 0.07, 0.05, 0.35]) + 0.01 * generator(1).standard_normal((64, 64, 4))
    assert not clouds.detect_clouds(land).any()
