"""VDSR with one-bit weights and activations, by the Bit-Accumulation Mechanism (Xin, Wang, Jiang, Li, Huang, Gao,
"Binarized Neural Network for Single Image Super Resolution", ECCV 2020).

y = x + R(M(E(x))) on the bicubic-enlarged luma: E and R are ordinary convolutions, the layers of M are binary and add
up their weights and their activations (nn/bit_accumulation.py has the equations). What is stored is one bit a weight.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from restore_ml.method import Context
from restore_ml.methods.super_resolution.vdsr_bnn import SIZES, VDSRBNN, BinaryVDSRNet
from restore_ml.nn.binary import Planes
from restore_ml.nn.bit_accumulation import TRAINING, AccumulatingConv, Accumulation, kernels


class BAMNet(BinaryVDSRNet):
    """The network, whose layers hand on the sums of what came before them."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(partial(AccumulatingConv, bias=True), **sizes)

    def chains(self) -> list[list[AccumulatingConv]]:
        """The binary layers whose weights add up: all of them."""
        return [list(self.body)]  # type: ignore[arg-type]

    def kernels(self) -> list[Tensor]:
        """The binary weights of the layers of the body."""
        return list(kernels(self.chains()[0]).values())

    def forward(self, x: Tensor) -> Tensor:
        """Add the detail that the network finds in `x`."""
        features, total = self.first(x), 0.0
        for layer, kernel in zip(self.body, self.kernels(), strict=True):
            out, total = layer(features, total, kernel)
            features = out + features if self.skip else out
        return x + self.last(self.norm(features))


class VDSRBAM(Accumulation, VDSRBNN):
    """VDSR with accumulated bits."""

    reading = ("the batch normalisation of weights has no parameters and is over the whole tensor; gradients of a "
               "sign pass where its input is within 1 of zero, reach earlier layers through activations and not "
               "through weights, and leave out mean|W|; the equation for the coefficients of the weights has the "
               "trivial answer (0, ..., 0, 1), so that of the layer itself is 1 and the earlier ones have one "
               "share, chosen every 100 steps from a grid for the least error but not below the setting least; s_n "
               "begins at 1; binary layers have biases (668,371 parameters, the paper says 668K); a batch "
               "normalisation stands before the last layer; luma instead of RGB; b_n is s_n, one number a layer, "
               "times the mean over the channels of |A_n| at each pixel; zeros are put around a layer's input; the "
               "recipe is not in what could be read: L1, Adam, 1e-4 halved every 200,000 steps; the settings skip, "
               "and last_std and zero_mean for short trainings, are ours")
    paper: ClassVar[dict[str, Any]] = {**VDSRBNN.paper, "grid": [0.0, 0.05, 0.1, 0.2, 0.4], "least": 0.1}
    """`least`: the smallest share of earlier weights. `grid: [0.0]` with `least: 0` leaves the layers' weights to
    themselves (the paper's ablation)."""
    training_only = TRAINING

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": self.with_least_shares(BAMNet(**{key: self.settings[key] for key in SIZES}))}

    def after(self, context: Context) -> None:
        """Choose the shares anew after every 100th step."""
        self.choose(context.networks["net"], context.step)

    def planes(self, net: Any) -> dict[str, Planes]:
        """One plane a layer, with the layer's one size."""
        return {f"net.body.{number}": (kernel, kernel.abs().amax()) for number, kernel in enumerate(net.kernels())}


METHOD = VDSRBAM
