"""SiGAN, a Siamese generative adversarial network (Hsu, Lin, Su, Cheung, SiGAN: Siamese generative adversarial network
for identity-preserving face hallucination, IEEE Transactions on Image Processing 28(12), 2019): two generators with the
same weights enlarge two faces, and what they make of one person must be alike, of two persons must differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.face_enlarging import bicubic, centred, to_unit
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.muon import Muon
from restore_ml.nn.person_pairs import PersonPairs
from restore_ml.seeds import sample_generator
from restore_ml.tasks.base import Material, Sample
from restore_ml.tasks.face_super_resolution.training import TRAINING
from restore_ml.training import schedules

SCALE = 8
LEAK = 0.2
EPSILON = 1e-10
"""Under the square root of a distance."""


class Generator(nn.Module):
    """N x 3 x side/8 x side/8 to N x 3 x side x side, in [-1, 1].

    A stem to 8 `width` channels (`conv`: Conv 3 x 3; `linear`: one linear layer from all pixels to all places), batch
    norm, ReLU; three times twice as large by repeating pixels, Conv 3 x 3 to half the channels, batch norm, ReLU; Conv
    3 x 3 and a hyperbolic tangent. `residual`: that is added to the bicubic picture and begins as 0.
    """

    def __init__(self, side: int, width: int, stem: str = "conv", residual: bool = False) -> None:
        super().__init__()
        small, channels = side // SCALE, 8 * width
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)] if stem == "conv" else [
            nn.Flatten(), nn.Linear(3 * small**2, channels * small**2), nn.Unflatten(1, (channels, small, small))]
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, channels // 2, 3, padding=1),
                       nn.BatchNorm2d(channels // 2), nn.ReLU()]
            channels //= 2
        self.body, self.tail, self.residual = nn.Sequential(*layers), nn.Conv2d(channels, 3, 3, padding=1), residual
        if residual:
            nn.init.zeros_(self.tail.weight)
            if self.tail.bias is not None:
                nn.init.zeros_(self.tail.bias)

    def forward(self, small: Tensor) -> Tensor:
        """The face; with `residual` it may lie a little outside."""
        drawn = self.tail(self.body(small)).tanh()
        return bicubic(small.float()) + drawn if self.residual else drawn


class Judge(nn.Module):
    """N x 3 x side x side in [-1, 1] to N x `numbers`: four times Conv 4 x 4 of stride 2 (batch norm from the second
    on) and leaky ReLU, with `width`, 2, 4 and 8 `width` channels, then a linear layer."""

    def __init__(self, side: int, width: int, numbers: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(((3, width), (width, 2 * width), (2 * width, 4 * width),
                                                  (4 * width, 8 * width))):
            layers += [nn.Conv2d(before, after, 4, 2, 1), *([nn.BatchNorm2d(after)] if number else []),
                       nn.LeakyReLU(LEAK)]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * width * (side // 16) ** 2, numbers))

    def forward(self, faces: Tensor) -> Tensor:
        """Logits."""
        return self.net(faces)


@dataclass(frozen=True)
class Pairs:
    """The faces of a step, in [-1, 1]: `small` and `true` have the N faces of the batch and behind them their N
    partners; `same` (N) says of which the partner is the same person."""

    small: Tensor
    true: Tensor
    same: Tensor


class Sigan(FixedFaces):
    """The pair of generators by its pixel error and the contrastive one (`pixel`), then also against a discriminator
    (`gan`).

    `width`: channels of the generator's last maps; `stem` and `residual`: see `Generator`. `d_width`: channels of the
    discriminator's first maps, `e_width` of the embedding's, which gives `dimension` numbers. `margin`: how far apart
    two persons must lie. `schedule`: `paper` (half the rate every `half_life` steps) or `cosine` (to zero), over both
    phases as one. `optimiser`: `adam`, or `muon`, which moves the generator's inner layers, at `muon_lr`.
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "stem": "conv", "residual": False, "d_width": 64, "e_width": 64, "dimension": 128,
        "kinds": ["plain"], "pixel_weight": 0.9, "adversarial_weight": 0.1, "contrastive_weight": 0.1, "margin": 0.5,
        "jitter": 0.0, "optimiser": "adam", "lr": 2e-4, "muon_lr": 0.01, "schedule": "paper", "half_life": 5000,
        "steps": {"pixel": 0, "gan": 100_000}, "batch": 64, "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "stem": ("conv", "linear"), "schedule": ("paper", "cosine"),
                         "optimiser": ("adam", "muon")}
    reading = ("from 16 x 16 to 128 x 128 where the paper goes to 64 x 64 or begins at 32 x 32; layers and widths of "
               "the generator, of the discriminator and of the embedding, which looks at the restored pair where the "
               "released one looks at the generator's inner maps (a softmax stands behind both); the pixel "
               "error is to the true face, where the released code compares what becomes of the result when it is made "
               "small; the contrastive term is weighed into the generator's, where the released code has an optimiser "
               "of its own for it; one face of a pair comes from the batch, the other one is drawn: of every second "
               "face of the batch another picture of the same person; steps; a phase without discriminator, a linear "
               "stem, a result that adds to the bicubic picture and other light are for short trainings")
    stored_networks = ("generator",)

    def build(self) -> dict[str, nn.Module]:
        """`generator`, `discriminator` and `embedding`."""
        s = self.settings
        return {"generator": Generator(s["patch"], s["width"], s["stem"], s["residual"]),
                "discriminator": Judge(s["patch"], s["d_width"]),
                "embedding": Judge(s["patch"], s["e_width"], s["dimension"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """Nothing to store; the training looks its pairs up in the material."""
        self._persons = PersonPairs(material.records)
        return {}

    def phases(self) -> list[Phase]:
        """The pair by its pixels and its persons, then the discriminator and the pair."""
        pixel, gan = (self.settings["steps"][phase] for phase in ("pixel", "gan"))

        def pair(before: int, adversarial: bool) -> Player:
            """Its rate runs over both phases as one."""
            return Player("generator", ["generator", "embedding"],
                          lambda context: self.generator_loss(context, adversarial), self._optimiser,
                          schedule=lambda step, steps: self.rate(before + step, pixel + gan))

        return [Phase("pixel", pixel, [pair(0, False)]), Phase("gan", gan, [
            Player("discriminator", ["discriminator"], self.discriminator_loss, self._adam, schedule=self.rate),
            pair(pixel, True)])]

    def rate(self, step: int, steps: int) -> float:
        """The factor on the learning rate in that step of `steps`."""
        if self.settings["schedule"] == "cosine":
            return schedules.cosine()(step, steps)
        return 0.5 ** (step // self.settings["half_life"])

    def generator_loss(self, context: Context, adversarial: bool = True) -> dict[str, Tensor]:
        """The mean absolute error of both faces of each pair, the contrastive error of what the embedding makes of the
        restored pair (its numbers through a softmax) and, when `adversarial`, -log D of both."""
        s, pairs, restored = self.settings, self.pairs(context), self._restored(context)
        first, second = context.networks["embedding"](restored).float().softmax(1).chunk(2)
        terms = {"l1": s["pixel_weight"] * functional.l1_loss(restored, pairs.true),
                 "contrastive": s["contrastive_weight"] * contrastive(first, second, pairs.same, s["margin"])}
        if adversarial:
            judged = context.networks["discriminator"](restored)
            terms["adversarial"] = s["adversarial_weight"] * generator_term("bce", judged)
        return terms

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of true and restored faces, both of each pair."""
        judge = context.networks["discriminator"]
        return discriminator_terms("bce", judge(self.pairs(context).true), judge(self._restored(context).detach()))

    def pairs(self, context: Context) -> Pairs:
        """The faces of the batch with a partner each: by turns another picture of the same person, where the training
        material has one, and a picture of another person; made as the samples of the batch are, in light of its own."""
        def make() -> Pairs:
            draws = context.integers(2**62, (len(context.ids), 2)).tolist()
            drawn = [self._persons.partner(identity, number % 2 == 0, draw)
                     for number, (identity, (draw, _)) in enumerate(zip(context.ids, draws, strict=True))]
            samples = [TRAINING.sample(record, {}, sample_generator("partner", draw), self.settings, {})
                       for (record, _), (_, draw) in zip(drawn, draws, strict=True)]
            first, second = self.faces(context), self.lit(context, *_tensors(samples, context.inputs["lr"].device))
            small, true = (centred(torch.cat(faces)) for faces in zip(first, second, strict=True))
            return Pairs(small, true, torch.tensor([same for _, same in drawn], device=small.device))

        return context.once("pairs", make)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than the network's
        own."""
        small = centred(self.small(inputs))
        return {"sr": to_unit(model.networks["generator"](small))}

    def _restored(self, context: Context) -> Tensor:
        """The pairs' restored faces: one forward pass a step for both players and both faces."""
        return context.once("sr", lambda: context.networks["generator"](self.pairs(context).small).float())

    def _adam(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.5, 0.999))

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return self._adam(parameters)
        inner = [parameter for name, parameter in parameters if by_muon(name, parameter)]
        others = [parameter for name, parameter in parameters if not by_muon(name, parameter)]
        return Muon(inner, others, self.settings["muon_lr"], self.settings["lr"])


def contrastive(first: Tensor, second: Tensor, same: Tensor, margin: float) -> Tensor:
    """The mean over N pairs of vectors (N x D each) of d^2 where they are of the same person and max(0, margin - d)^2
    where not, d being the distance of the two (Hadsell, Chopra, LeCun, CVPR 2006)."""
    square = (first - second).square().sum(1)
    apart = functional.relu(margin - (square + EPSILON).sqrt()).square()
    return torch.where(same, square, apart).mean()


def by_muon(name: str, parameter: Tensor) -> bool:
    """Whether Muon moves it: the generator's kernels between its stem and its last layer."""
    return parameter.ndim == 4 and name.startswith("generator.body.") and name != "generator.body.0.weight"


def _tensors(samples: list[Sample], device: torch.device) -> tuple[Tensor, Tensor]:
    """`lr` and `hr` of these samples."""
    task = TRAINING.task
    return (task.inputs["lr"].to_tensor(np.stack([sample.inputs["lr"] for sample in samples]), device),
            task.target["hr"].to_tensor(np.stack([sample.target["hr"] for sample in samples]), device))


METHOD = Sigan
