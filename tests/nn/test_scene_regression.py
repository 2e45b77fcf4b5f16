"""What the patch regressions share, with a regression that is one fixed matrix, against loops over windows."""

import itertools
import logging

import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.method import Model
from restore_ml.nn import scene_regression
from restore_ml.nn.scene_regression import COMMON, SceneRegression, TwoDates, chunks, some
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material
from tests.methods.test_cloud_by_hand import dates, given, straight_line

SMALL = {"window": 3, "least": 1, "energy": 1.0}


class Fixed(SceneRegression):
    """psi = matrix phi, and a note of what it was fitted on."""

    paper = COMMON

    def __init__(self, settings):
        super().__init__(settings)
        self.fitted, self.matrix, self.met = [], None, 0

    def fit(self, features, targets, seed):
        self.fitted.append((features, targets))
        return {"matrix": generator("matrix").standard_normal((targets.shape[1], features.shape[1]))}

    def meet(self, arrays, dates):
        self.met += 1
        return {**arrays, "twice": 2.0}

    def predict(self, arrays, dates, places):
        self.matrix = arrays["twice"] * arrays["matrix"] @ arrays["axes"].T
        return self.features(arrays, dates, places) @ arrays["matrix"].T * arrays["twice"]


def fill(method, *scene, arrays=None):
    return restore(method, Model(arrays=arrays or {}), given(*scene), 1)["image"]


def standardised(target, reference, missing):
    clear = reference[~missing]
    residual = (target - straight_line(target, reference, missing)) / clear.std(0)
    return (reference - clear.mean(0)) / clear.std(0), residual, clear.std(0)


def boxes(missing, side=3):
    rows, columns = missing.shape
    return [(slice(y, y + side), slice(x, x + side))
            for y, x in itertools.product(range(rows - side + 1), range(columns - side + 1))]


def test_windows_of_both_dates_and_what_is_known_of_them():
    target, reference, missing = dates()
    target[missing] = np.nan  # nothing there may be looked at
    both = TwoDates(target, reference, missing, 3)
    standard, residual, deviation = standardised(target, reference, missing)
    residual[missing] = 0
    np.testing.assert_allclose(both.deviation, deviation)
    found = {True: [], False: []}
    for box in boxes(missing):
        found[bool(missing[box].any())].append(box)
    for places, expected in ((both.clear, found[False]), (both.touched, found[True])):
        assert len(places) == len(expected)
        np.testing.assert_allclose(both.features(places), [standard[box].ravel() for box in expected], atol=1e-9)
        np.testing.assert_allclose(both.targets(places), [residual[box].ravel() for box in expected], atol=1e-9)
        np.testing.assert_array_equal(both.known(places), [np.repeat(~missing[box].ravel(), 2) for box in expected])


@pytest.mark.parametrize("chunk", [16384, 7])
def test_hidden_pixels_get_the_mean_of_all_predicted_windows_over_the_radiometric_map(monkeypatch, chunk):
    monkeypatch.setattr(scene_regression, "CHUNK", chunk)
    target, reference, missing = dates(2)
    method = Fixed(SMALL)
    image = fill(method, target, reference, missing)
    target, reference = (value.astype(np.float32).astype(float) for value in (target, reference))
    standard, residual, deviation = standardised(target, reference, missing)
    total, count = np.zeros_like(reference), np.zeros((*missing.shape, 1))
    for box in boxes(missing):
        if missing[box].any():
            total[box] += (method.matrix @ standard[box].ravel()).reshape(3, 3, 2)
            count[box] += 1
    expected = straight_line(target, reference, missing) + total / np.maximum(count, 1) * deviation
    np.testing.assert_allclose(image[missing], expected[missing], atol=1e-4)
    assert np.array_equal(image[~missing], target[~missing].astype(np.float32)) and method.met == 1
    # It was fitted on the clear windows, in full, on orthonormal axes.
    features, targets = method.fitted[0]
    clear = [box for box in boxes(missing) if not missing[box].any()]
    np.testing.assert_allclose(features @ features.T,
                               (rows := np.array([standard[box].ravel() for box in clear])) @ rows.T, atol=1e-6)
    np.testing.assert_allclose(targets, [residual[box].ravel() for box in clear], atol=1e-6)


def test_the_settings_reach_their_places(monkeypatch):
    asked = []
    monkeypatch.setattr(scene_regression, "principal_axes", lambda rows, energy: (
        asked.append(energy), np.eye(rows.shape[1], 4))[1])
    method = Fixed({**SMALL, "energy": 0.9, "pool": 11})
    fill(method, *dates(1))
    assert asked == [0.9]
    assert method.fitted[0][0].shape == (11, 4) and len(np.unique(method.fitted[0][0], axis=0)) == 11


@pytest.mark.parametrize("more", [0, 1])
def test_fewer_clear_windows_than_the_least_give_the_radiometric_map_and_say_so(caplog, more):
    target, reference, missing = dates(5)
    clear = sum(not missing[box].any() for box in boxes(missing))
    method = Fixed({**SMALL, "least": clear + more})
    with caplog.at_level(logging.WARNING):
        image = fill(method, target, reference, missing)
    assert len(method.fitted) == 1 - more
    assert (f"{clear} clear windows are fewer than {clear + 1}" in caplog.text) == bool(more)
    same = np.allclose(image[missing], straight_line(target, reference, missing)[missing], atol=1e-5)
    assert same == bool(more)


