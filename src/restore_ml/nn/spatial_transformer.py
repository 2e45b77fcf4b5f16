"""Spatial transformers (Jaderberg et al., NIPS 2015): they turn, scale and shift feature maps as a network says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpatialTransformer(nn.Module):
    """N x C x H x W to the same, read bilinearly through a similarity; what lies outside is 0.

    `locate`: a network from the maps to N x `features`. A linear layer behind it gives rotation (radians), scale - 1
    and the shift in x and y (half-sides). It begins with zeros, so that at first the maps pass unchanged.

    reading: the released code of the face networks (an old package of Torch) starts the scale's bias, and one whose
    meaning depends on the package, at 1; ours starts as the identity, which its comment asks for.
    """

    def __init__(self, locate: nn.Module, features: int) -> None:
        super().__init__()
        self.locate = locate
        self.similarity = nn.Linear(features, 4)
        nn.init.zeros_(self.similarity.weight)
        nn.init.zeros_(self.similarity.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """The maps, moved."""
        theta = similarity_matrix(self.similarity(self.locate(maps)).float())
        grid = F.affine_grid(theta, list(maps.shape), align_corners=False)
        return F.grid_sample(maps.float(), grid, padding_mode="zeros", align_corners=False).to(maps.dtype)


def similarity_matrix(numbers: Tensor) -> Tensor:
    """N x (rotation, scale - 1, x, y) to N x 2 x 3 matrices that map places of the output to places of the input, both
    from -1 to 1: a rotation of t reads at s (cos t x - sin t y) + shift x, s (sin t x + cos t y) + shift y."""
    angle, scale, x, y = numbers[:, 0], 1 + numbers[:, 1], numbers[:, 2], numbers[:, 3]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return torch.stack([torch.stack([cos, -sin, x], 1), torch.stack([sin, cos, y], 1)], 1)
