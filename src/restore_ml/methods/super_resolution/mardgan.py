"""MARDGAN: a super-resolution GAN of three paths with multi-scale dual attention and residual dense blocks (Li, Wang,
Zhang, Li, Ma, "Image super-resolution reconstruction based on multi-scale dual-attention", Connection Science 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import feature_error
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.methods.super_resolution.srresnet import added_to_bicubic
from restore_ml.nn.blocks import sub_pixel
from restore_ml.training import schedules

PATHS = (3, 5, 7)
"""Sides of the first kernels of the three paths."""


class CSAB(nn.Module):
    """Channel and spatial attention: x + s(x') x' with x' = c(x) x, any N x C x H x W; all convolutions are spectrally
    normalised.

    c: the mean of each channel, 1 x 1 to C / 16, PReLU, 1 x 1 to C, sigmoid. With `spp` (sides of grids) the means over
    the cells of these grids, side by side, go through a 1 x 1 convolution to C in place of the one mean.
    s: mean and maximum over the channels, 7 x 7 to one map, sigmoid.
    """

    def __init__(self, channels: int, spp: Sequence[int] = ()) -> None:
        super().__init__()
        inner = max(channels // 16, 1)
        self.spp = tuple(spp)
        self.pyramid = spectral_norm(nn.Conv2d(sum(side**2 for side in spp) * channels, channels, 1)) if spp else None
        self.channel = nn.Sequential(spectral_norm(nn.Conv2d(channels, inner, 1)), nn.PReLU(),
                                     spectral_norm(nn.Conv2d(inner, channels, 1)), nn.Sigmoid())
        self.spatial = nn.Sequential(spectral_norm(nn.Conv2d(2, 1, 7, padding=3)), nn.Sigmoid())

    def pooled(self, x: Tensor) -> Tensor:
        """N x C x 1 x 1: what the channels' attention is made of."""
        if self.pyramid is None:
            return x.mean((2, 3), keepdim=True)
        cells = [functional.adaptive_avg_pool2d(x, side).flatten(1) for side in self.spp]
        return self.pyramid(torch.cat(cells, 1)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        weighted = self.channel(self.pooled(x)) * x
        maps = torch.cat([weighted.mean(1, keepdim=True), weighted.amax(1, keepdim=True)], 1)
        return x + self.spatial(maps) * weighted


class ERDB(nn.Module):
    """Enhanced residual dense block: x + 0.2 y_5, any N x C x H x W.

    y_1 ... y_4: spectrally normalised Conv 3 x 3 to `growth` channels and PReLU of x and all y before; y_2 has a 1 x 1
    convolution of x added, y_4 has y_2; y_5: spectrally normalised Conv 3 x 3 of x and y_1 ... y_4 to C.
    """

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.ModuleList(
            nn.Sequential(spectral_norm(nn.Conv2d(channels + number * growth, growth, 3, padding=1)), nn.PReLU())
            for number in range(4))
        self.shortcut = nn.Conv2d(channels, growth, 1)
        self.last = spectral_norm(nn.Conv2d(channels + 4 * growth, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        maps = [x]
        for number, layer in enumerate(self.dense):
            y = layer(torch.cat(maps, 1))
            if number == 1:
                y = y + self.shortcut(x)
            elif number == 3:
                y = y + maps[2]
            maps.append(y)
        return x + 0.2 * self.last(torch.cat(maps, 1))


class DRDAM(nn.Module):
    """Residual dense dual attention: x + 0.2 CSAB(ERDB(x))."""

    def __init__(self, channels: int, growth: int, spp: Sequence[int] = ()) -> None:
        super().__init__()
        self.body = nn.Sequential(ERDB(channels, growth), CSAB(channels, spp))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        return x + 0.2 * self.body(x)


class Path(nn.Module):
    """Conv side x side and PReLU, the attention module block (AMB, a `CSAB`), and plus what that gives `blocks` DRDAMs
    and Conv 3 x 3."""

    def __init__(self, side: int, channels: int, blocks: int, growth: int, spp: Sequence[int] = ()) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, channels, side, padding=side // 2), nn.PReLU())
        self.amb = CSAB(channels, spp)
        self.group = nn.Sequential(*(DRDAM(channels, growth, spp) for _ in range(blocks)),
                                   nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        amplified = self.amb(self.first(x))
        return amplified + self.group(amplified)


class Generator(nn.Module):
    """N x 3 x h x w to N x 3 x sh x sw, s = 2, 4 or 8; any size.

    Conv 3 x 3 and PReLU; three paths beside each other; global feature fusion (their features side by side, Conv 1 x 1
    as a bottleneck, PReLU, Conv 3 x 3) plus the first features; sub-pixel layers; Conv 9 x 9. `last_std` > 0 draws the
    last convolution from N(0, last_std).
    """

    def __init__(self, scale: int = 4, width: int = 64, blocks: int = 4, growth: int = 32, spp: Sequence[int] = (),
                 last_std: float = 0.0) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.PReLU())
        self.paths = nn.ModuleList(Path(side, width, blocks, growth, spp) for side in PATHS)
        self.fusion = nn.Sequential(nn.Conv2d(len(PATHS) * width, width, 1), nn.PReLU(),
                                    nn.Conv2d(width, width, 3, padding=1))
        self.up = sub_pixel(scale, width)
        self.tail = nn.Conv2d(width, 3, 9, padding=4)
        if last_std > 0:
            nn.init.normal_(self.tail.weight, std=last_std)

    def forward(self, lr: Tensor) -> Tensor:
        """Not clipped."""
        first = self.head(lr)
        fused = self.fusion(torch.cat([path(first) for path in self.paths], 1))
        return self.tail(self.up(first + fused))


class Discriminator(nn.Module):
    """N x 3 x H x W of any size from 16 on to N x 1 logits (positive: real).

    SRGAN's eight convolutions, widths 1 1 2 2 4 4 8 8 of `width`, every second of stride 2, LeakyReLU 0.2; averaged to
    6 x 6; a layer of `hidden`, LeakyReLU 0.2, a layer of one. Every layer is spectrally normalised, none is batch
    normalised.
    """

    def __init__(self, width: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, times in enumerate((1, 1, 2, 2, 4, 4, 8, 8)):
            layers += [spectral_norm(nn.Conv2d(channels, times * width, 3, 1 + number % 2, 1)), nn.LeakyReLU(0.2)]
            channels = times * width
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(6), nn.Flatten(),
                                 spectral_norm(nn.Linear(36 * channels, hidden)), nn.LeakyReLU(0.2),
                                 spectral_norm(nn.Linear(hidden, 1)))

    def forward(self, picture: Tensor) -> Tensor:
        """Logits."""
        return self.net(picture)


class MARDGAN(Method):
    """Absolute error first, then adversarial with the absolute error and, when the run names features, a perceptual
    term."""

    task = "super_resolution"
    reading = ("of the paper the names of the modules, the three paths of 3, 5 and 7, PReLU, spectral "
               "normalisation, the bottleneck of global feature fusion and the sub-pixel layers are known; the "
               "order of layers in CSAB, ERDB and DRDAM, their number and widths, the discriminator (every layer "
               "spectrally normalised), the losses (L1, then L1 + 0.006 x perceptual + 0.001 x adversarial) and the "
               "recipe are ours, in the manner of SRGAN and ESRGAN; the rate begins anew in the second phase; "
               "without a run under features there is no perceptual term, with it the features are those of the "
               "run it names, in VGG19's layers those of relu5_4 and in VGG16's, which end before, of relu5_3 or, "
               "at the profiles quick and cpu, of relu3_3; large pictures are restored in tiles of 256, over which "
               "the channels' attention takes its means; the settings residual: bicubic and last_std for short "
               "trainings are ours")
    stored_networks = ("generator",)
    tile = 256
    overlap = 32
    paper: ClassVar[dict[str, Any]] = {
        "scales": [4], "width": 64, "blocks": 4, "growth": 32, "spp": [], "residual": "none", "last_std": 0.0,
        "d_width": 64, "d_hidden": 1024,
        "pixel_weight": 1.0, "perceptual_weight": 0.006, "perceptual_tap": "relu5_4", "adversarial_weight": 1e-3,
        "lr": 1e-4, "schedule": "halved", "steps": {"pixel": 200_000, "gan": 200_000}, "batch": 16, "patch": 96,
        "ema": 0.0,
    }
    """`scales`: exactly one of 2, 4, 8. `spp`: the sides of the grids of spatial pyramid pooling in the channels'
    attention, e.g. [1, 2, 4]; [] for the one mean. `residual`, `last_std`: see srresnet. `schedule`: `halved` (after
    half of each phase) or `cosine` (to a tenth over the pixel phase, a tenth from then on)."""
    choices: ClassVar = {"scales": ([2], [4], [8]), "residual": ("none", "bicubic"), "schedule": ("halved", "cosine")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the grids of the pyramid."""
        super().__init__(settings)
        if not all(isinstance(side, int) and side > 0 for side in self.settings["spp"]):
            raise self.wrong("spp", "it must be a list of whole numbers from 1 on, or []")
        self.scale = int(self.settings["scales"][0])

    def unsupported(self, degradation: str) -> str | None:
        """Only the scale that the generator is built for, and its variants."""
        return None if degradation.partition("_")[0] == f"x{self.scale}" else f"made for x{self.scale}"

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        settings = self.settings
        return {"generator": Generator(self.scale, **{key: settings[key] for key in (
                    "width", "blocks", "growth", "spp", "last_std")}),
                "discriminator": Discriminator(settings["d_width"], settings["d_hidden"])}

    def phases(self) -> list[Phase]:
        """`pixel`: the generator by its absolute error; `gan`: discriminator and generator against each other, on the
        same restored pictures."""
        halved, steps = self.settings["schedule"] == "halved", self.settings["steps"]
        first, second = ((schedules.steps(2, 0.5),) * 2 if halved
                         else (schedules.cosine(0.1), schedules.constant(0.1)))
        return [Phase("pixel", steps["pixel"], [
                    Player("generator", ["generator"], self.pixel_loss, self._adam, schedule=first)]),
                Phase("gan", steps["gan"], [
                    Player("discriminator", ["discriminator"], self.discriminator_loss, self._adam, schedule=second),
                    Player("generator", ["generator"], self.generator_loss, self._adam, schedule=second)])]

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean absolute error on RGB of 0 ... 1."""
        return {"l1": functional.l1_loss(self._restored(context), context.target["hr"])}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of real and restored."""
        judge = context.networks["discriminator"]
        return discriminator_terms("bce", judge(context.target["hr"]), judge(self._restored(context).detach()))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D, the absolute error, and the squared error of features when the run has them."""
        settings, restored, truth = self.settings, self._restored(context), context.target["hr"]
        judged = context.networks["discriminator"](restored)
        terms = {"adversarial": settings["adversarial_weight"] * generator_term("bce", judged),
                 "l1": settings["pixel_weight"] * functional.l1_loss(restored, truth)}
        return terms | feature_error(context.slots.get("features"), restored, truth, settings["perceptual_tap"],
                                     settings["perceptual_weight"])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        return {"sr": self._enlarged(model.networks["generator"], inputs["lr"]).clip(0, 1)}

    def _enlarged(self, generator: nn.Module, lr: Tensor) -> Tensor:
        if self.settings["residual"] == "none":
            return generator(lr).float()
        return added_to_bicubic(generator, lr, self.scale)

    def _restored(self, context: Context) -> Tensor:
        """The generator's pictures: one forward pass a step for both players."""
        return context.once("sr", lambda: self._enlarged(context.networks["generator"], context.inputs["lr"]))

    def _adam(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.9, 0.999))


METHOD = MARDGAN
