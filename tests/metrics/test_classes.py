"""Figures of classifiers, by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from restore_ml.metrics.classes import brier, confusion, macro_f1, recalls, worst_confusion

LABELS, ANSWERS = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 0, 1, 2, 1, 1, 2, 0, 0, 2]


def test_brier_s_score_by_hand():
    assert brier(np.array([0.7, 0.2, 0.1]), 0) == pytest.approx(0.3 ** 2 + 0.2 ** 2 + 0.1 ** 2)
    assert brier(np.array([0.7, 0.2, 0.1]), 2) == pytest.approx(0.7 ** 2 + 0.2 ** 2 + 0.9 ** 2)
    assert brier(np.array([0.0, 1.0]), 1) == 0 and brier(np.array([0.0, 1.0]), 0) == 2


def test_the_confusion_matrix_by_hand():
    matrix = confusion(LABELS, ANSWERS)
    assert matrix.tolist() == [[2, 1, 1], [0, 2, 0], [2, 0, 2]]
    assert recalls(matrix).tolist() == [0.5, 1.0, 0.5]
    assert macro_f1(matrix) == pytest.approx((4 / 8 + 4 / 5 + 4 / 7) / 3)
    assert worst_confusion(matrix) == 0.5 and worst_confusion(np.diag([3, 4])) == 0


def test_classes_that_there_are_not():
    """Class 1 is neither in the truth nor among the answers, class 2 only among the answers."""
    matrix = confusion([0, 0, 3], [0, 2, 3])
    assert recalls(matrix).tolist() == [0.5, 1.0]
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert np.isnan(macro_f1(confusion([], [])))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_against_scikit_learn(pairs):
    labels, answers = zip(*pairs, strict=True)
    matrix = confusion(labels, answers)
    assert macro_f1(matrix) == pytest.approx(metrics.f1_score(labels, answers, average="macro"))
    own = sorted(set(labels))
    assert recalls(matrix) == pytest.approx(metrics.recall_score(labels, answers, labels=own, average=None))
