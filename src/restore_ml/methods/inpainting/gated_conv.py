"""Free-form inpainting with gated convolution ("DeepFill v2"): a coarse network, a second one with contextual attention
that refines it, and a judge of patches.

Source: Yu, Lin, Yang, Shen, Lu, Huang, ICCV 2019, and the layers of their code; method card `gated_conv`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.contextual_attention import ContextualAttention
from restore_ml.nn.gated_conv import GatedConv2d, enlarging
from restore_ml.training.schedules import constant, cosine


def dilated(width: int, dilations: list[int]) -> list[nn.Module]:
    """Gated convolutions that see ever further, at one size."""
    return [GatedConv2d(width, width, dilation=dilation) for dilation in dilations]


def drawing(before: int, width: int) -> list[nn.Module]:
    """The end of either network, from a quarter of the size: `before` channels -> 3 in [-1, 1]."""
    wide = 4 * width
    return [GatedConv2d(before, wide), GatedConv2d(wide, wide), enlarging(wide, 2 * width),
            GatedConv2d(2 * width, 2 * width), enlarging(2 * width, width), GatedConv2d(width, width // 2),
            nn.Conv2d(width // 2, 3, 3, padding=1), nn.Tanh()]


def coarse(width: int, dilations: list[int]) -> nn.Sequential:
    """N x 5 x H x W (picture, ones, mask) -> N x 3 x H x W; H, W multiples of 4. 1,631,151 parameters for (24, [2, 4,
    8, 16])."""
    wide = 4 * width
    return nn.Sequential(
        GatedConv2d(5, width, 5), GatedConv2d(width, 2 * width, stride=2), GatedConv2d(2 * width, 2 * width),
        GatedConv2d(2 * width, wide, stride=2), GatedConv2d(wide, wide), GatedConv2d(wide, wide),
        *dilated(wide, dilations), *drawing(wide, width))


class Refinement(nn.Module):
    """(filled picture N x 3 x H x W, mask) -> N x 3 x H x W; H, W multiples of 8. A branch of dilated convolutions and
    one with attention, joined. 2,421,327 parameters for (24, [2, 4, 8, 16])."""

    def __init__(self, width: int, dilations: list[int]) -> None:
        super().__init__()
        wide = 4 * width
        self.dilated = nn.Sequential(
            GatedConv2d(3, width, 5), GatedConv2d(width, width, stride=2), GatedConv2d(width, 2 * width),
            GatedConv2d(2 * width, 2 * width, stride=2), GatedConv2d(2 * width, wide), GatedConv2d(wide, wide),
            *dilated(wide, dilations))
        self.compared = nn.Sequential(
            GatedConv2d(3, width, 5), GatedConv2d(width, width, stride=2), GatedConv2d(width, 2 * width),
            GatedConv2d(2 * width, wide, stride=2), GatedConv2d(wide, wide),
            GatedConv2d(wide, wide, activation=nn.ReLU()))
        self.attention = ContextualAttention()
        self.attended = nn.Sequential(GatedConv2d(wide, wide), GatedConv2d(wide, wide))
        self.drawing = nn.Sequential(*drawing(2 * wide, width))

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """The refined picture."""
        attended = self.attended(self.attention(self.compared(filled), mask))
        return self.drawing(torch.cat([self.dilated(filled), attended], 1))


class Generator(nn.Module):
    """(picture in [-1, 1] whose hole is 0, N x 3 x H x W; mask N x 1 x H x W) -> the coarse and the refined picture."""

    def __init__(self, width: int, dilations: list[int]) -> None:
        super().__init__()
        self.coarse, self.refinement = coarse(width, dilations), Refinement(width, dilations)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as TensorFlow begins
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, shown: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The second network sees the first one's filling in its place, and no mask but in its attention."""
        first = self.coarse(torch.cat([shown, torch.ones_like(mask), mask], 1))
        return first, self.refinement(composed(first, shown, mask), mask)


def discriminator(width: int) -> nn.Sequential:
    """N x 4 x H x W (picture, mask) -> scores N x 4 width x H/64 x W/64: all values of the last map are judged.

    5x5 convolutions of stride 2 with spectral normalisation, LeakyReLU 0.2 behind each, the last included. 5,946,816
    parameters for 64.
    """
    layers, before = list[nn.Module](), 4
    for after in (width, 2 * width, *[4 * width] * 4):
        layers += [spectral_norm(nn.Conv2d(before, after, 5, 2, 2)), nn.LeakyReLU(0.2)]
        before = after
    return nn.Sequential(*layers)


