"""Let there be Color!: local features at every place and a global vector of the whole picture, fused before colouring.

Source: Iizuka, Simo-Serra, Ishikawa, "Let there be Color!: Joint End-to-end Learning of Global and Local Image Priors
for Automatic Image Colorization with Simultaneous Classification", SIGGRAPH 2016; method card `let_there_be_color`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material
from restore_ml.tasks.cropping import random_square_mirrored
from restore_ml.training.schedules import constant, cosine

REACH = 100.0
"""A sigmoid s stands for (2 s - 1) * REACH: colours with |a| or |b| above it (pure blue has b = -107.9) are out of
reach."""


class GlobalLocalNet(nn.Module):
    """Grey less its mean (N x 1 x H x W, H and W multiples of 8) -> colour in (0, 1), N x 2 x H/2 x W/2, and class
    logits.

    3 x 3 convolutions, each with batch normalisation and ReLU. `whole` is the picture at `side` x `side`, which the
    global branch sees through the same low-level layers; left out, the picture itself has that size. `width` is the
    paper's 64, `side` its 224. Without `fusion` (the paper's baseline) no global vector reaches the colours.
    """

    def __init__(self, width: int = 64, classes: int = 205, side: int = 224, fusion: bool = True) -> None:
        super().__init__()
        w = width
        self.low = _stack(1, [(w, 2), (2 * w, 1), (2 * w, 2), (4 * w, 1), (4 * w, 2), (8 * w, 1)])
        self.mid = _stack(8 * w, [(8 * w, 1), (4 * w, 1)])
        self.seen = _stack(8 * w, [(8 * w, 2), (8 * w, 1), (8 * w, 2), (8 * w, 1)])
        self.scene = nn.Sequential(nn.Linear(8 * w * (side // 32) ** 2, 16 * w), nn.ReLU(),
                                   nn.Linear(16 * w, 8 * w), nn.ReLU())
        self.summary = nn.Sequential(nn.Linear(8 * w, 4 * w), nn.ReLU()) if fusion else None
        self.classifier = nn.Sequential(nn.Linear(8 * w, 4 * w), nn.ReLU(), nn.Linear(4 * w, classes))
        fused = 8 * w if fusion else 4 * w
        self.fusion = nn.Sequential(nn.Conv2d(fused, 4 * w, 1), nn.BatchNorm2d(4 * w), nn.ReLU())
        self.colour = nn.Sequential(_stack(4 * w, [(2 * w, 1)]), nn.Upsample(scale_factor=2, mode="nearest"),
                                    _stack(2 * w, [(w, 1), (w, 1)]), nn.Upsample(scale_factor=2, mode="nearest"),
                                    _stack(w, [(w // 2, 1)]), nn.Conv2d(w // 2, 2, 3, padding=1), nn.Sigmoid())

    def forward(self, grey: Tensor, whole: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The global vector stands beside the local features at every place: relu(b + W [global; local])."""
        low = self.low(grey)
        scene = self.scene(self.seen(low if whole is None else self.low(whole)).flatten(1))
        local = self.mid(low)
        if self.summary is not None:
            everywhere = self.summary(scene)[..., None, None].expand(-1, -1, *local.shape[-2:])
            local = torch.cat([everywhere, local], 1)
        return self.colour(self.fusion(local)), self.classifier(scene)


