"""Multi-scale neural patch synthesis: a content network's filling is moved, from coarse to fine, until each patch of
its features resembles one of the known part.

Source: Yang, Lu, Lin, Shechtman, Wang, Li, CVPR 2017, and their released faster code; method card `mnps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.losses.perceptual import taps_of
from restore_ml.method import Inputs, Method, Model
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.training.on_picture import optimise

SUPPORTED = ("centre", "random_rect", "random_square")
SIDE = 3
"""Of a patch of features, in places of its map."""
LEAST = 16
"""Side in pixels of the smallest picture that a feature network takes."""
TRIES = 20
"""Evaluations of the energy in one iteration of L-BFGS at most."""

Matches = Mapping[str, tuple[Tensor, Tensor]]
"""By tap: which patches of the map lie in the hole (indices), and the known patch that each is to resemble (9 C x n).
"""


class NeuralPatchSynthesis(Method):
    """Nothing is trained before. The run in the slot `parts` predicts the content: a context encoder, which is shown
    the picture around the hole's box so that this is its centre. Then `steps` iterations at each of `scales` sizes,
    each twice the one before, move the hole's pixels down

        content x mean (x - c)^2 + texture x mean |patch - its match|^2 + tv x sum of squared differences of neighbours

    where c is the scale's start, the content network's filling or the coarser scale's result; patches are those of the
    maps `taps` of the feature network in the slot `features` that are centred in the hole, and the match of one is the
    patch clear of the hole with the largest normalised correlation, found once a scale. A map in which no patch is
    clear of the hole has no part in it. `cases`: the degradations that the run is shown on, as it is dear.

    `rim`: the box is so much of its sides wider on each of them (the authors predict 256 pixels and use the inner 224);
    `blend`: how the content network's filling is made to agree with the known pixels there
    (`restore_ml.nn.blending`). The authors' Poisson blending of the end is left out: known pixels are part of what is
    optimised here, and it would change nothing.

    reading: what is a mean and what a sum, and colours in [0, 1]: so the printed weights, which are of memory and for
    VGG19 with ImageNet's weights, make terms of one size; matches once a scale, as in the released code, which smears
    the surroundings over the hole and searches there too: here the hole is left out, as in the paper; boxes that are
    no centre.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "taps": ["relu3_1", "relu4_1"], "content": 1.0, "texture": 5e-6, "tv": 5e-6, "scales": 3, "steps": 100,
        "optimiser": "lbfgs", "lr": 1.0, "rim": 1 / 14, "blend": "none", "cases": list(SUPPORTED),
    }
    reading = "means and sums of the terms, range of the colours, when patches are matched, boxes that are no centre"
    choices: ClassVar = {"optimiser": ("lbfgs", "adam"), "blend": BLENDS}
    restoring_slots = ("features", "parts")
    per_picture = True

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for an unknown name in `cases`."""
        super().__init__(settings)
        for name in self.settings["cases"]:
            if name not in SUPPORTED:
                raise self.wrong("cases", f"{name!r} is none of {', '.join(SUPPORTED)}")

    def unsupported(self, degradation: str) -> str | None:
        """One box is what its content network fills."""
        if degradation not in SUPPORTED:
            return "made for one box"
        return None if degradation in self.settings["cases"] else "left out by the run's setting cases"

    def energy(self, picture: Tensor, start: Tensor, hole: Tensor, matches: Matches, features: Any) -> Tensor:
        """The energy of 1 x 3 x H x W; `hole`: 1 x 1 x H x W."""
        s = self.settings
        total = s["content"] * ((picture - start).square() * hole).sum() / (3 * hole.sum()).clamp(min=1)
        total = total + s["tv"] * squared_variation(picture)
        if matches:
            maps = taps_of(features, picture, matches)
            for tap, (places, wanted) in matches.items():
                error = (F.unfold(maps[tap], SIDE)[0, :, places] - wanted).square().sum(0).mean()
                total = total + s["texture"] * error
        return total

    def optimiser(self) -> Callable[[list[Tensor]], torch.optim.Optimizer]:
        """One iteration a step; L-BFGS searches along its line, so that the energy never rises."""
        if self.settings["optimiser"] == "adam":
            return lambda pixels: torch.optim.Adam(pixels, self.settings["lr"])
        return lambda pixels: torch.optim.LBFGS(pixels, self.settings["lr"], max_iter=1, max_eval=TRIES,
                                                line_search_fn="strong_wolfe")

    def synthesise(self, start: Tensor, hole: Tensor, features: Any) -> Tensor:
        """One scale: the start with its hole's pixels moved, in [0, 1]."""
        matches = {tap: found for tap, maps in taps_of(features, start, self.settings["taps"]).items()
                   if (found := matched(maps, hole))}
        pixels = start.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        optimise([pixels], lambda step: self.energy(composed(pixels, start, hole), start, hole, matches, features),
                 self.optimiser(), self.settings["steps"])
        return composed(pixels.detach().clamp(0, 1), start, hole)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The finest scale's result. `UserError` without a feature network or a content network."""
        features, parts = model.slots.get("features"), model.slots.get("parts")
        if features is None or parts is None:
            raise UserError("mnps needs a feature network and a content network; name a run of either in its slots, "
                            "such as features: representation/features and parts: inpainting/context_encoder.")
        image, mask = inputs["image"].float(), (inputs["mask"] > 0.5).float()
        if not mask.any():
            return {"image": image}
        with torch.autocast(image.device.type, enabled=False):  # sums of squares, which bf16 would round away
            method, other = parts
            result = whole = content(method, other, {"image": image, "mask": mask}, seed, self.settings["rim"],
                                     self.settings["blend"])
            for size in sizes(image.shape[-2:], self.settings["scales"]):
                hole = F.adaptive_max_pool2d(mask, size)
                result = self.synthesise(composed(resized(result, size), resized(whole, size), hole), hole, features)
        return {"image": result}


