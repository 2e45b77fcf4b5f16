"""Diverse colorization: a code of the colours by a variational autoencoder, and a mixture over it told by the grey.

Source: Deshpande, Lu, Yeh, Chong, Forsyth, "Learning Diverse Image Colorization", CVPR 2017, and the authors' released
code; method card `div_vae_mdn`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.ab_classes import classes_of_histogram
from restore_ml.nn.colour_mixture import Mixture, MixtureNet, conv7_3, drawn_from, likely_mean, mixture_loss
from restore_ml.nn.colour_vae import (
    AB_SCALE,
    ColourDecoder,
    ColourEncoder,
    GreyEncoder,
    at_side,
    class_rarity,
    colour_terms,
    divergence,
    drawn_z,
    scaled_lightness,
    small_start,
)
from restore_ml.nn.initialisation import he
from restore_ml.nn.several_results import several
from restore_ml.tasks.base import Material

PALE = 0.1
"""With `start: he`, the first gain of the decoder's last normalisation."""


class DivVaeMdn(Method):
    """First the autoencoder learns the colours of a picture as a code z, told the grey picture; then the mixture
    density network learns, from features of the grey picture alone, where the code lies. The features are those of a
    `colorful_colorization` run in the slot `parts`, whose 8 x width is `feature_channels`.

    Lightness is the grey, as in the release. The networks see the whole picture at 64 x 64, the features at
    `feature_side`; the colours are enlarged to the picture.

    `sampling: means` gives the means of the components, the most likely first, and after the last of them draws from
    the mixture; `mixture` gives draws alone. `kl` rises in a straight line over the first phase to its value. `mix` 0
    weights a pixel by the inverse frequency of its colour's class, as the release does (above it, frequencies are
    joined to equal ones; with 1 all pixels weigh the same). `start: small` are the release's first weights, `he` He's,
    with colours that begin pale (the last normalisation would spread them over all there are).

    reading: the learning rate of the autoencoder (the release's script has 1e-6 by default, with which it does not
    move); both phases have one batch size (the release trains the mixture picture by picture); frequencies are those of
    the training pictures, smoothed (the release: of ImageNet); the Mahalanobis term of the paper's text, absent from
    the release, is absent here; training sees squares of the pictures, not whole ones squeezed; the code's noise is not
    cut off at 2; the mixture is told the mean of the code (the release draws the code anew each time, with the noise
    that the encoder gives it); a and b are two planes of a picture everywhere (the release lays them one behind the
    other and takes what results as pixels of two channels); the first phase is ten rounds of the release's 12,233
    pictures in batches of 32 (its script makes 20 steps less).
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "width": 128, "latent": 64, "components": 8, "mixture_widths": [384, 320, 288, 256, 128], "hidden": 4096,
        "feature_channels": 512, "feature_side": 224, "start": "small", "momentum": 0.01,
        "mix": 0.0, "sigma": 5.0, "kl": 1e-2, "sampling": "means",
        "steps": {"vae": 3820, "mdn": 61_165}, "batch": 32, "patch": 256, "ema": 0.0,
        "lr": 1e-4, "mdn_optimiser": "sgd", "mdn_lr": 1e-5,
    }
    choices: ClassVar = {"start": ("small", "he"), "sampling": ("means", "mixture"), "mdn_optimiser": ("sgd", "adam")}
    reading = ("the autoencoder's learning rate, one batch size, class frequencies of the training pictures; squares "
               "of pictures in training")
    stored_networks = ("grey", "decoder", "mixture")
    restoring_slots = ("parts",)

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check what depends on the number of layers."""
        super().__init__(settings)
        if self.settings["feature_side"] % 8:
            raise self.wrong("feature_side", "it must be a multiple of 8")
        if len(self.settings["mixture_widths"]) != 5:
            raise self.wrong("mixture_widths", "it must be five numbers, one a convolution")

    def build(self) -> dict[str, nn.Module]:
        """The autoencoder's three networks and the mixture's."""
        s = self.settings
        sizes = s["width"], s["latent"], s["momentum"]
        decoder = ColourDecoder(*sizes)
        networks = {"encoder": ColourEncoder(*sizes), "grey": GreyEncoder(*sizes), "decoder": decoder,
                    "mixture": MixtureNet(s["feature_channels"], s["feature_side"] // 8, tuple(s["mixture_widths"]),
                                          s["hidden"], s["latent"], s["components"], s["momentum"])}
        for network in networks.values():
            (small_start if s["start"] == "small" else he)(network)
        if s["start"] == "he":
            for layer in decoder.last:
                if isinstance(layer, nn.BatchNorm2d):
                    nn.init.constant_(layer.weight, PALE)
        return networks

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`rarity`: a weight for each colour class."""
        counts = material.pool("ab_histogram").find("ab_histogram").arrays["counts"]
        return {"rarity": class_rarity(classes_of_histogram(counts), self.settings["sigma"], self.settings["mix"])}

    def phases(self) -> list[Phase]:
        """The autoencoder, then the mixture on its frozen code."""
        s = self.settings

        def descent(parameters: NamedParameters) -> torch.optim.Optimizer:
            if s["mdn_optimiser"] == "adam":
                return torch.optim.Adam(parameters, s["mdn_lr"])
            return torch.optim.SGD(parameters, s["mdn_lr"])

        coder = Player("vae", ["encoder", "grey", "decoder"], self.vae_loss,
                       lambda p: torch.optim.Adam(p, s["lr"], eps=1e-6))
        mixer = Player("mdn", ["mixture"], self.mixture_loss, descent)
        return [Phase("vae", s["steps"]["vae"], [coder]),
                Phase("mdn", s["steps"]["mdn"], [mixer], frozen_norm=("encoder",))]

    def vae_loss(self, context: Context) -> dict[str, Tensor]:
        """The decoder's colours against the true ones, and the divergence of the code from N(0, 1)."""
        networks, ab = context.networks, self.colours(context)
        mean, log_variance = networks["encoder"](ab)
        z = drawn_z(mean, log_variance, context.normal(mean))
        made = networks["decoder"](z, networks["grey"](scaled_lightness(at_side(context.inputs["L"]))))
        share = self.settings["kl"] * context.step / context.steps
        return {**self.pixel_terms(made, ab), "divergence": share * divergence(mean, log_variance)}

    def pixel_terms(self, made: Tensor, ab: Tensor) -> dict[str, Tensor]:
        """What made colours are asked (both scaled)."""
        return colour_terms(made, ab, torch.from_numpy(self.constants["rarity"]).to(ab.device))

    def mixture_loss(self, context: Context) -> dict[str, Tensor]:
        """The mixture against the mean of the true colours' code, which no gradient reaches."""
        with torch.no_grad():
            mean, _ = context.networks["encoder"](self.colours(context), dropped=False)
        mixture = context.networks["mixture"](self.features(context.slots, context.inputs["L"]))
        return {"mixture": mixture_loss(mixture, mean)}

    def colours(self, context: Context) -> Tensor:
        """The true ab as the encoder takes them."""
        return at_side(context.target["ab"]) / AB_SCALE

    def features(self, slots: Any, lightness: Tensor) -> Tensor:
        """conv7_3 of the run in the slot; `UserError` where that has none."""
        _, other = slots.get("parts", (None, None))
        colorizer = None if other is None else other.networks.get("colorizer")
        if colorizer is None:
            raise UserError("The slot parts of div_vae_mdn holds no run of colorful_colorization; name one, such as "
                            "colorization/colorful_colorization.")
        side = self.settings["feature_side"]
        return conv7_3(colorizer.trunk, at_side(lightness, (side, side)), self.settings["feature_channels"])

    def code(self, mixture: Mixture, number: int, seed: int) -> Tensor:
        """z of a result: of the first ones the components' means, of the others a draw."""
        if self.settings["sampling"] == "means" and number < mixture.logits.shape[1]:
            return likely_mean(mixture, number)
        return drawn_from(mixture, seed)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Several codes of the mixture, decoded on the grey picture, enlarged."""
        lightness = inputs["L"]
        mixture = model.networks["mixture"](self.features(model.slots, lightness))
        maps = model.networks["grey"](scaled_lightness(at_side(lightness)))

        def one(number: int, own_seed: int) -> Tensor:
            made = model.networks["decoder"](self.code(mixture, number, own_seed), maps)
            return at_side(AB_SCALE * made, lightness.shape[-2:])

        return several(one, seed)


METHOD = DivVaeMdn