class LetThereBeColor(Method):
    """Colour by squared error and, in the same training, the class of the picture by the global branch (`alpha`).

    Its grey is g of the colour (g, g, g) that has the input's lightness (the paper: luma of the colour picture, which
    a method under this task's protocol cannot see), less the mean of the training pictures. The release, too, joins
    its ab to the lightness of the grey picture.

    reading: photographs here carry no scene classes, which the paper takes from Places; the class of a training crop is
    instead its cluster by k-means of the means and standard deviations of a and b, so the global branch learns to tell
    which range of colours the whole of a picture has. The mean squared error, over colours in [0, 1], of ab averaged
    over 2 x 2 pixels; the answer is enlarged bilinearly; the first weights are those of the framework. `optimiser` adam
    with a falling rate is for short trainings, in which ADADELTA has hardly started.
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "side": 224, "classes": 205, "fusion": True, "alpha": 1 / 300, "prepare_crops": 16_384,
        "steps": 200_000, "batch": 128, "patch": 224, "ema": 0.0,
        "optimiser": "adadelta", "lr": 1.0, "schedule": "constant",
    }
    choices: ClassVar = {"optimiser": ("adadelta", "adam"), "schedule": ("constant", "cosine")}
    reading = ("classes by k-means of the colours of training crops, for want of scene classes; mean squared error at "
               "half the size; bilinear enlargement")
    stored_networks = ("colorizer",)
    multiple = 8

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the sizes and the number of classes."""
        super().__init__(settings)
        s = self.settings
        for key, least in (("patch", 8), ("side", 32)):
            if s[key] % least:
                raise self.wrong(key, f"it must be a multiple of {least}")
        if s["width"] % 2:
            raise self.wrong("width", "it must be even, as the last layer has half of it")
        if s["prepare_crops"] < s["classes"]:
            raise self.wrong("prepare_crops", f"it must be at least the number of classes, {s['classes']}")

    def build(self) -> dict[str, nn.Module]:
        """One network, the classifier in it."""
        s = self.settings
        return {"colorizer": GlobalLocalNet(s["width"], s["classes"], s["side"], s["fusion"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """From random crops, cut in turn from the training pictures: the `mean` of grey and the `centres` of the
        classes, K x 4 (mean a, mean b, their standard deviations), float32."""
        from scipy.cluster.vq import kmeans2

        s, records = self.settings, material.records
        grey, described = [], []
        for number in range(s["prepare_crops"]):
            record = records[number % len(records)]
            draws = generator(seed, "let_there_be_color", record.id, number)
            crop = random_square_mirrored(record.arrays["rgb"], s["patch"], draws).astype(np.float32) / 255
            lab = torch.from_numpy(rgb_to_lab(crop)).movedim(-1, 0)[None]
            grey.append(float(grey_from_lightness(lab[:, :1]).mean()))
            described.append(colour_statistics(lab[:, 1:]))
        draws = generator(seed, "let_there_be_color", "classes")
        centres = kmeans2(torch.cat(described).double().numpy(), s["classes"], iter=50, minit="++", missing="warn",
                          rng=draws)[0]
        return {"mean": np.array([np.mean(grey)], np.float32), "centres": centres.astype(np.float32)}

    def phases(self) -> list[Phase]:
        """One phase, one player: colours and classes are learned together."""
        s = self.settings

        def optimiser(parameters: NamedParameters) -> torch.optim.Optimizer:
            kind = torch.optim.Adadelta if s["optimiser"] == "adadelta" else torch.optim.Adam
            return kind(parameters, s["lr"])

        schedule = cosine() if s["schedule"] == "cosine" else constant()
        return [Phase("train", s["steps"], [Player("colorizer", ["colorizer"], self.loss, optimiser,
                                                   schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of (ab / 100 + 1) / 2 at half the size, and `alpha` times the cross-entropy of the class.
        """
        ab = context.target["ab"]
        colour, logits = self.coloured(context.networks["colorizer"], context.inputs["L"], self.constants)
        wanted = F.avg_pool2d(ab / REACH + 1, 2) / 2
        centres = torch.from_numpy(np.array(self.constants["centres"])).to(ab.device)
        classes = (colour_statistics(ab)[:, None] - centres).square().sum(-1).argmin(1)
        return {"colour": F.mse_loss(colour.float(), wanted),
                "classes": self.settings["alpha"] * F.cross_entropy(logits.float(), classes)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The sigmoids as ab, enlarged to the picture's size."""
        colour, _ = self.coloured(model.networks["colorizer"], inputs["L"], model.arrays)
        ab = (2 * colour.float() - 1) * REACH
        return {"ab": F.interpolate(ab, scale_factor=2, mode="bilinear", align_corners=False)}

    def coloured(self, network: nn.Module, lightness: Tensor, constants: dict[str, np.ndarray]
                 ) -> tuple[Tensor, Tensor]:
        """What the network says of pictures of that lightness: colours and class logits."""
        grey, side = grey_from_lightness(lightness) - float(constants["mean"][0]), self.settings["side"]
        if grey.shape[-2:] == (side, side):
            return network(grey)
        return network(grey, F.interpolate(grey, (side, side), mode="bilinear", align_corners=False, antialias=True))


def _stack(before: int, layers: Sequence[tuple[int, int]]) -> nn.Sequential:
    """Convolutions of so many channels and such a stride, each with batch normalisation and ReLU."""
    made: list[nn.Module] = []
    for after, stride in layers:
        made += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    return nn.Sequential(*made)


def colour_statistics(ab: Tensor) -> Tensor:
    """Mean a, mean b and the standard deviations of a and b of each picture: N x 2 x H x W -> N x 4."""
    return torch.cat([ab.mean((2, 3)), ab.std((2, 3), correction=0)], 1)


METHOD = LetThereBeColor
