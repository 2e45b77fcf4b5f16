"""Deep image prior: an untrained hourglass is fitted to the known pixels of one picture, and what it draws under the
hole is the filling; fitted to a noisy picture, and stopped in time, it draws the picture before the noise.

Source: Ulyanov, Vedaldi, Lempitsky, CVPR 2018, and the notebooks of their code; method card `dip`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.losses.reconstruction import masked_mse
from restore_ml.method import Inputs, Method, Model
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.declared_cases import left_out
from restore_ml.nn.hourglass import Hourglass
from restore_ml.training.deep_prior import Fallback, fit, fixed_noise, fresh, meshgrid


class DeepImagePrior(Method):
    """Nothing is trained before; restoring is `steps` of Adam on the picture, with nothing asked under the mask.

    The settings are those of the authors' text inpainting. Their other recipes differ in these:
    a large hole ("library"): `channels` 1, `widths` 16, 32, 64, 128, 128, 128, no `skip`, `kernel` 5, not `pointwise`,
    no `jitter`, `weight_jitter` 0.02, 3001 steps; a "vase": `input` meshgrid, no `skip`, 5001 steps; half of the pixels
    missing: `skip` 4, `upsample` bilinear, `lr` 0.001, 11,000 steps; noise: `skip` 4, `upsample` bilinear, `jitter`
    1/30, `average` 0.99, 3000 steps.

    `input`: `noise` (a fixed draw of `channels` from U(0, 0.1)) or `meshgrid` (each pixel's place). `skip`, `kernel`,
    `pointwise`: see `Hourglass`. `jitter`: standard deviation of the noise on the input, anew each step;
    `weight_jitter`: of that on the convolutions' weights, as a share of their own. `average`: decay of the average of
    the outputs over the steps (0: the last one). Each `check` steps the squared error on what is known is looked at;
    where it has grown by more than `fallback` dB, the weights of the last look are put back. `blend`: how what is drawn
    agrees with what is known (see `restore_ml.nn.blending`; `none` as published).
    `cases`: the degradations that the run is shown on (none named: all), as fitting a network to each picture is dear.

    In the task restoration nothing is hidden and all pixels are asked for; of its degradations it takes off noise.

    reading: the average is corrected for its start; noise on the weights stays in them (the authors' notebook computes
    such weights and does not use them).
    """

    task = "inpainting"
    serves = ("restoration",)
    zero_allowed = ("skip",)
    paper: ClassVar[dict[str, Any]] = {
        "input": "noise", "channels": 32, "widths": [128, 128, 128, 128, 128], "skip": 128, "kernel": 3,
        "pointwise": True, "upsample": "nearest", "steps": 6001, "lr": 0.01, "jitter": 0.03, "weight_jitter": 0.0,
        "average": 0.0, "check": 50, "fallback": 5.0, "blend": "none", "cases": [],
    }
    reading = "the start of the average, noise on the weights stays in them"
    per_picture = True
    choices: ClassVar = {"input": ("noise", "meshgrid"), "upsample": ("nearest", "bilinear"), "kernel": (3, 5),
                         "pointwise": (True, False), "blend": BLENDS}

    def __init__(self, settings: dict[str, Any]) -> None:
        """The input is padded so that every level halves it evenly."""
        super().__init__(settings)
        self.multiple = 2 ** len(self.settings["widths"])

    def unsupported(self, degradation: str) -> str | None:
        """Holes of any kind, and noise."""
        if self.task == "restoration" and not degradation.startswith("noise"):
            return "of what lies all over a picture it takes off noise only"
        return left_out(self.settings["cases"], degradation)

    def network(self) -> nn.Module:
        """A fresh network, from torch's current generator."""
        s = self.settings
        channels = s["channels"] if s["input"] == "noise" else 2
        return Hourglass(channels, s["widths"], s["skip"], s["upsample"], s["kernel"], s["pointwise"])

    def network_input(self, image: Tensor, seed: int) -> Tensor:
        """What the network is shown: nothing of it depends on the picture but its size."""
        if self.settings["input"] == "meshgrid":
            return meshgrid(image)
        return fixed_noise(self.settings["channels"], image, seed)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Fit, and give what the network draws (the known pixels are put back by the task)."""
        s, image = self.settings, inputs["image"]
        if max(image.shape[-2:]) <= self.multiple:
            raise UserError(f"The picture is too small for the {len(s['widths'])} levels of a deep image prior: one of "
                            f"its sides must be above {self.multiple} pixels. Give a larger one, or fewer `widths`.")
        mask = inputs["mask"] if "mask" in inputs else torch.zeros_like(image[:, :1])
        restored = fit(fresh(self.network, image, seed), self.network_input(image, seed),
                       lambda output: masked_mse(output, image, 1 - mask), seed, steps=s["steps"], lr=s["lr"],
                       jitter=s["jitter"], average=s["average"], weight_jitter=s["weight_jitter"],
                       fallback=Fallback(s["check"], s["fallback"]))
        return {"image": blended(s["blend"], restored, image * (1 - mask), mask)}


METHOD = DeepImagePrior
