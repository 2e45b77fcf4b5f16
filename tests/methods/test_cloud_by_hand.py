"""rs_direct and rs_aplus: what each step hands to the next, by loops and by hand-set regressions."""

import itertools

import numpy as np
import pytest

from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_aplus, rs_direct
from restore_ml.nn import scene_regression
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material


def dates(seed: int = 0, height: int = 14, width: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two dates of two bands and a hole that touches the frame."""
    rng = generator("two dates", seed)
    missing = np.zeros((height, width), bool)
    missing[5:9, 4:8] = missing[0, :2] = True
    return rng.random((height, width, 2)), 0.3 + 0.5 * rng.random((height, width, 2)), missing


def given(target: np.ndarray, reference: np.ndarray, missing: np.ndarray) -> dict[str, np.ndarray]:
    return {"target": target.astype(np.float32), "reference": reference.astype(np.float32),
            "mask": missing[..., None].astype(np.uint8)}


def restored(method, *scene: np.ndarray, arrays: dict[str, np.ndarray] | None = None) -> np.ndarray:
    return restore(method, Model(arrays=arrays or {}), given(*scene), 1)["image"]


def straight_line(target: np.ndarray, reference: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The radiometric map by numpy's own fit."""
    bands = []
    for r, t in zip(np.moveaxis(reference, -1, 0), np.moveaxis(target, -1, 0), strict=True):
        bands.append(np.polyval(np.polyfit(r[~missing], t[~missing], 1), r))
    return np.stack(bands, -1)


@pytest.mark.parametrize("match", ["none", "meanstd", "seam"])
def test_only_the_hole_is_replaced(match):
    target, reference, missing = dates()
    image = restored(rs_direct.METHOD({"match": match}), target, reference, missing)
    assert np.array_equal(image[~missing], target[~missing].astype(np.float32))
    if match == "none":
        assert np.array_equal(image[missing], reference[missing].astype(np.float32))
    if match == "meanstd":
        clear_t, clear_r = target[~missing], reference[~missing]
        for band in range(2):
            expected = ((reference[missing][:, band] - clear_r[:, band].mean()) / clear_r[:, band].std()
                        * clear_t[:, band].std() + clear_t[:, band].mean())
            np.testing.assert_allclose(image[missing][:, band], expected, atol=1e-5)


def test_moments_of_a_band_without_contrast_do_not_blow_up():
    target, reference, missing = dates()
    reference[..., 0] = 0.4
    out = rs_direct.match_moments(target, reference, missing)
    np.testing.assert_allclose(out[..., 0], target[..., 0][~missing].mean(), atol=1e-9)


def test_the_seam_by_a_dense_system():
    """For each hidden pixel: its neighbours' sum less their number times its own equals the reference's."""
    target, reference, missing = dates(1, 9, 8)
    out = rs_direct.clone_gradient(target, reference, missing)
    assert np.array_equal(out[~missing], reference[~missing])
    places = [tuple(place) for place in np.argwhere(missing)]
    for band in range(2):
        matrix, right = np.zeros((len(places),) * 2), np.zeros(len(places))
        for row, (y, x) in enumerate(places):
            for there in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if not (0 <= there[0] < 9 and 0 <= there[1] < 8):
                    continue
                matrix[row, row] -= 1
                right[row] += reference[*there, band] - reference[y, x, band]
                if there in places:
                    matrix[row, places.index(there)] += 1
                else:
                    right[row] -= target[*there, band]
        np.testing.assert_allclose(out[..., band][missing], np.linalg.solve(matrix, right), atol=1e-9)


@pytest.mark.parametrize(("chunk", "mostly_hidden"), [(16384, False), (7, False), (7, True)])
def test_prediction_with_one_hand_set_regression(monkeypatch, chunk, mostly_hidden):
    """Radiometric map + mean over all windows that cover a pixel of M (standardised window), times the deviation."""
    monkeypatch.setattr(scene_regression, "CHUNK", chunk)
    target, reference, missing = dates(2)
    if mostly_hidden:  # more windows are touched than clear
        missing[:, 4:] = True
    rng, size = generator("map"), 3 * 3 * 2
    axes = np.linalg.qr(rng.standard_normal((size, 5)))[0]
    matrix = rng.standard_normal((size, 5))
    arrays = {"axes": axes, "anchors": np.eye(5, 1), "maps": matrix[None]}
    method = rs_aplus.METHOD({"dictionary": "train", "window": 3, "least": 1})
    image = restored(method, target, reference, missing, arrays=arrays)
    clear = reference[~missing]
    mean, deviation = clear.mean(0), clear.std(0)
    total, count = np.zeros_like(reference), np.zeros((*missing.shape, 1))
    for y, x in itertools.product(range(12), range(10)):
        spot = (slice(y, y + 3), slice(x, x + 3))
        if missing[spot].any():
            window = ((reference[spot] - mean) / deviation).ravel()
            total[spot] += (matrix @ (axes.T @ window)).reshape(3, 3, 2)
            count[spot] += 1
    expected = straight_line(target, reference, missing) + total / np.maximum(count, 1) * deviation
    np.testing.assert_allclose(image[missing], expected[missing], atol=1e-4)
    assert np.array_equal(image[~missing], target[~missing].astype(np.float32))


def test_the_pairs_that_a_scene_teaches(monkeypatch):
    """Standardised reference windows against the target's residual over the deviation, from clear windows alone."""
    target, reference, missing = dates(3)
    taught: list[tuple[np.ndarray, np.ndarray]] = []
    method = rs_aplus.METHOD({"window": 3, "least": 1, "pool": 10**6})
    arrays = {"axes": np.eye(18, 2), "anchors": np.eye(2, 1), "maps": np.zeros((1, 18, 2))}
    monkeypatch.setattr(method, "learn", lambda phi, psi, seed: (taught.append((phi, psi)), arrays)[1])
    method.fill({}, target, reference, missing, 1)
    phi, psi = taught[0]
    clear = reference[~missing]
    standard = (reference - clear.mean(0)) / clear.std(0)
    residual = (target - straight_line(target, reference, missing)) / clear.std(0)
    rows = [(standard[y:y + 3, x:x + 3].ravel(), residual[y:y + 3, x:x + 3].ravel())
            for y, x in itertools.product(range(12), range(10)) if not missing[y:y + 3, x:x + 3].any()]
    np.testing.assert_allclose(phi, [row[0] for row in rows], atol=1e-9)
    np.testing.assert_allclose(psi, [row[1] for row in rows], atol=1e-9)
    few = rs_aplus.METHOD({"window": 3, "least": 1, "pool": 7})
    monkeypatch.setattr(few, "learn", lambda phi, psi, seed: (taught.append((phi, psi)), arrays)[1])
    few.fill({}, target, reference, missing, 1)
    assert len(taught[1][0]) == 7 and len(np.unique(taught[1][0], axis=0)) == 7


def test_what_learning_asks_of_its_parts(monkeypatch):
    """Axes of `energy`; anchors of at most `signals` features; at most an eighth of the pool as neighbours."""
    asked = {}
    monkeypatch.setattr(rs_aplus, "ksvd", lambda signals, *rest: (asked.update(signals=signals, ksvd=rest), (
        3 * np.eye(len(signals), 4), None))[1])
    monkeypatch.setattr(rs_aplus, "projections", lambda *arguments: (asked.update(projections=arguments), "maps")[1])
    monkeypatch.setattr(scene_regression, "principal_axes", lambda rows, energy: (asked.update(energy=energy),
                                                                                 np.eye(rows.shape[1], 6))[1])
    rng = generator("learn")
    phi, psi = rng.standard_normal((200, 8)), rng.standard_normal((200, 5))
    settings = {"energy": 0.9, "signals": 50, "anchors": 4, "sparsity": 2, "iterations": 7, "neighbours": 30,
                "ridge": 0.25}
    for neighbours, near in ((30, 25), (12, 12)):
        learnt = rs_aplus.METHOD({**settings, "neighbours": neighbours}).learn(phi, psi, 1)
        features, targets, anchors, asked_near, ridge = asked["projections"]
        assert asked["energy"] == 0.9 and asked["signals"].shape == (6, 50) and asked["ksvd"][:3] == (4, 2, 7)
        np.testing.assert_array_equal(features, phi[:, :6])
        assert targets is psi and (asked_near, ridge) == (near, 0.25)
        np.testing.assert_allclose(anchors, np.eye(6, 4))  # of unit length
        assert set(learnt) == {"axes", "anchors", "maps"} and learnt["maps"] == "maps"
        assert learnt["axes"].shape == (8, 6)


def test_a_reference_without_texture_gives_the_radiometric_map():
    target, _, missing = dates(4, 60, 60)
    flat = np.full_like(target, 0.4)
    image = restored(rs_aplus.METHOD({"anchors": 8, "iterations": 1, "signals": 50}), target, flat, missing)
    np.testing.assert_allclose(image[missing], np.broadcast_to(target[~missing].mean(0), image[missing].shape),
                               atol=1e-5)


@pytest.mark.parametrize(("least", "falls_back"), [(49, False), (50, True)])
def test_the_least_number_of_clear_windows(least, falls_back):
    """A hole of 2 x 1 pixels leaves 49 clear windows of 5 x 5 among 12 x 12 pixels ... or as many as are counted."""
    target, reference, _ = dates(5, 12, 12)
    missing = np.zeros((12, 12), bool)
    missing[6:8, 4] = True
    clear = sum(not missing[y:y + 5, x:x + 5].any() for y, x in itertools.product(range(8), range(8)))
    method = rs_aplus.METHOD({"anchors": 4, "iterations": 1, "least": clear + least - 49})
    image = restored(method, target, reference, missing)
    same = np.allclose(image[missing], straight_line(target, reference, missing)[missing], atol=1e-6)
    assert same == falls_back


def test_a_scene_smaller_than_a_window_gets_the_radiometric_map():
    target, reference, missing = dates(6)
    expected = straight_line(target, reference, missing)
    found = rs_aplus.METHOD({"window": 13}).fill({}, target, reference, missing, 1)
    np.testing.assert_allclose(found, expected, atol=1e-9)



def test_training_takes_an_equal_share_of_each_scene_under_a_mask(tmp_path):
    from restore_ml.data import shards
    from restore_ml.data.shards import Record

    scenes = [dict(zip(("target", "reference"), dates(number, 20, 18)[:2], strict=True)) for number in range(3)]
    mask = np.zeros((10, 30, 1), np.uint8)
    mask[3:, :6] = 1
    shards.write(tmp_path / "00.arrow", [Record(f"{number:064x}", {
        name: value.astype(np.float32) for name, value in scene.items()}) for number, scene in enumerate(scenes)])
    shards.write(tmp_path / "pools" / "masks" / "pool.arrow", [Record("m", {"mask": mask})])
    method = rs_aplus.METHOD({"dictionary": "train", "window": 3, "pool": 33})
    pairs = list(method.training_pairs(Material(tmp_path), 1))
    assert [len(phi) for phi, _ in pairs] == [11, 11, 11]
    missing = np.zeros((20, 18), bool)
    missing[3:10, :6] = True  # the mask where both overlap
    for (phi, psi), scene in zip(pairs, scenes, strict=True):
        target, reference = (scene[name].astype(np.float32).astype(float) for name in ("target", "reference"))
        deviation = reference[~missing].std(0)
        standard = (reference - reference[~missing].mean(0)) / deviation
        residual = (target - straight_line(target, reference, missing)) / deviation
        clear = {standard[y:y + 3, x:x + 3].tobytes(): residual[y:y + 3, x:x + 3].ravel()
                 for y, x in itertools.product(range(18), range(16)) if not missing[y:y + 3, x:x + 3].any()}
        for row, expected in zip(phi, psi, strict=True):
            key = min(clear, key=lambda k: np.abs(np.frombuffer(k) - row).max())
            np.testing.assert_allclose(np.frombuffer(key), row, atol=1e-6)
            np.testing.assert_allclose(clear[key], expected, atol=1e-6)


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("size", [(6, 5), (1, 2)])
def test_a_scene_without_a_rim_gets_the_reference(hidden, size):
    """Where all is hidden nothing fixes the membrane's height: for two pixels [[1, -1], [-1, 1]] is singular."""
    target, reference, _ = dates(2, *size)
    out = rs_direct.clone_gradient(target, reference, np.full(size, hidden))
    assert np.array_equal(out, reference)
