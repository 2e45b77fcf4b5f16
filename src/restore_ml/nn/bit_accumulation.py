"""The Bit-Accumulation Mechanism (Xin, Wang, Jiang, Li, Huang, Gao, "Binarized Neural Network for Single Image Super
Resolution", ECCV 2020): a binary layer n sees all that came before it in its sums, so that single bits add up to finer
steps.

    weights      W_n^B = sign(BN(a_1 W_1 + ... + a_n W_n)) * mean|W_n|
    activations  A_n^B = sign(BN(b_1 A_1 + ... + b_n A_n)),   b_n = s_n * mean over channels of |A_n|

Gradients pass a sign where its input is within 1 of zero. A chain is a list of layers whose latent weights add up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.method import Method
from restore_ml.nn.binary import BinaryConv, sign

log = logging.getLogger(__name__)

EVERY = 100
"""Steps between two choices of the shares a_n."""
TRAINING = ("share",)
"""What of a layer serves training alone, beside its latent weights."""


def binary_weights(weight: Tensor, before: Tensor, share: Tensor | float) -> Tensor:
    """W_n^B of a layer's latent weights, the sum of those of the layers before it, and their share a_n (that of W_n is
    1). The batch normalisation of the sum is over the whole tensor, without parameters; nothing flows back to earlier
    layers, nor through mean|W_n|."""
    total = weight + share * before.detach()
    normal = (total - total.mean()) / total.std(correction=0).clamp(min=1e-12)
    return sign(normal) * weight.detach().abs().mean()


class AccumulatingConv(BinaryConv):
    """A convolution (side x side) of `width` channels of bits with bits. Its latent weights, its bias where it has one,
    the factor s_n and the normalisation before the sign are trained."""

    bias: Tensor | None

    def __init__(self, width: int, side: int = 3, bias: bool = False) -> None:
        super().__init__(width, width, side)
        self.register_parameter("bias", nn.Parameter(torch.zeros(width)) if bias else None)
        self.factor = nn.Parameter(torch.ones(()))
        self.norm = nn.BatchNorm2d(width)
        self.share: Tensor
        self.register_buffer("share", torch.zeros(()))

    def forward(self, x: Tensor, total: Tensor | float, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """N x width x H x W activations A_n and the sum of those before it: the layer's output, and the new sum, which
        is float32 under any precision (in bf16 a sum of many layers would no longer feel the later ones)."""
        exact = x.float()
        total = total + self.factor * exact.abs().mean(1, keepdim=True) * exact
        bits = sign(self.norm(total)).to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.conv2d(bits, kernel.to(x.dtype), bias, padding=kernel.shape[2] // 2), total


def kernels(chain: Sequence[AccumulatingConv]) -> dict[nn.Module, Tensor]:
    """The binary weights of a chain's layers, in their order."""
    found: dict[nn.Module, Tensor] = {}
    before = torch.zeros_like(chain[0].weight)
    for layer in chain:
        found[layer] = (binary_weights(layer.weight, before, layer.share) if layer.deployed is None
                        else layer.deployed)
        before = before + layer.weight
    return found


def choose_shares(chain: Sequence[AccumulatingConv], grid: Sequence[float], least: float) -> list[float]:
    """Set each layer's share a_n (but the first's, which has nothing before it) to the value of `grid`, of `least` or
    more, whose binary weights are nearest to the latent ones in squared error; returns those errors."""
    before, errors = torch.zeros_like(chain[0].weight), []
    for number, layer in enumerate(chain):
        tried = [share for share in grid if share >= least] if number else [0.0]
        costs = [(layer.weight - binary_weights(layer.weight, before, share)).square().sum().item() for share in tried]
        layer.share.fill_(tried[int(np.argmin(costs))])
        errors.append(min(costs))
        before = before + layer.weight
    return errors


class Accumulation(Method):
    """The settings `grid` and `least` of a method whose `net` has chains of layers (`net.chains()`): where the shares
    a_n begin, and how they are chosen anew every 100th step."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the grid of shares."""
        super().__init__(settings)
        grid, least = self.settings["grid"], self.settings["least"]
        if not grid or not all(isinstance(share, int | float) and 0 <= share <= 1 for share in grid):
            raise self.wrong("grid", "it must be a list of shares from 0 to 1")
        if max(grid) < least:
            raise self.wrong("least", f"the grid has no share as large ({grid})")

    def with_least_shares(self, net: Any) -> nn.Module:
        """The network, with the least shares that are allowed until they are chosen for the first time."""
        least = min(share for share in self.settings["grid"] if share >= self.settings["least"])
        for chain in net.chains():
            for layer in chain[1:]:
                layer.share.fill_(least)
        return net

    def choose(self, net: Any, step: int) -> None:
        """After the step of that number (from 0), if it is a 100th: the shares of least error."""
        if (step + 1) % EVERY == 0:
            errors = [error for chain in net.chains()
                      for error in choose_shares(chain, self.settings["grid"], self.settings["least"])]
            log.info("step %d: ||W - W^B|| of the layers: %s", step + 1,
                     ", ".join(f"{error ** 0.5:.4g}" for error in errors))
