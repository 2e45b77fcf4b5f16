"""GAPNet: gated convolutions, attention transfer added to each skip, and self-attention before the output.

Source: described in words only (encoder-decoder of five downsampling layers, residual attention transfer between
neighbouring ones, gated convolution, self-attention before the output layer, content and perceptual loss); method card
`gapnet`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.perceptual import content, taps_of, term_name
from restore_ml.method import Context
from restore_ml.methods.inpainting.pen_net import SLOPE, Made, PENNet
from restore_ml.nn.attention_transfer import AttentionTransfer
from restore_ml.nn.self_attention import SelfAttention

POOLED = 4
"""By this the keys and values of the self-attention are pooled: of a picture of 256 x 256, 32 x 32 are left."""


class GatedConv(nn.Module):
    """3 x 3: LeakyReLU 0.2 of one convolution times the sigmoid of another, N x before x H x W -> N x after x H x W
    (half as high and wide with stride 2). Without `gated` the first alone."""

    def __init__(self, before: int, after: int, stride: int = 1, gated: bool = True) -> None:
        super().__init__()
        self.features = nn.Conv2d(before, after, 3, stride, 1)
        self.gate = nn.Conv2d(before, after, 3, stride, 1) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        """The features that are let through."""
        features = F.leaky_relu(self.features(x), SLOPE)
        return features if self.gate is None else features * torch.sigmoid(self.gate(x))


class Generator(nn.Module):
    """(N x 4 x H x W, mask N x 1 x H x W) -> pictures in [-1, 1]: one at each inner size and N x 3 x H x W.

    Encoder: gated convolutions of stride 2. From the deepest level but one to the first, attention transfer of a level
    and of the one below is added to it (`rat`). Decoder: enlarged by repetition, gated convolution, beside it the skip;
    self-attention on what has half the picture's size (`sa`). 1 x 1 convolutions with tanh give the inner pictures from
    what goes into the next layer. H, W: multiples of 2^levels. 7,872,136 parameters at the paper's five widths.
    """

    def __init__(self, widths: list[int], compat: bool, gated: bool, rat: bool, sa: bool) -> None:
        super().__init__()
        self.down = nn.ModuleList(GatedConv(before, after, 2, gated) for before, after in
                                  zip([4, *widths], widths, strict=False))
        self.transfer = nn.ModuleList(AttentionTransfer(width, compat=compat) for width in widths[:-1] if rat)
        ins, outs = [*(2 * width for width in widths[:-1]), widths[-1]], [widths[0], *widths[:-1]]
        self.up = nn.ModuleList(GatedConv(before, after, gated=gated) for before, after in zip(ins, outs, strict=True))
        self.attend = SelfAttention(widths[0], value_reduction=2, factor=POOLED) if sa else nn.Identity()
        self.heads = nn.ModuleList(nn.Conv2d(2 * width, 3, 1) for width in widths[:-1])
        self.last = nn.Sequential(nn.Conv2d(widths[0], 3, 3, 1, 1), nn.Tanh())

    def forward(self, x: Tensor, mask: Tensor) -> Made:
        """The pictures."""
        *skips, deepest = self.skips(x, mask)
        x, pictures = deepest, []
        for number in reversed(range(len(skips))):
            x = self.up[number + 1](repeated(x))
            x = torch.cat([self.attend(x) if number == 0 else x, skips[number]], 1)
            pictures.append(torch.tanh(self.heads[number](x)))
        return pictures[::-1], self.last(self.up[0](repeated(x)))

    def skips(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """The encoder's levels, from half the picture's size on, with what attention transfer adds to them."""
        levels: list[Tensor] = []
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        for number in reversed(range(len(self.transfer))):
            levels[number] = levels[number] + self.transfer[number](levels[number], levels[number + 1], mask)
        return levels


def repeated(x: Tensor) -> Tensor:
    """Twice as high and wide, each value four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


class GAPNet(PENNet):
    """Trained as PEN-Net is, with a perceptual term. `gated`, `rat` and `sa` say whether there are gates, residual
    attention transfer and self-attention, and `perceptual` is that term's weight (0: without): the parts that can be
    left out. `content_taps`: of the feature network.

    reading: nearly all, as the source has neither layers nor weights nor figures. Widths, kernels, attention transfer,
    pyramid, discriminator, recipe and weights are PEN-Net's; gates are two convolutions; the sum of level and transfer
    is the "residual"; self-attention acts one size below the output, with keys and values pooled by 4, as a whole
    picture's could not be held; the perceptual term is EdgeConnect's, on the generator's whole picture, but in
    ImageNet's units (EdgeConnect subtracts no mean). It stands in the phase of both players alone, so in the profile
    `cpu` it counts for nothing (see `PENNet`).
    """

    paper: ClassVar[dict[str, Any]] = {
        **PENNet.paper, "widths": [32, 64, 128, 256, 512], "compat": False,
        "gated": True, "rat": True, "sa": True, "perceptual": 0.1,
        "content_taps": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    }
    reading = "layers, widths, weights and recipe, after PEN-Net; crops, squares that are not turned"

    def generator(self) -> nn.Module:
        """Gates, residual attention transfer and self-attention, as far as the settings have them."""
        s = self.settings
        return Generator(s["widths"], s["compat"], s["gated"], s["rat"], s["sa"])

    def initialise(self, generator: nn.Module) -> None:
        """PEN-Net's; with `he` every gate lets about half through at first, and the features are twice as large."""
        super().initialise(generator)
        for layer in generator.modules():
            if isinstance(layer, GatedConv) and layer.gate is not None and self.settings["initial"] == "he":
                nn.init.normal_(layer.gate.weight, std=0.02)
                with torch.no_grad():
                    layer.features.weight.mul_(2)

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """PEN-Net's, and the distance of feature maps of the generator's picture and the truth."""
        terms, features = super().generator_loss(context), context.slots.get("features")
        if features is None or not self.settings["perceptual"]:
            return terms
        taps = self.settings["content_taps"]
        with torch.no_grad():
            wanted = taps_of(features, context.target["image"], taps)
        seen = taps_of(features, (self._made(context)[1].float() + 1) / 2, taps)
        return terms | {term_name("perceptual", features): self.settings["perceptual"] * content(seen, wanted)}


METHOD = GAPNet
