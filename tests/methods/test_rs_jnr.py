"""rs_jnr: its rule by hand and by loops, ordinary least squares as its limit, the card's order of methods."""

import numpy as np
import pytest

from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_anr, rs_aplus, rs_direct, rs_global_linear, rs_jnr, rs_ksvd
from restore_ml.nn.scene_regression import TwoDates
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.test_cloud_by_hand import dates
from tests.methods.test_cloud_methods import psnr, sample

FIT = {"iterations": 4, "signals": 1200, "pool": 6000}
SMALL = {"anchors": 96, "neighbours": 512, **FIT}


def pairs(count: int = 60, width: int = 4, out: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = generator("joint pairs")
    features = rng.standard_normal((count, width))
    return features, np.sin(features @ rng.standard_normal((width, out))) + 0.5


def run(method, made) -> np.ndarray:
    return restore(method, Model(), made.inputs, 1)["image"]


def test_the_papers_size():
    assert rs_jnr.METHOD({}).settings == {
        "dictionary": "scene", "window": 5, "energy": 0.999, "pool": 50000, "least": 2000, "anchors": 1024,
        "iterations": 40, "signals": 20000, "beta": 1.0, "neighbours": 2048, "ridge": 0.1, "nearest": 3}


def test_joint_rows_hold_the_root_of_beta():
    features, targets = pairs(3)
    rows = rs_jnr.joint(features, targets, 4.0)
    np.testing.assert_array_equal(rows, np.hstack([features, 2 * targets]))
    assert (rs_jnr.joint(features, targets, 0.0)[:, 4:] == 0).all()


def test_one_anchor_with_all_neighbours_and_no_ridge_is_affine_least_squares():
    features, targets = pairs()
    method = rs_jnr.METHOD({"anchors": 1, "neighbours": 10**6, "ridge": 1e-12})
    fitted = method.fit(features, targets, 1)
    known = np.hstack([features, np.ones((60, 1))])
    expected = known @ np.linalg.lstsq(known, targets, rcond=None)[0]
    best, distances = np.zeros((60, 1), int), np.ones((60, 1))
    np.testing.assert_allclose(rs_jnr.blend(features, best, distances, 1.0, fitted), expected, atol=1e-8)
    np.testing.assert_allclose(fitted["centres"][0], rs_jnr.joint(features, targets, 1.0).mean(0), atol=1e-9)


@pytest.mark.parametrize("anchors_at_once", [32, 2])
def test_a_regression_is_the_ridge_of_its_neighbours_at_both_dates(monkeypatch, anchors_at_once):
    monkeypatch.setattr(rs_jnr, "ANCHORS", anchors_at_once)
    features, targets = pairs()
    rows = rs_jnr.joint(features, targets, 2.0)
    centres = generator("centres").standard_normal((5, 7))
    fitted = rs_jnr.regressions(features, targets, rows, centres, 20, 0.3)
    assert fitted["maps"].shape == (5, 4, 3)
    for k, centre in enumerate(centres):
        near = sorted(range(60), key=lambda i: float(((rows[i] - centre) ** 2).sum()))[:20]
        phi, psi = features[near], targets[near]
        np.testing.assert_allclose(fitted["phi"][k], phi.mean(0))
        np.testing.assert_allclose(fitted["psi"][k], psi.mean(0))
        stacked = np.concatenate([phi - phi.mean(0), np.sqrt(0.3) * np.eye(4)])
        weights, *_ = np.linalg.lstsq(stacked, np.concatenate([psi - psi.mean(0), np.zeros((4, 3))]), rcond=None)
        np.testing.assert_allclose(fitted["maps"][k], weights, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_distances_count_what_is_known_of_the_target(beta):
    rng = generator("distances")
    features, known = rng.standard_normal((9, 4)), (rng.random((9, 3)) < 0.5).astype(float)
    targets, plain = rng.standard_normal((9, 3)) * known, rng.standard_normal((6, 7))
    centres = np.hstack([plain[:, :4], np.sqrt(beta) * plain[:, 4:]])
    best, distances = rs_jnr.nearest(features, targets, known, centres, beta, 4)
    for row in range(9):
        every = [((features[row] - c[:4]) ** 2).sum() + beta * (known[row] * (targets[row] - c[4:]) ** 2).sum()
                 for c in plain]
        order = np.argsort(every)[:4]
        np.testing.assert_array_equal(best[row], order)
        np.testing.assert_allclose(distances[row], np.array(every)[order], atol=1e-9)
    assert rs_jnr.nearest(features, targets, known, centres, beta, 99)[0].shape == (9, 6)


def test_the_blend_by_hand():
    """Two anchors at distances 1 and 1 + 2 ln 3 under the scale 1: weights 3/4 and 1/4. For phi = 5 the first gives
    10 + (5 - 1) 2 = 18, the second -2 + (5 - 3) 3 = 4; under the scale 1/2 the weights are 9/10 and 1/10. Windows far
    from all anchors have the same weights."""
    fitted = {"phi": np.array([[3.0], [1.0]]), "psi": np.array([[-2.0], [10.0]]),
              "maps": np.array([[[3.0]], [[2.0]]])}
    best, distances = np.array([[1, 0]]), np.array([[1.0, 1 + 2 * np.log(3)]])
    for scale, expected in ((1.0, 0.75 * 18 + 0.25 * 4), (0.5, 0.9 * 18 + 0.1 * 4)):
        for far in (0, 1e4):
            found = rs_jnr.blend(np.array([[5.0]]), best, far + distances, scale, fitted)
            np.testing.assert_allclose(found, [[expected]])


def test_the_scale_is_the_median_of_the_smallest_distances_of_the_touched_windows(monkeypatch):
    from restore_ml.nn import scene_regression

    monkeypatch.setattr(scene_regression, "CHUNK", 7)
    target, reference, missing = dates(3)
    both, rng = TwoDates(target, reference, missing, 3), generator("scale")
    fitted = {"axes": np.linalg.qr(rng.standard_normal((18, 5)))[0], "centres": rng.standard_normal((6, 5 + 18)),
              "phi": rng.standard_normal((6, 5)), "psi": rng.standard_normal((6, 18)),
              "maps": rng.standard_normal((6, 5, 18))}
    method = rs_jnr.METHOD({"window": 3, "nearest": 2})
    met = method.meet(fitted, both)
    phi = both.features(both.touched) @ fitted["axes"]
    psi, known = both.targets(both.touched), both.known(both.touched)
    every = np.array([[((f - c[:5]) ** 2).sum() + (k * (t - c[5:]) ** 2).sum() for c in fitted["centres"]]
                      for f, t, k in zip(phi, psi, known, strict=True)])
    np.testing.assert_allclose(met["scale"], np.median(every.min(1)))
    found = method.predict(met, both, both.touched)
    for row in range(len(phi)):
        order = np.argsort(every[row])[:2]
        weights = np.exp(-(every[row][order] - every[row].min()) / (2 * np.median(every.min(1))))
        expected = sum(w * (fitted["psi"][k] + (phi[row] - fitted["phi"][k]) @ fitted["maps"][k])
                       for w, k in zip(weights / weights.sum(), order, strict=True))
        np.testing.assert_allclose(found[row], expected, atol=1e-9)


def test_centres_are_means_of_their_own_and_repeat():
    rng = generator("clumps")
    middles = 50 * np.eye(4, 6)
    rows = np.repeat(middles, 25, 0) + rng.standard_normal((100, 6))
    centres = rs_jnr.means(rows, 4, 20, 1)
    own = ((rows[:, None] - centres) ** 2).sum(2).argmin(1)
    for number, centre in enumerate(centres):
        np.testing.assert_allclose(centre, rows[own == number].mean(0), atol=1e-9)
    assert sorted(np.bincount(own)) == [25] * 4 and np.array_equal(centres, rs_jnr.means(rows, 4, 20, 1))
    assert len(rs_jnr.means(np.repeat(rows[:3], 5, 0), 8, 5, 1)) == 3


def test_the_fit_hands_on_its_settings(monkeypatch):
    asked = []
    monkeypatch.setattr(rs_jnr, "means", lambda rows, *rest: (asked.append((rows, rest)), rows[:4])[1])
    features, targets = pairs()
    method = rs_jnr.METHOD({"anchors": 4, "iterations": 7, "signals": 30, "beta": 4.0, "neighbours": 9, "ridge": 0.2})
    fitted = method.fit(features, targets, 5)
    rows, rest = asked[0]
    assert rest == (4, 7, 5) and rows.shape == (30, 7)
    assert {tuple(row) for row in rows} <= {tuple(row) for row in np.hstack([features, 2 * targets])}
    expected = rs_jnr.regressions(features, targets, np.hstack([features, 2 * targets]), rows[:4], 9, 0.2)
    assert all(np.array_equal(fitted[name], expected[name]) for name in expected)
    assert np.array_equal(fitted["centres"], rows[:4])


def test_one_affine_change_of_the_whole_scene_is_restored():
    made = sample(1, 64)
    made.target["truth"] = np.float32(0.8) * made.inputs["reference"] + np.float32(0.05)
    hole = made.inputs["mask"] > 0
    made.inputs["target"] = np.where(hole, made.inputs["target"], made.target["truth"])
    assert psnr(run(rs_jnr.METHOD({"anchors": 16, "neighbours": 128, **FIT, "least": 500}), made), made) > 50


def test_what_lies_under_the_cloud_is_not_looked_at_and_seeds_repeat():
    made, method = sample(2, 64), rs_jnr.METHOD({"anchors": 32, "neighbours": 128, **FIT, "least": 500})
    before, hole = run(method, made), made.inputs["mask"][..., 0] > 0
    made.inputs["target"] = np.where(hole[..., None], np.float32(0.123), made.inputs["target"])
    assert np.array_equal(run(method, made), before)
    assert np.array_equal(before[~hole], made.inputs["target"][~hole])


def test_the_order_of_the_card_on_scenes_that_change_by_class():
    """direct < one line < {ANR, K-SVD} < A+ < JNR, each by half a decibel."""
    methods = [rs_direct.METHOD({}), rs_global_linear.METHOD({}), rs_anr.METHOD({"anchors": 96, **FIT}),
               rs_ksvd.METHOD({"atoms": 96, **FIT}), rs_aplus.METHOD(SMALL), rs_jnr.METHOD(SMALL)]
    scenes = [sample(20 + index) for index in range(2)]
    direct, line, anr, ksvd, aplus, jnr = (np.mean([psnr(run(method, made), made) for made in scenes])
                                           for method in methods)
    assert line > direct + 0.5
    assert min(anr, ksvd) > line + 0.5
    assert aplus > max(anr, ksvd) + 0.5
    assert jnr > aplus + 0.5
