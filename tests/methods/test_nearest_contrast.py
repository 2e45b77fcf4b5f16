"""nearest_contrast: its maps by hand, and which contrast is the nearest."""

import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.methods.contrast_synthesis.nearest_contrast import NearestContrast, fitted
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material

T1, T1CE, T2, PD, FLAIR = range(5)


def slices(there=(1, 1, 1, 1, 1), seed: int = 0) -> np.ndarray:
    """FLAIR is T2 upside down but for a little noise, T1 says less of it, T1ce nothing; PD is FLAIR and 40 more."""
    rng = np.random.default_rng(seed)
    t2 = rng.integers(50, 200, (40, 40))
    made = np.stack([t2 // 2 + rng.integers(0, 60, t2.shape), rng.integers(1, 200, t2.shape), t2,
                     np.zeros_like(t2), 255 - t2 + rng.integers(-2, 3, t2.shape)], 2)
    made[..., PD] = made[..., FLAIR] + 40
    made[:8] = 0
    return (np.clip(made, 0, 255) * np.array(there)).astype(np.uint8)


def material(folder, *records: tuple[np.ndarray, tuple[int, ...]]) -> Material:
    shards.write(folder / "00.arrow", [
        Record(f"{number:064x}", {"contrasts": contrasts, "there": np.array(there, np.uint8)}, {})
        for number, (contrasts, there) in enumerate(records)])
    return Material(folder)


def restored(arrays, contrasts: np.ndarray, given, wanted, **settings) -> np.ndarray:
    given, wanted = (np.array(one, np.float32) for one in (given, wanted))
    inputs = {"contrasts": contrasts * given.astype(np.uint8), "given": given, "wanted": wanted}
    return harness.restore(NearestContrast(settings), Model(arrays=arrays), inputs, 1)["contrasts"]


def mapped(made: np.ndarray, contrasts: np.ndarray, arrays, source: int, wanted: int) -> bool:
    """Whether a made contrast is the map of another one, but for rounding."""
    expected = arrays["maps"][source, wanted][contrasts[..., source]].clip(0, 255)
    return bool(np.abs(made[..., wanted] - expected).max() <= 0.501)


@pytest.mark.parametrize("kind", ["levels", "affine", "copy"])
def test_the_map_of_levels_by_hand(kind):
    """Level 10 goes with 20 and 40, level 30 three times with 90."""
    joint = np.zeros((256, 256))
    joint[10, 20] = joint[10, 40] = 1
    joint[30, 90] = 3
    values = fitted(joint, kind)
    expected = {"levels": [30, 30, 60, 90, 90], "affine": [0, 30, 60, 90, 180], "copy": [0, 10, 20, 30, 60]}[kind]
    assert values[[0, 10, 20, 30, 60]] == pytest.approx(expected) and values.shape == (256,)


def test_a_line_of_least_squares_weighs_levels_by_how_often_they_occur():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 200, 500), rng.integers(0, 256, 500)
    joint = np.zeros((256, 256))
    np.add.at(joint, (x, y), 1)
    slope, start = np.polyfit(x, y, 1)
    assert fitted(joint, "affine")[[0, 255]] == pytest.approx([start, start + 255 * slope])


@pytest.mark.parametrize("kind", ["levels", "affine", "copy"])
def test_what_never_occurs_stays_as_it_is(kind):
    assert np.array_equal(fitted(np.zeros((256, 256)), kind), np.arange(256))
    one = np.zeros((256, 256))
    one[5, 9] = 4
    assert (fitted(one, kind)[[5, 80]] == ([5, 80] if kind == "copy" else [9, 9])).all()


def test_errors_are_what_the_map_leaves_in_the_brain(tmp_path):
    """Pixels where every contrast is 0 count nowhere."""
    first, second = slices(), slices(seed=1)
    both = material(tmp_path, (first, (1, 1, 1, 1, 1)), (second, (1, 1, 1, 1, 1)))
    arrays = NearestContrast({"map": "copy"}).prepare(both, 1)
    seen = np.concatenate([one[one.any(axis=2)] for one in (first, second)]).astype(float)
    for source, wanted in ((T1, FLAIR), (T2, FLAIR), (FLAIR, T2), (PD, FLAIR)):
        assert arrays["errors"][source, wanted] == pytest.approx(np.square(seen[:, source] - seen[:, wanted]).mean())
    levels = NearestContrast({}).prepare(both, 1)
    assert (levels["errors"] <= arrays["errors"] + 1e-3).all() and not levels["errors"].diagonal().any()
    assert levels["maps"].shape == (5, 5, 256) and levels["maps"].dtype == levels["errors"].dtype == np.float32
    affine = NearestContrast({"map": "affine"}).prepare(both, 1)
    assert (levels["errors"] <= affine["errors"] + 1e-3).all()


