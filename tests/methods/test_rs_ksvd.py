"""rs_ksvd: codes of the reference, answers of the target, against dense least squares; the card's checks."""

import itertools

import numpy as np

from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_ksvd
from restore_ml.nn.scene_regression import TwoDates
from restore_ml.nn.sparse_coding import ksvd, omp
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.test_cloud_by_hand import dates
from tests.methods.test_cloud_methods import arrays, sample

SMALL = {"atoms": 32, "iterations": 2, "signals": 300, "least": 500}


def run(method, made) -> np.ndarray:
    return restore(method, Model(), made.inputs, 1)["image"]


def test_the_papers_size():
    assert rs_ksvd.METHOD({}).settings == {"dictionary": "scene", "window": 5, "energy": 0.999, "pool": 50000,
                                           "least": 2000, "atoms": 1024, "sparsity": 3, "iterations": 40,
                                           "signals": 20000}


def test_prediction_is_the_best_pair_of_atoms_and_their_answers():
    """Two atoms a window among four orthonormal ones: those of the largest products."""
    target, reference, missing = dates(1)
    both, rng = TwoDates(target, reference, missing, 3), generator("atoms")
    axes = np.linalg.qr(rng.standard_normal((18, 6)))[0]
    atoms, answers = np.linalg.qr(rng.standard_normal((6, 4)))[0], rng.standard_normal((18, 4))
    method = rs_ksvd.METHOD({"window": 3, "sparsity": 2})
    found = method.predict({"axes": axes, "atoms": atoms, "answers": answers}, both, both.touched)
    for row, window in zip(found, both.features(both.touched), strict=True):
        products = atoms.T @ (axes.T @ window)
        products[np.argsort(np.abs(products))[:2]] = 0
        np.testing.assert_allclose(row, answers @ products, atol=1e-9)


def test_pursuit_by_trying_all_pairs_of_nearly_orthogonal_atoms():
    """Where coherence is small, greedy pursuit finds the best of all pairs, its coefficients by least squares."""
    target, reference, missing = dates(2)
    both, rng = TwoDates(target, reference, missing, 3), generator("pairs of atoms")
    atoms = np.linalg.qr(rng.standard_normal((18, 5)))[0] + 0.002 * rng.standard_normal((18, 5))
    atoms /= np.linalg.norm(atoms, axis=0)
    method = rs_ksvd.METHOD({"window": 3, "sparsity": 2})
    found = method.predict({"axes": np.eye(18), "atoms": atoms, "answers": atoms}, both, both.touched)
    for row, window in zip(found, both.features(both.touched), strict=True):
        fits = [atoms[:, pair] @ np.linalg.lstsq(atoms[:, pair], window, rcond=None)[0]
                for pair in itertools.combinations(range(5), 2)]
        assert np.linalg.norm(window - row) <= min(np.linalg.norm(window - fit) for fit in fits) * 1.01


def test_the_fit_hands_on_its_settings_and_represents_its_scene():
    target, reference, hole = arrays(sample(3, 64))
    both = TwoDates(target, reference, hole, 5)
    method = rs_ksvd.METHOD({"atoms": 40, "sparsity": 2, "iterations": 3, "signals": 300, "pool": 800})
    learnt = method.learn(both.features(both.clear[:800]), both.targets(both.clear[:800]), 1)
    axes, atoms, answers = learnt["axes"], learnt["atoms"], learnt["answers"]
    assert set(learnt) == {"axes", "atoms", "answers"}
    assert atoms.shape == (axes.shape[1], 40) and answers.shape == (100, 40)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=0), 1)
    features = both.features(both.clear[:800]) @ axes
    codes = omp(features.T, atoms, 2)
    assert len(codes.indices) == 2
    assert ((features.T - codes.apply(atoms)) ** 2).sum() < 0.6 * (features ** 2).sum()
    # The answers are the best for these codes: the remainder is orthogonal to what any atom gives.
    remainder = both.targets(both.clear[:800]).T - codes.apply(answers)
    share = np.zeros((100, 40))
    for index, value in zip(codes.indices, codes.values, strict=True):
        np.add.at(share.T, index, (remainder * value).T)
    np.testing.assert_allclose(share, 0, atol=1e-4)


def test_the_error_of_the_dictionary_of_a_scene_never_grows():
    target, reference, hole = arrays(sample(4, 64))
    both = TwoDates(target, reference, hole, 5)
    features = both.features(both.clear[:400])
    dictionary, errors = ksvd(features.T, 30, 3, 6, generator("scene"))
    assert (np.diff(errors) <= 1e-6 * errors[:-1]).all() and errors[-1] < errors[0]
    np.testing.assert_allclose(np.linalg.norm(dictionary, axis=0), 1)


def test_what_lies_under_the_cloud_is_not_looked_at_and_seeds_repeat():
    made, method = sample(2, 64), rs_ksvd.METHOD(SMALL)
    before, hole = run(method, made), made.inputs["mask"][..., 0] > 0
    made.inputs["target"] = np.where(hole[..., None], np.float32(0.123), made.inputs["target"])
    assert np.array_equal(run(method, made), before)
    assert np.array_equal(before[~hole], made.inputs["target"][~hole])
