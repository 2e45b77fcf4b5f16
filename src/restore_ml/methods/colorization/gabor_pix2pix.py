"""Gabor texture and pix2pix: a picture's Gabor response, not the picture itself, is translated to colour.

Source: Li, Zhang, Yu, Li, Li, "An improved pix2pix model based on Gabor filter for robust color image rendering",
Mathematical Biosciences and Engineering 19(1), 2022; pix2pix: Isola et al., CVPR 2017; method card `gabor_pix2pix`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.gabor import DIRECTIONS, SIZES, gabor_kernel, normalise, texture
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.unet import UNet
from restore_ml.training.schedules import linear_to_zero


class GaborPix2Pix(Method):
    """A texture map of one scale (`size`) and direction (`theta`, degrees) -> RGB, by pix2pix's U-Net; least-squares
    adversary with gradient penalty, L1.

    `input: replace` shows the network the texture alone, `concat` grey and texture. `norm: sum` is the common recipe
    (it saturates at 45 and 135 degrees), `l1` divides by the absolute sum. `gan: lsgan | bce`; `gradient_penalty` 0
    turns the penalty off and gives the discriminator batch normalisation, as pix2pix has it.

    The grey is not the luma Y of the colour picture, which a method under this task's protocol cannot see, but the grey
    g whose (g, g, g) has the input's lightness.

    reading: "scale 7" is a kernel size of 7 pixels among 7 to 17; kernel parameters; the texture replaces the grey
    picture; the penalty is on one score a picture, the mean of its patches; instance normalisation (a penalty a picture
    forbids batch statistics); pix2pix's training recipe, but for its jitter (crops of pictures enlarged to 286 pixels);
    restoring without dropout and with the batch statistics of training (pix2pix: dropout, the test picture's own).
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "size": 7, "theta": 0, "norm": "sum", "input": "replace",
        "levels": 8, "width": 64, "dropout": True, "disc_width": 64, "disc_layers": 3,
        "gan": "lsgan", "gradient_penalty": 10.0, "l1": 100.0,
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"size": SIZES, "theta": DIRECTIONS, "input": ("replace", "concat"), "gan": ("lsgan", "bce")}
    reading = ("kernel parameters, texture as the only input, penalty's score and normalisation, training recipe "
               "without jitter; restored without dropout, with the statistics of training")
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop; the input is padded so that every level of the U-Net halves it evenly."""
        super().__init__(settings)
        self.multiple = 2 ** self.settings["levels"]
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of levels)")

    @cached_property
    def kernel(self) -> Tensor:
        """The run's Gabor kernel, normalised."""
        return normalise(gabor_kernel(self.settings["size"], self.settings["theta"]), self.settings["norm"])

    def build(self) -> dict[str, nn.Module]:
        """pix2pix's U-Net and PatchGAN over (network input, RGB)."""
        s = self.settings
        channels = 1 if s["input"] == "replace" else 2
        norm = "instance" if s["gradient_penalty"] else "batch"
        generator = UNet(channels, 3, width=s["width"], levels=s["levels"], dropout=s["dropout"])
        judge = PatchDiscriminator(channels + 3, width=s["disc_width"], layers=s["disc_layers"], norm=norm)
        return {"generator": generator, "discriminator": judge}

    def phases(self) -> list[Phase]:
        """Discriminator and generator in turn; the learning rate falls linearly to 0 over the second half."""
        s = self.settings

        def adam(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
            return lambda parameters: torch.optim.Adam(parameters, rate, tuple(s["betas"]))

        judge = Player("discriminator", ["discriminator"], self.discriminator_loss, adam(s["disc_lr"]),
                       schedule=linear_to_zero(0.5))
        painter = Player("generator", ["generator"], self.generator_loss, adam(s["lr"]), schedule=linear_to_zero(0.5))
        return [Phase("train", s["steps"], [judge, painter])]

    def condition(self, lightness: Tensor) -> Tensor:
        """What both networks are shown: the texture, or grey and texture, in [-1, 1]."""
        grey = grey_from_lightness(lightness)
        maps = texture(grey, self.kernel)
        return 2 * (maps if self.settings["input"] == "replace" else torch.cat([grey, maps], 1)) - 1

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the adversarial loss of true and made pictures, and the penalty."""
        shown, fake, true = self._pair(context)
        judge = context.networks["discriminator"]
        fake = fake.detach()
        scores = discriminator_terms(self.settings["gan"], judge(torch.cat([shown, true], 1)),
                                     judge(torch.cat([shown, fake], 1)))
        terms = {name: 0.5 * score for name, score in scores.items()}
        if self.settings["gradient_penalty"]:
            share = context.uniform(true[:, :1, :1, :1])
            mixed = share * true + (1 - share) * fake
            terms["penalty"] = self.settings["gradient_penalty"] * gradient_penalty(judge, shown, mixed)
        return terms

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the adversarial loss of LSGAN (the whole of BCE, as pix2pix has it) and L1 on RGB in [-1, 1]."""
        shown, fake, true = self._pair(context)
        judged = context.networks["discriminator"](torch.cat([shown, fake], 1))
        share = 0.5 if self.settings["gan"] == "lsgan" else 1.0
        return {"adversarial": share * generator_term(self.settings["gan"], judged),
                "l1": self.settings["l1"] * F.l1_loss(fake, true)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Texture, network, RGB; its ab beside it, which the harness joins to the input's lightness."""
        rgb = (model.networks["generator"](self.condition(inputs["L"])).float() + 1) / 2
        return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}

    def _pair(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The condition, the generator's picture (one forward pass a step for both players) and the true one."""
        shown = context.once("shown", lambda: self.condition(context.inputs["L"]))
        fake = context.once("made", lambda: context.networks["generator"](shown).float())
        return shown, fake, 2 * context.target["rgb"] - 1


def gradient_penalty(judge: nn.Module, shown: Tensor, mixed: Tensor) -> Tensor:
    """Mean over pictures of (|gradient of the judge's mean score by the picture| - 1)^2, the norm over all its values.

    WGAN-GP (Gulrajani et al., 2017) on the least-squares score; in float32 also under autocast, because the gradient is
    differentiated again.
    """
    with torch.enable_grad(), torch.autocast(mixed.device.type, enabled=False):
        mixed = mixed.detach().float().requires_grad_(True)
        score = judge(torch.cat([shown.float(), mixed], 1)).float().mean((1, 2, 3))
        gradient, = torch.autograd.grad(score.sum(), mixed, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


METHOD = GaborPix2Pix
