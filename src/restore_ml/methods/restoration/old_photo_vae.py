"""Old photographs restored between two spaces of codes: one autoencoder of damaged photographs, real and synthetic, one
of clean ones, and a mapping from the codes of the first to those of the second.

    codes:    z = E(x) + N(0, 1),  x' = D(z)
    A:        |x' - x| + GAN(x') + mean E(x)^2, and a discriminator that tells the codes of real and synthetic damage
    B:        the same of clean pictures, without the discriminator of codes
    mapping:  60 |T(E_A(y)) - E_B(x)| + GAN(D_B(T(E_A(y))) beside y)        restored: D_B(T(E_A(y)))

Source: Wan, Zhang, Chen, Zhang, Chen, Liao, Wen, "Bringing old photos back to life", CVPR 2020; card `old_photo_vae`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.degradations.blur import gaussian_blur
from restore_ml.degradations.dense import SEPIA, to_bytes
from restore_ml.kinds import PICTURE
from restore_ml.losses.adversarial import discriminator_terms, feature_matching, generator_term
from restore_ml.losses.perceptual import content, taps_of, term_name
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn import old_photo_networks as networks
from restore_ml.nn.learned_restoration import LearnedRestoration
from restore_ml.nn.old_photo_networks import levelled
from restore_ml.training.schedules import cosine, linear_to_zero

Maps = list[list[Tensor]]
"""What a discriminator of several sizes sees: by size, its maps and last its scores."""


class OldPhotoVae(LearnedRestoration):
    """Three trainings one after the other: `vae_a`, `vae_b`, and the `mapping`, in which both are frozen.

    The loss of the autoencoders has the weights `l1`, `adversarial`, `matching` (features of the discriminator),
    `perceptual` (taps and their weights in `perceptual_taps`) and `kl`; that of the mapping `code`, `mapping_l1` (the
    restored picture's own absolute error) and the middle three. `adversarial: 0.0` leaves all discriminators out,
    and what is matched. `schedule: constant` holds the rates for the first half of an autoencoder's steps and the first
    0.6 of the mapping's; then they fall to 0 in a straight line. With `cosine` they fall from the start.

    Instance normalisation keeps a picture's level and contrast out of the codes, and long trainings learn to guess
    both (`level: coded`). `level: around` takes the level past them: autoencoders have their pictures' own, and a
    linear layer makes that of the restored picture from the damaged one's.

    In the mapping's training discriminator and mapping have rates of their own (2 `lr` and `lr` / 2, betas 0 and 0.9).
    Scratches, where they are given, are filled by the mapping's partial non-local block (`non_local`).
    """

    paper: ClassVar[dict[str, Any]] = {
        "kinds": ["old_photo"], "width": 64, "blocks": 4, "mapping_widths": [128, 256, 512, 512], "mapping_blocks": 6,
        "non_local": True, "level": "coded", "disc_width": 64, "disc_layers": 3, "disc_scales": 2,
        "l1": 10.0, "adversarial": 1.0, "matching": 10.0, "perceptual": 10.0, "kl": 1.0, "code": 60.0,
        "mapping_l1": 0.0,
        "perceptual_taps": {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0},
        "steps": {"vae_a": 45_700, "vae_b": 28_500, "mapping": 53_500}, "batch": 100, "patch": 256, "ema": 0.0,
        "lr": 2e-4, "schedule": "constant",
    }
    choices: ClassVar = {"level": ("coded", "around"), "schedule": ("constant", "cosine")}
    reading = ("real old photographs, of which there are none here, are stood in for by a second kind of damage (sepia "
               "and a stronger blur); the absolute error of the paper and the terms on features of the released code "
               "together; batches of 100 in all three trainings, steps from the authors' epochs over 17,125 "
               "photographs and 5,718 old ones; A sees a batch of either damage, not half a batch, and both "
               "of the same pictures; one mapping with the rates of that without scratches, where the release trains "
               "one for each; features of pictures that are normalised as their network was taught, not of [-1, 1]; "
               "the discriminators' convolutions have a padding of 1 and no void biases; the settings level: around, "
               "mapping_l1 and schedule: cosine for short trainings are ours")
    inputs = ("scratches",)
    derived: ClassVar[Mapping[str, ArraySpec]] = {"real": ArraySpec(PICTURE, 3, size_of="image")}
    stored_networks = ("encoder_a", "mapping", "decoder_b")
    multiple = networks.STRIDE
    tile = 512
    overlap = 64

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training the true picture as a "real" old photograph; nothing when restoring."""
        return {} if target is None else {"real": aged(target["image"], rng)}

    def build(self) -> dict[str, nn.Module]:
        """Both halves of both autoencoders, the mapping and, where they play, four discriminators."""
        s = self.settings
        made: dict[str, nn.Module] = {}
        for side in ("a", "b"):
            made[f"encoder_{side}"] = networks.Encoder(s["width"], s["blocks"])
            made[f"decoder_{side}"] = networks.Decoder(s["width"], s["blocks"])
        made["mapping"] = networks.Mapping(s["width"], s["mapping_widths"], s["mapping_blocks"], s["non_local"],
                                             s["level"] == "around")
        if s["adversarial"]:
            for name, channels, scales in (("judge_a", 3, s["disc_scales"]), ("judge_codes", s["width"], 1),
                                           ("judge_b", 3, s["disc_scales"]), ("judge_mapping", 6, s["disc_scales"])):
                made[name] = networks.MultiScaleJudge(channels, s["disc_width"], s["disc_layers"], scales)
        return made

    def phases(self) -> list[Phase]:
        """In each the generating networks first, then the discriminators, on the same pictures."""
        s = self.settings
        falling = s["schedule"] == "cosine"

        def player(name: str, moved: list[str], loss: Any, lr: float, betas: tuple[float, float], hold: float
                   ) -> Player:
            def adam(parameters: NamedParameters) -> torch.optim.Optimizer:
                return torch.optim.Adam(parameters, lr, betas)

            return Player(name, moved, loss, adam, schedule=cosine() if falling else linear_to_zero(hold))

        def vae(side: str) -> list[Player]:
            rate: tuple[float, tuple[float, float], float] = (s["lr"], (0.5, 0.999), 0.5)
            players = [player(f"vae_{side}", [f"encoder_{side}", f"decoder_{side}"], self.vae_loss(side), *rate)]
            if s["adversarial"]:
                players.append(player(f"judge_{side}", [f"judge_{side}"], self.judge_loss(side), *rate))
                if side == "a":
                    players.append(player("judge_codes", ["judge_codes"], self.codes_judge_loss, *rate))
            return players

        mapping = [player("mapping", ["mapping"], self.mapping_loss, s["lr"] / 2, (0.0, 0.9), 0.6)]
        if s["adversarial"]:
            mapping.append(player("judge_mapping", ["judge_mapping"], self.mapping_judge_loss, 2 * s["lr"], (0.0, 0.9),
                                  0.6))
        return [Phase("vae_a", s["steps"]["vae_a"], vae("a")), Phase("vae_b", s["steps"]["vae_b"], vae("b")),
                Phase("mapping", s["steps"]["mapping"], mapping)]

    # --- the autoencoders ---------------------------------------------------------------------------------------------

    def coded(self, context: Context, side: str) -> tuple[Tensor, Tensor, Tensor]:
        """The autoencoder's pictures in [-1, 1], the means of their codes, and what becomes of them with noise. Of A
        the first half are pictures of synthetic damage, the second half real ones."""
        def compute() -> tuple[Tensor, Tensor, Tensor]:
            seen = [context.inputs["image"], context.inputs["real"]] if side == "a" else [context.target["image"]]
            pictures = 2 * torch.cat(seen) - 1
            means = context.networks[f"encoder_{side}"](pictures).float()
            made = context.networks[f"decoder_{side}"](means + context.normal(means)).float()
            around = self.settings["level"] == "around"
            return pictures, means, levelled(made, pictures.mean((2, 3), keepdim=True)) if around else made

        return context.once(f"coded_{side}", compute)

    def vae_loss(self, side: str) -> Callable[[Context], dict[str, Tensor]]:
        """What encoder and decoder minimise; for A also that real damage's codes pass for those of synthetic damage."""
        def loss(context: Context) -> dict[str, Tensor]:
            pictures, means, made = self.coded(context, side)
            terms = {"l1": self.settings["l1"] * F.l1_loss(made, pictures),
                     "kl": self.settings["kl"] * means.square().mean()}
            if self.settings["adversarial"]:
                judge = context.networks[f"judge_{side}"]
                terms |= self._judged(judge(made), judge(pictures))
                if side == "a":
                    scores = context.networks["judge_codes"](means.chunk(2)[1])
                    terms["codes"] = self.settings["adversarial"] * _generator(scores)
            return terms | self._perceptual(context, made, pictures)

        return loss

    def judge_loss(self, side: str) -> Callable[[Context], dict[str, Tensor]]:
        """Half the squares of true pictures to 1 and of decoded ones to 0."""
        def loss(context: Context) -> dict[str, Tensor]:
            pictures, _, made = self.coded(context, side)
            judge = context.networks[f"judge_{side}"]
            return _discriminator(judge(pictures), judge(made.detach()))

        return loss

    def codes_judge_loss(self, context: Context) -> dict[str, Tensor]:
        """The same of codes: those of synthetic damage count as true, those of real damage as made."""
        synthetic, real = self.coded(context, "a")[1].detach().chunk(2)
        judge = context.networks["judge_codes"]
        return _discriminator(judge(synthetic), judge(real))

    # --- the mapping --------------------------------------------------------------------------------------------------

    def mapped(self, context: Context) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The damaged and the true picture in [-1, 1], the mapped code and the restored picture."""
        def compute() -> tuple[Tensor, Tensor, Tensor, Tensor]:
            damaged, true = 2 * context.inputs["image"] - 1, 2 * context.target["image"] - 1
            with torch.no_grad():
                code = context.networks["encoder_a"](damaged)
            code = context.networks["mapping"](code, context.inputs["scratches"]).float()
            return damaged, true, code, self.decoded(context.networks, code, damaged)

        return context.once("mapped", compute)

    def mapping_loss(self, context: Context) -> dict[str, Tensor]:
        """The mapped code's distance from the true picture's, and what discriminator and features say of the restored
        picture."""
        s, (damaged, true, code, restored) = self.settings, self.mapped(context)
        with torch.no_grad():
            wanted = context.networks["encoder_b"](true).float()
        terms = {"code": s["code"] * F.l1_loss(code, wanted)}
        if s["mapping_l1"]:
            terms["l1"] = s["mapping_l1"] * F.l1_loss(restored, true)
        if s["adversarial"]:
            judge = context.networks["judge_mapping"]
            terms |= self._judged(judge(torch.cat([damaged, restored], 1)), judge(torch.cat([damaged, true], 1)))
        return terms | self._perceptual(context, restored, true)

    def mapping_judge_loss(self, context: Context) -> dict[str, Tensor]:
        """Half the squares of true pictures to 1 and of restored ones to 0, each beside the damaged one."""
        damaged, true, _, restored = self.mapped(context)
        judge = context.networks["judge_mapping"]
        return _discriminator(judge(torch.cat([damaged, true], 1)), judge(torch.cat([damaged, restored.detach()], 1)))

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Without noise; scratches that nobody gave are none."""
        damaged = 2 * inputs["image"] - 1
        code = model.networks["mapping"](model.networks["encoder_a"](damaged), inputs.get("scratches"))
        return {"image": ((self.decoded(model.networks, code, damaged) + 1) / 2).clip(0, 1)}

    def decoded(self, networks: Mapping[str, nn.Module], code: Tensor, damaged: Tensor) -> Tensor:
        """The clean picture of a mapped code, in [-1, 1] but for a level of its own."""
        picture = networks["decoder_b"](code).float()
        if self.settings["level"] == "coded":
            return picture
        return levelled(picture, networks["mapping"].level(damaged))  # type: ignore[operator]

    # --- what both share ----------------------------------------------------------------------------------------------

    def _judged(self, made: Maps, true: Maps) -> dict[str, Tensor]:
        """The generating networks' terms: squares of the scores to 1, summed over the sizes, and the matched features,
        4 / (layers + 1) times, averaged over the sizes."""
        s = self.settings
        apart = sum(feature_matching(real[:-1], fake[:-1]) for fake, real in zip(made, true, strict=True))
        return {"adversarial": s["adversarial"] * _generator(made),
                "matching": s["matching"] * 4 / (s["disc_layers"] + 1) / len(made) * torch.as_tensor(apart)}

    def _perceptual(self, context: Context, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Differences of features, where the run has a feature network."""
        features, weights = context.slots.get("features"), self.settings["perceptual_taps"]
        if features is None or not self.settings["perceptual"]:
            return {}
        with torch.no_grad():
            wanted = taps_of(features, (true + 1) / 2, weights)
        apart = content(taps_of(features, (made + 1) / 2, weights), wanted, weights)
        return {term_name("perceptual", features): self.settings["perceptual"] * apart}


def _generator(maps: Maps) -> Tensor:
    """The squares of the scores to 1, summed over the sizes."""
    return torch.stack([generator_term("lsgan", scores[-1]) for scores in maps]).sum()


def _discriminator(real: Maps, fake: Maps) -> dict[str, Tensor]:
    """Half the squares, summed over the sizes."""
    pairs = [discriminator_terms("lsgan", one[-1], other[-1]) for one, other in zip(real, fake, strict=True)]
    return {name: 0.5 * torch.stack([terms[name] for terms in pairs]).sum() for name in ("real", "fake")}


def aged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A clean picture (H x W x 3 uint8) as a "real" old photograph: a blur of 2 to 5 pixels, a sepia tone of 0.6 to 1
    and a contrast of 0.5 to 0.9."""
    blurred = gaussian_blur(image, rng.uniform(2, 5), 7) / 255
    tone, contrast = rng.uniform(0.6, 1), rng.uniform(0.5, 0.9)
    toned = (1 - tone) * blurred + tone * np.clip(blurred @ SEPIA.T, 0, 1)
    return to_bytes(0.5 + contrast * (toned - 0.5))


METHOD = OldPhotoVae
