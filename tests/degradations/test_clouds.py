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


def test_nothing_grows_by_no_pixel_and_no_sun_casts_no_shadow():
    cloud = np.zeros((20, 20), np.uint8)
    cloud[5:9, 5:9] = 1
    assert np.array_equal(clouds.soft_rim(cloud, 0), cloud) and clouds.soft_rim(cloud, 1).sum() == 32
    seen = np.full((20, 20, 4), 0.05, np.float32)
    seen[cloud > 0] = 0.6
    assert np.array_equal(clouds.detect_clouds(seen, None, grow=0), 4 * cloud)
    assert (clouds.detect_clouds(seen, (1.0, 0.0), grow=0) == 2).sum() == 4 * 10  # 5 to 40 pixels below: rows 10 to 19
    assert (clouds.detect_clouds(seen, (1.0, 0.0), grow=0)[9] == 0).all()


def test_land_has_the_spectra_of_its_covers():
    labels = np.repeat(np.arange(6, dtype=np.uint8), 40)[:, None].repeat(240, 1)
    labels[:40, :100] += 100
    ground = clouds.land(labels, generator(3))
    assert ground.shape == (240, 240, 6) and ground.dtype == np.float32
    assert np.array_equal(ground, clouds.digital(ground))
    for cover in range(6):
        middle = ground[40 * cover + 5:40 * cover + 35, 105:]
        np.testing.assert_allclose(np.median(middle, axis=(0, 1)), clouds.COVERS[cover], rtol=0.12, atol=0.004)
    np.testing.assert_allclose(np.median(ground[5:35, 5:95], axis=(0, 1)), clouds.COVERS[clouds.SOIL], rtol=0.12)
    assert np.array_equal(ground, clouds.land(labels, generator(3)))
    inner = ground[165:235, 10:230] / clouds.COVERS[labels[165:235, 10:230]]  # dry grass and crop
    spread = np.log(inner[..., 3]).std()
    assert 0.04 < spread < 0.15


def test_towns_are_a_few_hundredths_of_the_land_and_some_roofs_are_pale():
    forest = np.zeros((200, 200), np.uint8)
    ground = clouds.land(forest, generator(5))
    town = ground[..., 0] > 0.08  # forest is 0.04 blue
    assert 0.015 < town.mean() < 0.035
    roofs = ground[..., 0] > 0.18
    assert 0.01 * town.mean() < roofs.mean() < 0.15 * town.mean()
    sea = clouds.land(np.full((200, 200), clouds.OPEN_WATER, np.uint8), generator(5))
    assert sea[..., 3].max() < 0.06  # nobody builds on water


def test_clouds_become_opaque_over_three_pixels():
    cloud = np.zeros((40, 40), np.uint8)
    cloud[10:30, 15:] = 1
    thick = clouds.opacity(cloud, generator(1), thick=True)
    assert np.array_equal(thick > 0, cloud > 0)
    assert thick[20, 15:20].tolist() == [0.25, 0.5, 0.75, 1.0, 1.0] and thick[20, 39] == 1  # no rim where it goes on
    assert thick[10:15, 25].tolist() == [0.25, 0.5, 0.75, 1.0, 1.0]
    thin = clouds.opacity(cloud, generator(1), thick=False)
    body = thin[14:26, 20:]
    assert np.array_equal(thin > 0, cloud > 0) and body.min() >= 0.3 and body.max() <= 0.6 and np.ptp(body) > 0.05
    np.testing.assert_allclose(thin[20, 15] / thin[20, 18], 0.25, atol=0.1)


def test_a_veil_mixes_cloud_and_ground_and_shadow_dims_it():
    ground = generator(1).random((30, 30, 6)).astype(np.float32) / 2
    hides, shade = np.zeros((30, 30)), np.zeros((30, 30))
    hides[:10], hides[10:20], shade[20:25] = 1.0, 0.25, 0.5
    wavelengths = np.array([0.49, 0.56, 0.665, 0.842, 1.61, 2.19])
    seen = clouds.veil(ground, wavelengths, hides, generator(2), shade)
    spectrum = np.array(list(clouds.CLOUD.values()))
    bright = seen[:10] / spectrum
    assert np.ptp(bright, axis=2).max() < 1e-3 and bright.min() >= 0.999 and bright.max() <= 1.601
    lit = (seen[10:20] - 0.75 * ground[10:20]) / (0.25 * spectrum)
    assert np.ptp(lit, axis=2).max() < 0.01 and lit.min() > 0.99 and lit.max() < 1.61
    np.testing.assert_allclose(seen[20:25], (1 - 0.7 * 0.5) * ground[20:25], atol=6e-5)
    assert np.array_equal(seen[25:], ground[25:])
    other = ground.copy()
    other[:10] = 0.4
    assert np.array_equal(clouds.veil(other, wavelengths, hides, generator(2), shade), seen)
    between = clouds.veil(ground[..., :1], np.array([1.9]), hides, generator(2))
    np.testing.assert_allclose(between[:10, :, 0] / bright[..., 0], 0.33, atol=1e-3)  # half way from 1.61 to 2.19


@pytest.mark.parametrize(("azimuth", "down", "right"), [(0, 1, 0), (90, 0, -1), (180, -1, 0), (270, 0, 1),
                                                       (135, -0.7071, -0.7071)])
def test_shadows_fall_away_from_the_sun(azimuth, down, right):
    assert clouds.away_from(azimuth) == pytest.approx([down, right], abs=1e-4)
