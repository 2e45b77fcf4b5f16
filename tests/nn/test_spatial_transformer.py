"""Spatial transformers: the identity at first, and known similarities against what they do to known maps."""

import math

import numpy as np
import torch
from torch import nn

from restore_ml.nn.spatial_transformer import SpatialTransformer, similarity_matrix

MAPS = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))


class Says(nn.Module):
    """A localisation that gives the same two numbers for every picture."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(maps), 2)


def moved(rotation: float = 0.0, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> torch.Tensor:
    transformer = SpatialTransformer(Says(), 2)
    with torch.no_grad():
        transformer.similarity.bias.copy_(torch.tensor([rotation, scale - 1, x, y]))
        return transformer(MAPS)


def test_it_begins_as_the_identity():
    torch.manual_seed(0)
    transformer = SpatialTransformer(nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), 5)
    assert not transformer.similarity.weight.any() and not transformer.similarity.bias.any()
    np.testing.assert_allclose(transformer(MAPS).detach(), MAPS, atol=1e-5)


def test_a_quarter_turn_a_shift_and_a_scale():
    """A turn reads at (-y, x): what was on the right comes to the bottom's place. A shift of a quarter of the side
    reads two of eight pixels further right, or down, and zeros beyond the border."""
    np.testing.assert_allclose(moved(rotation=math.pi / 2), torch.rot90(MAPS, 1, (2, 3)), atol=1e-5)
    right, down = moved(x=0.5), moved(y=0.5)
    np.testing.assert_allclose(right[..., :6], MAPS[..., 2:], atol=1e-5)
    np.testing.assert_allclose(down[..., :6, :], MAPS[..., 2:, :], atol=1e-5)
    assert not right[..., 6:].any() and not down[..., 6:, :].any()
    middle = moved(scale=1 / 8)[..., 3:5, 3:5]  # all places read within half a pixel of the middle
    np.testing.assert_allclose(middle.mean((2, 3)), MAPS[..., 3:5, 3:5].mean((2, 3)), atol=1e-5)


def test_the_matrix_by_hand_and_where_gradients_go():
    numbers = torch.tensor([[0.3, 0.5, 0.1, -0.2]], requires_grad=True)
    matrix = similarity_matrix(numbers)
    cos, sin = 1.5 * math.cos(0.3), 1.5 * math.sin(0.3)
    np.testing.assert_allclose(matrix.detach()[0], [[cos, -sin, 0.1], [sin, cos, -0.2]], atol=1e-6)
    transformer = SpatialTransformer(Says(), 2)
    transformer(MAPS).square().sum().backward()
    assert transformer.similarity.bias.grad is not None and transformer.similarity.bias.grad.abs().min() > 0
