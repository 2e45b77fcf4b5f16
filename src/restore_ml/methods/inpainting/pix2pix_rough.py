"""The rough network of coherent semantic attention alone: pix2pix's U-Net fills the hole, a patch discriminator judges.

    discriminator: 1/2 [BCE(D(x), 1) + BCE(D(P(y)), 0)]        network: BCE(D(P(y)), 1) + 100 |P(y) - x|

Source: Isola, Zhu, Zhou, Efros, CVPR 2017, as the first stage of Liu, Jiang, Xiao, Yang, ICCV 2019; method card
`pix2pix_rough`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.rough_filling import patch_judge, rough_network, shown
from restore_ml.training.schedules import cosine, linear_to_zero


class Pix2PixRough(Method):
    """The hole is shown in the colour `fill`, or, with `own_mean`, in the mean of the known pixels; the discriminator
    sees the network's whole picture and nothing beside it.

    `schedule`: `linear` (constant for a sixth of the steps, then in a straight line to 0) or `cosine`.

    reading: the recipe is that of `csa_inpaint`, whose baseline this is: 20 + 100 epochs of the case's 504 pictures,
    one at a time, with a centre hole that stays `overlap` pixels within the square that tests hide, and gains of
    instance normalisation drawn from N(1, 0.02). All profiles but `paper` weigh the adversarial term a tenth of that.
    """

    task = "inpainting"
    zero_allowed = ("overlap",)
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["centre"], "overlap": 4, "fill": [123, 104, 117], "own_mean": False, "width": 64, "levels": 8,
        "disc_width": 64, "l1": 100.0, "adversarial": 1.0, "schedule": "linear", "blend": "none",
        "steps": 60_480, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"schedule": ("linear", "cosine"), "blend": BLENDS}
    reading = "the recipe of csa_inpaint"
    stored_networks = ("rough",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for a patch that the network cannot halve evenly `levels` times."""
        super().__init__(settings)
        self.multiple = 2 ** self.settings["levels"]
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of levels)")

    def build(self) -> dict[str, nn.Module]:
        """The U-Net and the PatchGAN."""
        s = self.settings
        return {"rough": rough_network(s["width"], s["levels"]), "discriminator": patch_judge(s["disc_width"])}

    def phases(self) -> list[Phase]:
        """Discriminator and network in turn."""
        s = self.settings

        def player(name: str, loss: Any) -> Player:
            return Player(name, [name], loss, lambda p: torch.optim.Adam(p, s["lr"], tuple(s["betas"])),
                          schedule=linear_to_zero(1 / 6) if s["schedule"] == "linear" else cosine())

        return [Phase("train", s["steps"], [player("discriminator", self.discriminator_loss),
                                            player("rough", self.rough_loss)])]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the cross-entropy of true and of filled pictures."""
        judge = context.networks["discriminator"]
        terms = discriminator_terms("bce", judge(2 * context.target["image"] - 1), judge(self._made(context).detach()))
        return {name: 0.5 * term for name, term in terms.items()}

    def rough_loss(self, context: Context) -> dict[str, Tensor]:
        """-log D, and `l1` times the mean difference in [-1, 1], hole and known pixels alike."""
        s, made = self.settings, self._made(context)
        judged = context.networks["discriminator"](made)
        return {"adversarial": s["adversarial"] * generator_term("bce", judged),
                "l1": s["l1"] * F.l1_loss(made, 2 * context.target["image"] - 1)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The whole picture (the known pixels are put back by the task)."""
        filled = (self.fill(model.networks["rough"], inputs) + 1) / 2
        return {"image": blended(self.settings["blend"], filled, inputs["image"], inputs["mask"])}

    def fill(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """The network's picture in [-1, 1], float32."""
        s = self.settings
        return network(shown(inputs["image"], inputs["mask"], s["fill"], s["own_mean"])).float()

    def _made(self, context: Context) -> Tensor:
        return context.once("made", lambda: self.fill(context.networks["rough"], context.inputs))


METHOD = Pix2PixRough
