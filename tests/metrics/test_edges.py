"""Edges inside the hole against scikit-image's."""

import math

import numpy as np
import pytest
from skimage import color, feature
from skimage.data import astronaut

from restore_ml.metrics.edges import edge_precision_recall, edges_of


def test_edges_are_cannys_of_the_grey_picture() -> None:
    picture = astronaut()[:96, 150:246]
    for sigma in (2.0, 1.0):
        assert np.array_equal(edges_of(picture, sigma), feature.canny(color.rgb2gray(picture), sigma=sigma))


def test_shares_are_counted_in_the_hole() -> None:
    truth = astronaut()[:96, 150:246]
    mask = np.zeros((96, 96, 1), np.uint8)
    mask[20:70, 30:80] = 1
    restored = np.where(mask > 0, np.roll(truth, 3, axis=0), truth)
    found, wanted = ({*zip(*np.nonzero(feature.canny(color.rgb2gray(each), sigma=2.0) & (mask[..., 0] > 0)),
                           strict=True)} for each in (restored, truth))
    precision, recall = edge_precision_recall(restored, truth, mask)
    assert 0 < len(found & wanted) < min(len(found), len(wanted))
    assert precision == pytest.approx(len(found & wanted) / len(found))
    assert recall == pytest.approx(len(found & wanted) / len(wanted)) and precision != recall
    assert edge_precision_recall(truth, truth, mask) == (1, 1)
    fine = edge_precision_recall(restored, truth, mask[..., 0], sigma=1.0)
    assert fine != (precision, recall)


def test_without_edges_there_is_no_share() -> None:
    truth, mask = astronaut()[:96, 150:246], np.zeros((96, 96, 1), np.uint8)
    mask[20:70, 30:80] = 1
    flat = np.full_like(truth, 90)
    precision, recall = edge_precision_recall(flat, truth, mask)
    assert math.isnan(precision) and recall == 0
    precision, recall = edge_precision_recall(truth, flat, mask)
    assert precision == 0 and math.isnan(recall)
    with pytest.raises(ValueError, match="shape"):
        edge_precision_recall(truth[:50], truth, mask)
