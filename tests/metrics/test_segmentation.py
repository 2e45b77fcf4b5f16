"""Overlap of regions, classes and instances: by hand, on the card's example, and against slow counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics import segmentation as figures

EMPTY = np.zeros((6, 6), np.int32)


@pytest.fixture
def card() -> tuple[np.ndarray, np.ndarray]:
    """Two true nuclei in one found one, a third cut short, and a piece of nothing."""
    truth, found = np.zeros((16, 16), np.int32), np.zeros((16, 16), np.int32)
    truth[2:8, 2:8], truth[2:8, 8:14], truth[10:14, 4:9] = 1, 2, 3
    found[2:8, 3:14], found[10:14, 4:8], found[0:2, 0:2] = 1, 2, 3
    return truth, found


def test_the_card_s_example(card):
    truth, found = card
    assert figures.dice(truth > 0, found > 0) == pytest.approx(0.921348, abs=1e-6)
    assert figures.iou(truth > 0, found > 0) == pytest.approx(0.854167, abs=1e-6)
    assert figures.aggregated_jaccard(truth, found) == pytest.approx(0.506173, abs=1e-6)
    assert figures.bowl_precision(truth, found) == pytest.approx(0.15, abs=1e-12)


def test_merged_nuclei_cost_aji_and_hardly_dice():
    truth = np.zeros((12, 24), np.int32)
    truth[2:10, 2:12], truth[2:10, 12:22] = 1, 2
    merged = (truth > 0).astype(np.int32)
    assert figures.dice(truth > 0, merged > 0) == 1.0
    assert figures.aggregated_jaccard(truth, merged) == pytest.approx(160 / 320)  # twice the whole as union
    assert figures.bowl_precision(truth, merged) == 0.0  # an overlap of exactly a half is no match


def test_four_pixels_by_hand():
    truth, found = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    assert figures.accuracy(truth, found) == 0.75
    assert figures.mean_iou(truth, found, 2) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures.mean_iou(truth, found, 5) == pytest.approx((1 / 2 + 2 / 3) / 2)  # classes that nobody has seen
    assert figures.mean_iou(truth * 0, found, 2) == pytest.approx((1 / 4 + 0) / 2)
    assert figures.dice(truth > 0, found > 0) == pytest.approx(2 * 2 / 5)
    assert figures.iou(truth > 0, found > 0) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("truth", "found", "value"), [(EMPTY, EMPTY, 1.0), (EMPTY + 1, EMPTY, 0.0),
                                                       (EMPTY, EMPTY + 1, 0.0)])
def test_where_there_is_nothing(truth, found, value):
    assert figures.aggregated_jaccard(truth, found) == figures.bowl_precision(truth, found) == value
    assert figures.dice(truth > 0, found > 0) == figures.iou(truth > 0, found > 0) == value
    half = truth.copy(), found.copy()
    for instances in half:
        instances[:, 3:] = 0  # an outline needs something around it
    assert figures.boundary_f1(*half) == value


def test_thresholds_are_those_of_the_bowl_and_must_be_exceeded():
    assert figures.THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    truth, found = np.zeros((1, 20), np.int32), np.zeros((1, 20), np.int32)
    truth[0, :10], found[0, :6] = 1, 1  # 0.6: above 0.5 and 0.55
    assert figures.bowl_precision(truth, found) == pytest.approx(0.2)
    found[0, 15:] = 2  # a piece of nothing: one hit of two
    assert figures.bowl_precision(truth, found) == pytest.approx(0.1)


@pytest.mark.parametrize(("off", "recall", "precision"), [(0, 1, 1), (1, 1, 1), (2, 64 / 76, 1), (3, 0, 0)])
def test_outlines_within_two_pixels_count(off, recall, precision):
    """Squares in each other; two pixels off, three pixels at each corner of the outer one are too far."""
    truth, found = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    truth[10:30, 10:30], found[10 + off:30 - off, 10 + off:30 - off] = 1, 1
    expected = 2 * recall * precision / (recall + precision) if recall else 0.0
    assert figures.boundary_f1(truth, found) == figures.boundary_f1(found, truth) == pytest.approx(expected)


def test_half_an_outline():
    """Of the found one 14 of 56 pixels are far from the true one, of that 42 of 76 are near."""
    truth, found = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    truth[10:30, 10:30], found[10:30, 10:20] = 1, 1
    recall, precision = 42 / 76, 42 / 56
    assert figures.boundary_f1(truth, found) == pytest.approx(2 * precision * recall / (precision + recall))


def test_maps_of_two_sizes_are_refused():
    for figure in (figures.dice, figures.iou, figures.accuracy, figures.aggregated_jaccard, figures.bowl_precision,
                   figures.boundary_f1):
        with pytest.raises(ValueError, match="must be equal"):
            figure(EMPTY > 0, np.zeros((5, 6), bool))


def slow_jaccard(truth: np.ndarray, found: np.ndarray) -> float:
    """AJI pair by pair."""
    shared, union, used = 0, 0, set()
    for number in set(truth.ravel()) - {0}:
        one = truth == number
        ratios = {other: (one & (found == other)).sum() / (one | (found == other)).sum()
                  for other in sorted(set(found.ravel()) - {0})}
        best = max(ratios, key=lambda other: (ratios[other], -other), default=None)
        if best is None or not ratios[best]:
            union += one.sum()
            continue
        used.add(best)
        shared, union = shared + (one & (found == best)).sum(), union + (one | (found == best)).sum()
    union += sum((found == other).sum() for other in set(found.ravel()) - {0} - used)
    return shared / union if union else 1.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_figures_do_not_depend_on_how_instances_are_numbered(seed):
    rng = np.random.default_rng(seed)
    truth, found = (np.kron(rng.integers(0, 4, (3, 3)), np.ones((3, 3), np.int64)) for _ in range(2))
    found[rng.random(found.shape) < 0.2] = 0
    values = figures.aggregated_jaccard(truth, found), figures.bowl_precision(truth, found)
    assert values[0] == pytest.approx(slow_jaccard(truth, found))
    other = np.array([0, 70, 9, 33])
    assert (figures.aggregated_jaccard(other[truth], found * 5), figures.bowl_precision(other[truth], found * 5)) == (
        pytest.approx(values))
    assert min(values) >= 0 and max(values) <= 1 and figures.aggregated_jaccard(truth, truth) == 1.0
