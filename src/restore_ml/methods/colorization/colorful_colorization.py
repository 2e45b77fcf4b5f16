"""Colorful Image Colorization: colour as a classification over 313 ab classes, rebalanced so that rare colours count.

Source: Zhang, Isola, Efros, ECCV 2016, and the authors' released network; method card `colorful_colorization`.
The network and the recipe stand in `restore_ml.nn.colorful_network`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.method import Context, Inputs, Model
from restore_ml.nn.ab_classes import (
    annealed_mean,
    class_centres,
    classes_of_histogram,
    nearest_class,
    rebalancing_weights,
    smoothed_prior,
    soft_encode,
)
from restore_ml.nn.colorful_network import GRID, ColorfulMethod, ColorfulNet, coloured, enlarged
from restore_ml.tasks.base import Material


class ColorfulColorization(ColorfulMethod):
    """Without `rebalance` the paper's ablation "class". Its ablation "L2", the same trunk that regresses, is
    `l2_regression`.

    reading: the learning rate falls as the paper says (3e-5, 1e-5 from step 200,000, 3e-6 from 375,000), not as the
    released solver file says (a tenth every 225,000 of 500,000 steps); Adam's second beta, 0.99, is the solver file's
    (the paper: 0.999). He initialisation (the release: k-means, to the same end). The weight of a pixel multiplies its
    cross-entropy, which gives the gradient of the release. The truth's ab is taken at every fourth pixel, without
    averaging, as in the release.
    """

    paper: ClassVar[dict[str, Any]] = {
        **ColorfulMethod.recipe, "rebalance": True, "mix": 0.5, "sigma": 5.0, "neighbours": 5, "temperature": 0.38,
    }
    reading = "the paper's learning-rate schedule with the solver file's second beta; He initialisation"

    def build(self) -> dict[str, nn.Module]:
        """One network."""
        return {"colorizer": ColorfulNet(self.settings["width"], len(class_centres()))}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`prior` (smoothed class frequencies of the training split) and `class_weights`, float32, one a class."""
        counts = material.pool("ab_histogram").find("ab_histogram").arrays["counts"]
        prior = smoothed_prior(classes_of_histogram(counts), self.settings["sigma"])
        mix = self.settings["mix"] if self.settings["rebalance"] else 1.0
        return {"prior": prior.astype(np.float32), "class_weights": rebalancing_weights(prior, mix).astype(np.float32)}

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy with the softly encoded truth, weighted by the rarity of its class, over all pixels; pictures
        with no |a| or |b| above 5 count nothing."""
        ab = context.target["ab"]
        truth = ab[..., ::GRID, ::GRID]
        predicted = context.networks["colorizer"](context.inputs["L"]).float()
        classes, weights = soft_encode(truth, self.settings["neighbours"], self.settings["sigma"])
        wanted = torch.zeros_like(predicted).scatter_(1, classes, weights)  # dense: a gather's gradient may not repeat
        entropy = -(wanted * predicted.log_softmax(1)).sum(1)
        rarity = torch.from_numpy(self.constants["class_weights"]).to(entropy.device)[nearest_class(truth)]
        return {"classes": (coloured(ab) * rarity * entropy).mean()}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Annealed mean at a quarter of the size, enlarged bilinearly."""
        predicted = model.networks["colorizer"](inputs["L"]).float()
        ab = annealed_mean(predicted, self.settings["temperature"])
        return {"ab": enlarged(ab)}


METHOD = ColorfulColorization
