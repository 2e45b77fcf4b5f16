"""Structural consistency and controllability: an autoencoder's colours made consistent by a Gaussian random field.

Source: Messaoud, Forsyth, Schwing, ECCV 2018; method card `structure_crf_vae`. The paper's text was not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.methods.colorization.div_vae_mdn import DivVaeMdn
from restore_ml.nn.colour_vae import (
    AB_SCALE,
    ColourDecoder,
    Maps,
    at_side,
    divergence,
    drawn_z,
    scaled_lightness,
    small_start,
)
from restore_ml.nn.gaussian_field import GaussianField
from restore_ml.nn.initialisation import he
from restore_ml.nn.several_results import several

LATTICE = 32
"""Side of the square on which colours are solved for: that of the decoder's trunk."""


class FieldDecoder(nn.Module):
    """z (N x `latent`) and the maps of the grey picture -> what each pixel's colour is by itself (scaled ab in (-1, 1),
    N x 2 x 32 x 32) and an embedding of it (N x `embedding` x 32 x 32): pixels that are alike get like colours."""

    def __init__(self, width: int = 128, latent: int = 64, momentum: float = 0.01, embedding: int = 16) -> None:
        """The trunk and the last layer are the decoder's of `div_vae_mdn`, which is not enlarged here."""
        super().__init__()
        self.colours = ColourDecoder(width, latent, momentum)
        self.embed = nn.Conv2d(width, embedding, 1)

    def forward(self, z: Tensor, maps: Maps) -> tuple[Tensor, Tensor]:
        """Colours and embeddings."""
        x = self.colours.trunk(z, maps)
        return self.colours.last(x).float(), self.embed(x).float()


