"""Orthogonal matching pursuit and K-SVD against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp

from restore_ml.nn.sparse_coding import Codes, _rank_one, _update, ksvd, omp, unit_columns
from restore_ml.seeds import generator

SEEDS = st.integers(0, 2**32)


def dense(codes: Codes, atoms: int) -> np.ndarray:
    matrix = np.zeros((atoms, codes.indices.shape[1]))
    for index, value in zip(codes.indices, codes.values, strict=True):
        matrix[index, np.arange(len(index))] += value
    return matrix


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, size=st.integers(4, 20), sparsity=st.integers(1, 4))
def test_on_an_orthonormal_dictionary_pursuit_keeps_the_largest_coefficients(seed, size, sparsity):
    rng = generator(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((size, size)))
    signals = rng.standard_normal((size, 30))
    products = basis.T @ signals
    expected = np.where(np.argsort(np.argsort(-np.abs(products), axis=0), axis=0) < sparsity, products, 0)
    np.testing.assert_allclose(dense(omp(signals, basis, sparsity), size), expected, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, sparsity=st.integers(1, 4))
def test_pursuit_agrees_with_scikit_learn(seed, sparsity):
    rng = generator(seed)
    dictionary, signals = unit_columns(rng.standard_normal((12, 30))), rng.standard_normal((12, 40))
    expected = orthogonal_mp(dictionary, signals, n_nonzero_coefs=sparsity)
    np.testing.assert_allclose(dense(omp(signals, dictionary, sparsity), 30), expected, atol=1e-7)


def test_pursuit_in_pieces_is_pursuit_at_once(monkeypatch):
    rng = generator(1)
    dictionary, signals = unit_columns(rng.standard_normal((10, 25))), rng.standard_normal((10, 57))
    whole = omp(signals, dictionary, 3)
    monkeypatch.setattr("restore_ml.nn.sparse_coding.CHUNK", 10)
    pieces = omp(signals, dictionary, 3)
    assert np.array_equal(whole.indices, pieces.indices)
    np.testing.assert_allclose(whole.values, pieces.values, atol=1e-12)


def test_codes_apply_like_a_matrix():
    rng = generator(2)
    dictionary, signals = unit_columns(rng.standard_normal((10, 25))), rng.standard_normal((10, 9))
    codes = omp(signals, dictionary, 3)
    np.testing.assert_allclose(codes.apply(dictionary), dictionary @ dense(codes, 25), atol=1e-12)


def test_twin_atoms_and_zero_signals_are_harmless():
    dictionary = unit_columns(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    codes = omp(np.array([[2.0, 0.0], [3.0, 0.0]]), dictionary, 2)
    np.testing.assert_allclose(codes.apply(dictionary), [[2.0, 0.0], [3.0, 0.0]], atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, atoms=st.integers(2, 40), sparsity=st.integers(1, 4))
def test_the_error_of_ksvd_never_grows_and_its_atoms_are_units(seed, atoms, sparsity):
    signals = generator(seed).standard_normal((12, 80))
    dictionary, errors = ksvd(signals, atoms, sparsity, 6, generator(seed, "fit"))
    assert dictionary.shape == (12, atoms) and len(errors) == 6
    np.testing.assert_allclose(np.linalg.norm(dictionary, axis=0), 1, atol=1e-9)
    assert (np.diff(errors) <= 1e-6 * errors[0]).all() and errors[0] <= (signals ** 2).sum()


def test_ksvd_finds_the_dictionary_that_made_the_signals():
    rng = generator("recover")
    truth = unit_columns(rng.standard_normal((16, 24)))
    pairs = [truth[:, rng.choice(24, 2, replace=False)] for _ in range(1500)]
    signals = np.stack([pair @ rng.standard_normal(2) for pair in pairs], axis=1)
    start, _ = ksvd(signals, 24, 2, 1, generator("fit"))
    found, errors = ksvd(signals, 24, 2, 30, generator("fit"))
    likeness = [np.abs(truth.T @ dictionary).max(axis=1) for dictionary in (start, found)]
    assert (likeness[1] > 0.99).mean() > 0.7 > (likeness[0] > 0.99).mean()
    assert errors[-1] < 0.2 * errors[0]


def test_ksvd_is_repeatable_and_takes_no_more_atoms_than_signals():
    signals = generator(1).standard_normal((6, 10))
    first, second = (ksvd(signals, 50, 3, 3, generator("same"))[0] for _ in range(2))
    assert first.shape == (6, 10) and np.array_equal(first, second)
    with pytest.raises(ValueError, match="not zero"):
        ksvd(np.zeros((4, 5)), 2, 1, 1, generator(1))


def test_unused_atoms_are_replaced_by_badly_represented_signals():
    """Two directions, but the start holds one of them three times: the third sweep must know both."""
    signals = np.concatenate([np.tile([[1.0], [0.0]], 30), np.tile([[0.0], [1.0]], 2)], axis=1)
    _, errors = ksvd(signals, 3, 1, 4, generator(0))
    assert errors[-1] < 1e-12


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, rows=st.integers(1, 20), columns=st.integers(1, 20))
def test_the_rank_one_fit_is_the_first_singular_pair_and_keeps_its_direction(seed, rows, columns):
    rng = generator(seed)
    matrix, before = rng.standard_normal((rows, columns)), rng.standard_normal(rows)
    left, scale, right = np.linalg.svd(matrix, full_matrices=False)
    unit, weights = _rank_one(matrix, before)
    best = matrix - scale[0] * np.outer(left[:, 0], right[0])
    assert np.linalg.norm(unit) == pytest.approx(1) and unit @ before >= 0
    np.testing.assert_allclose(np.linalg.norm(matrix - np.outer(unit, weights)), np.linalg.norm(best), atol=1e-6)
    kept, nothing = _rank_one(np.zeros((rows, columns)), before)
    assert np.array_equal(kept, before) and not nothing.any()


def sweep_by_svd(signals: np.ndarray, dictionary: np.ndarray, codes: np.ndarray) -> None:
    """K-SVD's update as its paper has it, in place: atom by atom, by a whole singular value decomposition."""
    for atom in range(dictionary.shape[1]):
        users = np.flatnonzero(codes[atom])
        if len(users) == 0:
            continue
        rest = signals[:, users] - dictionary @ codes[:, users] + np.outer(dictionary[:, atom], codes[atom, users])
        left, scale, right = np.linalg.svd(rest, full_matrices=False)
        sign = np.sign(left[:, 0] @ dictionary[:, atom])
        dictionary[:, atom], codes[atom, users] = sign * left[:, 0], sign * scale[0] * right[0]


