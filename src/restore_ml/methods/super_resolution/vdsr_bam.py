"""VDSR with one-bit weights and activations, by the Bit-Accumulation Mechanism (Xin, Wang, Jiang, Li, Huang, Gao,
"Binarized Neural Network for Single Image Super Resolution", ECCV 2020).

y = x + R(M(E(x))) on the bicubic-enlarged luma: E and R are ordinary convolutions, the layers of M are binary. A binary
layer n sees all that came before it in its sums, so that single bits add up to finer steps:

    weights      W_n^B = sign(BN(a_1 W_1 + ... + a_n W_n)) * mean|W_n|
    activations  A_n^B = sign(BN(b_1 A_1 + ... + b_n A_n)),   b_n = s_n * mean over channels of |A_n|

Gradients pass a sign where its input is within 1 of zero. What is stored is one bit a weight.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.method import Context
from restore_ml.methods.super_resolution.vdsr_bnn import SIZES, VDSRBNN, BinaryVDSRNet
from restore_ml.nn.binary import BinaryConv, Planes, sign

log = logging.getLogger(__name__)

EVERY = 100
"""Steps between two choices of the shares a_n."""


def binary_weights(weight: Tensor, before: Tensor, share: Tensor | float) -> Tensor:
    """W_n^B of a layer's latent weights, the sum of those of the layers before it, and their share a_n (that of W_n is
    1). The batch normalisation of the sum is over the whole tensor, without parameters; nothing flows back to earlier
    layers, nor through mean|W_n|."""
    total = weight + share * before.detach()
    normal = (total - total.mean()) / total.std(correction=0).clamp(min=1e-12)
    return sign(normal) * weight.detach().abs().mean()


class BinaryLayer(BinaryConv):
    """A 3 x 3 convolution of `width` channels of bits with bits. Its latent weights and the factor s_n are trained."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.bias = nn.Parameter(torch.zeros(width))
        self.factor = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(width)
        self.register_buffer("share", torch.zeros(()))

    def forward(self, x: Tensor, total: Tensor | float, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """N x width x H x W activations A_n and the sum of those before it: the layer's output, and the new sum, which
        is float32 under any precision (in bf16 a sum of many layers would no longer feel the later ones)."""
        exact = x.float()
        total = total + self.factor * exact.abs().mean(1, keepdim=True) * exact
        bits = sign(self.norm(total)).to(x.dtype)
        return functional.conv2d(bits, kernel.to(x.dtype), self.bias.to(x.dtype), padding=1), total


class BAMNet(BinaryVDSRNet):
    """The network, whose layers hand on the sums of what came before them."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(BinaryLayer, **sizes)

    def kernels(self) -> list[Tensor]:
        """The binary weights of the layers of the body."""
        layers: list[Any] = list(self.body)
        before, kernels = torch.zeros_like(layers[0].weight), []
        for layer in layers:
            if layer.deployed is None:
                kernels.append(binary_weights(layer.weight, before, layer.share))
                before = before + layer.weight
            else:
                kernels.append(layer.deployed)
        return kernels

    def forward(self, x: Tensor) -> Tensor:
        """Add the detail that the network finds in `x`."""
        features, total = self.first(x), 0.0
        for layer, kernel in zip(self.body, self.kernels(), strict=True):
            out, total = layer(features, total, kernel)
            features = out + features if self.skip else out
        return x + self.last(self.norm(features))


def choose_shares(net: BAMNet, grid: Sequence[float], least: float) -> list[float]:
    """Set each layer's share a_n (but the first's, which has nothing before it) to the value of `grid`, of `least` or
    more, whose binary weights are nearest to the latent ones in squared error; returns those errors."""
    layers: list[Any] = list(net.body)
    before, errors = torch.zeros_like(layers[0].weight), []
    for number, layer in enumerate(layers):
        tried = [share for share in grid if share >= least] if number else [0.0]
        costs = [(layer.weight - binary_weights(layer.weight, before, share)).square().sum().item() for share in tried]
        layer.share.fill_(tried[int(np.argmin(costs))])
        errors.append(min(costs))
        before = before + layer.weight
    return errors


class VDSRBAM(VDSRBNN):
    """VDSR with accumulated bits."""

    reading = ("the batch normalisation of weights has no parameters and is over the whole tensor; gradients of a "
               "sign pass where its input is within 1 of zero, reach earlier layers through activations and not "
               "through weights, and leave out mean|W|; the equation for the coefficients of the weights has the "
               "trivial answer (0, ..., 0, 1), so that of the layer itself is 1 and the earlier ones have one share, "
               "chosen every 100 steps from a grid for the least error but not below `least`; s_n begins at 1; binary "
               "layers have biases (668,371 parameters, the paper says 668K); a batch normalisation stands before the "
               "last layer; luma instead of RGB; b_n is s_n, one number a layer, times the mean over the channels of "
               "|A_n| at each pixel; zeros are put around a layer's input; the recipe is not in what could be read: "
               "L1, Adam, 1e-4 halved every 200,000 steps; `skip`, and `last_std` and `zero_mean` for short "
               "trainings, are ours")
    paper: ClassVar[dict[str, Any]] = {**VDSRBNN.paper, "grid": [0.0, 0.05, 0.1, 0.2, 0.4], "least": 0.1}
    """`least`: the smallest share of earlier weights. `grid: [0.0]` with `least: 0` leaves the layers' weights to
    themselves (the paper's ablation)."""
    training_only = ("share",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the grid of shares."""
        super().__init__(settings)
        grid, least = self.settings["grid"], self.settings["least"]
        if not grid or not all(isinstance(share, int | float) and 0 <= share <= 1 for share in grid):
            raise self.wrong("grid", "it must be a list of shares from 0 to 1")
        if max(grid) < least:
            raise self.wrong("least", f"the grid has no share as large ({grid})")

    def build(self) -> dict[str, nn.Module]:
        """`net`, with the least shares that are allowed until they are chosen for the first time."""
        net = BAMNet(**{key: self.settings[key] for key in SIZES})
        least = min(share for share in self.settings["grid"] if share >= self.settings["least"])
        later: list[Any] = list(net.body)[1:]
        for layer in later:
            layer.share.fill_(least)
        return {"net": net}

    def after(self, context: Context) -> None:
        """Choose the shares anew after every 100th step."""
        if (context.step + 1) % EVERY == 0:
            net: Any = context.networks["net"]
            errors = choose_shares(net, self.settings["grid"], self.settings["least"])
            log.info("step %d: ||W - W^B|| of the layers: %s", context.step + 1,
                     ", ".join(f"{error ** 0.5:.4g}" for error in errors))

    def planes(self, net: Any) -> dict[str, Planes]:
        """One plane a layer, with the layer's one size."""
        return {f"net.body.{number}": (kernel, kernel.abs().amax()) for number, kernel in enumerate(net.kernels())}


METHOD = VDSRBAM
