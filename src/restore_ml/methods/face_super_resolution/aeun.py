"""An attribute-embedded upsampling network (Yu, Fernando, Hartley, Porikli, Super-resolving very low-resolution face
images with supplementary attributes, CVPR 2018): an autoencoder that is told the face's attributes where it is
narrowest, and a discriminator that sees whether face and attributes belong together.

What the paper leaves open was read in the authors' released code: layers, optimiser, weights, the margin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.data.domains.faces import ATTRIBUTES
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import feature_error
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.attribute_autoencoder import Discriminator, Generator
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.tasks.base import Material
from restore_ml.training import schedules, urdgn_recipe

CHOSEN = ("Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows",
          "Eyeglasses", "Gray_Hair", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes", "No_Beard", "Smiling",
          "Wearing_Lipstick", "Young")
"""reading: the paper takes 18 of CelebA's forty and says not which; these are seen in a face that is cut closely."""
PLACES = [ATTRIBUTES.index(name) for name in CHOSEN]


class Aeun(FixedFaces):
    """Squared error first (`pixel`, of which the paper has nothing), then against the discriminator (`gan`).

    `patch`, `kinds` and `jitter`: see `FixedFaces`. `width`, `d_width`, `d_hidden`: channels of generator,
    discriminator and its linear layer; `stn`: with spatial transformers. The recipe is that of URDGN
    (training/urdgn_recipe.py): `adversarial_decay` an epoch of `epoch_steps` down to `adversarial_floor`;
    `lr_decay` an epoch down to 1e-6. `margin`: see `gates`; 0 lets both play always. `schedule`: `paper` (a fiftieth of
    the rate for 50 steps, a fifth for 50 more, then the decay) or `cosine` (to zero); the generator's runs over both
    phases as one. Without `features:` there is no perceptual term.
    """

    inputs = ("attributes",)
    paper: ClassVar[dict[str, Any]] = {
        "width": 32, "stn": True, "d_width": 32, "d_hidden": 1024, "kinds": ["plain"], "pixel_weight": 1.0,
        "adversarial_weight": 0.01, "adversarial_decay": 0.995, "adversarial_floor": 0.005, "epoch_steps": 2561,
        "perceptual_weight": 0.01, "perceptual_tap": "relu3_2", "margin": 0.3, "optimiser": "rmsprop", "lr": 1e-3,
        "lr_decay": 0.95, "schedule": "paper", "jitter": 0.0, "steps": {"pixel": 0, "gan": 174_000}, "batch": 64,
        "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "optimiser": ("rmsprop", "adam"), "schedule": ("paper", "cosine")}
    reading = ("which 18 attributes; an unknown one is the mean over the training faces; faces of 64 pixels drop one "
               "encoder stage; the discriminator sees the whole batch three times instead of half of it; wrong "
               "attributes are those of another face of the batch; its loss is the mean over all three, a third each; "
               "a phase of pixels alone may come first, the generator's rate running over both as one; the perceptual "
               "term is on the features that the run names, in their own units")
    stored_networks = ("generator",)

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        s = self.settings
        return {"generator": Generator(s["patch"], s["width"], len(CHOSEN), s["stn"]),
                "discriminator": Discriminator(s["patch"], s["d_width"], len(CHOSEN), s["d_hidden"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`mean`: the share of the training faces that has each of the 18 attributes, among those of whom it is known;
        a half where it is known of none."""
        records = material.records
        known = np.stack([records.arrays(number)["attributes"][PLACES] for number in range(len(records))])
        has, there = (known > 0).sum(0), (known != 0).sum(0)
        return {"mean": np.where(there > 0, has / np.maximum(there, 1), 0.5).astype(np.float32)}

    def phases(self) -> list[Phase]:
        """The generator by its pixel error, then the discriminator and the generator, on the same restored faces."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def generator(loss: Callable[[Context], dict[str, Tensor]], before: int) -> Player:
            """Its rate runs over both phases as one: a second start at the full rate undoes what was learned."""
            return Player("generator", ["generator"], loss, self._optimiser,
                          schedule=lambda step, steps: self.rate(before + step, pixel + gan))

        return [Phase("pixel", pixel, [generator(self.pixel_loss, 0)]), Phase("gan", gan, [
            Player("discriminator", ["discriminator"], self.discriminator_loss, self._optimiser, schedule=self.rate),
            generator(self.generator_loss, pixel)])]

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate in that step of `steps`."""
        s = self.settings
        if s["schedule"] == "cosine":
            return schedules.cosine()(step, steps)
        return urdgn_recipe.falling_rate(s["lr"], s["lr_decay"], s["epoch_steps"])(step, steps)

    def adversarial_weight(self, step: int) -> float:
        """Its weight in that step of the phase: it falls with the epochs."""
        s = self.settings
        return urdgn_recipe.adversarial_weight(step // s["epoch_steps"], s["adversarial_weight"],
                                               s["adversarial_decay"], s["adversarial_floor"])

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of pictures in [-1, 1]."""
        return {"mse": functional.mse_loss(self._restored(context), self._faces(context)[1])}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy, a third each, as the released code averages over its batch of three parts: true faces
        with their attributes are real; restored ones with these, and true ones with attributes of another face, are
        not."""
        plays = self.gates(context)[0]
        terms = zip(("real", "fake", "wrong"), self._errors(context), strict=True)
        return {name: plays * term / 3 for name, term in terms}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The squared error, -log D with its weight, and the squared error of features where the run has them."""
        s, restored, truth = self.settings, self._restored(context), self._faces(context)[1]
        plays = self.gates(context)[1]
        judged = context.networks["discriminator"](restored, self.told(context.inputs))
        terms = {"mse": s["pixel_weight"] * functional.mse_loss(restored, truth),
                 "adversarial": self.adversarial_weight(context.step) * generator_term("bce", judged)}
        terms |= feature_error(context.slots.get("features"), (restored + 1) / 2, (truth + 1) / 2, s["perceptual_tap"],
                               s["perceptual_weight"])
        return {name: plays * term for name, term in terms.items()}

    def gates(self, context: Context) -> tuple[Tensor, Tensor]:
        """1 or 0 for the discriminator and the generator: who plays in this step, by the discriminator's errors on
        the real and on the unreal."""
        def decide() -> tuple[Tensor, Tensor]:
            real, fake, wrong = self._errors(context)
            return urdgn_recipe.who_plays(real, (fake + wrong) / 2, self.settings["margin"])

        return context.once("gates", decide)

    def told(self, inputs: Inputs) -> Tensor:
        """N x 18 of what the networks are told: 1 has it, 0 has it not, the training faces' mean where it is unknown,
        and everywhere where no attributes are given."""
        lr = inputs["lr"]
        mean = torch.from_numpy(np.asarray(self.constants["mean"], np.float32)).to(lr.device).expand(len(lr), -1)
        if "attributes" not in inputs:
            return mean
        given = inputs["attributes"][:, PLACES].float()
        return torch.where(given == 0, mean, (given > 0).float())

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) and, where they are known, `attributes`, to `sr`, clipped to [0, 1].
        `UserError` for another size than the network's own."""
        lr = _centred(self.small(inputs))
        restored = model.networks["generator"](lr, self.told(inputs)).float()
        return {"sr": ((restored + 1) / 2).clip(0, 1)}

    def _faces(self, context: Context) -> tuple[Tensor, Tensor]:
        """The small faces and the true ones in [-1, 1], in other light where the run has `jitter`."""
        small, truth = self.faces(context)
        return _centred(small), _centred(truth)

    def _restored(self, context: Context) -> Tensor:
        """The generator's faces in [-1, 1]: one forward pass a step for both players."""
        return context.once("sr", lambda: context.networks["generator"](
            self._faces(context)[0], self.told(context.inputs)).float())

    def _errors(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The discriminator's errors on true faces, on restored ones and on true ones with wrong attributes."""
        def judge() -> tuple[Tensor, Tensor, Tensor]:
            network, truth = context.networks["discriminator"], self._faces(context)[1]
            told, others = self.told(context.inputs), self.told(context.inputs).roll(1, 0)
            terms = discriminator_terms("bce", network(truth, told), network(self._restored(context).detach(), told))
            mistaken = (told != others).any(1).float()  # two faces with equal attributes are no example
            scores = functional.softplus(network(truth, others).float())[:, 0]
            return terms["real"], terms["fake"], (mistaken * scores).sum() / mistaken.sum().clamp(min=1)

        return context.once("errors", judge)

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return urdgn_recipe.optimiser(self.settings["optimiser"], self.settings["lr"], parameters)


def _centred(pictures: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * pictures - 1


METHOD = Aeun
