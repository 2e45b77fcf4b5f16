"""The shared parts of patch regressions between two dates, against plain loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.nn.scene_patches import (
    OverlapAverage,
    corners,
    moments,
    principal_axes,
    radiometric_map,
    windows,
)
from restore_ml.seeds import generator

SEEDS = st.integers(0, 2**32)


def pair(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = generator(seed)
    return rng.random((18, 21, 3)), rng.random((18, 21, 3)), rng.random((18, 21)) < 0.1


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS)
def test_the_radiometric_map_is_ordinary_least_squares_on_clear_pixels(seed):
    target, reference, missing = pair(seed)
    mapped = radiometric_map(target, reference, missing)
    for band in range(3):
        slope, offset = np.polyfit(reference[..., band][~missing], target[..., band][~missing], 1)
        np.testing.assert_allclose(mapped[..., band], slope * reference[..., band] + offset, atol=1e-9)
    target[missing] = 77
    assert np.array_equal(mapped, radiometric_map(target, reference, missing))


def test_the_radiometric_map_is_exact_for_an_affine_change_and_sane_without_contrast():
    _, reference, missing = pair(1)
    np.testing.assert_allclose(radiometric_map(0.7 * reference + 0.1, reference, missing), 0.7 * reference + 0.1)
    flat = np.full_like(reference, 0.4)
    np.testing.assert_allclose(radiometric_map(flat + 0.2, flat, missing), 0.6)
    assert np.array_equal(radiometric_map(flat, reference, np.ones_like(missing)), reference)


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, side=st.integers(1, 6))
def test_windows_are_slices_and_corners_part_into_clear_and_touched(seed, side):
    image, _, missing = pair(seed)
    clear, touched = corners(missing, side)
    assert len(clear) + len(touched) == (19 - side) * (22 - side)
    for places, expected in ((clear, False), (touched, True)):
        rows = windows(image, places, side)
        for (y, x), row in list(zip(places, rows, strict=True))[::17]:
            assert missing[y:y + side, x:x + side].any() == expected
            assert np.array_equal(row, image[y:y + side, x:x + side].ravel())


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, side=st.integers(1, 6))
def test_the_overlap_average_of_a_pictures_own_windows_is_the_picture(seed, side):
    image, _, missing = pair(seed)
    every = np.concatenate(corners(missing, side))
    average = OverlapAverage(image.shape, side)
    for part in np.array_split(every, 3):
        average.add(windows(image, part, side), part)
    np.testing.assert_allclose(average.mean(), image, atol=1e-12)
    assert average.count.max() == side ** 2 and average.count[0, 0] == 1


def test_principal_axes_keep_the_energy_with_the_fewest_axes():
    rng = generator(4)
    rows = rng.standard_normal((500, 10)) * np.geomspace(1, 1e-3, 10)
    axes = principal_axes(rows, 0.999)
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-12)
    kept, less = (((rows @ part) ** 2).sum() / (rows ** 2).sum() for part in (axes, axes[:, :-1]))
    assert kept >= 0.999 > less


def test_moments_ignore_missing_pixels():
    _, reference, missing = pair(2)
    before = moments(reference, missing)
    reference[missing] = 9
    after = moments(reference, missing)
    assert np.array_equal(before.mean, after.mean) and np.array_equal(before.deviation, after.deviation)
    assert (moments(np.ones((4, 4, 2)), np.zeros((4, 4), bool)).deviation > 0).all()
