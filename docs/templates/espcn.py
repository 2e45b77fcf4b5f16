"""ESPCN: three convolutions in low-resolution space, then a sub-pixel shuffle (Shi et al., CVPR 2016).

The template for a network: one network, one phase, one player.
"""

from typing import Any, ClassVar

import torch
from torch import nn

from restore_ml.method import Context, Method, Phase, Player


class Espcn(Method):
    """ESPCN on RGB. reading: the paper trains one network a scale on luminance; here all three channels at once."""

    task = "super_resolution"
    paper: ClassVar[dict[str, Any]] = {"steps": 500_000, "batch": 16, "patch": 51, "ema": 0.0, "scales": [3],
                                       "width": 64, "lr": 1e-2}
    reading = "RGB instead of luminance"
    stored_networks = ("net",)

    def unsupported(self, degradation):
        """One network a scale."""
        scale = self.settings["scales"][0]
        return None if degradation.startswith(f"x{scale}") else f"trained for x{scale} only"

    def build(self):
        """31,131 parameters at width 64 and x3."""
        width, scale = self.settings["width"], self.settings["scales"][0]
        return {"net": nn.Sequential(
            nn.Conv2d(3, width, 5, padding=2), nn.Tanh(),
            nn.Conv2d(width, width // 2, 3, padding=1), nn.Tanh(),
            nn.Conv2d(width // 2, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))}

    def loss(self, context: Context):
        """Mean squared error."""
        sr = context.networks["net"](context.inputs["lr"])
        return {"mse": (sr - context.target["hr"]).pow(2).mean()}

    def phases(self):
        """Adam throughout."""

        def optimiser(parameters):
            return torch.optim.Adam(parameters, self.settings["lr"])

        return [Phase("train", self.settings["steps"], [Player("net", ["net"], self.loss, optimiser)])]

    def restore(self, model, inputs, seed):
        """N x 3 x h x w -> N x 3 x sh x sw."""
        return {"sr": model.networks["net"](inputs["lr"])}


METHOD = Espcn
