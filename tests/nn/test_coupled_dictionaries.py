"""The second dictionary against numpy's least squares on the codes written out."""

import numpy as np

from restore_ml.nn import coupled_dictionaries as module
from restore_ml.nn.coupled_dictionaries import coupled_dictionaries, explaining
from restore_ml.nn.sparse_coding import Codes, omp
from restore_ml.seeds import generator


def pairs(count: int = 300, width: int = 8, out: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = generator("coupled")
    features = rng.standard_normal((count, width))
    return features, np.tanh(features @ rng.standard_normal((width, out)))


def written_out(codes: Codes, atoms: int) -> np.ndarray:
    matrix = np.zeros((atoms, codes.indices.shape[1]))
    for index, value in zip(codes.indices, codes.values, strict=True):
        matrix[index, np.arange(len(index))] += value
    return matrix


def test_the_second_dictionary_is_the_least_squares_fit_to_the_codes_of_all_features():
    features, targets = pairs()
    atoms, answers = coupled_dictionaries(features, targets, atoms=20, sparsity=3, iterations=4, signals=100, seed=1)
    assert atoms.shape == (8, 20) and answers.shape == (5, 20)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=0), 1)
    code = written_out(omp(features.T, atoms, 3), 20)
    assert (np.count_nonzero(code, axis=0) <= 3).all()
    expected, *_ = np.linalg.lstsq(code.T, targets, rcond=None)
    np.testing.assert_allclose(answers, expected.T, atol=1e-5)


def test_an_atom_without_a_signal_answers_nothing_and_the_damping_is_the_cards():
    codes = Codes(np.array([[0, 0, 2]]), np.array([[1e-3, 0.0, 2.0]]))
    answers = explaining(np.array([[3.0], [5.0], [8.0]]), codes, 3)
    # Atom 0: 1e-3 * 3 / (1e-6 + 1e-6); atom 1: nothing; atom 2: 2 * 8 / (4 + 1e-6).
    np.testing.assert_allclose(answers, [[1500, 0, 4]], rtol=1e-6, atol=1e-12)


def test_settings_seeds_and_few_signals(monkeypatch):
    features, targets = pairs()
    asked = []
    original = module.ksvd
    monkeypatch.setattr(module, "ksvd", lambda signals, *rest: (asked.append((signals.shape, rest[:3])),
                                                               original(signals, *rest))[1])
    settings = {"atoms": 20, "sparsity": 2, "iterations": 3, "signals": 50}
    first, again, other = (coupled_dictionaries(features, targets, **settings, seed=seed)[0] for seed in (1, 1, 2))
    assert asked[0] == ((8, 50), (20, 2, 3))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    few, answers = coupled_dictionaries(features[:2], targets[:2], **settings, seed=1)
    assert few.shape == (8, 2) and answers.shape == (5, 2)
    np.testing.assert_allclose(answers @ written_out(omp(features[:2].T, few, 2), 2), targets[:2].T, atol=1e-4)
