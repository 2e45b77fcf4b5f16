"""The mean of what is known, picture by picture and channel by channel, against sums by hand."""

from __future__ import annotations

import torch

from restore_ml.nn.known_mean import known_mean

X = torch.tensor([[[[0.5, 0.25], [0.75, 9.0]], [[-1.0, 0.0], [0.25, 9.0]]],
                  [[[0.125, 7.0], [7.0, 7.0]], [[0.5, 7.0], [7.0, 7.0]]]])
MASK = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]], [[[0.0, 1.0], [1.0, 1.0]]]])


def test_each_channel_of_each_picture_has_the_mean_of_its_own_known_pixels() -> None:
    assert known_mean(X, MASK).tolist() == [[[[0.5]], [[-0.25]]], [[[0.125]], [[0.5]]]]
    assert torch.equal(known_mean(torch.where(MASK > 0, torch.tensor(-3.0), X), MASK), known_mean(X, MASK))
    assert known_mean(X, torch.zeros_like(MASK))[1, 0].item() == (0.125 + 3 * 7) / 4


def test_nothing_known_has_the_mean_0() -> None:
    mask = torch.stack([torch.ones(1, 2, 2), MASK[1]])
    assert known_mean(X, mask).tolist() == [[[[0.0]], [[0.0]]], [[[0.125]], [[0.5]]]]
