"""Image style transfer: pixels are moved until their features are the photograph's and their Gram matrices the
painting's.

Source: Gatys, Ecker, Bethge, CVPR 2016; method card `neural_style_transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.losses.variation import anisotropic
from restore_ml.method import Inputs, Method, Model
from restore_ml.metrics.style import gram
from restore_ml.nn.tapped import POOLINGS, tapped
from restore_ml.seeds import derive
from restore_ml.training.on_picture import optimise

Maps = Mapping[str, Tensor]


TRIES = 20
"""Evaluations of the loss in one iteration at most."""


class NeuralStyleTransfer(Method):
    """Nothing is trained before; restoring is `steps` of L-BFGS (or Adam) on the pixels.

    `content_taps`, `style_taps`: of the feature network in the run's slot `features`. `content_weight`, `style_weight`:
    alpha and beta. `units`: `paper` (equations 1 and 5, sums of squares), or `relative`, where each layer's error is a
    share of the wanted one's mean square, so that one pair of weights does for any network. `pooling`: `average` as the
    authors found better, or `max`. `start`: from `content`, or from white `noise`. `tv`: weight of the total variation.

    reading: from the photograph, as in the authors' code, where the paper begins with noise; 500 iterations; beta 1000
    times alpha (1000 to 10,000 on the card, for a VGG19 normalised to a mean activation of 1); this project's VGG19 has
    a root mean square of 1 a channel, under which these weights leave the photograph nearly as it is, and ImageNet's
    VGG16 is not normalised: short budgets take `relative`. The painting's Gram matrices are divided by its own number
    of places.
    """

    task = "style_transfer"
    paper: ClassVar[dict[str, Any]] = {
        "content_taps": ["relu4_2"], "style_taps": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        "content_weight": 1.0, "style_weight": 1000.0, "tv": 0.0, "units": "paper", "pooling": "average",
        "start": "content", "optimiser": "lbfgs", "lr": 1.0, "steps": 500,
    }
    reading = ("starts from the photograph, number of iterations, ratio of the weights; the feature network is the one "
               "of the run's slot")
    restoring_slots = ("features",)
    per_picture = True
    choices: ClassVar = {"units": ("paper", "relative"), "pooling": tuple(POOLINGS), "start": ("content", "noise"),
                         "optimiser": ("lbfgs", "adam")}

    def content_loss(self, maps: Maps, wanted: Maps) -> Tensor:
        """Half the sum of squared differences of the maps, over all taps of `wanted` (equation 1)."""
        if self.settings["units"] == "relative":
            shares = [relative(maps[tap], value) for tap, value in wanted.items()]
            return sum(shares[1:], shares[0]) / len(shares)
        parts = [(maps[tap] - value).square().sum() / 2 for tap, value in wanted.items()]
        return sum(parts[1:], parts[0])

    def style_loss(self, maps: Maps, wanted: Maps) -> Tensor:
        """Mean over the taps of E_l = sum (G_l - A_l)^2 / (4 N_l^2 M_l^2), N_l channels and M_l places (equations 4 and
        5)."""
        parts = []
        for tap, value in wanted.items():
            made, asked = gram(maps[tap]), gram(value)  # each divided by its own M already
            parts.append(relative(made, asked) if self.settings["units"] == "relative" else
                         (made - asked).square().sum() / (4 * made.shape[1] ** 2))
        return sum(parts[1:], parts[0]) / len(parts)

    def start(self, content: Tensor, seed: int) -> Tensor:
        """The pixels that are moved, a leaf: the photograph's, or uniform noise."""
        if self.settings["start"] == "content":
            return content.clone(memory_format=torch.contiguous_format).requires_grad_()  # L-BFGS asks for that
        draws = torch.Generator().manual_seed(derive(seed, "start"))
        return torch.rand(content.shape, generator=draws).to(content.device).requires_grad_()

    def optimiser(self) -> Callable[[list[Tensor]], torch.optim.Optimizer]:
        """One iteration a step, for either; L-BFGS searches along its line, as in the authors' code (SciPy's): without
        that it now and then leaps to where the loss is not finite."""
        if self.settings["optimiser"] == "adam":
            return lambda pixels: torch.optim.Adam(pixels, self.settings["lr"])
        return lambda pixels: torch.optim.LBFGS(pixels, self.settings["lr"], max_iter=1, max_eval=TRIES,
                                                line_search_fn="strong_wolfe")

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The moved pixels, clipped to [0, 1]. `UserError` without a feature network."""
        s, features = self.settings, model.slots.get("features")
        if features is None:
            raise UserError("neural_style_transfer needs a feature network; name a run of one in its slot `features`, "
                            "such as representation/features.")
        content, style = inputs["content"].float(), inputs["style"].float()

        def maps(picture: Tensor, taps: list[str]) -> dict[str, Tensor]:
            return tapped(features, picture, taps, s["pooling"])

        with torch.autocast(content.device.type, enabled=False):  # sums of squares, which bf16 would round away
            kept, wanted, both = maps(content, s["content_taps"]), maps(style, s["style_taps"]), list(
                dict.fromkeys([*s["content_taps"], *s["style_taps"]]))
            pixels = self.start(content, seed)

            def loss(step: int) -> Tensor:
                made = maps(pixels, both)
                total = (s["content_weight"] * self.content_loss(made, kept)
                         + s["style_weight"] * self.style_loss(made, wanted))
                return total + s["tv"] * anisotropic(pixels) if s["tv"] else total

            optimise([pixels], loss, self.optimiser(), s["steps"])
        return {"image": pixels.detach().clamp(0, 1)}


def relative(value: Tensor, wanted: Tensor) -> Tensor:
    """The mean square of the difference as a share of the wanted one's."""
    return (value - wanted).square().mean() / wanted.square().mean().clamp(min=1e-12)


METHOD = NeuralStyleTransfer
