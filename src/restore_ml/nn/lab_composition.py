"""Lab joined to RGB for losses: unlike for pictures, colours outside sRGB are not cut, so that they have a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from restore_ml.degradations.colour import _linear_rgb


def composed(lightness: Tensor, ab: Tensor) -> Tensor:
    """L (N x 1 x H x W in [0, 100]) and ab (N x 2 x H x W) -> sRGB, N x 3 x H x W float32, in [0, 1] where the colour
    exists: `degradations.colour.lab_to_rgb` without its clip. Encoding goes on as a line below 0."""
    linear = torch.stack(_linear_rgb(lightness[:, 0].float(), ab[:, 0].float(), ab[:, 1].float()), 1)
    bright = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, 12.92 * linear)
