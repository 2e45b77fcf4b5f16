"""Image inpainting for irregular holes with partial convolutions: a U-Net that never looks at a hole's values.

Source: Liu, Reda, Shih, Wang, Tao, Catanzaro, ECCV 2018; method card `partial_conv`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.perceptual import content, style, taps_of, term_name
from restore_ml.losses.reconstruction import masked_l1
from restore_ml.losses.variation import around_hole
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.features import MEAN, STD
from restore_ml.nn.hole_methods import opencv_fill
from restore_ml.nn.initialisation import he
from restore_ml.nn.known_mean import known_mean
from restore_ml.nn.partial_conv import PartialBlock, PartialConv2d
from restore_ml.training.schedules import Schedule, constant, cosine

Level = tuple[Tensor, Tensor]
"""A feature map and its mask, of the same shape; 1 = known."""


class Encoder(nn.Module):
    """Partial convolutions of stride 2 with kernels 7, 5, 5, 3 ...: batch normalisation (but in the first), ReLU.

    (picture, v), both N x `channels` x H x W, H and W multiples of 2^levels -> the input and every level's output.
    """

    def __init__(self, widths: list[int], channels: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for level, (before, width) in enumerate(zip([channels, *widths], widths, strict=False)):
            kernel = (7, 5, 5)[level] if level < 3 else 3
            self.layers.append(PartialBlock(before, width, kernel, 2, nn.ReLU(), norm=level > 0))
        he(self)

    def forward(self, x: Tensor, v: Tensor) -> list[Level]:
        """All levels, the picture's own first."""
        levels = [(x, v)]
        for layer in self.layers:
            levels.append(layer(*levels[-1]))
        return levels


class Decoder(nn.Module):
    """Partial 3x3 convolutions over the enlarged map and the encoder's of that size, LeakyReLU 0.2; the last one, over
    the picture itself too, is linear with a bias. Levels -> N x 3 x H x W, unbounded.

    With the encoder 32,859,732 parameters at the paper's eight widths, 25,779,796 at the first seven.
    """

    def __init__(self, widths: list[int], channels: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PartialBlock(widths[level] + widths[level - 1], widths[level - 1], 3, 1, nn.LeakyReLU(0.2))
            for level in reversed(range(1, len(widths))))
        self.layers.append(PartialConv2d(widths[0] + channels, 3, 3))
        he(self)

    def forward(self, levels: list[Level]) -> Tensor:
        """The filled picture."""
        *beside, (x, v) = levels
        for layer, (skip, known) in zip(self.layers, reversed(beside), strict=True):
            x, v = (F.interpolate(each, scale_factor=2) for each in (x, v))
            x, v = layer(torch.cat([x, skip.to(x.dtype)], 1), torch.cat([v, known], 1))
        return x


