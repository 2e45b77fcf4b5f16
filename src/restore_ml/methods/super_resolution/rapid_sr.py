"""RapidSR: our compact network for a good enlargement after seconds of training on a processor.

A design of this project, no published method; every part has a source. Convolutions run on the small picture and a
sub-pixel shuffle enlarges (Shi et al., CVPR 2016); the network adds detail to the bicubic picture (Kim et al., CVPR
2016); a block's 3 x 3 kernel, 1 x 1 kernel and identity (Ding et al., RepVGG, CVPR 2021) are summed into one kernel
before the convolution, in training too (Hu et al., OREPA, CVPR 2022), so that the branches cost nothing; Muon moves the
kernels (Jordan et al., 2024); a self-ensemble of flips and quarter turns is a setting (Lim et al., EDSR, CVPRW 2017).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.colour import rgb_to_ycbcr, ycbcr_to_rgb
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.blocks import MIDDLE
from restore_ml.nn.initialisation import he, normal
from restore_ml.nn.muon import Muon
from restore_ml.training import schedules


class SummedConv(nn.Module):
    """A 3 x 3 convolution whose kernel is the sum of a 3 x 3 kernel, a 1 x 1 kernel and the identity."""

    def __init__(self, width: int) -> None:
        """He's start for the block as a whole would be loud beside the identity: the 3 x 3 kernel has 0.3 of it."""
        super().__init__()
        self.square = nn.Parameter(torch.randn(width, width, 3, 3) * 0.3 * math.sqrt(2 / (9 * width)))
        self.point = nn.Parameter(torch.randn(width, width, 1, 1) * 0.5 / math.sqrt(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def kernel(self) -> Tensor:
        """The one kernel that the branches sum to."""
        identity = torch.eye(len(self.bias), device=self.bias.device)[:, :, None, None]
        return self.square + functional.pad(self.point + identity, (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """N x width x H x W to the same shape."""
        return functional.conv2d(x, self.kernel().contiguous(memory_format=torch.channels_last), self.bias, padding=1)


class RapidSRNet(nn.Module):
    """Y of the small picture (N x 1 x h x w, 0 ... 1) to the detail of the large one (N x 1 x sh x sw).

    A convolution to `width` channels, `blocks` of `SummedConv` and ReLU, a sum with the first features, and for each
    scale s a convolution to s * s channels that are shuffled.
    """

    def __init__(self, blocks: int, width: int, scales: list[int]) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, width, 3, padding=1)
        self.body = nn.ModuleList(SummedConv(width) for _ in range(blocks))
        self.tails = nn.ModuleDict({f"x{scale}": nn.Conv2d(width, scale**2, 3, padding=1) for scale in scales})
        he(self.head)
        normal(self.tails, 0.003)  # so that training starts near the bicubic picture

    def forward(self, y: Tensor, scale: int) -> Tensor:
        """The detail at `scale`."""
        first = features = functional.relu(self.head(y - MIDDLE))
        for block in self.body:
            features = functional.relu(block(features))
        return functional.pixel_shuffle(self.tails[f"x{scale}"](features + first), scale)


class RapidSR(Method):
    """One network for all its `scales`, on Y; Cb and Cr are enlarged bicubically."""

    task = "super_resolution"
    reading = "a design of this project: there is no published recipe to follow"
    stored_networks = ("net",)
    tile = 256
    overlap = 16
    zero_allowed = ("warm_up",)
    paper: ClassVar[dict[str, Any]] = {
        "blocks": 12, "width": 64, "scales": [2, 3, 4], "lr": 0.02, "adam_lr": 0.002, "warm_up": 30, "steps": 200_000,
        "batch": 32, "patch": 96, "ema": 0.999, "ensemble": 1, "augment_scales": [1.0],
    }
    """`lr` moves the blocks' kernels by Muon and `adam_lr` the rest by Adam; both rise over `warm_up` steps and fall to
    0 along a cosine. `ensemble`: 8 averages the results of all flips and quarter turns when restoring; 1 for none."""
    choices: ClassVar = {"ensemble": (1, 8)}

    def unsupported(self, degradation: str) -> str | None:
        """Each scale needs a tail of its own."""
        scale = int(degradation[1:].split("_", maxsplit=1)[0])
        return None if scale in self.settings["scales"] else f"not trained for x{scale}"

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": RapidSRNet(self.settings["blocks"], self.settings["width"], self.settings["scales"])}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser,
                   schedule=schedules.warm_cosine(self.settings["warm_up"]))])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The mean absolute error of the restored Y (of 0 ... 1)."""
        y, scale = rgb_to_ycbcr(context.inputs["lr"])[:, :1] / 255, int(context.inputs["scale"][0])
        truth = rgb_to_ycbcr(context.target["hr"])[:, :1] / 255
        restored = imresize(y, float(scale)) + context.networks["net"](y, scale).float()
        return {"l1": functional.l1_loss(restored, truth)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`."""
        ycbcr, scale = rgb_to_ycbcr(inputs["lr"]), int(inputs["scale"][0])
        enlarged = imresize(ycbcr, float(scale))
        y = enlarged[:, :1] + 255 * self._detail(model.networks["net"], ycbcr[:, :1] / 255, scale)
        return {"sr": ycbcr_to_rgb(torch.cat([y, enlarged[:, 1:]], 1)).clip(0, 1)}

    def _detail(self, net: nn.Module, y: Tensor, scale: int) -> Tensor:
        """The network's answer, or its mean over the eight symmetries of the square."""
        if self.settings["ensemble"] == 1:
            return cast(Tensor, net(y, scale)).float()
        detail = torch.zeros((), device=y.device)
        for turns in range(4):
            turned = y.rot90(turns, (2, 3))
            detail = detail + net(turned, scale).float().rot90(-turns, (2, 3))
            detail = detail + net(turned.flip(3), scale).float().flip(3).rot90(-turns, (2, 3))
        return detail / 8

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Muon for the blocks' kernels, Adam for the first and last convolutions and all biases."""
        return Muon([parameter for name, parameter in parameters if by_muon(name)],
                    [parameter for name, parameter in parameters if not by_muon(name)],
                    self.settings["lr"], self.settings["adam_lr"])


def by_muon(name: str) -> bool:
    """Whether the parameter of that name is a kernel of a block (its shape does not tell: at width 16 the tail of x4
    has as many inputs as outputs too)."""
    return name.startswith("net.body.") and name.endswith((".square", ".point"))


METHOD = RapidSR