class StructureCrfVae(DivVaeMdn):
    """The autoencoder of `div_vae_mdn` whose decoder gives, on a lattice of 32 x 32, unaries and embeddings; the
    colours are those of least energy in a Gaussian conditional random field of them (`restore_ml.nn.gaussian_field`).

    `balance` weighs the unaries against the links, `temperature` multiplies the links (0: the decoder's colours as they
    are). Of the phases, `vae` trains the autoencoder without the field, `field` both (the field's L1 weighs `l1`),
    `mdn` the mixture that tells z. Points that a person gives (guided colorization, which this method serves) are
    pixels of the lattice with a further unary of weight `hint_weight`: the networks give what they gave without them,
    and the field spreads them. Where all links weigh 1, the most they can, a point's own colour is missed by about 0.01
    (scaled) with the 24 links of radius 1 and 8 partners and by up to 0.06 with the paper's 112. With `start: he` the
    gains of the decoder's last normalisation begin at 1 (in `div_vae_mdn` smaller).

    reading: all of the field (unaries and embeddings from the decoder's trunk, the kernel, the links, its place on
    32 x 32, Jacobi's division in the solver) and that the autoencoder's own loss looks at the unaries; the steps of
    the first phases are those of the release of `div_vae_mdn`, of which `vae` has none; and what is said there.
    """

    paper: ClassVar[dict[str, Any]] = {
        **DivVaeMdn.paper, "embedding": 16, "radius": 3, "partners": 32, "iterations": 20, "balance": 1.0,
        "temperature": 1.0, "l1": 1.0, "hint_weight": 1e3, "steps": {"vae": 0, "field": 3820, "mdn": 61_165},
    }
    zero_allowed = ("partners",)
    reading = ("the whole of the random field: unaries and embeddings from the decoder's trunk, kernel, links, solver; "
               "else as div_vae_mdn")
    serves = ("guided_colorization",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check what makes the field's system positive definite."""
        super().__init__(settings)
        for name in ("balance", "hint_weight"):
            if not self.settings[name] > 0:
                raise self.wrong(name, "it must be above 0")
        if not self.settings["temperature"] >= 0:
            raise self.wrong("temperature", "it must be at least 0")
        s = self.settings
        self.field = GaussianField(LATTICE, s["radius"], s["partners"], s["iterations"])

    def build(self) -> dict[str, nn.Module]:
        """As `div_vae_mdn`, with the decoder of unaries and embeddings."""
        s = self.settings
        decoder = FieldDecoder(s["width"], s["latent"], s["momentum"], s["embedding"])
        (small_start if s["start"] == "small" else he)(decoder)
        return {**super().build(), "decoder": decoder}

    def phases(self) -> list[Phase]:
        """The autoencoder alone, with the field, then the mixture on its frozen code."""
        steps = self.settings["steps"]

        def adam(parameters: NamedParameters) -> torch.optim.Optimizer:
            return torch.optim.Adam(parameters, self.settings["lr"], eps=1e-6)

        coder, solver = (Player(name, ["encoder", "grey", "decoder"], loss, adam)
                         for name, loss in (("vae", self.vae_loss), ("field", self.field_loss)))
        return [Phase("vae", steps["vae"], [coder]), Phase("field", steps["field"], [solver]), super().phases()[-1]]

    def vae_loss(self, context: Context) -> dict[str, Tensor]:
        """The unaries' colours against the true ones, and the divergence of the code, whose weight rises over this
        phase and the next."""
        return self._coded(context, 0)[2]

    def field_loss(self, context: Context) -> dict[str, Tensor]:
        """The same, and the mean distance of the solved colours from the true ones."""
        unary, embedding, terms = self._coded(context, self.settings["steps"]["vae"])
        distance = F.l1_loss(self.solved(unary, embedding), self.truth(context))
        return {**terms, "l1": self.settings["l1"] * distance}

    def _coded(self, context: Context, before: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        networks, steps = context.networks, self.settings["steps"]
        mean, log_variance = networks["encoder"](self.colours(context))
        z = drawn_z(mean, log_variance, context.normal(mean))
        maps = networks["grey"](scaled_lightness(at_side(context.inputs["L"])))
        unary, embedding = networks["decoder"](z, maps)
        share = self.settings["kl"] * (before + context.step) / (steps["vae"] + steps["field"])
        return unary, embedding, {**self.pixel_terms(unary, self.truth(context)),
                                  "divergence": share * divergence(mean, log_variance)}

    def truth(self, context: Context) -> Tensor:
        """The true colours on the lattice, scaled."""
        return at_side(context.target["ab"], (LATTICE, LATTICE)) / AB_SCALE

    def solved(self, unary: Tensor, embedding: Tensor, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """The field's colours, scaled; `given`: `hint` (0 where there is none) and `hinted` of the task, where a person
        gives some: a pixel of the lattice takes the mean of those in it."""
        s, anchors, b = self.settings, None, self.settings["balance"] * unary
        if given is not None:
            share = F.adaptive_avg_pool2d(given["hinted"], LATTICE)
            colour = F.adaptive_avg_pool2d(given["hint"], LATTICE) / share.clamp(min=1e-9) / AB_SCALE
            anchors = s["hint_weight"] * (share > 0).float()
            b = b + anchors * colour
        return self.field.to(b.device)(b, embedding, s["balance"], s["temperature"], anchors)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Several codes of the mixture, decoded on the grey picture, solved, enlarged; of a picture with a person's
        points the first of them alone."""
        lightness, networks = inputs["L"], model.networks
        mixture = networks["mixture"](self.features(model.slots, lightness))
        maps = networks["grey"](scaled_lightness(at_side(lightness)))
        given = inputs if "hinted" in inputs else None

        def one(number: int, own_seed: int) -> Tensor:
            unary, embedding = networks["decoder"](self.code(mixture, number, own_seed), maps)
            made = self.solved(unary, embedding, given)
            return F.interpolate(AB_SCALE * made, lightness.shape[-2:], mode="bilinear", align_corners=False)

        results = several(one, seed)
        return {"ab": results["ab"]} if given is not None else results


METHOD = StructureCrfVae
