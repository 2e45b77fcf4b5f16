"""pix2pix for colour: a U-Net gives the ab of a Lab lightness, a patch discriminator judges both together.

    discriminator: 1/2 [BCE(D(L, ab), 1) + BCE(D(L, G(L)), 0)]      generator: BCE(D(L, G(L)), 1) + 100 |ab - G(L)|

Source: Isola, Zhu, Zhou, Efros, "Image-to-image translation with conditional adversarial networks", CVPR 2017, and the
colorization model of the authors' PyTorch code; method card `pix2pix_color`. The objectives and the recipe stand in
`restore_ml.nn.colour_translation`, which its successors share.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from restore_ml.nn.colour_translation import ColourTranslation
from restore_ml.nn.unet import UNet


class Pix2PixColor(ColourTranslation):
    """`space: lab`, the authors' colorization model, learned from Lab lightness; `space: rgb`, the translation of grey
    to RGB that later papers compare with, learned from the grey g whose (g, g, g) has the input's lightness (those
    papers: the luma of the colour picture, which nobody sees who restores).

    `gan` and `gradient_penalty` are there for its successors' ablations; the authors have `bce` and none.

    reading: 200 epochs of the 1,231 summer photographs of the papers that compare with it; crops at the pictures' own
    size instead of crops of pictures enlarged to 286 pixels; restoring without dropout and with the batch statistics of
    training (the authors: dropout, the test picture's own).
    """

    paper: ClassVar[dict[str, Any]] = {
        "space": "lab", "levels": 8, "width": 64, "dropout": True, "disc_width": 64, "disc_layers": 3,
        "gan": "bce", "gradient_penalty": 0.0, "l1": 100.0,
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    reading = "steps; crops at the pictures' own size; restored without dropout, with the statistics of training"

    def painter(self) -> nn.Module:
        """pix2pix's U-Net: 54,409,858 parameters for ab, 54,411,907 for RGB."""
        s = self.settings
        return UNet(*self.channels, width=s["width"], levels=s["levels"], dropout=s["dropout"])


METHOD = Pix2PixColor
