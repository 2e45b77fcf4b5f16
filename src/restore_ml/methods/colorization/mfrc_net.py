"""MFRC-Net: several fields of view at every resolution of pix2pix's U-Net, judged by features of several scales too.

    discriminator: 1/2 [BCE(D(L, ab), 1) + BCE(D(L, G(L)), 0)]
    generator:     BCE(D(L, G(L)), 1) + 100 |ab - G(L)| + 10 sum over l of w_l |phi_l(RGB of (L, G(L))) - phi_l(RGB)|

phi_l: relu1_1, 2_1, 3_1, 4_1 and 5_1 of VGG19, or of the network that is the run's feature network.

Source: Li, Zheng, Ma, Zhang, Li, Kang, "multi-field-of-view feature representation", Pattern Recognition and Artificial
Intelligence 2022(7); pix2pix: Isola et al., CVPR 2017; method card `mfrc_net`. The first two terms and the recipe stand
in `restore_ml.nn.colour_translation`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.losses.perceptual import content, taps_of, term_name
from restore_ml.method import Context
from restore_ml.nn.colour_translation import AB_SCALE, ColourTranslation
from restore_ml.nn.fields_of_view import MODES, FieldsOfView
from restore_ml.nn.lab_composition import composed
from restore_ml.nn.unet import UNet
from restore_ml.nn.unet_levels import follow_levels, levels_of

SMALLEST = 8
"""Maps of fewer pixels a side have no fields of view: the widest would see past all of them."""


class MfrcNet(ColourTranslation):
    """Fields of view (`mode: dilations | kernels`) behind every level with maps of at least 8 pixels in training, and
    behind the upward blocks of these sizes. Learned from Lab lightness (`space: lab`), or with RGB as colours from the
    grey g whose (g, g, g) has that lightness.

    `perceptual` weighs the features' term, `perceptual_taps` its taps; without a feature network in the slot, or with
    weight 0, there is none. The features are those of whole pictures: made ab joined to the true lightness.

    reading: the layers of a field of view and where they stand; the U-Net is pix2pix's; cross-entropy; weights of the
    taps (pix2pixHD's) and of the term, which are the same for maps of another network than VGG19 (eight photographs of
    64 x 64 pixels without their colour: VGG16 13.6, of which 1.7 are of the first three taps, where the profiles quick
    and cpu end for their cost; the network trained here 0.8; L1 12.4); pix2pix's training recipe, 200 epochs of the
    1,231 summer photographs (one of the paper's six sets), without jitter; restoring without dropout and with the batch
    statistics of training.
    """

    paper: ClassVar[dict[str, Any]] = {
        "space": "lab", "levels": 8, "width": 64, "dropout": True, "mode": "dilations",
        "disc_width": 64, "disc_layers": 3, "gan": "bce", "gradient_penalty": 0.0, "l1": 100.0, "perceptual": 10.0,
        "perceptual_taps": {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0},
        "steps": 246_200, "batch": 1, "patch": 256, "ema": 0.0, "lr": 2e-4, "disc_lr": 2e-4, "betas": [0.5, 0.999],
    }
    choices: ClassVar = {**ColourTranslation.choices, "mode": tuple(MODES)}
    reading = ("layers and places of the fields of view, losses and their weights, training recipe without jitter; "
               "restored without dropout, with the statistics of training")

    def painter(self) -> nn.Module:
        """The U-Net with fields of view: 58,927,042 parameters for ab."""
        s = self.settings
        network = UNet(*self.channels, width=s["width"], levels=s["levels"], dropout=s["dropout"])
        follow_levels(network, levels_of(s["patch"], s["levels"], SMALLEST),
                      lambda channels, upward: FieldsOfView(channels, s["mode"]))
        return network

    def generator_loss(self, context: Context) -> dict[str, Tensor]:
        """pix2pix's two terms, and that of the features."""
        terms, features = super().generator_loss(context), context.slots.get("features")
        weight, taps = self.settings["perceptual"], self.settings["perceptual_taps"]
        if features is None or not weight:
            return terms
        _, fake, _ = self._pair(context)
        with torch.no_grad():
            wanted = taps_of(features, context.target["rgb"], taps)
        seen = taps_of(features, self.picture(context, fake), taps)
        return {**terms, term_name("perceptual", features): weight * content(seen, wanted, taps)}

    def picture(self, context: Context, fake: Tensor) -> Tensor:
        """The made colours as RGB in [0, 1], with the true lightness where they are ab."""
        if self.settings["space"] == "rgb":
            return (fake + 1) / 2
        return composed(context.inputs["L"], AB_SCALE * fake)


METHOD = MfrcNet
