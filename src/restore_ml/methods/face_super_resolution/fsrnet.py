"""FSRNet and FSRGAN (Chen, Tai, Liu, Shen, Yang, FSRNet: end-to-end learning face super-resolution with facial priors,
CVPR 2018): a coarse face is made of the interpolated one, where landmarks lie and which parts are seen is told of it,
and the fine face is made with what that network knows. As FSRGAN it also plays against a discriminator.

Landmarks and parts serve training only: nobody gives them, and a face of which they are not known is left out of their
error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.degradations.resize import imresize
from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.perceptual import feature_error
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.face_priors import FSRNet, Restored
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.patchgan import PatchDiscriminator
from restore_ml.tasks.face_super_resolution.annotations import LANDMARKS, LEARNED, PARTS, learned
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules


class Fsrnet(FixedFaces):
    """`pixel`: coarse face, fine face and priors; `gan`, where it has steps: the same against the discriminator.

    `patch`, `kinds` and `jitter`: see `FixedFaces`, though the net itself takes other sizes too. `width`, `blocks`,
    `encoder_blocks`, `prior_width`, `hourglasses`, `depth`: see `FSRNet`; `d_width`: channels of the discriminator.
    `fine_weight` and `prior_weight` (alpha and beta of equation 3) beside the coarse face's 1, all halved; with a
    `prior_weight` of 0 nothing is told of landmarks and parts. `sigma`: of a landmark's heatmap, in its pixels. Without
    `features:` FSRGAN has no perceptual term. `schedule`: `constant`, or `cosine` (to zero, over both phases as one).
    `residual`: see `FSRNet`.
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "blocks": 3, "encoder_blocks": 12, "prior_width": 128, "hourglasses": 2, "depth": 4,
        "residual": False, "d_width": 64, "kinds": ["plain"], "fine_weight": 1.0, "prior_weight": 1.0, "sigma": 1.0,
        "adversarial_weight": 1e-3, "perceptual_weight": 0.1, "perceptual_tap": "relu3_3", "optimiser": "rmsprop",
        "lr": 2.5e-4, "schedule": "constant", "jitter": 0.0, "steps": {"pixel": 200_000, "gan": 0}, "batch": 14,
        "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "optimiser": ("rmsprop", "adam"), "schedule": ("constant", "cosine")}
    reading = ("five landmarks and nine parts, those of the project's faces, instead of 81 and 11; parsing maps are "
               "shares of a pixel; the prior's features, not its maps, go into the decoder; one error of the last "
               "maps, none between the hourglasses; errors are means over values, those of priors over the values "
               "that are known; heatmaps have a deviation of one pixel; number of steps; FSRGAN's discriminator is "
               "that of pix2pix on the face beside the interpolated one, and its features those of relu3_3 of the "
               "run it names, whose weight of 0.1 counts VGG's as SRGAN does (divided by 12.75), while that of our "
               "own, 0.02, was chosen by the size of their errors; the settings residual (faces as differences from "
               "the interpolated one), jitter and a hundredth of the priors' weight for short trainings are ours")
    derived: ClassVar[Mapping[str, ArraySpec]] = LEARNED
    stored_networks = ("generator",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the faces' size against the depth of the hourglasses."""
        super().__init__(settings)
        halved = 2 ** (self.settings["depth"] + 1)
        if self.settings["patch"] % halved:
            raise self.wrong("depth", f"faces of {self.settings['patch']} pixels cannot be halved so often")
        self.multiple = max(1, halved // SCALE)

    def build(self) -> dict[str, nn.Module]:
        """`generator` and, for FSRGAN, `discriminator`."""
        s = self.settings
        networks: dict[str, nn.Module] = {"generator": FSRNet(
            s["width"], s["blocks"], s["encoder_blocks"], s["prior_width"], s["hourglasses"], s["depth"], LANDMARKS,
            PARTS, s["residual"])}
        return networks | ({"discriminator": PatchDiscriminator(6, s["d_width"])} if s["steps"]["gan"] else {})

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training what is known of landmarks and parts; nothing when restoring."""
        return learned(target)

    def phases(self) -> list[Phase]:
        """The generator alone, then the discriminator and the generator, on the same restored faces."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def player(name: str, loss: Any, before: int, whole: int) -> Player:
            cosine = self.settings["schedule"] == "cosine"
            schedule = schedules.cosine(before=before, whole=whole) if cosine else schedules.constant()
            return Player(name, [name], loss, self._optimiser, schedule=schedule)

        phases = [Phase("pixel", pixel, [player("generator", self.face_loss, 0, pixel + gan)])]
        return phases + ([Phase("gan", gan, [player("discriminator", self.discriminator_loss, 0, gan),
                                             player("generator", self.generator_loss, pixel, pixel + gan)])]
                         if gan else [])

    def face_loss(self, context: Context) -> dict[str, Tensor]:
        """Equation 3: half of the squared errors of the coarse face, of the fine face and of the priors."""
        s, made, truth = self.settings, self._restored(context), self._faces(context)[1]
        terms = {"coarse": 0.5 * functional.mse_loss(made.coarse.float(), truth),
                 "fine": 0.5 * s["fine_weight"] * functional.mse_loss(made.fine.float(), truth)}
        if s["prior_weight"]:
            terms["prior"] = 0.5 * s["prior_weight"] * self._prior_error(context, made)
        return terms

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of true and restored faces, each beside the interpolated one."""
        judge, (shown, truth) = context.networks["discriminator"], self._faces(context)
        fine = self._restored(context).fine.detach()
        return discriminator_terms("bce", judge(torch.cat([truth, shown], 1)), judge(torch.cat([fine, shown], 1)))

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """What `face_loss` gives, -log D, and the squared error of features where the run has them."""
        s, (shown, truth), fine = self.settings, self._faces(context), self._restored(context).fine.float()
        judged = context.networks["discriminator"](torch.cat([fine, shown], 1))
        terms = self.face_loss(context) | {"adversarial": s["adversarial_weight"] * generator_term("bce", judged)}
        return terms | feature_error(context.slots.get("features"), fine, truth, s["perceptual_tap"],
                                     s["perceptual_weight"])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        return {"sr": model.networks["generator"](enlarged(inputs["lr"])).fine.float().clip(0, 1)}

    def _faces(self, context: Context) -> tuple[Tensor, Tensor]:
        """The interpolated faces and the true ones, in other light where the run has `jitter`."""
        lr, truth = self.faces(context)
        return context.once("enlarged", lambda: enlarged(lr)), truth

    def _restored(self, context: Context) -> Restored:
        """What the generator gives: one forward pass a step for both players."""
        made: Restored = context.once("sr", lambda: context.networks["generator"](self._faces(context)[0]))
        return made

    def _prior_error(self, context: Context, made: Restored) -> Tensor:
        """The mean squared error of heatmaps and parsing maps over the faces of which they are known; 0 where they are
        of none."""
        given, size = context.inputs, made.heatmaps.shape[2:]
        landmarks, parsing = given["annotated"][:, 0], given["annotated"][:, 1]
        errors = torch.zeros((), device=landmarks.device)
        values = torch.zeros((), device=landmarks.device)
        shift = context.target["hr"].shape[2] / size[0]
        for known, told, truth in (
                (landmarks, made.heatmaps, heatmaps((given["landmarks"] + 0.5) / shift - 0.5, size,
                                                    self.settings["sigma"])),
                (parsing, made.parsing, shares(given["parsing"], size))):
            errors = errors + (known[:, None, None, None] * (told.float() - truth).square()).sum()
            values = values + known.sum() * truth[0].numel()
        return errors / values.clamp(min=1)

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, self.settings["lr"])
        return torch.optim.RMSprop(parameters, self.settings["lr"])


def enlarged(lr: Tensor) -> Tensor:
    """Bicubic, eight times."""
    return imresize(lr, SCALE)


def heatmaps(points: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """N x P x 2 points (x, y) in pixels of maps of `size` (H, W) to N x P x H x W: exp(-d^2 / (2 sigma^2)), 1 where a
    pixel's centre is the landmark."""
    rows, columns = (torch.arange(length, device=points.device, dtype=points.dtype) for length in size)
    x, y = points[..., 0, None, None], points[..., 1, None, None]
    return (((columns - x).square() + (rows[:, None] - y).square()) / (-2 * sigma ** 2)).exp()


def shares(labels: Tensor, size: Sequence[int]) -> Tensor:
    """N x 1 x H x W labels to maps of `size`, N x `PARTS` x h x w: the share of each part in a pixel."""
    maps = functional.one_hot(labels[:, 0], PARTS).movedim(-1, 1).float()
    return functional.adaptive_avg_pool2d(maps, (size[0], size[1]))


METHOD = Fsrnet
