"""ID-CGAN: a network of the picture's own size clears it, judged by its pixels, by its features and by a discriminator.

    discriminator: BCE(D(y, x), 1) + BCE(D(y, G(y)), 0)     y: the damaged picture, x: the true one
    generator:     BCE(D(y, G(y)), 1) + 150 |G(y) - x|^2 + 150 |phi(G(y)) - phi(x)|^2

Source: Zhang, Sindagi, Patel, "Image de-raining using a conditional generative adversarial network", arXiv 1701.05957
(TCSVT 2020), in the earlier form that the authors released; card `idcgan`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import taps_of, term_name
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.blocks import of_its_input
from restore_ml.nn.initialisation import CONVOLUTIONS, normal
from restore_ml.nn.learned_restoration import LearnedRestoration
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.training.schedules import Schedule, constant, cosine

GREY = 57.4
"""255 times the deviation (0.225) by which pictures are divided for the feature networks. The released code gives its
pictures of [-1, 1] to a network made for grey levels, whose features are in grey levels too. Divided by this the
pictures look as small to ours, and its features times this are in the same units, so that the weight of the term
holds: without that the term would be a two-thousandth of the squared error, which is none."""


class Generator(nn.Module):
    """N x 3 x H x W to the same, in [-1, 1]; any size; a pixel depends on 25 x 25 pixels.

    3 x 3 of stride 1 throughout. Down: a convolution to g (`width`), then five times LeakyReLU 0.2, convolution, BN to
    g, g, g, g / 2 and 1 channel. Up: five transposed convolutions to g / 2, g, g, g, g, a LeakyReLU before the first, a
    ReLU before the others, BN behind each; ReLU, the last one to 3, tanh. The maps of the fourth and the second
    convolution are added behind the second and the fourth transposed one. 263,686 parameters for 64, 17,542 for 16.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        downs, ups = (width, width, width, width, width // 2, 1), (1, width // 2, width, width, width, width)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after))
            for before, after in pairwise(downs))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ReLU() if level else nn.LeakyReLU(0.2), nn.ConvTranspose2d(before, after, 3, padding=1),
                          nn.BatchNorm2d(after))
            for level, (before, after) in enumerate(pairwise(ups)))
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(width, 3, 3, padding=1))
        normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Clear a batch."""
        x, maps = self.first(x), []
        for down in self.down:
            x = down(x)
            maps.append(x)
        for level, up in enumerate(self.up):
            x = up(x)
            if level in (1, 3):  # beside convolution 4 and 2, the third and the first of `maps`
                x = x + maps[3 - level]
        return torch.tanh(self.last(x))


def judge(width: int = 48) -> PatchDiscriminator:
    """PatchGAN of (damaged, cleared), 70 x 70 pixels a score, with batch normalisation and, unlike pix2pix's, a bias in
    every convolution: 1,561,105 parameters for 48."""
    network = PatchDiscriminator(6, width, norm="none")
    for stage in network.stages[1:-1]:
        stage[1] = nn.BatchNorm2d(stage[0].out_channels)  # type: ignore[index,operator]
    normal(network)
    return network


class IDCGAN(LearnedRestoration):
    """One network a kind of damage. `mse`, `perceptual`, `adversarial`: weights of the three terms, any of which may be
    0; in the phase `pixel` the squared error stands alone, in `refined` all are there. Errors are of pictures in
    [-1, 1], those of features of the tap `perceptual_tap`. `residual`: what the network gives is added to the damaged
    picture, and is nothing at first. Watermarks are cleared as all else, without a mask and with nothing put back.
    `schedule`: `constant`, or `cosine` (the generator's rate falls to 0 over both
    phases, so that a short `refined` at its end moves next to nothing).

    `eval_norm: picture` restores with the statistics of the picture itself (the authors' test leaves the network in
    training mode, with batches of one), `running` with those of training.
    """

    paper: ClassVar[dict[str, Any]] = {
        "kinds": ["rain"], "width": 64, "disc_width": 48, "residual": False, "eval_norm": "picture",
        "mse": 150.0, "perceptual": 150.0, "perceptual_tap": "relu2_2", "adversarial": 1.0,
        "steps": {"pixel": 0, "refined": 200_000}, "batch": 7, "patch": 256, "ema": 0.0, "lr": 2e-4,
        "betas": [0.5, 0.999], "schedule": "constant",
    }
    choices: ClassVar = {"eval_norm": ("picture", "running"), "schedule": ("constant", "cosine")}
    reading = ("2,000 epochs of 700 pictures; crops at the pictures' own size instead of pictures enlarged to 286; "
               "features of VGG19's layers where the run's network has these, in grey levels; the added maps are those "
               "before their LeakyReLU, which the released code applies in place; large pictures are restored in "
               "tiles of 512; ours for short trainings: the setting residual, the phase pixel, the falling rate")
    stored_networks = ("generator",)
    tile = 512

    def build(self) -> dict[str, nn.Module]:
        """The generator, and the discriminator where there is an adversarial term."""
        s = self.settings
        generator = Generator(s["width"])
        if s["residual"]:
            nn.init.zeros_(generator.last[1].weight)  # type: ignore[arg-type]
        if s["eval_norm"] == "picture":
            of_its_input(generator)
        return {"generator": generator} | ({"discriminator": judge(s["disc_width"])} if s["adversarial"] else {})

    def phases(self) -> list[Phase]:
        """The squared error alone, then discriminator and generator in turn. Both have their biases set to 0 at each
        step, as in the released code."""
        s = self.settings
        first, whole = s["steps"]["pixel"], sum(s["steps"].values())

        def generator(loss: Any, before: int) -> Player:
            falls: Schedule = cosine(before=before, whole=whole) if s["schedule"] == "cosine" else constant()
            return Player("generator", ["generator"], loss, self._adam, schedule=falls,
                          after=lambda context: without_biases(context.networks["generator"]))

        discriminator = Player("discriminator", ["discriminator"], self.discriminator_loss, self._adam,
                               after=lambda context: without_biases(context.networks["discriminator"]))
        return [Phase("pixel", first, [generator(self.pixel_loss, 0)]),
                Phase("refined", s["steps"]["refined"], [
                    *([discriminator] if s["adversarial"] else []), generator(self.generator_loss, first)])]

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """`mse` times the mean squared difference in [-1, 1]."""
        _, cleared, true = self._pictures(context)
        return {"mse": self.settings["mse"] * F.mse_loss(cleared, true)}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy of true and of cleared pictures, each beside the damaged one."""
        damaged, cleared, true = self._pictures(context)
        network = context.networks["discriminator"]
        return discriminator_terms("bce", network(torch.cat([damaged, true], 1)),
                                   network(torch.cat([damaged, cleared.detach()], 1)))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D of the cleared picture, its squared error and, where the run has a feature network, that of its
        features, each with its weight; what weighs nothing is left out."""
        s, (damaged, cleared, true) = self.settings, self._pictures(context)
        terms = self.pixel_loss(context) if s["mse"] else {}
        if s["adversarial"]:
            judged = context.networks["discriminator"](torch.cat([damaged, cleared], 1))
            terms["adversarial"] = s["adversarial"] * generator_term("bce", judged)
        features, tap = context.slots.get("features"), s["perceptual_tap"]
        if features is not None and s["perceptual"]:
            seen, wanted = (GREY * taps_of(features, picture / GREY, [tap], normalise=False)[tap]
                            for picture in (cleared, true))
            terms[term_name("perceptual", features)] = s["perceptual"] * F.mse_loss(seen, wanted)
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The cleared picture in [0, 1], one at a time, so that none is normalised by its company."""
        cleared = [self.cleared(model.networks["generator"], picture[None]) for picture in 2 * inputs["image"] - 1]
        return {"image": ((torch.cat(cleared) + 1) / 2).clip(0, 1)}

    def cleared(self, generator: nn.Module, damaged: Tensor) -> Tensor:
        """What becomes of pictures in [-1, 1], in the same units."""
        made = generator(damaged).float()
        return damaged + made if self.settings["residual"] else made

    def _pictures(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The damaged, the cleared (one forward pass a step for both players) and the true picture, in [-1, 1]."""
        damaged = 2 * context.inputs["image"] - 1
        cleared = context.once("cleared", lambda: self.cleared(context.networks["generator"], damaged))
        return damaged, cleared, 2 * context.target["image"] - 1

    def _adam(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], tuple(self.settings["betas"]))


def without_biases(network: nn.Module) -> None:
    """Set the biases of all convolutions to 0, in place."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS) and module.bias is not None:
            nn.init.zeros_(module.bias)


METHOD = IDCGAN