def content(method: Method, model: Model, inputs: Inputs, seed: int, rim: float, blend: str) -> Tensor:
    """The picture with the content network's filling of the box around the hole.

    The box is widened on each side by the share `rim` of its sides, as far as the picture goes, and the network is
    shown it, all of it missing, with half its height above and below and half its width at either side, continued by
    reflection where that lies beyond the picture. What it says of the rim is what is blended with the known pixels.
    """
    image, mask = inputs["image"], inputs["mask"]
    box = []
    for axis in (3, 2):
        places = torch.nonzero(mask.amax((0, 1, axis))).flatten()
        first, last = int(places[0]), int(places[-1]) + 1
        more = math.ceil(rim * (last - first))
        box += [max(0, first - more), min(mask.shape[5 - axis], last + more)]
    top, bottom, left, right = box
    high, wide = (bottom - top) // 2, (right - left) // 2
    missing = torch.zeros_like(mask)
    missing[..., top:bottom, left:right] = 1
    seen = {name: surrounding(value, left - wide, 2 * (right - left), top - high, 2 * (bottom - top))
            for name, value in (("image", image * (1 - missing)), ("mask", missing))}
    made = method.restore(model, seen, seed)["image"][..., high:high + bottom - top, wide:wide + right - left]
    filled, inside = image.clone(), (..., slice(top, bottom), slice(left, right))
    filled[inside] = composed(blended(blend, made, image[inside], mask[inside]), image[inside], mask[inside])
    return filled


def surrounding(x: Tensor, left: int, width: int, top: int, height: int) -> Tensor:
    """A window of N x C x H x W, continued by reflection."""
    before, above = max(0, -left), max(0, -top)
    behind, below = max(0, left + width - x.shape[-1]), max(0, top + height - x.shape[-2])
    wider = F.pad(x, (before, behind, above, below), mode="reflect")
    return wider[..., top + above:top + above + height, left + before:left + before + width]


def sizes(size: torch.Size, scales: int) -> list[tuple[int, int]]:
    """Height and width at each scale, the picture's own at the last one; sides are at least `LEAST` or its own."""
    height, width = (([min(side, max(LEAST, round(side / 2 ** scale))) for scale in reversed(range(scales))])
                     for side in size)
    return list(zip(height, width, strict=True))


def matched(maps: Tensor, hole: Tensor) -> tuple[Tensor, Tensor] | None:
    """Of the patches of 1 x C x h x w: which are centred in the hole, and for each the patch that does not touch it
    with the largest normalised correlation; None where there are none of either. A place of the map is missing where
    any pixel that falls to it is."""
    missing = F.adaptive_max_pool2d(hole, maps.shape[-2:])
    if min(missing.shape[-2:]) < SIDE:
        return None
    places = torch.nonzero(missing[0, 0, 1:-1, 1:-1].flatten() > 0).flatten()
    clear = torch.nonzero(F.max_pool2d(missing, SIDE, 1).flatten() == 0).flatten()
    if not len(places) or not len(clear):
        return None
    patches = F.unfold(maps, SIDE)[0]
    known = patches[:, clear]
    best = (patches[:, places].T @ (known / known.norm(dim=0).clamp(min=1e-12))).argmax(1)
    return places, known[:, best]


def squared_variation(x: Tensor) -> Tensor:
    """Sum of squared differences to the right and downwards."""
    return (x[..., 1:] - x[..., :-1]).square().sum() + (x[..., 1:, :] - x[..., :-1, :]).square().sum()


def composed(filling: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """`filling` in the hole, `around` elsewhere."""
    return torch.where(mask > 0, filling, around)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """By linear interpolation, widened where it makes smaller."""
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)


METHOD = NeuralPatchSynthesis
