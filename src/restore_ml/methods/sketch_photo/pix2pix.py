"""pix2pix: a U-Net translates the picture, a patch discriminator judges it beside its source; learned from pairs.

    discriminator: 1/2 [BCE(D(x, y), 1) + BCE(D(x, G(x)), 0)]        generator: BCE(D(x, G(x)), 1) + 100 |y - G(x)|

Source: Isola, Zhu, Zhou, Efros, "Image-to-image translation with conditional adversarial networks", CVPR 2017; card
`pix2pix`. The crop, the players and the discriminator's loss stand in `restore_ml.nn.pix2pix_recipe`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import generator_term
from restore_ml.method import Context, Inputs, Model
from restore_ml.nn.blocks import of_its_input
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.nn.pix2pix_recipe import Pix2PixRecipe
from restore_ml.nn.unet import UNet
from restore_ml.seeds import derive
from restore_ml.tasks.sketch_photo.task import DIRECTIONS


class Pix2Pix(Pix2PixRecipe):
    """One network a `direction`, as the authors train it: 256 px, 8 levels, patches of 70 px.

    Noise comes as `dropout` alone, which stays on when restoring, drawn from the seed. `eval_norm: picture` restores
    with the statistics of the picture itself (the paper's, whose batch is one picture), `running` with those of
    training.

    reading: 200 epochs of CUFS's 268 pairs, the rate falling to 0 over the second half as in the authors' later code;
    crops of pictures at their own size, mirrored in half of the visits, instead of crops of pictures enlarged to 286
    pixels; photos and sketches alike have three channels.
    """

    task = "sketch_photo"
    paper: ClassVar[dict[str, Any]] = {
        "direction": "photo_to_sketch", "levels": 8, "width": 64, "dropout": True, "eval_norm": "picture",
        "disc_width": 64, "disc_layers": 3, "l1": 100.0,
        "steps": 53_600, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"direction": DIRECTIONS, "eval_norm": ("picture", "running")}
    reading = "steps and schedule; crops at the pictures' own size"

    def unsupported(self, degradation: str) -> str | None:
        """The other direction."""
        direction = self.settings["direction"]
        return None if degradation == direction else f"made for {direction}"

    def build(self) -> dict[str, nn.Module]:
        """The U-Net, and the PatchGAN over (source, picture)."""
        s = self.settings
        generator = UNet(3, 3, width=s["width"], levels=s["levels"], dropout=s["dropout"])
        for up in generator.up:
            assert isinstance(up, nn.Sequential)
            for index, layer in enumerate(up):
                if isinstance(layer, nn.Dropout):
                    up[index] = Noise()
        if s["eval_norm"] == "picture":
            of_its_input(generator)
        return {"generator": generator, "discriminator": PatchDiscriminator(6, s["disc_width"], s["disc_layers"])}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D of the made picture, and `l1` times the mean difference in [-1, 1]."""
        source, made, true = self._pair(context)
        judged = context.networks["discriminator"](torch.cat([source, made], 1))
        return {"adversarial": generator_term("bce", judged), "l1": self.settings["l1"] * F.l1_loss(made, true)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`source` to `picture`, one picture at a time, so that none depends on its company."""
        made = []
        with torch.random.fork_rng():
            for picture in 2 * inputs["source"] - 1:
                torch.manual_seed(derive(seed, "dropout"))
                made.append(model.networks["generator"](picture[None]).float())
        return {"picture": (torch.cat(made) + 1) / 2}

    def _pair(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Source, the generator's picture (one forward pass a step for both players) and the true one, in [-1, 1]."""
        source = 2 * context.inputs["source"] - 1
        made = context.once("made", lambda: context.networks["generator"](source).float())
        return source, made, 2 * context.target["truth"] - 1


class Noise(nn.Module):
    """Dropout of a half that never rests: the noise z of the paper, drawn from torch's current generator."""

    def forward(self, x: Tensor) -> Tensor:
        """Half of the values 0, the others doubled."""
        return F.dropout(x, 0.5, training=True)


METHOD = Pix2Pix
