"""Grey-level to colour transform: one curve a channel, pseudo-colour as in the text-books; or one fitted to pictures.

Source: the classical pseudo-colour transform (Gonzalez and Woods, Digital Image Processing, section on intensity to
colour transformations); method card `gray_transform`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Inputs, Method, Model
from restore_ml.tasks.base import Material

DEGREE = 3


def rainbow(grey: Tensor) -> Tensor:
    """Blue over green to red: grey N x 1 x H x W in [0, 1] -> RGB N x 3 x H x W in [0, 1]."""
    g = 255 * grey
    red = 4 * g - 510
    green = torch.minimum(4 * g, 4 * (255 - g))
    blue = 510 - 4 * g
    return torch.cat([red, green, blue], 1).clamp(0, 255) / 255


def sinusoid(grey: Tensor, cycles: float = 1.0) -> Tensor:
    """Three |sin| of the grey level, shifted by a third of their period each; shapes and ranges as `rainbow`."""
    phases = torch.arange(3, device=grey.device).view(1, 3, 1, 1) * (math.pi / 3)
    return torch.sin(math.pi * cycles * grey + phases).abs()


def pseudo_colour(rgb: Tensor) -> Inputs:
    """What a method gives that makes RGB: the picture itself and its ab, which the harness joins to the input's L."""
    return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}


def fit_polynomial(material: Material) -> np.ndarray:
    """Least squares of (a, b) on the powers 0..3 of L / 100 over all training pixels: 4 x 2 float64."""
    moments, products = np.zeros((DEGREE + 1, DEGREE + 1)), np.zeros((DEGREE + 1, 2))
    for record in material.records:
        lab = rgb_to_lab(record.arrays["rgb"]).reshape(-1, 3)
        powers = np.vander(lab[:, 0] / 100, DEGREE + 1, increasing=True)
        moments += powers.T @ powers
        products += powers.T @ lab[:, 1:]
    return np.linalg.lstsq(moments, products, rcond=None)[0]


def polynomial(lightness: Tensor, coefficients: np.ndarray) -> Tensor:
    """ab (N x 2 x H x W) of L (N x 1 x H x W) under `fit_polynomial`'s coefficients."""
    powers = torch.cat([(lightness / 100) ** power for power in range(DEGREE + 1)], 1)
    return torch.einsum("nphw,pc->nchw", powers, torch.from_numpy(np.array(coefficients)).to(powers))


class GrayTransform(Method):
    """`curve: rainbow | sinusoid` colours by formula and destroys lightness by design (score `rgb` as it is).

    `fit: poly3` instead fits ab as a cubic of L on the training split: about the best colour that a map of grey levels
    alone can give, and so the honest baseline without semantics. The grey is the one whose (g, g, g) has the input's
    lightness; the source speaks of grey levels in general.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {"curve": "rainbow", "cycles": 1.0, "fit": "none"}
    reading = "phases of the sinusoid; the cubic fit is a baseline of ours"
    choices: ClassVar = {"curve": ("rainbow", "sinusoid"), "fit": ("none", "poly3")}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """The coefficients of the cubic, when it is asked for."""
        return {"polynomial": fit_polynomial(material)} if self.settings["fit"] == "poly3" else {}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Map each pixel's grey level."""
        if self.settings["fit"] == "poly3":
            return {"ab": polynomial(inputs["L"], model.arrays["polynomial"])}
        grey = grey_from_lightness(inputs["L"])
        if self.settings["curve"] == "sinusoid":
            return pseudo_colour(sinusoid(grey, self.settings["cycles"]))
        return pseudo_colour(rainbow(grey))


METHOD = GrayTransform
