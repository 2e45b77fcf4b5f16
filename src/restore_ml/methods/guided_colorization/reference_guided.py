"""Colours from a reference picture: what looks alike in both is found by features, its colour carried over, and a U-Net
makes a picture of it.

Source: the method card `reference_guided`, which reads exemplar-based colorization (He, Chen, Liao, Sander, Yuan,
SIGGRAPH 2018; Zhang, He, Liao, Sander, Yuan, Bermak, Chen, CVPR 2019) as one warp and one network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, lab_to_rgb, rgb_to_lab
from restore_ml.losses.huber import huber
from restore_ml.losses.perceptual import feature_error, taps_of
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.unet import UNet
from restore_ml.tasks.guided_colorization import reference as simulator  # noqa: F401 - a changed one trains it anew
from restore_ml.tasks.guided_colorization import without_points
from restore_ml.training.schedules import linear_to_zero

AB_SCALE = 110.0
"""ab are divided by this."""
GRID = 4
"""Pictures are compared at a quarter of their height and width."""
SHARPNESS = 100.0
"""Correlations are multiplied by this before the softmax."""
LARGEST, SMALLEST = 256, 32
"""Longest and shortest side of a reference in pixels; a longer one is made smaller, a shorter one larger."""
FIRST = 0.1
"""The share of pix2pix's first weights in the last layer."""
SURE, SLOPE = 0.6, 20.0
"""Places found by this correlation begin half trusted, and how steeply trust grows: copies of a picture are found by
0.9 on average, others by 0.3."""
AT_ONCE = 2048
"""Places of the grid that look for their likes at a time: so many by those of the reference are held in memory."""


