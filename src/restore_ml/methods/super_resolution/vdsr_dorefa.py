"""VDSR with the k-bit weights, activations and gradients of DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou, arXiv 1606.06160,
2016), one bit for weights and activations, as Xin et al. (ECCV 2020) compare it.

With quantize_k(r) = round((2^k - 1) r) / (2^k - 1) for r in [0, 1], a layer between the two ordinary convolutions is

    activations  A^q = quantize_k(clip(BN(A), 0, 1))
    weights      W^q = sign(W) mean|W| of one bit,  2 quantize_k(tanh(W) / (2 max|tanh(W)|) + 1/2) - 1 of k > 1

and 32 bits leave weights as they are and activations to a ReLU: VDSR itself, with batch normalisations. Gradients pass
the roundings as if they were not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context
from restore_ml.methods.super_resolution.vdsr import LOSSES, luma
from restore_ml.methods.super_resolution.vdsr_bnn import COMMON, SIZES, VDSRBNN, BinaryVDSRNet
from restore_ml.nn.binary import Planes, QuantisedLayer, signs, straight_through

FLOAT = 32
"""Bits that are not quantised."""
Draws = Callable[[Tensor], Tensor]
"""Uniform numbers in [0, 1) of the shape of a tensor."""


def quantize(r: Tensor, bits: int) -> Tensor:
    """The nearest of the 2^bits levels from 0 to 1 (halves to the even one); backward the identity.

    >>> quantize(torch.tensor([0.4, 0.6]), 1), quantize(torch.tensor(0.4), 2)
    (tensor([0., 1.]), tensor(0.3333))
    """
    steps = 2**bits - 1
    return straight_through((r * steps).round() / steps, r)


def quantize_weights(weight: Tensor, bits: int) -> Tensor:
    """W^q of a layer; of one bit the gradient of W^q is W's, of more it goes through the tanh and its largest value."""
    if bits == FLOAT:
        return weight
    if bits == 1:
        return straight_through(signs(weight) * weight.abs().mean(), weight)
    bounded = weight.tanh()
    return 2 * quantize(bounded / (2 * bounded.abs().max()) + 0.5, bits) - 1


def quantize_activations(x: Tensor, bits: int) -> Tensor:
    """A^q; the gradient passes where 0 <= x <= 1."""
    return x.relu() if bits == FLOAT else quantize(x.clamp(0, 1), bits)


def quantize_gradient(gradient: Tensor, bits: int, draws: Tensor) -> Tensor:
    """f(g) = 2 m (quantize_k(g / (2 m) + 1/2 + noise) - 1/2) with m the largest |g| of each sample, and noise of half a
    level at most to either side: from `draws`, uniform in [0, 1)."""
    largest = gradient.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(gradient.dtype).tiny)
    noise = (draws - 0.5) / (2**bits - 1)
    return 2 * largest * (quantize((gradient / (2 * largest) + 0.5 + noise).clamp(0, 1), bits) - 0.5)


class DoReFaLayer(QuantisedLayer):
    """A layer of k-bit weights and activations; where `draws` is set, the gradient of its output is quantised too."""

    def __init__(self, width: int, weight_bits: int, activation_bits: int, grad_bits: int) -> None:
        super().__init__(width)
        self.weight_bits, self.activation_bits, self.grad_bits = weight_bits, activation_bits, grad_bits
        self.planes = () if weight_bits == 1 else (weight_bits,)
        self.pairs = 0 if FLOAT in (weight_bits, activation_bits) else weight_bits * activation_bits

    def quantised(self, x: Tensor) -> Tensor:
        """A^q."""
        return quantize_activations(x, self.activation_bits)

    def kernel(self) -> Tensor:
        """W^q."""
        return quantize_weights(self.weight, self.weight_bits)

    def signs_and_sizes(self) -> Planes:
        """k planes: a level c of 0 ... 2^k - 1 with the bits c_i is 2 c / (2^k - 1) - 1, the sum of
        (2 c_i - 1) 2^i / (2^k - 1)."""
        kernel, steps = self.kernel().detach(), 2**self.weight_bits - 1
        if self.weight_bits == 1:
            return signs(kernel), kernel.abs().amax()
        powers = 2 ** torch.arange(self.weight_bits, device=kernel.device)
        levels = ((kernel + 1) / 2 * steps).round().long()
        return (levels & powers[:, None, None, None, None]).bool() * 2.0 - 1, powers / steps

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """The convolution."""
        out = super().forward(x)
        if draws is not None and out.requires_grad:
            out.register_hook(lambda gradient: quantize_gradient(gradient, self.grad_bits, draws(gradient)))
        return out


class DoReFaNet(BinaryVDSRNet):
    """The network; where activations are not quantised the last convolution sees them through a ReLU, as in VDSR."""

    def __init__(self, layer: Callable[[int], DoReFaLayer], plain: bool, **sizes: Any) -> None:
        super().__init__(layer, **sizes)
        self.plain = plain

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """Add the detail that the network finds in `x`; `draws` are for the noise of quantised gradients."""
        features = self.first(x)
        for layer in self.body:
            out = layer(features, draws)
            features = out + features if self.skip else out
        normal = self.norm(features)
        return x + self.last(normal.relu() if self.plain else normal)


class VDSRDoReFa(VDSRBNN):
    """VDSR with weights, activations and gradients of so many bits."""

    reading = ("weights and activations have one bit and gradients 32, as in the comparison; where gradients have "
               "fewer, it is that of a convolution's output, its largest value taken by sample; halves round to the "
               "even level; "
               + COMMON + "; 667,201 parameters")
    paper: ClassVar[dict[str, Any]] = {**VDSRBNN.paper, "weight_bits": 1, "activation_bits": 1, "grad_bits": 32}
    """`weight_bits`, `activation_bits`, `grad_bits`: 1 to 8, or 32 for what is not quantised."""
    choices: ClassVar = {**VDSRBNN.choices, **dict.fromkeys(("weight_bits", "activation_bits", "grad_bits"),
                                                            (1, 2, 3, 4, 5, 6, 7, 8, FLOAT))}

    def layer(self, width: int) -> DoReFaLayer:
        """A quantised layer of `width` channels."""
        return DoReFaLayer(width, *(self.settings[key] for key in ("weight_bits", "activation_bits", "grad_bits")))

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        sizes = {key: self.settings[key] for key in SIZES}
        return {"net": DoReFaNet(self.layer, self.settings["activation_bits"] == FLOAT, **sizes)}

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The error of the restored Y (of 0 ... 1)."""
        y = imresize(luma(context.inputs["lr"]), float(context.inputs["scale"][0]))
        draws = context.uniform if self.settings["grad_bits"] < FLOAT else None
        restored = context.networks["net"](y, draws)
        return {self.settings["loss"]: LOSSES[self.settings["loss"]](restored, luma(context.target["hr"]))}

    def after(self, context: Context) -> None:
        """Latent weights are not cut."""

    def planes(self, net: Any) -> dict[str, Planes]:
        """Those of all layers, or of none where weights are not quantised."""
        return {} if self.settings["weight_bits"] == FLOAT else super().planes(net)


METHOD = VDSRDoReFa
