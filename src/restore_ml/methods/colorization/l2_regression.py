"""Regression of ab by the network of Colorful Image Colorization: what its classes are compared with.

Source: Zhang, Isola, Efros, "Colorful Image Colorization", ECCV 2016, equation 1 and the row "L2" of its table; method
card `l2_regression`. Where several colours are possible the least squared error is at their mean, which is dull: the
method shows what classes, rebalancing and annealing are there for. The network and the recipe stand in
`restore_ml.nn.colorful_network`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from restore_ml.method import Context, Inputs, Model
from restore_ml.nn.colorful_network import AB_SCALE, GRID, ColorfulMethod, ColorfulNet, coloured, enlarged

FIRST_STD = 1e-3
"""Of the first weights of the last layer."""


class L2Regression(ColorfulMethod):
    """The trunk of `colorful_colorization` with two linear outputs a place, ab / 110, in place of its 313 classes.

    It learns from Lab lightness. The paper trains it from scratch by the protocol of its classification, so the recipe
    is that of `colorful_colorization`; nothing is rebalanced. The paper's row "L2, ft", which starts from the trained
    classification, is not built.

    reading: what is regressed is ab / 110, the scale of the authors' later code; the truth is taken at every fourth
    pixel and pictures without colour count nothing, as in the release of the classification, whose schedule and start
    this shares (see there). The last layer begins with small weights, so that a short training does not first have to
    unlearn colours that mean nothing.
    """

    paper: ClassVar[dict[str, Any]] = ColorfulMethod.recipe
    reading = "ab / 110 at every fourth pixel; schedule of the classification; small first weights of the last layer"

    def build(self) -> dict[str, nn.Module]:
        """One network, whose first answer is nearly grey."""
        network = ColorfulNet(self.settings["width"], 2)
        nn.init.normal_(network.head.weight, std=FIRST_STD)
        assert network.head.bias is not None
        nn.init.zeros_(network.head.bias)
        return {"colorizer": network}

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Half the sum over the places of a picture of |ab - truth|^2 / 110^2, the mean over the pictures."""
        ab = context.target["ab"]
        predicted = context.networks["colorizer"](context.inputs["L"]).float()
        error = (predicted - ab[..., ::GRID, ::GRID] / AB_SCALE).square().sum(1)
        return {"l2": 0.5 * (coloured(ab) * error).sum((1, 2)).mean()}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The regressed ab at a quarter of the size, enlarged bilinearly."""
        ab = AB_SCALE * model.networks["colorizer"](inputs["L"]).float()
        return {"ab": enlarged(ab)}


METHOD = L2Regression