def described(network: Any, lightness: Tensor, taps: Sequence[str]) -> Tensor:
    """What is at each place of the grid (N x C x H/4 x W/4, of length 1), from the grey of that lightness alone.

    Each tap's maps are brought to the grid, less their mean over the picture (a ReLU's maps are never negative, so that
    all places would look alike), to length 1 at each place: every tap has the same say in a correlation.
    """
    size = (lightness.shape[2] // GRID, lightness.shape[3] // GRID)
    maps = taps_of(network, grey_from_lightness(lightness).expand(-1, 3, -1, -1), taps)
    parts = [F.interpolate(one, size, mode="bilinear", align_corners=False) for one in maps.values()]
    parts = [F.normalize(one - one.mean((2, 3), keepdim=True), dim=1) for one in parts]
    return torch.cat(parts, 1) / len(parts) ** 0.5


def warped(target: Tensor, reference: Tensor, ab: Tensor) -> tuple[Tensor, Tensor]:
    """The reference's ab (N x 2 x h x w) at the places of the target (N x 2 x H x W), and the largest correlation of
    each of these with any place of the reference (N x 1 x H x W, at most 1).

    `target`, `reference`: N x C x H x W and N x C x h x w of length 1. A place gets the mean of the reference's
    colours, weighted by the softmax of SHARPNESS times its correlations with their places.
    """
    keys, colours = reference.flatten(2), ab.flatten(2)
    found = []
    for places in target.flatten(2).split(AT_ONCE, 2):
        correlations = places.transpose(1, 2) @ keys
        weights = (SHARPNESS * correlations).softmax(2)
        found.append(torch.cat([colours @ weights.transpose(1, 2), correlations.amax(2)[:, None]], 1))
    whole = torch.cat(found, 2).unflatten(2, target.shape[2:])
    return whole[:, :2], whole[:, 2:]

def fitted(reference: Tensor) -> Tensor:
    """A reference of any size, resized so that its sides are multiples of GRID from SMALLEST to LARGEST; its shape is
    kept as far as these allow."""
    height, width = reference.shape[2:]
    factor = min(LARGEST / max(height, width), max(1.0, SMALLEST / min(height, width)))
    size = [max(SMALLEST, GRID * round(factor * side / GRID)) for side in (height, width)]
    if size == [height, width]:
        return reference
    return F.interpolate(reference, size, mode="bilinear", align_corners=False, antialias=True)


class ReferenceGuided(Method):
    """Lightness, the colours that the reference would give and how sure they are -> ab.

    Features of both greys are compared at a quarter of the size, the reference's ab are carried over and enlarged; with
    the largest correlation of each place they come to pix2pix's U-Net beside lightness. It gives colours of its own and
    how far they count: a pixel is a mixture of carried and own colours, by a sigmoid that begins at trusting what was
    found by a correlation above SURE. In `copies` of the batches a picture's reference is a changed copy of itself, in
    the others that of another picture of the batch, whose colours need not be right. The grey of both is Lab lightness.

    reading: the card's own, whose sources have more parts; the taps' equal say, less their mean; the mixture, without
    which a short training spoils what is carried rightly; a picture of any class, as ours have none; the weights of
    both terms, beta of the smooth L1 and the whole recipe; the perceptual term compares one tap (`perceptual_tap`), as
    in the first source. References are looked at with at most 256 pixels a side.
    """

    task = "guided_colorization"
    inputs = ("reference",)
    restoring_slots = ("features",)
    reading = ("the card's: equal taps, own colours mixed with carried ones, any other picture in place of one of the "
               "same class, weights, recipe; references of at most 256 pixels a side")
    stored_networks = ("colorizer",)
    paper: ClassVar[dict[str, Any]] = {
        "taps": ["relu2_1", "relu3_1", "relu4_1", "relu5_1"], "levels": 8, "width": 64, "copies": 0.4,
        "smooth_l1": 10.0, "perceptual": 0.005, "perceptual_tap": "relu5_1", "lr": 2e-4, "betas": [0.9, 0.999],
        "steps": 250_000, "batch": 8, "patch": 256, "ema": 0.0,
    }

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop, the batch and the share of copies."""
        super().__init__(settings)
        self.multiple = 2 ** self.settings["levels"]
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple} (2 to the power of levels)")
        if not 0 <= self.settings["copies"] <= 1:
            raise self.wrong("copies", "it must be a share from 0 to 1")
        if self.settings["copies"] < 1 and self.settings["batch"] < 2:
            raise self.wrong("batch", "it must be at least 2, as other pictures' references are those of the batch")
        if self.settings["levels"] < 4:
            raise self.wrong("levels", "it must be at least 4, as features need 16 pixels a side")

    def unsupported(self, degradation: str) -> str | None:
        """Cases with points, which it is not told."""
        return without_points.unsupported(degradation)

    def build(self) -> dict[str, nn.Module]:
        """`colorizer`: own ab / 110 and a logit. Its last layer begins small, so that correlations decide at first."""
        network = UNet(4, 3, width=self.settings["width"], levels=self.settings["levels"], dropout=False, final="none")
        with torch.no_grad():
            network.up[-1][1].weight.mul_(FIRST)  # type: ignore[index]
        return {"colorizer": network}

    def phases(self) -> list[Phase]:
        """One player; its rate falls to 0 over the second half."""
        s = self.settings
        player = Player("colorizer", ["colorizer"], self.loss,
                        lambda parameters: torch.optim.Adam(parameters, s["lr"], tuple(s["betas"])),
                        schedule=linear_to_zero(0.5))
        return [Phase("train", s["steps"], [player])]

    def carried(self, features: Any, lightness: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """ab of the reference at each pixel (N x 2 x H x W), and the correlation it was found by (N x 1 x H x W)."""
        lab = rgb_to_lab(fitted(reference))
        with torch.no_grad(), torch.autocast(lightness.device.type, enabled=False):
            ab, likeness = warped(described(features, lightness, self.settings["taps"]),
                                  described(features, lab[:, :1], self.settings["taps"]),
                                  F.avg_pool2d(lab[:, 1:], GRID))
            both = F.interpolate(torch.cat([ab, likeness], 1), scale_factor=GRID, mode="bilinear", align_corners=False)
        return both[:, :2], both[:, 2:]

    def coloured(self, network: nn.Module, features: Any, lightness: Tensor, reference: Tensor) -> Tensor:
        """ab / 110."""
        ab, likeness = self.carried(features, lightness, reference)
        made = network(torch.cat([lightness / 50 - 1, ab / AB_SCALE, likeness], 1)).float()
        carried = torch.sigmoid(made[:, 2:] + SLOPE * (likeness - SURE))
        return carried * ab / AB_SCALE + (1 - carried) * made[:, :2]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Smooth L1 of ab / 110, quadratic below 1 / 110, and the squared difference of a tap's maps."""
        s, lightness, reference = self.settings, context.inputs["L"], context.inputs["reference"]
        if context.uniform(lightness[:1, 0, 0, 0]) >= s["copies"]:
            reference = reference.roll(1, 0)
        features = context.slots["features"]
        ab = self.coloured(context.networks["colorizer"], features, lightness, reference)
        terms = {"smooth_l1": s["smooth_l1"] * huber(ab, context.target["ab"] / AB_SCALE, 1 / AB_SCALE)}
        rgb = lab_to_rgb(torch.cat([lightness, AB_SCALE * ab], 1))
        return terms | feature_error(features, rgb, context.target["rgb"], s["perceptual_tap"], s["perceptual"])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` and `reference` to `ab`."""
        return {"ab": AB_SCALE * self.coloured(model.networks["colorizer"], model.slots["features"], inputs["L"],
                                               inputs["reference"])}


METHOD = ReferenceGuided
