"""Overlaps, what counts as found, and average precision: all by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.metrics.boxes import Detections, assigned, average_precision, f1, mean_average_precision, overlaps

TRUE = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]], np.float32)


def test_overlaps_by_hand():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [5, 5, 15, 15], [10, 0, 20, 10], [2, 2, 4, 4], [0, 0, 0, 0]])
    found = overlaps(boxes, boxes[:1])[:, 0]
    assert found == pytest.approx([1, 50 / 150, 25 / 175, 0, 4 / 100, 0])
    assert overlaps(boxes[:0], boxes).shape == (0, 6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_overlaps_count_pixels(seed):
    """Of whole numbers: as many pixels in both as in either."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (2, 2))
    boxes = np.hstack([corners, corners + rng.integers(1, 8, (2, 2))])
    grids = [np.zeros((20, 20), bool), np.zeros((20, 20), bool)]
    for grid, (left, top, right, bottom) in zip(grids, boxes, strict=True):
        grid[top:bottom, left:right] = True
    expected = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
    assert overlaps(boxes[:1], boxes[1:])[0, 0] == pytest.approx(expected)


def test_each_true_box_is_found_once_and_the_best_score_comes_first():
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [21, 0, 30, 10], [40, 40, 50, 50]], np.float32)
    assert assigned(boxes, np.array([0.9, 0.8, 0.3, 0.95]), TRUE).tolist() == [0, -1, 1, -1]
    assert assigned(boxes, np.array([0.7, 0.8, 0.3, 0.95]), TRUE).tolist() == [-1, 0, 1, -1]
    assert assigned(boxes, np.array([0.8, 0.8, 0.3, 0.95]), TRUE).tolist() == [0, -1, 1, -1]  # the first of equals
    assert assigned(boxes, np.ones(4), TRUE[:0]).tolist() == [-1] * 4
    assert assigned(boxes[:0], np.zeros(0), TRUE).tolist() == []


def test_a_second_choice_does_not_count():
    """As VOC counts: the box overlaps the first truth most, which is taken, though it would do for the second too."""
    truth = np.array([[0, 0, 10, 10], [3, 0, 13, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10]], np.float32)
    assert overlaps(boxes[1:], truth)[0].min() > 0.5
    assert assigned(boxes, np.array([0.9, 0.8]), truth).tolist() == [0, -1]


def test_half_the_union_is_enough():
    truth = np.array([[0, 0, 10, 10]], np.float32)
    assert assigned(np.array([[0, 0, 10, 5]]), np.ones(1), truth).tolist() == [0]
    assert assigned(np.array([[0, 0, 10, 4.9]]), np.ones(1), truth).tolist() == [-1]


def test_average_precision_by_hand():
    """Right, wrong, right, wrong, right of four true ones: precisions 1, 2/3, 3/5 at recalls 1/4, 2/4, 3/4."""
    right = np.array([True, False, True, False, True])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert average_precision(scores, right, 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    order = np.array([3, 0, 4, 2, 1])
    assert average_precision(scores[order], right[order], 4) == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    late = np.array([False, True, True])  # precisions 0, 1/2, 2/3: the envelope is 2/3 at both recalls
    assert average_precision(scores[:3], late, 2) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0 and math.isnan(average_precision(scores, right, 0))


def test_mean_average_precision_is_over_classes_and_all_pictures():
    """Class 0: right .9, wrong .8, right .4 of three true ones, 1/3 + 2/9; class 1: one of one. The mean of both."""
    one = Detections(np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 0, 30, 10]], np.float32), np.array([0, 0, 1.0]),
                     np.array([0.9, 0.8, 0.2]), TRUE[:2], np.array([0, 1.0]))
    two = Detections(np.array([[0, 20, 10, 30]], np.float32), np.zeros(1), np.array([0.4]), TRUE[[0, 2]], np.zeros(2))
    assert one.assigned().tolist() == [0, -1, 1]
    assert mean_average_precision([one, two]) == pytest.approx((1 / 3 + 2 / 9 + 1) / 2)
    other = Detections(one.boxes, np.array([1, 0, 0.0]), one.scores, one.true_boxes, one.true_labels)
    assert (other.assigned() == -1).all()  # the right places under the wrong classes
    nothing = Detections(one.boxes[:0], np.zeros(0), np.zeros(0), TRUE[:0], np.zeros(0))
    assert math.isnan(mean_average_precision([nothing]))


def test_f1_by_hand():
    assert f1(3, 4, 6) == 0.6 and f1(0, 3, 0) == 0 and f1(0, 0, 2) == 0 and f1(0, 0, 0) == 1
