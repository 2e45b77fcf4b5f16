"""Frequency channel attention GAN: pix2pix whose U-Net weighs its channels by frequencies of their maps.

    discriminator: 1/2 [BCE(D(L, ab), 1) + BCE(D(L, G(L)), 0)]      generator: BCE(D(L, G(L)), 1) + 100 |ab - G(L)|

Source: "Image color rendering based on frequency channel attention GAN", Signal, Image and Video Processing 2023, doi
10.1007/s11760-023-02980-7; the attention: Qin et al., ICCV 2021; method card `fca_gan`. The objectives and the recipe
stand in `restore_ml.nn.colour_translation`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from restore_ml.nn.colour_translation import ColourTranslation
from restore_ml.nn.frequency_attention import BASES, FrequencyAttention
from restore_ml.nn.unet import UNet
from restore_ml.nn.unet_levels import follow_levels, levels_of

SMALLEST = 8
"""Maps of fewer pixels a side have no attention: they have not the 7 x 7 pixels that its frequencies are of."""


class FcaGan(ColourTranslation):
    """Eight convolutions down, eight up, attention behind those with maps of at least 8 pixels in training; a
    discriminator of four convolutions, which sees 34 x 34 pixels at a time. Learned from Lab lightness (`space: lab`),
    or with RGB as colours from the grey g whose (g, g, g) has that lightness.

    `basis: dct | learn | random`: what the channels are seen through (FcaNet's ablation). Of 8 levels at 256 pixels the
    first five have attention, and the five upward blocks of their sizes.

    reading: where the attention stands, and the sixteen frequencies (those of FcaNet); Lab as in pix2pix's colorization
    model; cross-entropy and 100 L1; pix2pix's training recipe, 200 epochs of DIV2K's 800 pictures, without jitter;
    restoring without dropout and with the batch statistics of training. The paper's framework, Jittor, is not rebuilt.
    """

    paper: ClassVar[dict[str, Any]] = {
        "space": "lab", "levels": 8, "width": 64, "dropout": True, "basis": "dct", "disc_width": 64, "disc_layers": 2,
        "gan": "bce", "gradient_penalty": 0.0, "l1": 100.0,
        "steps": 160_000, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {**ColourTranslation.choices, "basis": BASES}
    reading = ("where the attention stands, its frequencies, colour space, losses, training recipe without jitter; "
               "restored without dropout, with the statistics of training")

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the width: the frequencies are shared out evenly among the channels."""
        super().__init__(settings)
        if self.settings["width"] % 16:
            raise self.wrong("width", "it must be a multiple of 16, the number of frequencies")

    def painter(self) -> nn.Module:
        """pix2pix's U-Net with attention: 54,562,434 parameters for ab."""
        s = self.settings
        network = UNet(*self.channels, width=s["width"], levels=s["levels"], dropout=s["dropout"])
        follow_levels(network, levels_of(s["patch"], s["levels"], SMALLEST),
                      lambda channels, upward: FrequencyAttention(channels, s["basis"]))
        return network


METHOD = FcaGan
