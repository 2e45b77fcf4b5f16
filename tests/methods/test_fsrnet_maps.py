"""What FSRNet's prior network is taught: heatmaps of landmarks, and maps of parts."""

import numpy as np
import pytest
import torch

from restore_ml.methods.face_super_resolution.fsrnet import heatmaps, shares


def test_a_heatmap_s_peak_is_the_landmark():
    maps = heatmaps(torch.tensor([[[5.0, 2.0], [0.0, 7.0]]]), (8, 6), 1.5)
    assert maps.shape == (1, 2, 8, 6) and maps.max().item() == 1
    assert maps[0, 0, 2, 5].item() == maps[0, 1, 7, 0].item() == 1
    assert maps[0, 0, 4, 4].item() == pytest.approx(np.exp(-5 / 4.5))


def test_maps_of_parts_are_shares_of_a_pixel():
    labels = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    labels[0, 0, :2, :2] = torch.tensor([[3, 3], [8, 0]])
    maps = shares(labels, (2, 2))
    assert maps.shape == (1, 9, 2, 2) and torch.equal(maps.sum(1), torch.ones(1, 2, 2))
    assert [maps[0, part, 0, 0].item() for part in (3, 8, 0)] == [0.5, 0.25, 0.25] and maps[0, 0, 1, 1].item() == 1