def test_a_sweep_is_that_of_the_paper_and_leaves_the_true_residual():
    rng = generator("sweep")
    signals, dictionary = rng.standard_normal((7, 40)), unit_columns(rng.standard_normal((7, 12)))
    codes = omp(signals, dictionary, 3)
    expected, weights = dictionary.copy(), dense(codes, 12)
    residual = signals - codes.apply(dictionary)
    before = (residual ** 2).sum()
    _update(signals, dictionary, codes, residual)
    sweep_by_svd(signals, expected, weights)
    np.testing.assert_allclose(dictionary, expected, atol=1e-8)
    np.testing.assert_allclose(dense(codes, 12), weights, atol=1e-8)
    np.testing.assert_allclose(residual, signals - expected @ weights, atol=1e-8)
    assert (residual ** 2).sum() < before


def test_unused_atoms_become_the_worst_signals_in_turn():
    """Three signals along the first axis, two others; the only atom in use explains the first three."""
    signals = np.array([[1.0, 2, 1, 0, 0], [0, 0, 0, 3, 1], [0, 0, 0, 4, 1]])
    dictionary = np.eye(3)[:, [0, 0, 0]]
    codes = Codes(np.zeros((1, 5), np.int64), signals[:1].copy())
    residual = signals - codes.apply(dictionary)
    _update(signals, dictionary, codes, residual)
    np.testing.assert_allclose(dictionary.T, [[1, 0, 0], [0, 0.6, 0.8], [0, 0.5 ** 0.5, 0.5 ** 0.5]], atol=1e-9)


def test_the_errors_of_ksvd_are_those_of_its_dictionary():
    """Sweeps by the paper from the same start, with the codes that it keeps, give the same errors and dictionary."""
    signals = generator("errors").standard_normal((8, 60))
    found, errors = ksvd(signals, 10, 2, 3, generator("fit"))
    start = generator("fit").choice(np.arange(60), size=10, replace=False)
    dictionary, sums = unit_columns(signals[:, start]), []
    codes = dense(omp(signals, dictionary, 2), 10)
    for sweep in range(3):
        if sweep:
            new = dense(omp(signals, dictionary, 2), 10)
            better = ((signals - dictionary @ new) ** 2).sum(0) < ((signals - dictionary @ codes) ** 2).sum(0)
            codes = np.where(better, new, codes)
        sweep_by_svd(signals, dictionary, codes)
        sums.append(((signals - dictionary @ codes) ** 2).sum())
    np.testing.assert_allclose(errors, sums, rtol=1e-6)
    np.testing.assert_allclose(found, dictionary, atol=1e-6)
