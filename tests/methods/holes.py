"""Smooth pictures with a hole, for the tests of the inpainting methods."""

import numpy as np
import torch
from torch import Tensor


def batch(size: int = 4, side: int = 32, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Smooth pictures with a centre hole."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    truth = np.stack([[0.5 + 0.4 * np.sin(6 * (x + c * y) + phase + c) for c in range(3)]
                      for phase in draws.uniform(0, 6, size)])
    target = torch.from_numpy(truth.astype(np.float32))
    mask = torch.zeros(size, 1, side, side)
    mask[..., side // 4:-side // 4, side // 4:-side // 4] = 1
    return {"image": target * (1 - mask), "mask": mask}, {"image": target}
