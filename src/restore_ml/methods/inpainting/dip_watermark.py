"""Improved deep image prior for watermark removal: a deeper U-Net with deconvolutions, fitted to the one picture.

Source: described only in a survey's case (single picture, hand-drawn mask, improved U-Net, MSE + L1 + perceptual loss,
3000 iterations); deep image prior: Ulyanov, Vedaldi, Lempitsky, CVPR 2018; method card `dip_watermark`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.base.errors import UserError
from restore_ml.losses.perceptual import content, taps_of
from restore_ml.losses.reconstruction import masked_l1, masked_mse
from restore_ml.method import Inputs, Method, Model
from restore_ml.nn.hourglass import Hourglass, PriorUNet
from restore_ml.training.deep_prior import fit, fixed_noise, fresh

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

TAPS = ("relu1_2", "relu2_2", "relu3_3")
SUPPORTED = ("watermark", "text", "scratches")


class DIPWatermark(Method):
    """Nothing is trained before; restoring is `steps` of Adam on the picture, with nothing asked under the mask.

    `input`: `image_mask` (the known pixels and the mask, as the source says), `noise` (a fixed draw of `noise_channels`
    from U(0, 0.1), as in deep image prior) or `both`. `arch`: `unet_deconv`, or `hourglass_deconv` (the prior's own
    network, with as many levels as `widths`). `extra_levels`: levels of the U-Net below its widths. `upsample`:
    `deconv`, or `nearest` or `bilinear` for the ablation. `average`: decay of the average of outputs over steps;
    `jitter`: standard deviation of the noise on the input. Without a feature network the perceptual term is left out.
    `cases`: the degradations that the run is shown on, as fitting a network to each picture is dear.

    `mode`: `opaque` asks nothing under the mask. `semi_transparent` fits (1 - a) f + a c to the observed picture on all
    pixels, a the mark's opacity and c its colours: what shines through counts. Both are taken from the file `mark`, a
    picture with an alpha channel and of the size of the pictures that it lies on, and are kept with the model. They are
    a setting, not an input of the task, because only who has the mark knows them: inpainting tells every method the
    same, the observed picture and a drawn mask, and from these alone they come out wrong for thin strokes. The
    comparison draws another mark for each picture, so this mode takes no part in it.

    reading: widths, weights of the L1 and perceptual terms, taps; learning rate, jitter and average, which in the code
    of deep image prior belong to its hourglass (its U-Net is fitted at 0.001 without jitter); normalisation in the
    decoder, which that U-Net lacks: without it the error was 1 to 4 dB larger after as few steps as a rebuild has time
    for.
    """

    task = "inpainting"
    zero_allowed = ("extra_levels", "skip")
    paper: ClassVar[dict[str, Any]] = {
        "input": "image_mask", "arch": "unet_deconv", "widths": [16, 32, 64, 128, 256], "extra_levels": 1,
        "upsample": "deconv", "skip": 4, "noise_channels": 32,
        "mode": "opaque", "mark": "", "cases": list(SUPPORTED),
        "mse": 1.0, "l1": 1.0, "perceptual": 0.01, "steps": 3000, "lr": 0.01, "jitter": 0.03, "average": 0.99,
    }
    reading = ("widths, weights of the terms, taps, learning rate, jitter, average, the decoder's normalisation, the "
               "semi-transparent mode")
    restoring_slots = ("features",)
    per_picture = True
    choices: ClassVar = {"input": ("image_mask", "noise", "both"), "arch": ("unet_deconv", "hourglass_deconv"),
                         "upsample": ("deconv", "nearest", "bilinear"), "mode": ("opaque", "semi_transparent")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for an unknown name in `cases`, or a mode without its mark."""
        super().__init__(settings)
        s = self.settings
        for name in s["cases"]:
            if name not in SUPPORTED:
                raise self.wrong("cases", f"{name!r} is none of {', '.join(SUPPORTED)}")
        if (s["mode"] == "semi_transparent") != bool(s["mark"]):
            raise self.wrong("mark", f"the mode is {s['mode']}: give the mark's picture, with its alpha channel, in "
                                     "the mode semi_transparent and none in the mode opaque")
        self.sees_under_mask = s["mode"] == "semi_transparent"
        unet = s["arch"] == "unet_deconv"
        self.multiple = 2 ** (len(s["widths"]) - 1 + s["extra_levels"] if unet else len(s["widths"]))

    def unsupported(self, degradation: str) -> str | None:
        """Thin damage is its purpose; a known mark is not what lies on the pictures of the comparison."""
        if self.settings["mode"] == "semi_transparent":
            return "takes off the one mark that it was given"
        if degradation not in SUPPORTED:
            return "made for watermarks and other thin damage"
        return None if degradation in self.settings["cases"] else "left out by the run's setting cases"

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`mark`: H x W x 4 uint8 (RGB and opacity), with a known mark."""
        if self.settings["mode"] == "opaque":
            return {}
        return {"mark": _read_watermark(Path(self.settings["mark"]))}

    def network(self) -> nn.Module:
        """A fresh network, from torch's current generator."""
        s = self.settings
        channels = {"image_mask": 4, "noise": s["noise_channels"], "both": 4 + s["noise_channels"]}[s["input"]]
        if s["arch"] == "unet_deconv":
            return PriorUNet(channels, s["widths"], s["extra_levels"], s["upsample"])
        return Hourglass(channels, s["widths"], s["skip"], s["upsample"])

    def network_input(self, image: Tensor, mask: Tensor, seed: int) -> Tensor:
        """What the network is shown: nothing of it depends on pixels under the mask."""
        parts = []
        if self.settings["input"] != "noise":
            parts += [image * (1 - mask), mask]
        if self.settings["input"] != "image_mask":
            parts.append(fixed_noise(self.settings["noise_channels"], image, seed))
        return torch.cat(parts, 1)

    def loss(self, output: Tensor, image: Tensor, mask: Tensor, wanted: dict[str, Tensor], features: Any) -> Tensor:
        """MSE, L1 and feature difference of the known pixels; `wanted`: the features of the picture's known part."""
        s, known = self.settings, 1 - mask
        total = s["mse"] * masked_mse(output, image, known) + s["l1"] * masked_l1(output, image, known)
        if wanted:
            total = total + s["perceptual"] * content(taps_of(features, output * known, TAPS), wanted)
        return total

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Fit, and give the average picture of the steps (the known pixels are put back by the task)."""
        s, image, mask = self.settings, inputs["image"], inputs["mask"]
        network_input = self.network_input(image, mask, seed)
        if s["mode"] == "opaque":
            marked, unknown = _unmarked, mask
        else:
            marked, unknown = _Watermark(model.arrays["mark"], image, self.multiple), torch.zeros_like(mask)
        image = image * (1 - unknown)
        wanted = {}
        features = model.slots.get("features")
        if features is not None and s["perceptual"]:
            wanted = taps_of(features, image, TAPS)
        network = fresh(self.network, image, seed)
        restored = fit(network, network_input, lambda output: self.loss(marked(output), image, unknown, wanted,
                                                                        features),
                       seed, steps=s["steps"], lr=s["lr"], jitter=s["jitter"], average=s["average"])
        return {"image": restored}


def _unmarked(picture: Tensor) -> Tensor:
    return picture


class _Watermark:
    """Puts a known mark (H x W x 4 uint8) on a picture of its size, or padded by reflection to a multiple."""

    def __init__(self, watermark: np.ndarray, image: Tensor, multiple: int) -> None:
        layers = torch.from_numpy(watermark.transpose(2, 0, 1).copy()).to(image.device)[None].float() / 255
        below, right = (there - own for there, own in zip(image.shape[-2:], watermark.shape, strict=False))
        if not (0 <= below < multiple and 0 <= right < multiple):
            raise UserError(f"The mark is {watermark.shape[1]} x {watermark.shape[0]}, the picture {image.shape[-1]} x "
                            f"{image.shape[-2]}; draw the mark on a canvas of the picture's size.")
        if below or right:
            layers = nn.functional.pad(layers, (0, right, 0, below), "reflect")
        self.colour, self.opacity = layers[:, :3], layers[:, 3:]

    def __call__(self, picture: Tensor) -> Tensor:
        return (1 - self.opacity) * picture + self.opacity * self.colour


def _read_watermark(path: Path) -> np.ndarray:
    """A file with an alpha channel as H x W x 4 uint8."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if "A" not in picture.getbands():
                raise UserError(f"The mark {path} has no alpha channel; save it as a PNG with transparency.")
            return np.asarray(picture.convert("RGBA"))
    except OSError as error:
        raise UserError(f"The mark {path} cannot be read ({error}); give a PNG with transparency.") from error


METHOD = DIPWatermark
