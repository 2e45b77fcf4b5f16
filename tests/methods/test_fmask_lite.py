"""The detector of four bands and the floor: their tests at their thresholds, the growth, the sun, bands by name."""

import numpy as np
import pytest

from restore_ml.arrays import text
from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.cloud_detection.bright_pixels import BrightPixels
from restore_ml.methods.cloud_detection.fmask_lite import FmaskLite
from restore_ml.restoring import harness

GREEN = np.array([0.04, 0.08, 0.05, 0.40], np.float32)
FOUR = ("blue", "green", "red", "nir")


def found(method, bands, azimuth=None, names=FOUR):
    inputs = {"target": bands.astype(np.float32), "bands": text(" ".join(names), 64)}
    inputs |= {} if azimuth is None else {"azimuth": np.array([azimuth], np.float32)}
    return harness.restore(method, Model(), inputs, 1)["codes"][..., 0]


def land(size=50, **patch):
    bands = np.broadcast_to(GREEN, (size, size, 4)).copy()
    for values, rows, columns in patch.values():
        bands[rows, columns] = values
    return bands


@pytest.mark.parametrize("grow", [0, 1, 3])
def test_clouds_are_grown_by_as_many_pixels_as_are_asked(grow):
    bands = land(cloud=([0.5, 0.5, 0.5, 0.5], slice(20, 30), slice(15, 30)))
    cloud = found(FmaskLite({"grow": grow}), bands) == 4
    rows, columns = np.mgrid[:50, :50]
    distance = np.maximum(np.maximum(20 - rows, rows - 29), 0) + np.maximum(np.maximum(15 - columns, columns - 29), 0)
    assert np.array_equal(cloud, distance <= grow)
    assert FmaskLite.paper == {"grow": 3}


@pytest.mark.parametrize(("values", "cloud"), [
    ((0.26, 0.26, 0.26, 0.3), True), ((0.24, 0.24, 0.24, 0.3), False),  # brightness
    ((0.40, 0.25, 0.25, 0.3), True), ((0.42, 0.25, 0.25, 0.3), False),  # whiteness of 0.67 and 0.74
    ((0.3, 0.3, 0.43, 0.3), True), ((0.29, 0.3, 0.43, 0.3), False)])  # haze
def test_the_three_tests(values, cloud):
    bands = land(patch=(values, slice(20, 30), slice(20, 30)))
    assert (found(FmaskLite({"grow": 0}), bands)[20:30, 20:30] == 4).all() == cloud


def test_small_clouds_are_dropped():
    bands = land(eight=(0.5, slice(10, 12), slice(10, 14)), nine=(0.5, slice(30, 33), slice(30, 33)))
    assert (found(FmaskLite({"grow": 0}), bands) == 4).sum() == 9
    bands = land(four=(0.5, slice(20, 22), slice(20, 22)), five=(0.5, slice(22, 23), slice(22, 27)))
    assert (found(FmaskLite({"grow": 0}), bands) == 4).sum() == 9  # pixels that touch at a corner belong together


@pytest.mark.parametrize(("azimuth", "row", "column"), [(180, -15, 0), (0, 15, 0), (90, 0, -15), (270, 0, 15)])
def test_shadows_fall_away_from_the_sun(azimuth, row, column):
    bands = land(cloud=(0.5, slice(22, 28), slice(22, 28)))
    bands[22 + row:28 + row, 22 + column:28 + column, 3] = 0.1
    seen = found(FmaskLite({"grow": 0}), bands, azimuth)
    dark = np.zeros((50, 50), bool)
    dark[22 + row:28 + row, 22 + column:28 + column] = True
    assert np.array_equal(seen == 2, dark) and (seen == 4).sum() == 36
    assert not (found(FmaskLite({"grow": 0}), bands, azimuth + 180 if azimuth < 180 else azimuth - 180) == 2).any()
    assert not (found(FmaskLite({"grow": 0}), bands) == 2).any()


def test_a_shadow_is_at_most_40_pixels_away():
    bands = land(60, cloud=(0.5, slice(50, 56), slice(20, 24)))
    bands[:, :, 3] = 0.1
    column = found(FmaskLite({"grow": 0}), bands, 180.0)[:, 21]
    assert column.tolist() == [0] * 10 + [2] * 40 + [4] * 6 + [0] * 4  # row 50 is in reach of row 55, and is cloud


def test_bands_are_found_by_their_names():
    bands = land(cloud=(0.5, slice(20, 30), slice(20, 30)))
    bands[22:28, 5:11, 3] = 0.1
    more = np.concatenate([bands[..., [3]], np.full((50, 50, 1), 0.9), bands[..., [2, 1, 0]]], 2)
    names = ("B8", "B5", "B4", "B3", "B2")
    assert np.array_equal(found(FmaskLite({}), more, 90.0, names), found(FmaskLite({}), bands, 90.0))
    for method in (FmaskLite({}), BrightPixels({})):
        with pytest.raises(UserError, match=r"needs the bands blue, .*; give it scenes whose bands are named so"):
            found(method, bands[..., 1:], None, FOUR[1:])


def test_the_floor_is_a_threshold_on_the_visible_bands():
    bands = land(bright=((0.26, 0.25, 0.25, 0.0), slice(0, 5), slice(0, 5)),
                 infrared=((0.2, 0.2, 0.2, 0.9), slice(10, 15), slice(0, 5)),
                 blue=((0.5, 0.02, 0.02, 0.0), slice(20, 25), slice(0, 5)))
    assert np.array_equal(np.flatnonzero(found(BrightPixels({}), bands)[0]), range(5))
    assert (found(BrightPixels({}), bands) == 4).sum() == 25
    assert (found(BrightPixels({"brightness": 0.19}), bands) == 4).sum() == 50