def test_scenes_without_hole_window_texture_or_clear_pixel():
    target, reference, missing = dates(6)
    line = straight_line(target, reference, missing)
    np.testing.assert_allclose(fill(Fixed({**SMALL, "window": 13}), target, reference, missing)[missing], line[missing],
                               atol=1e-5)
    flat = fill(Fixed(SMALL), target, np.full_like(target, 0.4), missing)[missing]
    np.testing.assert_allclose(flat, np.broadcast_to(target[~missing].mean(0), flat.shape), atol=1e-5)
    assert np.array_equal(fill(Fixed(SMALL), target, reference, np.zeros_like(missing)), target.astype(np.float32))
    assert np.array_equal(fill(Fixed(SMALL), target, reference, np.ones_like(missing)), reference.astype(np.float32))


def test_rows_are_drawn_once_each_and_kept_in_order():
    rows = np.arange(20)
    drawn = some(rows, 6, generator(1))
    assert len(drawn) == 6 and (np.diff(drawn) > 0).all() and np.array_equal(drawn, some(rows, 6, generator(1)))
    assert not np.array_equal(drawn, some(rows, 6, generator(2)))
    assert some(rows, 20, generator(1)) is rows
    assert not list(chunks(rows[:0]))


# --- a dictionary of the training scenes ------------------------------------------------------------------------------


def material(folder, scenes) -> Material:
    mask = np.zeros((10, 30, 1), np.uint8)
    mask[3:, :6] = 1
    shards.write(folder / "00.arrow", [Record(f"{number:064x}", {
        name: value.astype(np.float32) for name, value in scene.items()}) for number, scene in enumerate(scenes)])
    shards.write(folder / "pools" / "masks" / "pool.arrow", [Record("m", {"mask": mask})])
    return Material(folder)


def test_training_takes_an_equal_share_of_each_scene_under_a_mask(tmp_path):
    scenes = [dict(zip(("target", "reference"), dates(number, 20, 18)[:2], strict=True)) for number in range(3)]
    tiny = {"target": np.ones((2, 9, 2)), "reference": np.ones((2, 9, 2))}
    method = Fixed({**SMALL, "dictionary": "train", "pool": 44})
    given_material = material(tmp_path, [*scenes, tiny])
    pairs = list(method.training_pairs(given_material, 1))
    assert [len(phi) for phi, _ in pairs] == [11, 11, 11]
    missing = np.zeros((20, 18), bool)
    missing[3:10, :6] = True  # the mask where both overlap
    for (phi, psi), scene in zip(pairs, scenes, strict=True):
        target, reference = (scene[name].astype(np.float32).astype(float) for name in ("target", "reference"))
        standard, residual, _ = standardised(target, reference, missing)
        rows = {tuple(np.round(standard[box].ravel(), 6)): residual[box].ravel()
                for box in boxes(missing) if not missing[box].any()}
        for row, expected in zip(phi, psi, strict=True):
            np.testing.assert_allclose(rows[tuple(np.round(row, 6))], expected, atol=1e-6)
    fitted, again = method.prepare(given_material, 1), method.prepare(given_material, 1)
    assert set(fitted) == {"axes", "matrix"} and all(value.dtype == np.float32 for value in fitted.values())
    assert all(np.array_equal(fitted[name], again[name]) for name in fitted)
    assert Fixed(SMALL).prepare(given_material, 1) == {}
    # A stored dictionary restores without a window of the scene's own.
    target, reference, hidden = dates(9)
    restorer = Fixed({**SMALL, "dictionary": "train", "least": 10**9})
    fill(restorer, target, reference, hidden, arrays=fitted)
    assert not restorer.fitted and restorer.met == 1
    with pytest.raises(UserError, match="windows of 18 numbers, and those of this scene have 27"):
        fill(restorer, *(np.repeat(date, 2, 2)[..., :3] for date in (target, reference)), hidden, arrays=fitted)


def test_training_scenes_without_texture_are_a_sentence(tmp_path):
    flat = {"target": np.ones((20, 18, 2)), "reference": np.ones((20, 18, 2))}
    with pytest.raises(UserError, match="found no clear window with texture"):
        Fixed({**SMALL, "dictionary": "train"}).prepare(material(tmp_path, [flat]), 1)
    with pytest.raises(UserError, match=r"dictionary .* must be scene or train"):
        Fixed({"dictionary": "none"})


def test_a_dictionary_of_four_bands_takes_no_scene_in_all_its_bands():
    learnt, own = Fixed({"dictionary": "train"}), Fixed({})
    assert learnt.unsupported("cloud_20_all_bands") == "its dictionary is learnt from scenes of four bands"
    assert learnt.unsupported("as_found") and own.unsupported("as_found") is None
    assert learnt.unsupported("cloud_20") is None and own.unsupported("cloud_20_all_bands") is None


def test_a_scene_of_ten_bands_is_filled_in_all_of_them():
    rng, (_, _, missing) = generator("ten bands"), dates()
    target, reference = rng.random((14, 12, 10)), rng.random((14, 12, 10))
    filled = fill(Fixed(SMALL), target, reference, missing)
    assert filled.shape == target.shape and np.array_equal(filled[~missing], target[~missing].astype(np.float32))