class PartialConvolution(Method):
    """See the module's docstring. Fine-tuned with the encoder's batch normalisation frozen, as its statistics were
    taken over holes. `schedule`: `constant`, or `cosine` (the first phase's rate falls to the second's).
    `content_taps`, `style_taps`: of the feature network, in the perceptual and the style term; `feature_phases`: those
    that have these terms. `centred`: the networks see colours less the mean of the picture's known ones, which is added
    to what they say (the paper: not so); they need not learn the level of colours that no training picture has. `base`:
    `none`, or `telea`: then the network is not shown the picture with its hole but Telea's filling of it, all of which
    counts as known, with the mask as a fourth channel, and gives the difference from that filling, 0 before the first
    step (an addition of this project, not the paper's); `centred` changes nothing then.

    reading: VGG19's pool1 to pool3 stand for VGG16's (not with `features: vgg16`); pixel terms in ImageNet-normalised
    units, as in the common reimplementation; 500,000 and 500,000 steps (the paper gives days). Without a feature
    network the perceptual and style terms are left out.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "widths": [64, 128, 256, 512, 512, 512, 512, 512], "masks": ["irregular"],
        "valid": 1.0, "hole": 6.0, "perceptual": 0.05, "style": 120.0, "tv": 0.1,
        "content_taps": ["pool1", "pool2", "pool3"], "style_taps": ["pool1", "pool2", "pool3"],
        "feature_phases": ["train", "finetune"],
        "steps": {"train": 500_000, "finetune": 500_000}, "batch": 6, "patch": 512, "ema": 0.0,
        "lr": 2e-4, "finetune_lr": 5e-5, "schedule": "constant", "centred": False, "base": "none",
        "blend": "none",
    }
    reading = "VGG19's pools for VGG16's, units of the pixel terms, number of steps"
    choices: ClassVar = {"schedule": ("constant", "cosine"), "feature_phases": (["train", "finetune"], ["finetune"]),
                         "centred": (False, True), "base": ("none", "telea"), "blend": BLENDS}
    stored_networks = ("encoder", "decoder")

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.multiple = 2 ** len(self.settings["widths"])
        if self.settings["base"] != "none":
            self.reading = f"{self.reading}; learns the difference from Telea's filling"  # type: ignore[misc]

    def build(self) -> dict[str, nn.Module]:
        """The two halves of the U-Net: two networks, so that one's normalisation can be frozen."""
        widths, channels = self.settings["widths"], 3 if self.settings["base"] == "none" else 4
        encoder, decoder = Encoder(widths, channels=channels), Decoder(widths, channels=channels)
        if channels == 4:
            for parameter in decoder.layers[-1].parameters():
                nn.init.zeros_(parameter)
        return {"encoder": encoder, "decoder": decoder}

    def phases(self) -> list[Phase]:
        """Training, then fine-tuning with a lower learning rate and the encoder's normalisation frozen."""
        s = self.settings

        last = s["finetune_lr"] / s["lr"]

        def player(phase: str, factor: Schedule) -> Player:
            loss = self.loss if phase in s["feature_phases"] else self.pixel_loss
            return Player("unet", ["encoder", "decoder"], loss, lambda p: torch.optim.Adam(p, s["lr"]), schedule=factor)

        first = player("train", cosine(end=last) if s["schedule"] == "cosine" else constant())
        second = player("finetune", constant(last))
        return [Phase("train", s["steps"]["train"], [first]),
                Phase("finetune", s["steps"]["finetune"], [second], frozen_norm=["encoder"])]

    def fill(self, networks: dict[str, nn.Module], inputs: Inputs) -> Tensor:
        """The networks' whole picture in ImageNet-normalised units, float32."""
        image, mask = inputs["image"], inputs["mask"]
        if self.settings["base"] == "telea":
            begun = normalised(telea_filled(image, mask))
            shown = torch.cat([begun, mask], 1)
            return begun + networks["decoder"](networks["encoder"](shown, torch.ones_like(shown))).float()
        known, seen = (1 - mask).expand(-1, 3, -1, -1), normalised(image)
        level = known_mean(seen, mask) if self.settings["centred"] else torch.zeros_like(seen[..., :1, :1])
        return networks["decoder"](networks["encoder"](seen - level, known)).float() + level

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The paper's six terms, each named; perceptual and style with the source of the features."""
        return self._terms(context, context.slots.get("features"))

    def pixel_loss(self, context: Context) -> dict[str, Tensor]:
        """The terms that need no features."""
        return self._terms(context, None)

    def _terms(self, context: Context, features: Any) -> dict[str, Tensor]:
        s, mask = self.settings, context.inputs["mask"]
        raw, truth = self.fill(context.networks, context.inputs), normalised(context.target["image"])
        composed = mask * raw + (1 - mask) * truth
        terms = {"valid": s["valid"] * masked_l1(raw, truth, 1 - mask),
                 "hole": s["hole"] * masked_l1(raw, truth, mask), "tv": s["tv"] * around_hole(composed, mask)}
        if features is not None and (s["perceptual"] or s["style"]):
            taps = list(dict.fromkeys([*s["content_taps"], *s["style_taps"]]))
            with torch.no_grad():
                wanted = taps_of(features, truth, taps, normalise=False)
            both = taps_of(features, torch.cat([raw, composed]), taps, normalise=False)
            halves = [{tap: maps.chunk(2)[part] for tap, maps in both.items()} for part in (0, 1)]
            for name, distance, chosen in (("perceptual", content, s["content_taps"]),
                                           ("style", style, s["style_taps"])):
                parts = [{tap: half[tap] for tap in chosen} for half in halves]
                terms[term_name(name, features)] = s[name] * (distance(parts[0], wanted) + distance(parts[1], wanted))
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The whole picture in [0, 1], blended as the setting says (the known pixels are put back by the task)."""
        mean, std = constants(inputs["image"])
        filled = self.fill(model.networks, inputs) * std + mean
        return {"image": blended(self.settings["blend"], filled, inputs["image"], inputs["mask"])}


def telea_filled(image: Tensor, mask: Tensor) -> Tensor:
    """N x 3 x H x W in [0, 1] with the holes filled by Telea's method of radius 3, in 8 bits."""
    pictures = (image * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    filled = [opencv_fill(picture, hole, 3, cv2.INPAINT_TELEA)
              for picture, hole in zip(pictures, mask[:, 0].cpu().numpy(), strict=True)]
    return torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).to(image.device).float() / 255


def constants(x: Tensor) -> tuple[Tensor, Tensor]:
    """ImageNet's mean and standard deviation, 1 x 3 x 1 x 1, on the device of x."""
    return x.new_tensor(MEAN).view(1, 3, 1, 1), x.new_tensor(STD).view(1, 3, 1, 1)


def normalised(x: Tensor) -> Tensor:
    """RGB of [0, 1] in ImageNet-normalised units."""
    mean, std = constants(x)
    return (x - mean) / std


METHOD = PartialConvolution
