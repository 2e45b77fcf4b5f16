"""The penalty that holds a discriminator's gradient near length 1 between true and made pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gradient_penalty(judge: nn.Module, shown: Tensor, mixed: Tensor) -> Tensor:
    """Mean over pictures of (|gradient of the judge's mean score by the picture| - 1)^2, the norm over all its values.

    `judge` scores (condition, picture); only the picture, `mixed`, is differentiated. WGAN-GP (Gulrajani et al., 2017)
    on whatever the judge's score is; in float32 also under autocast, because the gradient is differentiated again.
    """
    with torch.enable_grad(), torch.autocast(mixed.device.type, enabled=False):
        mixed = mixed.detach().float().requires_grad_(True)
        score = judge(torch.cat([shown.float(), mixed], 1)).float().mean((1, 2, 3))
        gradient, = torch.autograd.grad(score.sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
