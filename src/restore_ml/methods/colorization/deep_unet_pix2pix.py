"""A deeper U-Net for pix2pix: each level of the generator has further convolutions at its own size; losses compared.

    discriminator: 1/2 [BCE(D(x, y), 1) + BCE(D(x, G(x)), 0)] + 10 (|gradient of D at a mix of y and G(x)| - 1)^2
    generator:     BCE(D(x, G(x)), 1) + 100 |y - G(x)|

Source: Li et al., "grey image colouring with Pix2Pix GAN", Journal of Computer-Aided Design and Computer Graphics 2021;
pix2pix: Isola et al., CVPR 2017; method card `deep_unet_pix2pix`. The objectives but for the distance, and the recipe,
stand in `restore_ml.nn.colour_translation`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.nn.colour_translation import ColourTranslation
from restore_ml.nn.initialisation import normal
from restore_ml.nn.unet import UNet
from restore_ml.nn.unet_levels import follow_levels


class DeepUNetPix2Pix(ColourTranslation):
    """`extra_convs` convolutions of stride 1 behind every level but the deepest, downward and upward; 0 with 8 levels
    is pix2pix's generator. The paper compares losses: `recon: l1 | smooth_l1` (quadratic below `beta`) with
    `recon_weight`, `gan: bce | lsgan`, `gradient_penalty` 0 or 10.

    With `beta` 1 smooth L1 is half the square for nearly all errors of colours in [-1, 1], so a much weaker term than
    L1; 0.1 keeps most of the weight of large errors.

    The grey of `space: rgb` is not the luma of the colour picture, which a method under this task's protocol cannot
    see, but the g whose (g, g, g) has the input's lightness; `space: lab` learns from that lightness.

    reading: "deeper" is one more convolution of 3 x 3 a level, with batch normalisation, its activation before it as
    everywhere in pix2pix; which losses were chosen in the end (L1, cross-entropy, the penalty); the penalty's weight
    and, with it, instance normalisation in the discriminator; pix2pix's training recipe without jitter, 200 epochs of
    1,231 summer photographs; restoring without dropout and with the batch statistics of training.
    """

    paper: ClassVar[dict[str, Any]] = {
        "space": "rgb", "levels": 8, "extra_convs": 1, "width": 64, "dropout": True, "disc_width": 64, "disc_layers": 3,
        "recon": "l1", "beta": 1.0, "recon_weight": 100.0, "gan": "bce", "gradient_penalty": 10.0,
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {**ColourTranslation.choices, "extra_convs": (0, 1, 2), "recon": ("l1", "smooth_l1")}
    zero_allowed = ("extra_convs",)
    reading = ("one more convolution a level as what is deeper, the losses that were chosen in the end, the penalty's "
               "weight and normalisation, training recipe without jitter; restored without dropout, with the "
               "statistics of training")

    def painter(self) -> nn.Module:
        """The U-Net with what follows its levels: 74,844,547 parameters for RGB, 74,842,498 for ab."""
        s = self.settings
        network = UNet(*self.channels, width=s["width"], levels=s["levels"], dropout=s["dropout"])
        if s["extra_convs"]:
            follow_levels(network, range(s["levels"] - 1), self.further)
        return network

    def further(self, channels: int, upward: bool) -> nn.Module:
        """As often as asked: (leaky) ReLU, 3 x 3 convolution without bias, batch normalisation."""
        layers: list[nn.Module] = []
        for _ in range(self.settings["extra_convs"]):
            layers += [nn.ReLU() if upward else nn.LeakyReLU(0.2),
                       nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
        added = nn.Sequential(*layers)
        normal(added)
        return added

    def distance(self, fake: Tensor, true: Tensor) -> dict[str, Tensor]:
        """`recon_weight` times L1 or smooth L1 of the colours in [-1, 1]."""
        s = self.settings
        apart = F.l1_loss(fake, true) if s["recon"] == "l1" else F.smooth_l1_loss(fake, true, beta=s["beta"])
        return {s["recon"]: s["recon_weight"] * apart}


METHOD = DeepUNetPix2Pix
