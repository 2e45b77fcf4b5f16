"""pix2pix on lightness: a U-Net paints ab, a patch discriminator judges it beside L (Isola et al., CVPR 2017).

The template for a GAN: two players share a forward pass, and only the generator is kept.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Method, Phase, Player
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.unet import UNet

LARGEST = 110.0
"""|a| and |b| of sRGB stay below it; the networks see L and ab in [-1, 1]."""


class Pix2Pix(Method):
    """U-Net with skips, 70 x 70 patch discriminator, binary cross-entropy and 100 times L1.

    reading: instance instead of batch normalisation, so that a picture does not depend on its company in a batch.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "steps": 200_000, "batch": 4, "patch": 256, "ema": 0.0, "levels": 8, "width": 64, "disc_width": 64,
        "disc_layers": 3, "l1": 100.0, "lr": 2e-4, "betas": [0.5, 0.999]}
    reading = "instance normalisation, number of steps"
    stored_networks = ("generator",)

    def __init__(self, settings):
        """The input is padded so that every level of the U-Net halves it evenly."""
        super().__init__(settings)
        self.multiple = 2 ** self.settings["levels"]

    def build(self):
        """Generator 1 -> 2 channels, discriminator of L and ab."""
        s = self.settings
        return {"generator": UNet(1, 2, s["width"], s["levels"], norm="instance", dropout=False),
                "discriminator": PatchDiscriminator(3, s["disc_width"], s["disc_layers"], norm="instance")}

    def phases(self):
        """Discriminator and generator in turn, each with an optimiser of its own."""
        s = self.settings

        def optimiser(parameters):
            return torch.optim.Adam(parameters, s["lr"], tuple(s["betas"]))

        return [Phase("train", s["steps"], [
            Player("discriminator", ["discriminator"], self.discriminator_loss, optimiser),
            Player("generator", ["generator"], self.generator_loss, optimiser)])]

    def discriminator_loss(self, context: Context):
        """True pairs against made ones; `detach` spares the way back through the generator."""
        judge, shown, made = context.networks["discriminator"], shown_of(context.inputs), self.made(context)
        return discriminator_terms("bce", judge(torch.cat([shown, context.target["ab"] / LARGEST], 1)),
                                   judge(torch.cat([shown, made.detach()], 1)))

    def generator_loss(self, context: Context):
        """-log D of the made pair, and L1 to the true ab."""
        shown, made = shown_of(context.inputs), self.made(context)
        judged = context.networks["discriminator"](torch.cat([shown, made], 1))
        return {"adversarial": generator_term("bce", judged),
                "l1": self.settings["l1"] * F.l1_loss(made, context.target["ab"] / LARGEST)}

    def made(self, context: Context):
        """The generator's ab, computed once a step for both players."""
        return context.once("made", lambda: context.networks["generator"](shown_of(context.inputs)))

    def restore(self, model, inputs, seed):
        """L (N x 1 x H x W) -> ab (N x 2 x H x W)."""
        return {"ab": LARGEST * model.networks["generator"](shown_of(inputs))}


def shown_of(inputs):
    """L in [-1, 1]."""
    return inputs["L"] / 50 - 1


METHOD = Pix2Pix
