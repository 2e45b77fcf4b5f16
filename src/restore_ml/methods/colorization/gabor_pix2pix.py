"""Gabor texture and pix2pix: a picture's Gabor response, not the picture itself, is translated to colour.

Source: Li, Zhang, Yu, Li, Li, "An improved pix2pix model based on Gabor filter for robust color image rendering",
Mathematical Biosciences and Engineering 19(1), 2022; pix2pix: Isola et al., CVPR 2017; method card `gabor_pix2pix`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.nn.colour_translation import ColourTranslation
from restore_ml.nn.gabor import DIRECTIONS, SIZES, gabor_kernel, normalise, texture
from restore_ml.nn.unet import UNet


class GaborPix2Pix(ColourTranslation):
    """A texture map of one scale (`size`) and direction (`theta`, degrees) -> RGB, by pix2pix's U-Net; least-squares
    adversary with gradient penalty, L1.

    `input: replace` shows the network the texture alone, `concat` grey and texture. `norm: sum` is the common recipe
    (it saturates at 45 and 135 degrees), `l1` divides by the absolute sum. `gan: lsgan | bce`; `gradient_penalty` 0
    turns the penalty off and gives the discriminator batch normalisation, as pix2pix has it.

    The grey is not the luma Y of the colour picture, which a method under this task's protocol cannot see, but the grey
    g whose (g, g, g) has the input's lightness.

    reading: "scale 7" is a kernel size of 7 pixels among 7 to 17; kernel parameters; the texture replaces the grey
    picture; the penalty is on one score a picture, the mean of its patches; instance normalisation (a penalty a picture
    forbids batch statistics); pix2pix's training recipe, but for its jitter (crops of pictures enlarged to 286 pixels);
    restoring without dropout and with the batch statistics of training (pix2pix: dropout, the test picture's own).
    """

    paper: ClassVar[dict[str, Any]] = {
        "size": 7, "theta": 0, "norm": "sum", "input": "replace", "space": "rgb",
        "levels": 8, "width": 64, "dropout": True, "disc_width": 64, "disc_layers": 3,
        "gan": "lsgan", "gradient_penalty": 10.0, "l1": 100.0,
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {"size": SIZES, "theta": DIRECTIONS, "input": ("replace", "concat"), "space": ("rgb",),
                         "gan": ("lsgan", "bce")}
    reading = ("kernel parameters, texture as the only input, penalty's score and normalisation, training recipe "
               "without jitter; restored without dropout, with the statistics of training")

    @property
    def channels(self) -> tuple[int, int]:
        """Of what is shown, and of RGB."""
        return 1 if self.settings["input"] == "replace" else 2, 3

    @cached_property
    def kernel(self) -> Tensor:
        """The run's Gabor kernel, normalised."""
        return normalise(gabor_kernel(self.settings["size"], self.settings["theta"]), self.settings["norm"])

    def painter(self) -> nn.Module:
        """pix2pix's U-Net."""
        s = self.settings
        return UNet(*self.channels, width=s["width"], levels=s["levels"], dropout=s["dropout"])

    def condition(self, lightness: Tensor) -> Tensor:
        """What both networks are shown: the texture, or grey and texture, in [-1, 1]."""
        grey = grey_from_lightness(lightness)
        maps = texture(grey, self.kernel)
        return 2 * (maps if self.settings["input"] == "replace" else torch.cat([grey, maps], 1)) - 1


METHOD = GaborPix2Pix
