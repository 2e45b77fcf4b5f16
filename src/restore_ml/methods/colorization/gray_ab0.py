"""No colour at all: ab = 0 everywhere (colorization card `gray_ab0`), the floor that any colorization must pass.

The output is the grey picture itself; PSNR rewards it, which is why the comparison shows chroma and accuracy beside it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from restore_ml.method import Inputs, Method, Model


class GrayAb0(Method):
    """Gives `ab` of zeros, N x 2 x H x W, for any lightness."""

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Neutral grey of the given lightness."""
        return {"ab": torch.zeros_like(inputs["L"]).repeat(1, 2, 1, 1)}


METHOD = GrayAb0
