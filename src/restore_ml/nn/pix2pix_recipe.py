"""pix2pix's recipe: a crop that the U-Net halves evenly, two Adam players in turn, the discriminator's two halves.

    discriminator: 1/2 [D(x, y) to 1 + D(x, G(x)) to 0]

Source: Isola, Zhu, Zhou, Efros, "Image-to-image translation with conditional adversarial networks", CVPR 2017; method
card `pix2pix`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from restore_ml.losses.adversarial import discriminator_terms
from restore_ml.method import Context, Method, Phase, Player
from restore_ml.training.schedules import linear_to_zero


class Pix2PixRecipe(Method):
    """The networks `generator`, a U-Net of `levels`, and `discriminator`, over (what is shown, picture). Subclasses say
    what is shown, what is made of it, and what the generator minimises.

    Settings: `levels`, `patch`, `steps`, `lr`, `betas`; `disc_lr` and `gan` where a method has them, else both players
    learn at `lr`, by cross-entropy.
    """

    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop; the input is padded so that every level of the U-Net halves it evenly."""
        super().__init__(settings)
        self.multiple = 2 ** self.settings["levels"]
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of levels)")

    def phases(self) -> list[Phase]:
        """Discriminator and generator in turn; the learning rate falls linearly to 0 over the second half."""
        s = self.settings

        def adam(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
            return lambda parameters: torch.optim.Adam(parameters, rate, tuple(s["betas"]))

        judge = Player("discriminator", ["discriminator"], self.discriminator_loss, adam(s.get("disc_lr", s["lr"])),
                       schedule=linear_to_zero(0.5))
        painter = Player("generator", ["generator"], self.generator_loss, adam(s["lr"]), schedule=linear_to_zero(0.5))
        return [Phase("train", s["steps"], [judge, painter])]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the adversarial loss of true and of made pictures, each beside what was shown."""
        shown, made, true = self._pair(context)
        judge = context.networks["discriminator"]
        scores = discriminator_terms(self.settings.get("gan", "bce"), judge(torch.cat([shown, true], 1)),
                                     judge(torch.cat([shown, made.detach()], 1)))
        return {name: 0.5 * score for name, score in scores.items()}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """To be taken for true, and the distance to the true picture."""
        raise NotImplementedError

    def _pair(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """What is shown, the generator's picture (one forward pass a step for both players) and the true one."""
        raise NotImplementedError
