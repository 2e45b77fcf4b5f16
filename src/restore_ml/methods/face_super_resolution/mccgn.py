"""A multi-class GAN (Xu, Sun, Pan, Zhang, Pfister, Yang, Learning to super-resolve blurry face and text images, ICCV
2017): one generator restores faces and text, and one discriminator tells real faces, real text and what was restored
apart.

Text is rendered beside each training face; only faces are restored. reading: that the lecture's "MCcGN" is this method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.degradations.rendered_text import text_patch
from restore_ml.kinds import PICTURE
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.multi_class_gan import Discriminator, Generator
from restore_ml.tasks.face_super_resolution.task import TASK, made_small
from restore_ml.training import schedules

FACE, TEXT, FAKE = range(3)
"""The discriminator's classes."""


@dataclass(frozen=True)
class Pairs:
    """The faces of a step and the texts behind them, true and restored, in [-1, 1]; the class of each."""

    truth: Tensor
    restored: Tensor
    classes: Tensor


class Mccgn(FixedFaces):
    """Squared error first (`pixel`), then against the discriminator (`gan`).

    `patch`, `kinds` and `jitter`: see `FixedFaces`, though the net itself takes other sizes too. `width`,
    `convolutions`, `skips`, `residual`: see `Generator`; `d_width`, `d_hidden`: see `Discriminator`. `text_share`:
    texts in a batch, for each face. `schedule`: `constant`, or `cosine` (to zero, over both phases as one).
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "convolutions": 8, "skips": False, "residual": False, "d_width": 64, "d_hidden": 1024,
        "kinds": ["blur_noise"], "text_share": 1.0, "pixel_weight": 1.0, "adversarial_weight": 1e-3,
        "matching_weight": 1e-3, "lr": 2e-4, "schedule": "constant", "jitter": 0.0,
        "steps": {"pixel": 100_000, "gan": 100_000}, "batch": 16, "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "schedule": ("constant", "cosine")}
    reading = ("that the lecture's abbreviation means this method; faces are enlarged eight times, by one more "
               "first layer, instead of four; the task's blur and noise; channels, kernels and the discriminator's "
               "layers; feature matching is the squared error of the discriminator's last maps, its weight that of "
               "the adversarial term; a phase of pixels first; optimiser, rate and number of steps; text is "
               "rendered in Pillow's built-in font; the settings skips, residual (a face as a difference from the "
               "interpolated one), fewer texts than faces and jitter for short trainings are ours")
    derived: ClassVar[Mapping[str, ArraySpec]] = {"text": ArraySpec(PICTURE, 3), "text_lr": ArraySpec(PICTURE, 3)}
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the share of texts and the number of convolutions."""
        super().__init__(settings)
        if not 0 < self.settings["text_share"] <= 1:
            raise self.wrong("text_share", "it must be above 0 and at most 1")
        if self.settings["convolutions"] % 2:
            raise self.wrong("convolutions", "it must be an even number")

    def build(self) -> dict[str, nn.Module]:
        """`generator` and `discriminator`."""
        s = self.settings
        return {"generator": Generator(s["width"], s["convolutions"], s["skips"], s["residual"]),
                "discriminator": Discriminator(s["patch"], s["d_width"], s["d_hidden"])}

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training a text of the face's size, made small by one of the run's kinds; nothing when restoring."""
        if target is None:
            return {}
        text = text_patch(len(target["hr"]), rng)
        kind = self.settings["kinds"][int(rng.integers(len(self.settings["kinds"])))]
        return {"text": text, "text_lr": made_small(text, kind, TASK.defaults, rng)}

    def phases(self) -> list[Phase]:
        """The generator by its pixel error, then the discriminator and the generator, on the same restored pictures."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def player(name: str, loss: Any, before: int, whole: int) -> Player:
            cosine = self.settings["schedule"] == "cosine"
            schedule = schedules.cosine(before=before, whole=whole) if cosine else schedules.constant()
            return Player(name, [name], loss, self._adam, schedule=schedule)

        return [Phase("pixel", pixel, [player("generator", self.pixel_loss, 0, pixel + gan)]),
                Phase("gan", gan, [player("discriminator", self.discriminator_loss, 0, gan),
                                   player("generator", self.generator_loss, pixel, pixel + gan)])]

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """The mean squared error of faces and texts in [-1, 1]."""
        pairs = self._pairs(context)
        return {"mse": self.settings["pixel_weight"] * functional.mse_loss(pairs.restored, pairs.truth)}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy of three classes: of real faces, of real texts, and of restored ones, which are fake."""
        pairs, judge = self._pairs(context), context.networks["discriminator"]
        terms = {}
        for name, number, pictures in (("face", FACE, pairs.truth[pairs.classes == FACE]),
                                       ("text", TEXT, pairs.truth[pairs.classes == TEXT]),
                                       ("fake", FAKE, pairs.restored.detach())):
            terms[name] = to_class(judge(pictures)[0], torch.full_like(pairs.classes[:len(pictures)], number))
        return terms

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """The pixel error, the cross-entropy towards each picture's own real class, and the squared error of the
        discriminator's last maps."""
        s, pairs, judge = self.settings, self._pairs(context), context.networks["discriminator"]
        scores, maps = judge(pairs.restored)
        with torch.no_grad():
            wanted = judge(pairs.truth)[1].float()
        return {**self.pixel_loss(context), "adversarial": s["adversarial_weight"] * to_class(scores, pairs.classes),
                "matching": s["matching_weight"] * functional.mse_loss(maps.float(), wanted)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        restored = model.networks["generator"](2 * inputs["lr"] - 1).float()
        return {"sr": ((restored + 1) / 2).clip(0, 1)}

    def _pairs(self, context: Context) -> Pairs:
        """The step's faces, in other light where the run has `jitter`, and its texts: one forward pass for both players
        and both classes, so that batch norm remembers what it has seen."""
        def make() -> Pairs:
            given, (lr, truth) = context.inputs, self.faces(context)
            texts = max(1, round(self.settings["text_share"] * len(lr)))
            small, whole = (2 * torch.cat([faces, given[name][:texts]]) - 1
                            for faces, name in ((lr, "text_lr"), (truth, "text")))
            classes = torch.tensor([FACE] * len(lr) + [TEXT] * texts, device=lr.device)
            return Pairs(whole, context.networks["generator"](small).float(), classes)

        pairs: Pairs = context.once("pairs", make)
        return pairs

    def _adam(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.5, 0.999))


def to_class(scores: Tensor, classes: Tensor) -> Tensor:
    """The mean cross-entropy of N x K scores towards N classes."""
    return functional.cross_entropy(scores.float(), classes)


METHOD = Mccgn
