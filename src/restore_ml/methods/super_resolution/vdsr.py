"""VDSR: a very deep residual network on the bicubic-enlarged luma (Kim, Lee, Lee, CVPR 2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.colour import rgb_to_ycbcr, ycbcr_to_rgb
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.initialisation import he
from restore_ml.nn.pieces import in_pieces
from restore_ml.training import schedules

PIECE = 256
"""Side of the pieces in which a large picture is restored: 64 channels of it stay near the cache. bf16 takes 1.6 s a
megapixel at 128, 2.3 at 256, 4.0 at 512 (20 layers of 64, one core with AMX), before the margins."""


class VDSRNet(nn.Module):
    """x + residual(x): `layers` 3 x 3 convolutions of `width` channels, ReLU between them, no normalisation.

    N x C x H x W of any size to the same shape. He initialisation; `last_std` > 0 draws the last layer from
    N(0, last_std) instead, so that a short training starts near the bicubic picture.
    """

    def __init__(self, layers: int = 20, width: int = 64, channels: int = 1, bias: bool = True,
                 last_std: float = 0.0) -> None:
        super().__init__()
        body: list[nn.Module] = []
        for number in range(layers - 1):
            body += [nn.Conv2d(width if number else channels, width, 3, padding=1, bias=bias), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*body)
        self.last = nn.Conv2d(width, channels, 3, padding=1, bias=bias)
        he(self)
        if last_std > 0:
            nn.init.normal_(self.last.weight, std=last_std)

    def forward(self, x: Tensor) -> Tensor:
        """Add the detail that the network finds in `x`."""
        return x + self.last(self.body(x))


class VDSR(Method):
    """One model for all scales, on Y; Cb and Cr are enlarged bicubically."""

    task = "super_resolution"
    reading = ("biases in every layer (665,921 parameters; the paper gives no count); crops are drawn at random and "
               "rounded to a multiple of the scale instead of a 41 x 41 grid; low-resolution pictures are 8-bit RGB; "
               "the squared error is summed over a patch; the paper gives no theta for its gradient clipping: 1e-4, "
               "with which the recipe learns (with 0.01 it diverges in its first steps); the factors of the scale "
               "augmentation are 1, 0.9, 0.8, 0.7 and 0.6")
    stored_networks = ("net",)
    tile = 512
    overlap = 32
    paper: ClassVar[dict[str, Any]] = {
        "layers": 20, "width": 64, "bias": True, "last_std": 0.0, "scales": [2, 3, 4],
        "loss": "sse", "optimiser": "sgd", "lr": 0.1, "schedule": "step", "momentum": 0.9, "weight_decay": 1e-4,
        "clip": 1e-4, "clip_by": "value", "steps": 9960, "batch": 64, "patch": 41, "ema": 0.0,
        "augment_scales": [1.0, 0.9, 0.8, 0.7, 0.6],
    }
    """The paper's 80 epochs are 9,960 steps; its rate falls by 10 after each quarter (`schedule: step`; `linear` and
    `cosine` go to 0). `loss`: `sse` is half the squared error summed over a patch, mean over the batch (the loss for
    which a rate of 0.1 is meant), `mse` and `l1` are means over pixels. `clip` (theta): `clip_by: value` cuts each
    gradient to +- clip / rate, so that a step moves a weight by no more than theta before momentum; `norm` scales them
    all to a norm of `clip` at most (re-implementations: 0.4, without biases); 0 for none. `optimiser`: `sgd` or `adam`.
    `augment_scales`: factors by which pictures are made smaller before crops are cut, one drawn a sample; [1.0] for
    none."""
    choices: ClassVar = {"loss": ("sse", "mse", "l1"), "schedule": ("step", "linear", "cosine"),
                         "optimiser": ("sgd", "adam"), "clip_by": ("value", "norm")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the factors of the scale augmentation."""
        super().__init__(settings)
        factors = self.settings["augment_scales"]
        if not factors or not all(isinstance(factor, int | float) and 0.25 <= factor <= 1 for factor in factors):
            raise self.wrong("augment_scales", "it must be a list of factors from 0.25 to 1")

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": VDSRNet(**{key: self.settings[key] for key in ("layers", "width", "bias", "last_std")})}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        clip, by = self.settings["clip"], self.settings["clip_by"]
        player = Player("net", ["net"], self.loss, self._optimiser, schedule=SCHEDULES[self.settings["schedule"]],
                        clip_value=(lambda rate: clip / rate) if clip > 0 and by == "value" else None,
                        clip_norm=clip if clip > 0 and by == "norm" else None)
        return [Phase("train", self.settings["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The error of the restored Y (of 0 ... 1)."""
        y = imresize(luma(context.inputs["lr"]), float(context.inputs["scale"][0]))
        restored = context.networks["net"](y)
        return {self.settings["loss"]: LOSSES[self.settings["loss"]](restored, luma(context.target["hr"]))}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`; works for any scale, also those it was not trained on."""
        ycbcr = imresize(rgb_to_ycbcr(inputs["lr"]), float(inputs["scale"][0]))
        y = in_pieces(model.networks["net"], ycbcr[:, :1] / 255, PIECE, self.settings["layers"]).float() * 255
        return {"sr": ycbcr_to_rgb(torch.cat([y, ycbcr[:, 1:]], 1)).clip(0, 1)}

    def _optimiser(self, parameters: Any) -> torch.optim.Optimizer:
        rate, decay = self.settings["lr"], self.settings["weight_decay"]
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, rate, weight_decay=decay)
        return torch.optim.SGD(parameters, rate, momentum=self.settings["momentum"], weight_decay=decay)


def luma(rgb: Tensor) -> Tensor:
    """Y of BT.601 studio swing over 255 (N x 1 x H x W, in [0.063, 0.922])."""
    return rgb_to_ycbcr(rgb)[:, :1] / 255


def _sse(restored: Tensor, truth: Tensor) -> Tensor:
    return 0.5 * (restored.float() - truth).square().sum() / len(truth)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sse": _sse, "mse": functional.mse_loss, "l1": functional.l1_loss}
SCHEDULES = {"step": schedules.steps(4), "linear": schedules.linear_to_zero(), "cosine": schedules.cosine()}
METHOD = VDSR
