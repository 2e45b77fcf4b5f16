"""VDSR with the one-bit weights and activations of BNN (Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, "Binarized
Neural Networks", NeurIPS 2016), as Xin et al. (ECCV 2020) compare it.

y = x + R(M(E(x))) on the bicubic-enlarged luma: E and R are ordinary convolutions. A layer of M is

    W^B = sign(W),   A^B = sign(BN(A)),   A' = W^B * A^B,

whole numbers from -9 width to 9 width that the next batch normalisation scales; there are no sizes. Gradients pass a
sign where its input is within 1 of zero, and latent weights are cut to -1 ... 1 after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.method import Context, Phase, Player
from restore_ml.methods.super_resolution.vdsr import VDSR, VDSRNet
from restore_ml.nn.binary import (
    BinaryConv,
    Planes,
    QuantisedLayer,
    bits_of,
    multiply_adds,
    sign,
    signs,
    with_signs,
    without_signs,
)
from restore_ml.nn.initialisation import he
from restore_ml.training import schedules

COMMON = ("the first and the last convolution are not quantised and have biases, the others have none; no ReLU stands "
          "behind the first, a batch normalisation before the last; zeros are put around a layer's input; luma "
          "instead of RGB; the recipe of the comparison is not in what could be read: L1, Adam, 1e-4 halved every "
          "200,000 steps; the short trainings of quick and cpu begin near the bicubic picture, with spread thresholds "
          "and a first layer that does not see an even brightness")
"""Our reading of binary networks on VDSR."""


SIZES = ("layers", "width", "skip", "last_std", "zero_mean", "spread")
"""The settings that a network is built by."""


class BNNLayer(QuantisedLayer):
    """A layer of M: signs of the normalised activations with signs of the weights."""

    def quantised(self, x: Tensor) -> Tensor:
        """sign(x)."""
        return sign(x)

    def kernel(self) -> Tensor:
        """sign(W)."""
        return sign(self.weight)

    def signs_and_sizes(self) -> Planes:
        """One plane of size 1."""
        return signs(self.weight.detach()), torch.ones((), device=self.weight.device)


class BinaryVDSRNet(nn.Module):
    """`layers` convolutions in all, of `width` channels, all but the first and the last made by `layer(width)`;
    N x 1 x H x W of any size to the same shape. A batch normalisation stands before the last.

    Beyond the papers: `skip` adds the input of each binary layer to its output, in full precision; `last_std` > 0,
    `zero_mean` (kernels of the first layer that do not see an even brightness) and `spread` (thresholds of the signs
    from -spread to spread deviations, so that a channel's bits tell weak from strong detail) are starts for short
    trainings.
    """

    def __init__(self, layer: Callable[[int], BinaryConv], layers: int = 20, width: int = 64, skip: bool = False,
                 last_std: float = 0.0, zero_mean: bool = False, spread: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        he(self.first)
        if zero_mean:
            with torch.no_grad():
                self.first.weight -= self.first.weight.mean((1, 2, 3), keepdim=True)
        self.body = nn.ModuleList(layer(width) for _ in range(layers - 2))
        for norm in (module for module in self.body.modules() if isinstance(module, nn.BatchNorm2d)):
            with torch.no_grad():
                norm.bias.add_(torch.linspace(-spread, spread, width))
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        he(self.last)
        if last_std > 0:
            nn.init.normal_(self.last.weight, std=last_std)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Add the detail that the network finds in `x`."""
        features = self.first(x)
        for layer in self.body:
            features = layer(features) + features if self.skip else layer(features)
        return x + self.last(self.norm(features))


class VDSRBNN(VDSR):
    """VDSR's task and restoring around a network of bits, its recipe, and a model of bits. Other binary networks on
    VDSR say what differs: `layer`, `after` and `planes`."""

    reading = COMMON + "; 667,201 parameters, the comparison's paper says 668K"
    paper: ClassVar[dict[str, Any]] = {
        "layers": 20, "width": 64, "skip": False, "last_std": 0.0, "zero_mean": False, "spread": 0.0,
        "scales": [2, 3, 4], "loss": "l1", "lr": 1e-4, "schedule": "halved", "steps": 1_000_000, "batch": 16,
        "patch": 96, "ema": 0.0, "augment_scales": [1.0],
    }
    """`schedule`: `halved` after each fifth of the steps, or `linear`, `cosine` to 0."""
    choices: ClassVar = {"loss": ("sse", "mse", "l1"), "schedule": ("halved", "linear", "cosine")}
    training_only: ClassVar[tuple[str, ...]] = ()
    """What of a binary layer serves training alone, beside its latent weights."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check that there is a binary layer."""
        super().__init__(settings)
        if self.settings["layers"] < 3:
            raise self.wrong("layers", "it must be at least 3, as the first and the last are not binary")

    def layer(self, width: int) -> BinaryConv:
        """A binary layer of `width` channels."""
        return BNNLayer(width)

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": BinaryVDSRNet(self.layer, **{key: self.settings[key] for key in SIZES})}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        player = Player("net", ["net"], self.loss, self._optimiser, schedule=SCHEDULES[self.settings["schedule"]],
                        after=self.after)
        return [Phase("train", self.settings["steps"], [player])]

    def after(self, context: Context) -> None:
        """Cut the latent weights of the binary layers to -1 ... 1."""
        net: Any = context.networks["net"]
        for layer in net.body:
            layer.weight.clamp_(-1, 1)

    def _optimiser(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"])

    def planes(self, net: Any) -> dict[str, Planes]:
        """The binary layers' kernels as they are stored, by the layers' names."""
        return {f"net.body.{number}": layer.signs_and_sizes() for number, layer in enumerate(net.body)}

    def store(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Eight signs a byte and their size for each binary layer in place of its latent weights."""
        return with_signs(super().store(networks), self.planes(networks["net"]), self.training_only)

    def load(self, networks: Mapping[str, nn.Module], state: Mapping[str, Tensor]) -> None:
        """The binary kernels from their signs; the latent weights of the fresh network stay unused."""
        net: Any = networks["net"]
        layers = {name: net.get_submodule(name.removeprefix("net.")) for name in self.planes(net)}
        super().load(networks, without_signs(state, layers, self.training_only))

    def footprint(self) -> dict[str, int]:
        """Bits of the stored model, and multiply-adds for a picture of 1280 x 720 of numbers and of bits; both also
        of VDSR itself, of as many layers and channels."""
        with torch.random.fork_rng():
            networks, parent = self.networks(), VDSRNet(self.settings["layers"], self.settings["width"])
        part = torch.zeros(1, 1, 9, 16)
        numbers, bits = multiply_adds(networks["net"], part)
        return {"stored_bits": bits_of(self.store(networks)), "stored_bits_as_float": bits_of(parent.state_dict()),
                "multiply_adds": 80 * 80 * numbers, "binary_multiply_adds": 80 * 80 * bits,
                "multiply_adds_as_float": 80 * 80 * multiply_adds(parent, part)[0]}


SCHEDULES = {"halved": schedules.steps(5, 0.5), "linear": schedules.linear_to_zero(), "cosine": schedules.cosine()}
METHOD = VDSRBNN
