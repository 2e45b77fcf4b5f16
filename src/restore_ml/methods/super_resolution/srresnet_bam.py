"""SRResNet with one-bit weights and activations in its trunk, by the Bit-Accumulation Mechanism (Xin, Wang, Jiang, Li,
Huang, Gao, "Binarized Neural Network for Single Image Super Resolution", ECCV 2020).

The 3 x 3 convolutions of the residual blocks and the one behind them are binary; the first convolution, the skips, the
sub-pixel layers and the last convolution keep full precision. The quantisers are those of vdsr_bam: weights and
activations add up over all binary convolutions, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.method import Context, Phase
from restore_ml.methods.super_resolution.srresnet import SRResNet, SRResNetSR
from restore_ml.nn.binary import BinaryConv, bits_of, multiply_adds, with_signs, without_signs
from restore_ml.nn.bit_accumulation import TRAINING, AccumulatingConv, Accumulation, kernels
from restore_ml.training import schedules


class SRResNetBAM(SRResNet):
    """`SRResNet` with an `AccumulatingConv` for each convolution of its trunk; see there."""

    def __init__(self, scales: list[int], blocks: int = 16, width: int = 64, bias: bool = False,
                 last_std: float = 0.0) -> None:
        super().__init__(scales, blocks, width, bias, last_std)
        for layers in self.residuals():
            for number, layer in enumerate(layers):
                if isinstance(layer, nn.Conv2d):
                    layers[number] = AccumulatingConv(width)

    def chains(self) -> list[list[AccumulatingConv]]:
        """The binary layers whose weights add up: all of them."""
        return [[layer for layer in self.body.modules() if isinstance(layer, AccumulatingConv)]]

    def trunk(self, first: Tensor) -> Tensor:
        """The first features with what the body adds to them."""
        made, total = kernels(self.chains()[0]), 0.0

        def through(layers: Any, x: Tensor) -> Tensor:
            nonlocal total
            for layer in layers:
                if isinstance(layer, AccumulatingConv):
                    x, total = layer(x, total, made[layer])
                else:
                    x = layer(x)
            return x

        x, [*blocks, body] = first, self.residuals()
        for layers in blocks:
            x = x + through(layers, x)
        return first + through(body[-2:], x)


class SRResNetBAMSR(Accumulation, SRResNetSR):
    """SRResNet's task around a network of bits, another recipe, and a model of bits."""

    reading = ("the quantisers as in vdsr_bam, each with a batch normalisation of its own before the sign; the "
               "convolution behind the residual blocks is binary as well; binary convolutions have no biases, as those "
               "of the parent; a network for each scale in the paper, and with several scales one trunk serves them "
               "all, each with an end of its own; the recipe is not in what could be read: L1, Adam, 1e-4 halved every "
               "200,000 steps; the settings residual: bicubic, last_std and Muon for short trainings are ours")
    paper: ClassVar[dict[str, Any]] = {
        **SRResNetSR.paper, "loss": "l1", "schedule": "halved", "grid": [0.0, 0.05, 0.1, 0.2, 0.4], "least": 0.1,
    }
    """`grid`, `least`: see vdsr_bam. `schedule`: `halved` after each fifth of the steps, or `cosine`."""
    choices: ClassVar = {**SRResNetSR.choices, "schedule": ("halved", "cosine")}

    def network(self) -> nn.Module:
        """The network, with shares of 0."""
        return SRResNetBAM(**{key: self.settings[key] for key in ("scales", "blocks", "width", "bias", "last_std")})

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": self.with_least_shares(self.network())}

    def phases(self) -> list[Phase]:
        """One phase, one player; after every 100th step the shares are chosen anew."""
        [phase] = super().phases()
        phase.players[0].after = self._after
        return [phase]

    def schedule(self) -> schedules.Schedule:
        """That of the settings."""
        return schedules.steps(5, 0.5) if self.settings["schedule"] == "halved" else super().schedule()

    def _after(self, context: Context) -> None:
        self.choose(context.networks["net"], context.step)

    def store(self, networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """Eight signs a byte and one size for each binary layer in place of its latent weights and share."""
        net: Any = networks["net"]
        made = {layer: kernel for chain in net.chains() for layer, kernel in kernels(chain).items()}
        planes = {f"net.{name}": (made[layer], made[layer].abs().amax()) for name, layer in binary_layers(net).items()}
        return with_signs(super().store(networks), planes, TRAINING)

    def load(self, networks: Mapping[str, nn.Module], state: Mapping[str, Tensor]) -> None:
        """The binary weights from their signs; the latent ones of the fresh network stay unused."""
        layers = {f"net.{name}": layer for name, layer in binary_layers(networks["net"]).items()}
        super().load(networks, without_signs(state, layers, TRAINING))

    def footprint(self) -> dict[str, int]:
        """Bits of the stored model, and multiply-adds of numbers and of bits for a result of 1280 x 720 by the first of
        `scales`; both also of the same network of float32."""
        scale = int(self.settings["scales"][0])
        with torch.random.fork_rng():
            networks = self.networks()
        given: Any = (torch.zeros(1, 3, 9, 16), scale)
        numbers, bits = (count * 80 * 80 // scale**2 for count in multiply_adds(networks["net"], *given))
        as_float = {name: value for name, value in networks["net"].state_dict().items() if not name.endswith(".share")}
        return {"stored_bits": bits_of(self.store(networks)), "stored_bits_as_float": bits_of(as_float),
                "multiply_adds": numbers, "binary_multiply_adds": bits, "multiply_adds_as_float": numbers + bits}


def binary_layers(network: nn.Module) -> dict[str, BinaryConv]:
    """By name."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, BinaryConv)}


METHOD = SRResNetBAMSR
