"""MPRNet: three stages restore a picture, first in quarters, then in halves, then whole, each helped by the one before.

Source: Zamir, Arora, Khan, Hayat, Khan, Yang, Shao, "Multi-stage progressive image restoration", CVPR 2021; card
`mprnet`, with the layers of the authors' released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.losses.reconstruction import charbonnier, edge_loss
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.learned_restoration import LearnedRestoration
from restore_ml.training.schedules import warm_cosine

LEVELS = 3
"""Sizes at which encoders and decoders work: whole, half and a quarter."""


def conv(before: int, after: int, side: int = 3) -> nn.Conv2d:
    """Of the same size and without a bias, as all convolutions here."""
    return nn.Conv2d(before, after, side, padding=side // 2, bias=False)


class CAB(nn.Module):
    """Channel attention block: x + a(y) y with y = Conv 3 x 3, PReLU, Conv 3 x 3 of x, any N x C x H x W.

    a: the mean of each channel, 1 x 1 to C / `reduction`, ReLU, 1 x 1 to C, sigmoid. `act` is the PReLU, whose one
    slope the whole network shares.
    """

    def __init__(self, channels: int, reduction: int, act: nn.PReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels), act, conv(channels, channels))
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(channels, channels // reduction, 1), nn.ReLU(),
            conv(channels // reduction, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        y = self.body(x)
        return x + self.attention(y) * y


class Resized(nn.Sequential):
    """Bilinear by `factor`, then 1 x 1 from `before` to `after` channels."""

    def __init__(self, before: int, after: int, factor: float) -> None:
        super().__init__(nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False),
                         conv(before, after, 1))


class Encoder(nn.Module):
    """Maps of three sizes, `widths` channels each, two CABs a size. `fused`: cross-stage feature fusion, that is a
    1 x 1 convolution of the earlier stage's encoder and one of its decoder are added at each size."""

    def __init__(self, widths: Sequence[int], reduction: int, act: nn.PReLU, fused: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*(CAB(width, reduction, act) for _ in range(2))) for width in widths)
        self.down = nn.ModuleList(Resized(widths[level], widths[level + 1], 0.5) for level in range(LEVELS - 1))
        self.from_encoder, self.from_decoder = (
            nn.ModuleList(conv(width, width, 1) for width in widths if fused) for _ in range(2))

    def forward(self, x: Tensor, encoded: Sequence[Tensor] = (), decoded: Sequence[Tensor] = ()) -> list[Tensor]:
        """The maps, the largest first; with fusion those of the earlier stage are given in that order."""
        maps: list[Tensor] = []
        for level, blocks in enumerate(self.levels):
            x = blocks(self.down[level - 1](maps[-1]) if level else x)
            if encoded:
                x = x + self.from_encoder[level](encoded[level]) + self.from_decoder[level](decoded[level])
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """From the smallest map up, two CABs a size; the encoder's map of a size goes through a CAB and is added."""

    def __init__(self, widths: Sequence[int], reduction: int, act: nn.PReLU) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*(CAB(width, reduction, act) for _ in range(2))) for width in widths)
        self.skips = nn.ModuleList(CAB(width, reduction, act) for width in widths[:-1])
        self.up = nn.ModuleList(Resized(widths[level + 1], widths[level], 2) for level in range(LEVELS - 1))

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """The maps, the largest first."""
        maps = [self.levels[-1](encoded[-1])]
        for level in reversed(range(LEVELS - 1)):
            maps.insert(0, self.levels[level](self.up[level](maps[0]) + self.skips[level](encoded[level])))
        return maps


class SAM(nn.Module):
    """Supervised attention: a restored picture, and features weighted by what is seen in it; all convolutions 1 x 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features, self.picture, self.mask = conv(channels, channels, 1), conv(channels, 3, 1), conv(3, channels, 1)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features for the next stage, and the stage's picture: `seen` plus what is made of x."""
        restored = self.picture(x) + seen
        return x + self.features(x) * torch.sigmoid(self.mask(restored)), restored


