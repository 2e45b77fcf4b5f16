"""A transformative discriminative autoencoder (Yu, Porikli, Hallucinating very low-resolution unaligned and noisy face
images by transformative discriminative autoencoders, CVPR 2017): a decoder enlarges the small face and turns it
upright, an encoder makes a clean small face of the result, and a second decoder enlarges that.

The three are trained one after the other, the decoders against a discriminator each. What the paper leaves open was
read in the authors' released code: layers, optimiser, weights, the margin.
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
from restore_ml.nn.transformative_autoencoder import Encoder, FirstDecoder, SecondDecoder, clipped
from restore_ml.nn.urdgn_discriminator import Discriminator
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules, urdgn_recipe

BEFORE: dict[str, tuple[str, ...]] = {"decoder_1": (), "encoder": ("decoder_1",), "decoder_2": ("decoder_1", "encoder")}
"""What a network's input has gone through."""


class Tdae(FixedFaces):
    """Pictures in [-1, 1], clipped between the networks. The decoders: squared error and -log D; the encoder: squared
    error to the small face without noise or blur.

    `width`, `encoder_width`, `d_width`, `d_hidden`: channels of the decoders, the encoder, the discriminators and their
    linear layer; `stn`: with spatial transformers. `steps`: of the decoders without (`pixel_1`, `pixel_2`, of which the
    paper has nothing) and with a discriminator, and of the encoder. `adversarial_decay` an epoch of `epoch_steps` down
    to `adversarial_floor`; `lr_decay` an epoch. `margin`: the stronger player rests (see
    `restore_ml.training.urdgn_recipe`); with 0 none does. `schedule`: `paper` or `cosine` (to zero); a decoder's runs
    over both its phases as one. Ours, off at paper: `residual`, a network's picture is added to its input, resized
    bicubically. `patch`, `kinds` and `jitter`: see `FixedFaces`.
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "encoder_width": 32, "stn": True, "d_width": 32, "d_hidden": 1024, "kinds": ["plain"],
        "adversarial_weight": 0.01, "adversarial_decay": 0.99, "adversarial_floor": 0.005, "epoch_steps": 468,
        "margin": 0.3, "optimiser": "rmsprop", "lr": 1e-3, "lr_decay": 0.99, "schedule": "paper", "residual": False,
        "jitter": 0.0, "batch": 64, "patch": 128, "ema": 0.0,
        "steps": {"pixel_1": 0, "decoder_1": 46_800, "encoder": 46_800, "pixel_2": 0, "decoder_2": 46_800},
    }
    choices: ClassVar = {**FixedFaces.choices, "optimiser": ("rmsprop", "adam"), "schedule": ("paper", "cosine")}
    reading = ("aligned faces, not turned ones, and at paper without their noise; a hundred epochs a network; the "
               "encoder has the decoders' batch; each decoder has a discriminator of its own, which sees the whole "
               "batch twice instead of half of it; a network learns from what the ones before it make, which stand "
               "still; transformers begin as the identity; faces of 64 pixels pad convolutions of the transformers; "
               "small profiles begin with pixels alone, add to the resized input and show faces in other light")
    stored_networks = ("decoder_1", "encoder", "decoder_2")

    def build(self) -> dict[str, nn.Module]:
        """The three networks and the two discriminators."""
        s = self.settings
        networks: dict[str, nn.Module] = {
            "decoder_1": FirstDecoder(s["patch"], s["width"], s["stn"]),
            "encoder": Encoder(s["patch"], s["encoder_width"], s["stn"]), "decoder_2": SecondDecoder(s["width"])}
        if s["residual"]:
            for name in self.stored_networks:
                last: Any = list(networks[name].children())[-1]
                nn.init.normal_(last.weight, std=1e-3)
                nn.init.zeros_(last.bias)
        return networks | {f"discriminator_{number}": Discriminator(s["patch"], s["d_width"], s["d_hidden"])
                           for number in (1, 2)}

    def phases(self) -> list[Phase]:
        """First decoder, encoder, second decoder; what was trained before stands still, its statistics too."""
        encoder = Player("encoder", ["encoder"], lambda context: {"mse": self.error(context, "encoder")},
                         self._optimiser, schedule=self.rate)
        return [*self._decoder(1), Phase("encoder", self.settings["steps"]["encoder"], [encoder],
                                         frozen_norm=BEFORE["encoder"]), *self._decoder(2)]

    def _decoder(self, number: int) -> list[Phase]:
        """A decoder by its squared error, then the discriminator and the decoder, on the same restored faces."""
        name, judge = f"decoder_{number}", f"discriminator_{number}"
        pixel, gan = (self.settings["steps"][phase] for phase in (f"pixel_{number}", name))

        def decoder(loss: Callable[[Context], dict[str, Tensor]], before: int) -> Player:
            """Its rate runs over both phases as one."""
            return Player(name, [name], loss, self._optimiser,
                          schedule=lambda step, steps: self.rate(before + step, pixel + gan))

        return [Phase(f"pixel_{number}", pixel, [decoder(lambda context: {"mse": self.error(context, name)}, 0)],
                      frozen_norm=BEFORE[name]),
                Phase(name, gan, [Player(judge, [judge], lambda context: self.discriminator_loss(context, number),
                                         self._optimiser, schedule=self.rate),
                                  decoder(lambda context: self.decoder_loss(context, number), pixel)],
                      frozen_norm=BEFORE[name])]

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate in that step of `steps`."""
        s = self.settings
        if s["schedule"] == "cosine":
            return schedules.cosine()(step, steps)
        return urdgn_recipe.falling_rate(s["lr"], s["lr_decay"], s["epoch_steps"])(step, steps)

    def error(self, context: Context, name: str) -> Tensor:
        """The network's mean squared error: of the face, or, the encoder's, of the small face made of the true one
        without noise or blur; all in [-1, 1]."""
        truth = self._truth(context)
        wanted = imresize(truth, 1 / SCALE) if name == "encoder" else truth
        return functional.mse_loss(self._made(context, name), wanted)

    def discriminator_loss(self, context: Context, number: int) -> dict[str, Tensor]:
        """Binary cross-entropy, half of it of true faces and half of restored ones; nothing while it rests."""
        plays, (real, fake) = self._gates(context, number)[0], self._errors(context, number)
        return {"real": plays * real / 2, "fake": plays * fake / 2}

    def decoder_loss(self, context: Context, number: int) -> dict[str, Tensor]:
        """The squared error, and -log D with its weight; nothing while it rests."""
        s, name, plays = self.settings, f"decoder_{number}", self._gates(context, number)[1]
        weight = urdgn_recipe.adversarial_weight(context.step // s["epoch_steps"], s["adversarial_weight"],
                                                 s["adversarial_decay"], s["adversarial_floor"])
        judged = context.networks[f"discriminator_{number}"](self._made(context, name))
        return {"mse": plays * self.error(context, name),
                "adversarial": plays * weight * generator_term("bce", judged)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than the networks'
        own."""
        face = 2 * self.small(inputs) - 1
        for name in self.stored_networks:
            face = clipped(self._through(model.networks[name], name, face))
        return {"sr": (face + 1) / 2}

    def _through(self, network: nn.Module, name: str, picture: Tensor) -> Tensor:
        """What the network makes of a picture, as float32; not clipped."""
        made: Tensor = network(picture).float()
        if self.settings["residual"]:
            made = made + imresize(picture.float(), 1 / SCALE if name == "encoder" else float(SCALE))
        return made

    def _made(self, context: Context, name: str) -> Tensor:
        """The network's picture of what the ones before it, which do not learn from it, make of the small face: one
        forward pass a step for both players."""
        def make() -> Tensor:
            picture = 2 * self.faces(context)[0] - 1
            with torch.no_grad():
                for before in BEFORE[name]:
                    picture = clipped(self._through(context.networks[before], before, picture))
            return self._through(context.networks[name], name, picture)

        made: Tensor = context.once(name, make)
        return made

    def _truth(self, context: Context) -> Tensor:
        """True faces in [-1, 1]."""
        return 2 * self.faces(context)[1] - 1

    def _errors(self, context: Context, number: int) -> tuple[Tensor, Tensor]:
        """The discriminator's errors on true and on restored faces, which both players' gates look at."""
        judge, decoder = f"discriminator_{number}", f"decoder_{number}"
        errors: tuple[Tensor, Tensor] = context.once("errors", lambda: urdgn_recipe.errors(
            context.networks[judge], self._truth(context), self._made(context, decoder)))
        return errors

    def _gates(self, context: Context, number: int) -> tuple[Tensor, Tensor]:
        return urdgn_recipe.who_plays(*self._errors(context, number), self.settings["margin"])

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return urdgn_recipe.optimiser(self.settings["optimiser"], self.settings["lr"], parameters)


METHOD = Tdae
