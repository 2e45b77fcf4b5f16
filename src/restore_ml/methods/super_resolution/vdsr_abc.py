"""VDSR with the sums of bits of ABC-Net (Lin, Zhao, Pan, "Towards Accurate Binary Convolutional Neural Network",
NeurIPS 2017), as Xin et al. (ECCV 2020) compare it.

Between the two ordinary convolutions, weights are approached by M planes of signs and activations by N:

    W ~ a_1 B_1 + ... + a_M B_M,   B_m = sign(W - mean(W) + u_m std(W)),   u_m from -1 to 1 (0 for one plane)
    A ~ b_1 H_1 + ... + b_N H_N,   H_n = 1 where clip(BN(A) + v_n, 0, 1) >= 0.5, else -1

The sizes a are those of the least squared error to W, solved anew at each pass and constants backward; b and v are
trained. A convolution is thus M N convolutions of bits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.methods.super_resolution.vdsr_bnn import COMMON, VDSRBNN
from restore_ml.nn.binary import Planes, QuantisedLayer, kernel_of, signs, straight_through


def planes_of(weight: Tensor, count: int) -> Planes:
    """The signs B_m (count x the shape of `weight`) and their sizes a_m (count), of a whole layer, without gradients.
    Where planes are alike, the sizes are the smallest that solve."""
    weight = weight.detach()
    shifts = torch.linspace(-1, 1, count, device=weight.device) if count > 1 else torch.zeros(1, device=weight.device)
    centred, std = weight - weight.mean(), weight.std(correction=0)
    planes = signs(centred + shifts[:, None, None, None, None] * std)
    flat = planes.flatten(1).double()
    sizes = torch.linalg.pinv(flat @ flat.T, rtol=1e-9, hermitian=True) @ (flat @ weight.flatten().double())
    return planes, sizes.to(weight.dtype)


def binary_activation(x: Tensor, shift: Tensor) -> Tensor:
    """H_v(x) of +-1; the gradients of x and of v pass where 0 <= x + v <= 1."""
    clipped = (x + shift).clamp(0, 1)
    return straight_through(torch.where(clipped >= 0.5, 1.0, -1.0).to(x.dtype), clipped)


class ABCLayer(QuantisedLayer):
    """A layer of M planes of weights and N of activations."""

    def __init__(self, width: int, weight_planes: int, activation_planes: int) -> None:
        super().__init__(width)
        self.planes, self.pairs = (weight_planes,), weight_planes * activation_planes
        shifts = torch.linspace(0, 1, activation_planes) if activation_planes > 1 else torch.full((1,), 0.5)
        self.shifts = nn.Parameter(shifts)
        self.scales = nn.Parameter(torch.full((activation_planes,), 1 / activation_planes))

    def quantised(self, x: Tensor) -> Tensor:
        """b_1 H_1 + ... + b_N H_N."""
        planes = [scale * binary_activation(x, shift) for scale, shift in zip(self.scales, self.shifts, strict=True)]
        return torch.stack(planes).sum(0)

    def kernel(self) -> Tensor:
        """a_1 B_1 + ... + a_M B_M; the gradient of each B_m is W's, so that W gets (a_1 + ... + a_M) of the sum's."""
        planes, sizes = self.signs_and_sizes()
        return straight_through(kernel_of((planes, sizes)), sizes.sum() * self.weight)

    def signs_and_sizes(self) -> Planes:
        """M planes."""
        return planes_of(self.weight, self.planes[0])


class VDSRABC(VDSRBNN):
    """VDSR with sums of bits."""

    reading = ("one plane of weights and of activations, as the comparison's paper does not say how many (vdsr_abc3 "
               "has three of each); sizes are solved for whole layers; the gradient of W is a_1 + ... + a_M times that "
               "of the sum; b begins at 1/N, v at 0.5 or evenly from 0 to 1; " + COMMON
               + "; 667,237 parameters, of three planes 667,309")
    paper: ClassVar[dict[str, Any]] = {**VDSRBNN.paper, "weight_planes": 1, "activation_planes": 1}

    def layer(self, width: int) -> ABCLayer:
        """A layer of `width` channels."""
        return ABCLayer(width, self.settings["weight_planes"], self.settings["activation_planes"])

    def after(self, context: Any) -> None:
        """Latent weights are not cut."""


METHOD = VDSRABC
