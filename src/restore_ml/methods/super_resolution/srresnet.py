"""SRResNet: the generator of SRGAN without its adversary (Ledig et al., CVPR 2017), in the form without convolution
biases that is the full-precision parent of a binary network (Xin et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.methods.super_resolution.sa_subpixel_sr import ResidualBlock
from restore_ml.nn.blocks import MIDDLE, sub_pixel
from restore_ml.nn.muon import Muon
from restore_ml.training import schedules


class SRResNet(nn.Module):
    """N x 3 x h x w in [0, 1] to N x 3 x sh x sw, for each s of `scales` (2, 3, 4 or 8); any size.

    Conv 9 x 9 and PReLU; `blocks` residual blocks; Conv 3 x 3 and BN plus the first features; and for each scale an end
    of its own: sub-pixel layers and Conv 9 x 9. `bias`: whether convolutions have one. `last_std` > 0 is a start for
    short trainings: the last convolutions from N(0, last_std), and 0 for the gain of every normalisation that ends a
    residual (Goyal et al., 2017), so that the trunk adds nothing at first.
    """

    def __init__(self, scales: list[int], blocks: int = 16, width: int = 64, bias: bool = False,
                 last_std: float = 0.0) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)),
                                  nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.ends = nn.ModuleDict({f"x{scale}": nn.Sequential(*sub_pixel(scale, width),
                                                              nn.Conv2d(width, 3, 9, padding=4)) for scale in scales})
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and not bias:
                layer.bias = None
        if last_std > 0:
            for layers in self.residuals():
                nn.init.zeros_(layers[-1].weight)
            for end in self.ends.values():
                nn.init.normal_(end[-1].weight, std=last_std)  # type: ignore[index]

    def residuals(self) -> list[Any]:
        """The layers of each residual block, and those of the body, which are a residual themselves."""
        blocks: list[Any] = list(self.body)[:-2]
        return [*(block.body for block in blocks), self.body]

    def trunk(self, first: Tensor) -> Tensor:
        """The first features with what the body adds to them."""
        return first + self.body(first)

    def forward(self, lr: Tensor, scale: int) -> Tensor:
        """Not clipped."""
        return self.ends[f"x{scale}"](self.trunk(self.head(lr)))


def added_to_bicubic(network: Callable[[Tensor], Tensor], lr: Tensor, scale: int) -> Tensor:
    """The bicubic enlargement of `lr` plus what the network makes of its colours less their middle grey, so that zeros
    beyond the border are no black frame."""
    return imresize(lr, float(scale)) + network(lr - MIDDLE).float()


class SRResNetSR(Method):
    """A residual network in RGB, by its pixel error."""

    task = "super_resolution"
    reading = ("convolutions have no biases, which gives the 1,546,771 parameters of the paper on binary networks "
               "(SRGAN's own says nothing of them); one PReLU slope a layer; the papers train a network a scale, and "
               "with several scales one trunk serves them all, each with an end of its own; the settings residual: "
               "bicubic, last_std, L1 and Muon for short trainings are ours")
    stored_networks = ("net",)
    tile = 128
    overlap = 40
    paper: ClassVar[dict[str, Any]] = {
        "scales": [4], "blocks": 16, "width": 64, "bias": False, "residual": "none", "last_std": 0.0,
        "loss": "mse", "optimiser": "adam", "lr": 1e-4, "muon_lr": 0.02, "schedule": "constant", "warm_up": 0,
        "steps": 1_000_000, "batch": 16, "patch": 96, "ema": 0.0,
    }
    """`residual: bicubic`: the network's picture is added to the bicubic one, so that a short training need not learn
    to pass colours on; `last_std` above 0 makes it begin there. `schedule`: `constant`, or `cosine` to 0, after a
    straight rise over `warm_up` steps. `optimiser: muon` moves the kernels of trunk and sub-pixel layers by Muon at the
    rate `muon_lr`, the rest by Adam at `lr`."""
    zero_allowed = ("warm_up",)
    choices: ClassVar = {"optimiser": ("adam", "muon"), "residual": ("none", "bicubic"), "loss": ("mse", "l1"),
                         "schedule": ("constant", "cosine")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the scales."""
        super().__init__(settings)
        scales = self.settings["scales"]
        if not scales or not set(scales) <= {2, 3, 4, 8}:
            raise self.wrong("scales", "it must be a list of 2, 3, 4 and 8, as a sub-pixel layer enlarges by 2 or 3")

    def unsupported(self, degradation: str) -> str | None:
        """Each scale needs an end of its own."""
        scale = int(degradation[1:].split("_", maxsplit=1)[0])
        return None if scale in self.settings["scales"] else f"not trained for x{scale}"

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": SRResNet(**{key: self.settings[key]
                                   for key in ("scales", "blocks", "width", "bias", "last_std")})}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        player = Player("net", ["net"], self.loss, self._optimiser, schedule=self.schedule())
        return [Phase("train", self.settings["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The pixel error of RGB of 0 ... 1."""
        error = LOSSES[self.settings["loss"]](self.enlarged(context.networks, context.inputs), context.target["hr"])
        return {self.settings["loss"]: error}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        return {"sr": self.enlarged(model.networks, inputs).clip(0, 1)}

    def enlarged(self, networks: dict[str, nn.Module], inputs: Inputs) -> Tensor:
        """What the network makes of `lr`, with the bicubic picture where it is added to that."""
        lr, scale = inputs["lr"], int(inputs["scale"][0])
        if self.settings["residual"] == "none":
            return networks["net"](lr, scale).float()
        return added_to_bicubic(lambda small: networks["net"](small, scale), lr, scale)

    def schedule(self) -> schedules.Schedule:
        """That of the settings."""
        cosine = self.settings["schedule"] == "cosine"
        return schedules.warm_cosine(self.settings["warm_up"]) if cosine else schedules.constant()

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, self.settings["lr"])
        return Muon([parameter for name, parameter in parameters if by_muon(name, parameter)],
                    [parameter for name, parameter in parameters if not by_muon(name, parameter)],
                    self.settings["muon_lr"], self.settings["lr"])


def by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon moves it: the kernels of the body and of the sub-pixel layers, which are neither first nor last."""
    return parameter.ndim == 4 and not name.startswith("net.head.") and parameter.shape[0] > 3


LOSSES = {"mse": functional.mse_loss, "l1": functional.l1_loss}
METHOD = SRResNetSR