class ORSNet(nn.Module):
    """The stage that never changes the size: three blocks (x + Conv 3 x 3 of `cabs` CABs of x), after each of which the
    maps of one size of the second stage's encoder and decoder are enlarged to the picture's and added."""

    def __init__(self, channels: int, widths: Sequence[int], cabs: int, reduction: int, act: nn.PReLU) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(*(CAB(channels, reduction, act) for _ in range(cabs)), conv(channels, channels))
            for _ in range(LEVELS))
        self.from_encoder, self.from_decoder = (
            nn.ModuleList(self._enlarged(widths[:level + 1], channels) for level in range(LEVELS)) for _ in range(2))

    @staticmethod
    def _enlarged(widths: Sequence[int], channels: int) -> nn.Sequential:
        """From the last of `widths` at its size to `channels` at the picture's."""
        steps = [Resized(widths[level], widths[level - 1], 2) for level in reversed(range(1, len(widths)))]
        return nn.Sequential(*steps, conv(widths[0], channels, 1))

    def forward(self, x: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
        """The same shape as `x`."""
        for level, block in enumerate(self.blocks):
            x = x + block(x) + self.from_encoder[level](encoded[level]) + self.from_decoder[level](decoded[level])
        return x


class MPRNet(nn.Module):
    """N x 3 x H x W in [0, 1], H and W multiples of 8, to the pictures of the third, second and first stage, not
    clipped: each the input plus what the stage makes.

    `width`, `width` + `unet` and `width` + 2 `unet` channels at the three sizes of the first two stages, `width` +
    `orsnet` in the third one, with `cabs` CABs a block. Parameters at (40, 20, 16): 3,637,249, (96, 48, 32):
    20,127,073, (80, 48, 32): 15,741,025.
    """

    def __init__(self, width: int = 40, unet: int = 20, orsnet: int = 16, cabs: int = 8, reduction: int = 4) -> None:
        super().__init__()
        act, widths = nn.PReLU(), [width + level * unet for level in range(LEVELS)]
        self.shallow = nn.ModuleList(nn.Sequential(conv(3, width), CAB(width, reduction, act)) for _ in range(3))
        self.encoders = nn.ModuleList(Encoder(widths, reduction, act, fused) for fused in (False, True))
        self.decoders = nn.ModuleList(Decoder(widths, reduction, act) for _ in range(2))
        self.attention = nn.ModuleList(SAM(width) for _ in range(2))
        self.joined = nn.ModuleList(conv(2 * width, after) for after in (width, width + orsnet))
        self.orsnet = ORSNet(width + orsnet, widths, cabs, reduction, act)
        self.tail = conv(width + orsnet, 3)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Quarters and halves lie one behind the other in the batch, so that none sees another one."""
        halves = split(x, 2)
        encoded = [join(maps, 3) for maps in self.encoders[0](self.shallow[0](split(halves, 3)))]
        decoded = self.decoders[0](encoded)
        attended, first = self.attention[0](decoded[0], halves)

        shallow = self.joined[0](torch.cat([self.shallow[1](halves), attended], 1))
        encoded = [join(maps, 2) for maps in self.encoders[1](shallow, encoded, decoded)]
        decoded = self.decoders[1](encoded)
        attended, second = self.attention[1](decoded[0], x)

        shallow = self.joined[1](torch.cat([self.shallow[2](x), attended], 1))
        return [self.tail(self.orsnet(shallow, encoded, decoded)) + x, second, join(first, 2)]


def split(x: Tensor, axis: int) -> Tensor:
    """N x C x H x W to 2N: the first halves of all along `axis` (2: rows, 3: columns), then the second ones."""
    return torch.cat(x.chunk(2, axis))


def join(x: Tensor, axis: int) -> Tensor:
    """The inverse of `split`."""
    return torch.cat(x.chunk(2), axis)


class MPRNetRestoration(LearnedRestoration):
    """One network a kind of damage. The defaults are the authors' for rain; blur has `width` 96, `unet` 48 and `orsnet`
    32, noise 80, 48 and 32, no edge term and pictures that are clipped before they are compared (`clip`).

    With `start: input`, for short trainings, what each stage adds to the input begins as 0. The rate rises in a
    straight line over `warm_up` steps and falls to `last_lr` in half a cosine over all steps (the
    authors' begins behind the rise: theirs is above this one by at most 3.5 per cent of `lr` for noise, 1.1 for rain).
    """

    paper: ClassVar[dict[str, Any]] = {
        "kinds": ["rain"], "width": 40, "unet": 20, "orsnet": 16, "cabs": 8, "reduction": 4, "start": "random",
        "edge": 0.05, "clip": False,
        "steps": 214_000, "batch": 16, "patch": 256, "ema": 0.0, "lr": 2e-4, "last_lr": 1e-6, "warm_up": 2_571,
    }
    choices: ClassVar = {"start": ("random", "input")}
    zero_allowed = ("warm_up",)
    reading = ("steps from the authors' epochs over their 13,712 rainy pictures (blur: 3,000 of 2,103, noise: 80 of "
               "96,000 patches), a crop a picture; for noise without their mixing of pairs and their weight decay of "
               "1e-8; haze and watermarks as generic damage with the settings of rain; pictures above 512 pixels are "
               "restored in tiles, each with quarters and halves of its own; the setting start: input is ours")
    stored_networks = ("net",)
    multiple = 8
    tile = 512
    overlap = 64

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop and the attention's widths."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple}, as quarters are halved twice")
        if self.settings["width"] < self.settings["reduction"]:
            raise self.wrong("width", "it must be at least `reduction`")

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        net = MPRNet(**{key: self.settings[key] for key in ("width", "unet", "orsnet", "cabs", "reduction")})
        if self.settings["start"] == "input":
            for layer in (net.tail, *(sam.picture for sam in net.attention)):
                nn.init.zeros_(layer.weight)  # type: ignore[arg-type,union-attr]
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        s = self.settings
        schedule = warm_cosine(s["warm_up"], s["last_lr"] / s["lr"])
        return [Phase("train", s["steps"], [Player("net", ["net"], self.loss, self._adam, schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Charbonnier distances of the three pictures from the true one, and `edge` times those of their Laplacians,
        each summed over the stages."""
        truth, edge = context.target["image"], self.settings["edge"]
        pictures = [picture.float() for picture in context.networks["net"](context.inputs["image"])]
        if self.settings["clip"]:
            pictures = [picture.clip(0, 1) for picture in pictures]
        terms = {"charbonnier": torch.stack([charbonnier(picture, truth) for picture in pictures]).sum()}
        if edge:
            terms["edge"] = edge * torch.stack([edge_loss(picture, truth) for picture in pictures]).sum()
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The third stage's picture, clipped to [0, 1]."""
        return {"image": model.networks["net"](inputs["image"])[0].float().clip(0, 1)}

    def _adam(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"])


METHOD = MPRNetRestoration
