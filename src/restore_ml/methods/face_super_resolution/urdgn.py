"""URDGN: a convolutional generator and a discriminator of faces (Yu, Porikli, Ultra-resolving face images by
discriminative generative networks, ECCV 2016).

Layers and recipe are those of the authors' released code, as the method card has them: the text draws deconvolutions,
the code repeats pixels and convolves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.losses.adversarial import generator_term
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.urdgn_discriminator import Discriminator
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules, urdgn_recipe

FIRST = 0.01
"""The share of the last layer's first weights that a generator starts with whose pictures are added to bicubic ones."""


class Generator(nn.Module):
    """N x 3 x h x w in [-1, 1] to N x 3 x 8h x 8w, not clipped; any size.

    Four convolutions with batch norm and ReLU, 3 x 3, 3 x 3, 5 x 5 and 5 x 5, with 1, 4, 8 and 16 times `width`
    channels; behind each of the first three the maps are made twice as large by repeating pixels. A last one of 5 x 5.
    `residual`: what it gives is added to the bicubic enlargement.
    """

    def __init__(self, width: int = 16, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        layers: list[nn.Module] = []
        before = 3
        for number, (factor, size) in enumerate(((1, 3), (4, 3), (8, 5), (16, 5))):
            channels = factor * width
            layers += [nn.Conv2d(before, channels, size, padding=size // 2), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.Upsample(scale_factor=2, mode="nearest")] if number < 3 else []
            before = channels
        self.body = nn.Sequential(*layers)
        self.tail = nn.Conv2d(before, 3, 5, padding=2)
        if residual:
            with torch.no_grad():
                self.tail.weight.mul_(FIRST)
                nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, lr: Tensor) -> Tensor:
        """The face."""
        made = self.tail(self.body(lr))
        return imresize(lr, float(SCALE)) + made if self.residual else made


class Urdgn(FixedFaces):
    """Squared error first (`pixel`, of which the paper has nothing), then against the discriminator (`gan`).

    `patch`, `kinds` and `jitter`: see `FixedFaces`. `width`: see `Generator`; `d_width` and `d_hidden`: channels and
    numbers of the discriminator. `adversarial_decay` an epoch of `epoch_steps` down to `adversarial_floor`; `lr_decay`
    an epoch. `margin`: the stronger player rests (`restore_ml.training.urdgn_recipe.who_plays`); with 0 none does.
    `schedule`: `paper` or `cosine` (to zero); the generator's runs over both phases as one. `residual`: the generator
    starts as bicubic interpolation.
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 16, "residual": False, "d_width": 32, "d_hidden": 1024, "kinds": ["plain"], "jitter": 0.0,
        "adversarial_weight": 0.01, "adversarial_decay": 0.99, "adversarial_floor": 0.005, "epoch_steps": 115,
        "margin": 0.3, "optimiser": "rmsprop", "lr": 1e-3, "lr_decay": 0.99, "schedule": "paper",
        "steps": {"pixel": 0, "gan": 26_450}, "batch": 128, "patch": 128, "ema": 0.0,
    }
    """An epoch is 14,720 faces; reading: 230 of them, after which the rate is a tenth."""
    choices: ClassVar = {**FixedFaces.choices, "optimiser": ("rmsprop", "adam"), "schedule": ("paper", "cosine")}
    reading = ("the number of steps; the warm-up of the rates and the fall of the adversarial weight are those of the "
               "authors' later TDAE; the discriminator sees the whole batch twice instead of half of it; ours for "
               "short trainings: faces of 64 pixels, a phase of pixels alone first, the generator's rate running over "
               "both as one, faces in other light (jitter), and a generator whose picture is added to the bicubic "
               "one (residual)")
    stored_networks = ("generator",)

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        s = self.settings
        return {"generator": Generator(s["width"], s["residual"]),
                "discriminator": Discriminator(s["patch"], s["d_width"], s["d_hidden"])}

    def phases(self) -> list[Phase]:
        """The generator by its pixel error, then the discriminator and the generator, on the same restored faces."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def generator(loss: Callable[[Context], dict[str, Tensor]], before: int) -> Player:
            """Its rate runs over both phases as one."""
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

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of pictures in [-1, 1]."""
        return {"mse": functional.mse_loss(self._restored(context), self._truth(context))}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy, half of it of true faces and half of restored ones; nothing while it rests."""
        plays, (real, fake) = self._gates(context)[0], self._errors(context)
        return {"real": plays * real / 2, "fake": plays * fake / 2}

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The squared error, and -log D with its weight; nothing while it rests."""
        s, plays = self.settings, self._gates(context)[1]
        weight = urdgn_recipe.adversarial_weight(context.step // s["epoch_steps"], s["adversarial_weight"],
                                                 s["adversarial_decay"], s["adversarial_floor"])
        judged = context.networks["discriminator"](self._restored(context))
        return {"mse": plays * self.pixel_loss(context)["mse"],
                "adversarial": plays * weight * generator_term("bce", judged)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than that of the
        faces that it learned from, whose place and size it expects."""
        made = model.networks["generator"](2 * self.small(inputs) - 1).float()
        return {"sr": ((made + 1) / 2).clip(0, 1)}

    def _truth(self, context: Context) -> Tensor:
        """True faces in [-1, 1]."""
        return 2 * self.faces(context)[1] - 1

    def _restored(self, context: Context) -> Tensor:
        """The generator's faces in [-1, 1]: one forward pass a step for both players."""
        return context.once("sr", lambda: context.networks["generator"](2 * self.faces(context)[0] - 1).float())

    def _errors(self, context: Context) -> tuple[Tensor, Tensor]:
        """The discriminator's errors on true and on restored faces, which both players' gates look at."""
        return context.once("errors", lambda: urdgn_recipe.errors(
            context.networks["discriminator"], self._truth(context), self._restored(context)))

    def _gates(self, context: Context) -> tuple[Tensor, Tensor]:
        return urdgn_recipe.who_plays(*self._errors(context), self.settings["margin"])

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return urdgn_recipe.optimiser(self.settings["optimiser"], self.settings["lr"], parameters)


METHOD = Urdgn
