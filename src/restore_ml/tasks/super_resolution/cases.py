"""What super-resolution is tested on: the bicubic degradation of the benchmarks (crop to a multiple of the scale,
imresize, uint8) and its variants.

Settings: `variants` (further degradations: `x<scale>_noise`, `x<scale>_blur`, `x<scale>_bd`), and of the variants
`noise_sigma` (grey levels), `blur_sigma` (pixels) and `blur_size` (side of the kernel).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.degradations.blur import blur_decimate, gaussian_blur
from restore_ml.degradations.noise import gaussian_noise
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.super_resolution.task import LARGEST_SCALE, TASK


class SuperResolutionCases(Cases):
    """One degradation a scale, then the variants."""

    task = TASK
    defaults: ClassVar = {"variants": ["x2_blur", "x2_noise"], "noise_sigma": 10.0, "blur_sigma": 1.6, "blur_size": 13}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Every variant must be a degradation that there is."""
        for name in settings["variants"]:
            parse_degradation(name)

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """`x2`, `x3` ... of the scales, then the variants."""
        resolved = self.resolve(settings)
        return [f"x{scale}" for scale in resolved["scales"]] + list(resolved["variants"])

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Degrade one picture.

        `xS`: imresize by 1/S, rounded to uint8. `xS_noise`: then white Gaussian noise of `noise_sigma` grey levels on
        the low-resolution RGB. `xS_blur`: a Gaussian blur of the high-resolution picture first. `xS_bd`: blur, then
        every S-th pixel from pixel 0 on (shifted against imresize by (S - 1) / 2 pixels, as in that protocol).
        reading: the values of the variants are ours, in the spirit of the face and video protocols of the method card.
        """
        resolved = self.resolve(settings)
        scale, kind = parse_degradation(degradation)
        hr = modcrop(three_channels(picture.arrays["image"]), scale)
        if kind == "bd":
            lr = blur_decimate(hr, scale, resolved["blur_sigma"], resolved["blur_size"])
        else:
            blurred = gaussian_blur(hr, resolved["blur_sigma"], resolved["blur_size"]) if kind == "blur" else hr
            lr = imresize(blurred, 1 / scale)
        if kind == "noise":
            lr = gaussian_noise(lr, resolved["noise_sigma"], generator(seed, picture.id, degradation))
        facts = {"scale": scale, "channels": picture.arrays["image"].shape[2]}
        return Sample({"lr": lr, "scale": np.array(scale, np.int32)}, {"hr": hr}, facts)


def parse_degradation(degradation: str) -> tuple[int, str]:
    """(scale, kind) of `x4` or `x4_noise`; kind is empty, `noise`, `blur` or `bd`.

    >>> parse_degradation("x4_noise")
    (4, 'noise')
    """
    match = re.fullmatch(r"x(\d+)(?:_(noise|blur|bd))?", degradation)
    if match is None or not 2 <= int(match[1]) <= LARGEST_SCALE:
        raise UserError(f"The degradation {degradation!r} of super_resolution is unknown; write x2 to "
                        f"x{LARGEST_SCALE}, with _noise, _blur or _bd after it for a variant.")
    return int(match[1]), match[2] or ""


CASES = SuperResolutionCases()
