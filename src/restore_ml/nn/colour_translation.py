"""pix2pix for colour: what the conditional GANs share that translate a grey picture x to its colours y.

    discriminator: 1/2 [D(x, y) to 1 + D(x, G(x)) to 0] + p (|gradient of D at a mix of y and G(x)| - 1)^2
    generator:     D(x, G(x)) to 1 + 100 |G(x) - y|

Source: Isola, Zhu, Zhou, Efros, "Image-to-image translation with conditional adversarial networks", CVPR 2017, and the
colorization model of the authors' PyTorch code; method card `pix2pix_color`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.losses.adversarial import generator_term
from restore_ml.losses.gradient_penalty import gradient_penalty
from restore_ml.method import Context, Inputs, Model
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.pix2pix_recipe import Pix2PixRecipe

AB_SCALE = 110.0
"""ab of sRGB colours lie within 107.9; divided by this they suit a tanh."""


class ColourTranslation(Pix2PixRecipe):
    """A generator and a PatchGAN over (what is shown, colours); subclasses say which generator.

    `space: lab`: L / 50 - 1 is shown, and ab / 110 are the colours. `space: rgb`: 2 g - 1 is shown, where (g, g, g) has
    the input's lightness, and 2 RGB - 1 are the colours. `gan: bce`: cross-entropy, all of -log D for the generator, as
    pix2pix has it; `lsgan`: squares, half of them for either player. `gradient_penalty` above 0 adds the penalty and
    gives the discriminator instance normalisation, since statistics of a batch would make it no penalty a picture.
    """

    task = "colorization"
    choices: ClassVar = {"space": ("lab", "rgb"), "gan": ("bce", "lsgan")}

    @property
    def channels(self) -> tuple[int, int]:
        """Of what is shown, and of the colours."""
        return 1, 2 if self.settings["space"] == "lab" else 3

    def painter(self) -> nn.Module:
        """The generator: `channels` in and out, in [-1, 1]."""
        raise NotImplementedError

    def build(self) -> dict[str, nn.Module]:
        """The generator, and the PatchGAN over (what is shown, colours)."""
        s = self.settings
        norm = "instance" if s["gradient_penalty"] else "batch"
        generator = self.painter()
        judge = PatchDiscriminator(sum(self.channels), width=s["disc_width"], layers=s["disc_layers"], norm=norm)
        return {"generator": generator, "discriminator": judge}

    def condition(self, lightness: Tensor) -> Tensor:
        """What both networks are shown of Lab lightness, in [-1, 1]."""
        return lightness / 50 - 1 if self.settings["space"] == "lab" else 2 * grey_from_lightness(lightness) - 1

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the adversarial loss of true and made colours, and the penalty."""
        terms, weight = super().discriminator_loss(context), self.settings["gradient_penalty"]
        if not weight:
            return terms
        shown, fake, true = self._pair(context)
        share = context.uniform(true[:, :1, :1, :1])
        mixed = share * true + (1 - share) * fake.detach()
        return {**terms, "penalty": weight * gradient_penalty(context.networks["discriminator"], shown, mixed)}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the adversarial loss of LSGAN (the whole of BCE), and the distance of the colours."""
        shown, fake, true = self._pair(context)
        judged = context.networks["discriminator"](torch.cat([shown, fake], 1))
        share = 0.5 if self.settings["gan"] == "lsgan" else 1.0
        return {"adversarial": share * generator_term(self.settings["gan"], judged), **self.distance(fake, true)}

    def distance(self, fake: Tensor, true: Tensor) -> dict[str, Tensor]:
        """`l1` times the mean difference of the colours as the networks see them, in [-1, 1]."""
        return {"l1": self.settings["l1"] * F.l1_loss(fake, true)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """ab, or RGB with its ab beside it, which the harness joins to the input's lightness."""
        made = model.networks["generator"](self.condition(inputs["L"])).float()
        if self.settings["space"] == "lab":
            return {"ab": AB_SCALE * made}
        rgb = (made + 1) / 2
        return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}

    def _pair(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """What is shown, the generator's colours (one forward pass a step for both players) and the true ones."""
        shown = context.once("shown", lambda: self.condition(context.inputs["L"]))
        fake = context.once("made", lambda: context.networks["generator"](shown).float())
        lab = self.settings["space"] == "lab"
        return shown, fake, context.target["ab"] / AB_SCALE if lab else 2 * context.target["rgb"] - 1