def composed(filling: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """`filling` in the hole, `around` elsewhere."""
    return filling * mask + around * (1 - mask)


class GatedConvolution(Method):
    """`width`: features of the first layer; the authors count features and gates, 48. `schedule`: `constant`, or
    `cosine` (the generator's rate falls to 0, the judge's stays). `blend`: see `restore_ml.nn.blending`.

    reading: a million steps, as the code trains until it is stopped; padding is the same on both sides where a layer
    has a stride; the judge begins with torch's weights, not Glorot's, and its two hinge terms are added, where the code
    takes half of either (Adam makes the same steps).
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["strokes_or_box"], "width": 24, "dilations": [2, 4, 8, 16], "disc_width": 64, "l1": 1.0,
        "adversarial": 1.0, "lr": 1e-4, "disc_lr": 1e-4, "betas": [0.5, 0.999], "schedule": "constant",
        "steps": 1_000_000, "batch": 16, "patch": 256, "ema": 0.0, "blend": "none",
    }
    reading = "number of steps, padding of strided layers"
    choices: ClassVar = {"schedule": ("constant", "cosine"), "blend": BLENDS}
    stored_networks = ("generator",)
    multiple = 8
    tile, overlap = 512, 64  # the attention compares every place with every other one

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for a patch or a width that the layers cannot halve."""
        super().__init__(settings)
        if self.settings["patch"] % 8:
            raise self.wrong("patch", "it must be a multiple of 8")
        if self.settings["width"] < 2:
            raise self.wrong("width", "it must be at least 2")

    def build(self) -> dict[str, nn.Module]:
        """The two networks as one, and the judge."""
        s = self.settings
        return {"generator": Generator(s["width"], s["dilations"]), "discriminator": discriminator(s["disc_width"])}

    def phases(self) -> list[Phase]:
        """Discriminator and generator in turn."""
        s = self.settings
        falling = cosine() if s["schedule"] == "cosine" else constant()
        return [Phase("train", s["steps"], [
            Player("discriminator", ["discriminator"], self.discriminator_loss,
                   lambda p: torch.optim.Adam(p, s["disc_lr"], tuple(s["betas"]))),
            Player("generator", ["generator"], self.generator_loss,
                   lambda p: torch.optim.Adam(p, s["lr"], tuple(s["betas"])), schedule=falling)])]

    @staticmethod
    def fill(network: nn.Module, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The coarse and the refined picture, float32 in [-1, 1]; the hole is shown as 0, mid grey."""
        mask = inputs["mask"]
        first, second = network((2 * inputs["image"] - 1) * (1 - mask), mask)
        return first.float(), second.float()

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Hinge on every value of the scores of true and of filled pictures, both with the mask."""
        judge, mask = context.networks["discriminator"], context.inputs["mask"]
        truth = 2 * context.target["image"] - 1
        fake = composed(self._filled(context)[1], truth, mask).detach()
        return discriminator_terms("hinge", judge(torch.cat([truth, mask], 1)), judge(torch.cat([fake, mask], 1)))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """L1 of the whole coarse and refined pictures on [-1, 1], and the scores of the refined filling, to be high."""
        s, (first, second), mask = self.settings, self._filled(context), context.inputs["mask"]
        truth = 2 * context.target["image"] - 1
        judged = context.networks["discriminator"](torch.cat([composed(second, truth, mask), mask], 1))
        return {"coarse": s["l1"] * (first - truth).abs().mean(), "refined": s["l1"] * (second - truth).abs().mean(),
                "adversarial": s["adversarial"] * generator_term("hinge", judged)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The refined picture (the known pixels are put back by the task)."""
        _, refined = self.fill(model.networks["generator"], inputs)
        return {"image": blended(self.settings["blend"], (refined + 1) / 2, inputs["image"], inputs["mask"])}

    def _filled(self, context: Context) -> tuple[Tensor, Tensor]:
        return context.once("filled", lambda: self.fill(context.networks["generator"], context.inputs))


METHOD = GatedConvolution
