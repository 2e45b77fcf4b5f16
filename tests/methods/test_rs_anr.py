"""rs_anr: projections against numpy's ridge regressions, the anchor rule, the card's checks."""

import numpy as np
import pytest

from restore_ml.base.errors import UserError
from restore_ml.method import Model
from restore_ml.methods.cloud_removal import rs_anr
from restore_ml.nn.coupled_dictionaries import coupled_dictionaries
from restore_ml.nn.scene_regression import TwoDates
from restore_ml.restoring.harness import restore
from restore_ml.seeds import generator
from tests.methods.test_cloud_by_hand import dates
from tests.methods.test_cloud_methods import sample

SMALL = {"anchors": 32, "iterations": 2, "signals": 300, "least": 500}


def dictionaries(width: int = 6, count: int = 15, out: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = generator("dictionaries")
    atoms = rng.standard_normal((width, count))
    return atoms / np.linalg.norm(atoms, axis=0), rng.standard_normal((out, count))


def run(method, made) -> np.ndarray:
    return restore(method, Model(), made.inputs, 1)["image"]


def test_the_papers_size():
    assert rs_anr.METHOD({}).settings == {
        "dictionary": "scene", "window": 5, "energy": 0.999, "pool": 50000, "least": 2000, "anchors": 1024,
        "sparsity": 3, "iterations": 40, "signals": 20000, "neighbours": 40, "ridge": 0.01, "anchor": "abs"}


@pytest.mark.parametrize(("neighbours", "ridge"), [(4, 0.01), (9, 0.3)])
def test_a_projection_is_the_ridge_regression_of_its_neighbours(neighbours, ridge):
    """Ridge by least squares on rows stacked with sqrt(lambda) I: the weights of phi among the neighbouring atoms,
    times their answers, times 1 + lambda."""
    atoms, answers = dictionaries()
    maps = rs_anr.projections(atoms, answers, neighbours, ridge)
    assert maps.shape == (15, 4, 6)
    phi = generator("phi").standard_normal(6)
    for k in range(15):
        likeness = [abs(float(atoms[:, j] @ atoms[:, k])) for j in range(15)]
        near = sorted(range(15), key=lambda j: -likeness[j])[:neighbours]
        assert k in near
        stacked = np.concatenate([atoms[:, near], np.sqrt(ridge) * np.eye(neighbours)])
        weights, *_ = np.linalg.lstsq(stacked, np.concatenate([phi, np.zeros(neighbours)]), rcond=None)
        np.testing.assert_allclose(maps[k] @ phi, (1 + ridge) * answers[:, near] @ weights, atol=1e-9)


@pytest.mark.parametrize("neighbours", [15, 40])
def test_with_all_atoms_every_projection_is_the_global_one(neighbours):
    atoms, answers = dictionaries()
    whole = 1.1 * answers @ np.linalg.inv(atoms.T @ atoms + 0.1 * np.eye(15)) @ atoms.T
    for own in rs_anr.projections(atoms, answers, neighbours, 0.1):
        np.testing.assert_allclose(own, whole, atol=1e-9)


def test_an_atom_alone_gives_its_own_answer():
    """One neighbour: (1 + lambda) / (d^T d + lambda) is 1 for a unit atom, which so answers itself exactly."""
    atoms, answers = dictionaries()
    for k, own in enumerate(rs_anr.projections(atoms, answers, 1, 0.7)):
        np.testing.assert_allclose(own @ atoms[:, k], answers[:, k], atol=1e-12)


def predicted(method, factor: float) -> tuple[np.ndarray, np.ndarray, dict, TwoDates]:
    target, reference, missing = dates(1)
    both = TwoDates(target, reference, missing, 3)
    both._standard = factor * both._standard
    rng = generator("anchors")
    anchors = rng.standard_normal((6, 9))
    anchors /= np.linalg.norm(anchors, axis=0)
    fitted = {"axes": np.linalg.qr(rng.standard_normal((18, 6)))[0], "anchors": anchors,
              "maps": rng.standard_normal((9, 18, 6))}
    return method.predict(fitted, both, both.touched), both.features(both.touched), fitted, both


def test_prediction_is_linear_and_odd_as_published():
    method = rs_anr.METHOD({"window": 3})
    once, windows, fitted, _ = predicted(method, 1)
    for row, window in zip(once, windows, strict=True):
        phi = fitted["axes"].T @ window
        anchor = max(range(9), key=lambda k: abs(float(fitted["anchors"][:, k] @ phi)))
        np.testing.assert_allclose(row, fitted["maps"][anchor] @ phi, atol=1e-9)
    np.testing.assert_allclose(predicted(method, 2)[0], 2 * once, atol=1e-9)
    np.testing.assert_allclose(predicted(method, -1)[0], -once, atol=1e-9)
    signed = rs_anr.METHOD({"window": 3, "anchor": "signed"})
    np.testing.assert_allclose(predicted(signed, 2)[0], 2 * predicted(signed, 1)[0], atol=1e-9)
    assert not np.allclose(predicted(signed, -1)[0], -predicted(signed, 1)[0])
    with pytest.raises(UserError, match=r"anchor .* must be abs or signed"):
        rs_anr.METHOD({"anchor": "odd"})


def test_the_fit_hands_on_its_settings():
    rng = generator("fit")
    features, targets = rng.standard_normal((200, 7)), rng.standard_normal((200, 5))
    method = rs_anr.METHOD({"anchors": 12, "sparsity": 2, "iterations": 3, "signals": 60, "neighbours": 5,
                            "ridge": 0.2})
    fitted = method.fit(features, targets, 4)
    atoms, answers = coupled_dictionaries(features, targets, atoms=12, sparsity=2, iterations=3, signals=60, seed=4)
    assert set(fitted) == {"anchors", "maps"}
    np.testing.assert_array_equal(fitted["anchors"], atoms)
    np.testing.assert_array_equal(fitted["maps"], rs_anr.projections(atoms, answers, 5, 0.2))


def test_what_lies_under_the_cloud_is_not_looked_at_and_seeds_repeat():
    made, method = sample(2, 64), rs_anr.METHOD(SMALL)
    before, hole = run(method, made), made.inputs["mask"][..., 0] > 0
    made.inputs["target"] = np.where(hole[..., None], np.float32(0.123), made.inputs["target"])
    assert np.array_equal(run(method, made), before)
    assert np.array_equal(before[~hole], made.inputs["target"][~hole])