def test_the_nearest_of_the_given_contrasts_is_mapped(tmp_path):
    whole, test = slices(), slices(seed=2)
    arrays = NearestContrast({}).prepare(material(tmp_path, (whole, (1, 1, 1, 1, 1))), 1)
    made = restored(arrays, test, (1, 1, 1, 0, 0), (0, 0, 0, 0, 1))
    assert mapped(made, test, arrays, T2, FLAIR)
    assert np.abs(made[8:, :, FLAIR].astype(int) - test[8:, :, FLAIR]).max() <= 6
    made = restored(arrays, test, (1, 1, 0, 0, 0), (0, 0, 0, 0, 1))
    assert mapped(made, test, arrays, T1, FLAIR)


def test_nearest_is_what_tells_the_wanted_one_and_not_what_that_one_tells(tmp_path):
    """T1 has four levels, FLAIR one for two of them, T2 the same everywhere: T1 tells FLAIR, and FLAIR tells T2."""
    whole = np.zeros((40, 40, 5), np.uint8)
    whole[..., T1] = 10 * np.random.default_rng(0).integers(1, 5, (40, 40))
    whole[..., FLAIR], whole[..., T2] = np.where(whole[..., T1] < 25, 50, 90), 70
    arrays = NearestContrast({}).prepare(material(tmp_path, (whole, (1, 0, 1, 0, 1))), 1)
    assert arrays["errors"][FLAIR, T2] == arrays["errors"][T1, FLAIR] == 0 < arrays["errors"][T2, FLAIR]
    made = restored(arrays, whole, (1, 0, 1, 0, 0), (0, 0, 0, 0, 1))
    assert np.array_equal(made[..., FLAIR], whole[..., FLAIR])


def test_several_are_wanted_at_once_and_each_has_its_own_nearest(tmp_path):
    test = slices(seed=3)
    arrays = NearestContrast({}).prepare(material(tmp_path, (slices(), (1, 1, 1, 1, 1))), 1)
    made = restored(arrays, test, (1, 1, 0, 0, 1), (0, 0, 1, 1, 0))
    assert mapped(made, test, arrays, FLAIR, T2) and mapped(made, test, arrays, FLAIR, PD)
    assert np.array_equal(made[..., [T1, T1CE, FLAIR]], test[..., [T1, T1CE, FLAIR]])


def test_two_contrasts_that_no_patient_has_both_are_copied(tmp_path):
    """And what was never seen is not the nearest."""
    split = material(tmp_path, (slices((1, 0, 1, 0, 0)), (1, 0, 1, 0, 0)), (slices((0, 1, 0, 0, 1)), (0, 1, 0, 0, 1)))
    arrays = NearestContrast({}).prepare(split, 1)
    assert np.isinf(arrays["errors"][T2, FLAIR]) and np.isfinite(arrays["errors"][T1CE, FLAIR])
    test = slices(seed=4)
    made = restored(arrays, test, (1, 0, 1, 0, 0), (0, 0, 0, 0, 1))
    assert np.array_equal(made[..., FLAIR], test[..., T1])  # the first of equals
    made = restored(arrays, test, (1, 1, 1, 0, 0), (0, 0, 0, 0, 1))
    assert mapped(made, test, arrays, T1CE, FLAIR)


def test_nothing_given_gives_nothing(tmp_path):
    arrays = NearestContrast({}).prepare(material(tmp_path, (slices(), (1, 1, 1, 1, 1))), 1)
    assert not restored(arrays, slices(), (0, 0, 0, 0, 0), (0, 0, 1, 0, 0)).any()


def test_unknown_maps_are_refused():
    with pytest.raises(UserError, match="map of nearest_contrast is 'spline'; it must be levels, affine or copy"):
        NearestContrast({"map": "spline"})
