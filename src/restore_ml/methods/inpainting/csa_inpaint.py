"""Coherent semantic attention: a rough network fills the hole, a second one refines it, and in the middle of that one
the missing features are made from known ones and from each other, one after the other.

    network:         |I_p - x| + |I_r - x| + 0.01 L_c + 0.002 [RaLS(D) + RaLS(F)]
    L_c:             squares of CSA(f) - phi(x) and of CSA_decoded(f) - phi(x) at the missing places
    discriminators:  D sees pictures, F features of pictures; relativistic average least squares

x is the picture, I_p what the rough network fills, I_r the refined picture, phi features of VGG16 (relu4_3; F sees
relu3_3), f the features where the attention sits.

Source: Liu, Jiang, Xiao, Yang, "Coherent semantic attention for image inpainting", ICCV 2019, and the layers of their
code; method card `csa_inpaint`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term, relativistic_terms
from restore_ml.losses.perceptual import taps_of, term_name
from restore_ml.losses.reconstruction import masked_mse
from restore_ml.losses.similarity import ssim
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.coherent_attention import coherent, feature_hole
from restore_ml.nn.initialisation import normal
from restore_ml.nn.rough_filling import feature_judge, patch_judge, rough_network, shown
from restore_ml.training.schedules import constant, cosine, linear_to_zero

DISTANCES = {"l1": F.l1_loss, "l2": F.mse_loss, "smooth_l1": F.smooth_l1_loss}
"""By the setting `rec`."""


class Refined(NamedTuple):
    """What the refinement network gives: its picture, N x 3 x H x W (not bounded), and the features that should be
    those of the true picture: behind the attention, and those of the decoder at the same level."""

    picture: Tensor
    encoded: Tensor
    decoded: Tensor


class Refinement(nn.Module):
    """Two pictures N x 3 x H x W stacked and a feature hole -> `Refined`; H and W multiples of 2^levels.

    A step of the U-Net is two convolutions: a dilated 4 x 4 one that halves the sides, and a 3 x 3 one that changes the
    channels; on the way up their transposed ones in the other order. Level i has width * min(2^i, 8) channels, level 0
    the picture's sides, and the attention (`attend`) sits at `csa_level`, between the convolution and its
    normalisation. 77,692,291 parameters for (64, 8).
    """

    def __init__(self, width: int, levels: int, csa_level: int = 3, attend: bool = True,
                 identity_grad: bool = False) -> None:
        super().__init__()
        self.csa_level, self.attend, self.identity_grad = csa_level, attend, identity_grad
        widths = [width * min(2 ** level, 8) for level in range(levels)]

        def norm(channels: int) -> nn.Module:
            return nn.InstanceNorm2d(channels, affine=True)

        def halved(channels: int) -> list[nn.Module]:
            return [nn.LeakyReLU(0.2), nn.Conv2d(channels, channels, 4, 2, 3, dilation=2)]

        def doubled(channels: int) -> list[nn.Module]:
            return [nn.ReLU(), nn.ConvTranspose2d(channels, channels, 4, 2, 1), norm(channels)]

        self.first = nn.Conv2d(6, widths[0], 3, 1, 1)
        self.down = nn.ModuleList(
            nn.Sequential(*halved(outer), norm(outer), nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 3, 1, 1))
            for outer, inner in pairwise(widths))
        self.norms = nn.ModuleList(norm(channels) for channels in widths[1:])
        self.bottom = nn.Sequential(*halved(widths[-1]), *doubled(widths[-1]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * inner, outer, 3, 1, 1), norm(outer), *doubled(outer))
            for outer, inner in reversed(list(pairwise(widths))))
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * widths[0], 3, 3, 1, 1))
        normal(self)

    def forward(self, pictures: Tensor, hole: Tensor) -> Refined:
        """Refine."""
        skips = [self.first(pictures)]
        for level, (down, norm) in enumerate(zip(self.down, self.norms, strict=True), 1):
            x = down(skips[-1])
            if level == self.csa_level:
                x = encoded = coherent(x, hole, self.identity_grad) if self.attend else x
            skips.append(norm(x))
        x = self.bottom(skips[-1])
        for level, up in zip(reversed(range(1, len(skips))), self.up, strict=True):
            if level == self.csa_level:
                decoded = x
            x = up(torch.cat([x, skips.pop()], 1))
        return Refined(self.last(torch.cat([x, skips.pop()], 1)), encoded, decoded)


class Stages(NamedTuple):
    """One forward pass: the rough picture in [-1, 1], what the refinement network made of it, the feature hole."""

    rough: Tensor
    refined: Refined
    hole: Tensor


class CSAInpaint(Method):
    """All gradients of the objective flow. The authors' code loses three: its consistency term and its features of
    filled pictures move nothing, and the refined picture's terms stop before the rough network (`end_to_end: false`).
    There the target of the consistency term is not masked either. The hole is shown in the colour `fill`, or, with
    `own_mean`, in the mean of the known pixels.

    `use_csa: false` leaves out the attention and the consistency term, which is about it: a plain two-stage GAN.
    `identity_grad`: see `coherent`. `gan`, `rec`, `ssim` (weight of 1 - SSIM), `perceptual` (weight of the squares
    of what F sees): the study of losses; `gan: bce` is the non-saturating one. `feature_channels`: how many channels F
    sees. Without a feature network F, the consistency and the perceptual term are left out. `schedule`: `linear`
    (constant for 20 of 120 epochs, then in a straight line to 0) or `cosine` (every player's rate falls to 0 over
    each phase, so that a short joint phase still moves the stages).

    reading: cosines on both sides in the attention, at least 0 (the authors divide one side by its length); the sums
    of the consistency term are means, as in their code; feature networks see ImageNet's units (theirs [-1, 1]); F sees
    relu3_3, where what bears that name in their code is already pooled (pool3, half the sides); where
    a feature network has other channels or places than are compared (small runs with VGG16 take relu3_3 for relu4_3),
    neighbouring ones are averaged or repeated; gains of instance normalisation are drawn like the weights, N(1, 0.02)
    (theirs 1); a centre hole of training stays `overlap` pixels within the square that tests hide; 120 epochs of the
    case's 504 pictures, one at a time (the case trains eight at a time).
    """

    task = "inpainting"
    zero_allowed = ("overlap",)
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["centre"], "overlap": 4, "fill": [123, 104, 117], "own_mean": False, "width": 64, "rough_levels": 8,
        "levels": 8, "csa_level": 3, "use_csa": True, "identity_grad": False, "end_to_end": True, "disc_width": 64,
        "feature_channels": 256, "feature_disc_width": 512, "gan": "ra_lsgan", "rec": "l1",
        "reconstruction": 1.0, "consistency": 0.01, "adversarial": 0.002, "ssim": 0.0, "perceptual": 0.0,
        "feature_tap": "relu3_3", "consistency_tap": "relu4_3", "schedule": "linear", "blend": "none",
        "steps": {"reconstruction": 0, "joint": 60_480}, "batch": 1, "patch": 256, "ema": 0.0,
        "lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"gan": ("ra_lsgan", "bce", "lsgan", "hinge"), "rec": tuple(DISTANCES), "blend": BLENDS,
                         "schedule": ("linear", "cosine")}
    reading = "the attention's cosines, means in the consistency term, fitted features, number of steps"
    stored_networks = ("rough", "refinement")

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for a patch that a network cannot halve evenly and an attention below the last level
        that has features."""
        super().__init__(settings)
        s = self.settings
        self.multiple = 2 ** max(s["rough_levels"], s["levels"])
        if s["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of the levels)")
        if s["csa_level"] >= s["levels"]:
            raise self.wrong("csa_level", f"with {s['levels']} levels it must be below {s['levels']}")

    def build(self) -> dict[str, nn.Module]:
        """Both stages and both discriminators."""
        s = self.settings
        return {"rough": rough_network(s["width"], s["rough_levels"]),
                "refinement": Refinement(s["width"], s["levels"], s["csa_level"], s["use_csa"], s["identity_grad"]),
                "discriminator": patch_judge(s["disc_width"]),
                "feature_discriminator": feature_judge(s["feature_channels"], s["feature_disc_width"])}

    def phases(self) -> list[Phase]:
        """The distances of both pictures alone (not in the paper), then in each step the discriminators and both
        stages."""
        s, first = self.settings, self.settings["steps"]["reconstruction"]

        def player(name: str, networks: list[str], loss: Any) -> Player:
            linear = linear_to_zero(20 / 120) if loss != self.reconstruction_loss else constant()
            return Player(name, networks, loss, lambda p: torch.optim.Adam(p, s["lr"], tuple(s["betas"])),
                          schedule=linear if s["schedule"] == "linear" else cosine())

        stages = ["rough", "refinement"]
        alone = player("stages", stages, self.reconstruction_loss)
        judges = player("discriminators", ["discriminator", "feature_discriminator"], self.discriminator_loss)
        joint = player("stages", stages, self.joint_loss)
        phases = [Phase("reconstruction", first, [alone]), Phase("joint", s["steps"]["joint"], [judges, joint])]
        return [phase for phase in phases if phase.steps]

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """D tells true from refined pictures, F their features, each with terms of its own."""
        made = self._made(context).refined.picture.detach()
        judge, features = context.networks["discriminator"], context.slots.get("features")
        terms = self._told_apart(judge(2 * context.target["image"] - 1), judge(made))
        if features is None:
            return terms
        judge, (true, seen) = context.networks["feature_discriminator"], self._features(context)
        apart = self._told_apart(judge(true), judge(seen.detach()))
        return terms | {term_name(f"feature_{name}", features): term for name, term in apart.items()}

    def reconstruction_loss(self, context: Context) -> dict[str, Tensor]:
        """The distances of both pictures from the true one, hole and known pixels alike, in [-1, 1]."""
        s, (rough, refined, _) = self.settings, self._made(context)
        truth, distance = 2 * context.target["image"] - 1, DISTANCES[s["rec"]]
        return {"rough": s["reconstruction"] * distance(rough, truth),
                "refined": s["reconstruction"] * distance(refined.picture, truth)}

    def joint_loss(self, context: Context) -> dict[str, Tensor]:
        """All terms of the two stages, each named; those with features with their source."""
        s, (_, refined, hole) = self.settings, self._made(context)
        judge, features = context.networks["discriminator"], context.slots.get("features")
        terms = self.reconstruction_loss(context)
        terms["adversarial"] = s["adversarial"] * self._taken_for_true(
            judge(2 * context.target["image"] - 1), judge(refined.picture))
        if s["ssim"]:
            likeness = ssim((refined.picture + 1) / 2, context.target["image"]).mean()
            terms["ssim"] = s["ssim"] * (1 - likeness)
        if features is None:
            return terms
        judge, (true, seen) = context.networks["feature_discriminator"], self._features(context)
        terms[term_name("feature_adversarial", features)] = s["adversarial"] * self._taken_for_true(
            judge(true), judge(seen))
        if s["use_csa"] and s["consistency"]:
            wanted = fitted(self._true(context)[s["consistency_tap"]], refined.encoded.shape[1:])
            terms[term_name("consistency", features)] = s["consistency"] * (
                masked_mse(refined.encoded, wanted, hole) + masked_mse(refined.decoded, wanted, hole))
        if s["perceptual"]:
            terms[term_name("perceptual", features)] = s["perceptual"] * F.mse_loss(seen, true)
        return terms

    def stages(self, networks: dict[str, nn.Module], inputs: Inputs) -> Stages:
        """Rough picture, its hole pasted into what is known, refined."""
        s, mask = self.settings, inputs["mask"]
        seen = shown(inputs["image"], mask, s["fill"], s["own_mean"])
        rough = networks["rough"](seen).float()
        pasted = torch.where(mask > 0.5, rough if s["end_to_end"] else rough.detach(), seen)
        hole = feature_hole(mask, s["csa_level"])
        refined = networks["refinement"](torch.cat([pasted, seen], 1), hole)
        return Stages(rough, Refined(*(each.float() for each in refined)), hole)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The refined picture (the known pixels are put back by the task)."""
        filled = (self.stages(model.networks, inputs).refined.picture + 1) / 2
        return {"image": blended(self.settings["blend"], filled, inputs["image"], inputs["mask"])}

    # --- one step's shared values

    def _made(self, context: Context) -> Stages:
        return context.once("made", lambda: self.stages(context.networks, context.inputs))

    @torch.no_grad()
    def _true(self, context: Context) -> dict[str, Tensor]:
        """Both taps of the true picture."""
        taps = [self.settings["feature_tap"], self.settings["consistency_tap"]]
        return context.once("true", lambda: taps_of(context.slots["features"], context.target["image"], taps))

    def _features(self, context: Context) -> tuple[Tensor, Tensor]:
        """What F sees of the true and of the refined picture."""

        def compute() -> tuple[Tensor, Tensor]:
            picture, tap = (self._made(context).refined.picture + 1) / 2, self.settings["feature_tap"]
            seen = taps_of(context.slots["features"], picture, [tap])[tap]
            shape = torch.Size([self.settings["feature_channels"], *seen.shape[2:]])
            return fitted(self._true(context)[tap], shape), fitted(seen, shape)

        return context.once("features", compute)

    def _told_apart(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What a discriminator minimises, from its scores of either."""
        kind = self.settings["gan"]
        return relativistic_terms(real, fake) if kind == "ra_lsgan" else discriminator_terms(kind, real, fake)

    def _taken_for_true(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the network minimises, from a discriminator's scores of either."""
        if self.settings["gan"] != "ra_lsgan":
            return generator_term(self.settings["gan"], fake)
        terms = relativistic_terms(fake, real)
        return terms["real"] + terms["fake"]


def fitted(maps: Tensor, shape: torch.Size) -> Tensor:
    """N x C x H x W to N x `shape`: neighbouring channels and places averaged, or repeated where there are fewer; as
    they are when the shape is right already."""
    channels, height, width = shape
    return maps if maps.shape[1:] == shape else F.adaptive_avg_pool3d(maps[:, None], (channels, height, width))[:, 0]


METHOD = CSAInpaint
