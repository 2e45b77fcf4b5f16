"""A small VGG19 trained on this project's own pictures, the source of features where no ImageNet weights are given.

reading: the architecture is Simonyan and Zisserman's (ICLR 2015); the training is self-supervised, because the training
split has no labels: which way a picture is turned (Gidaris et al., ICLR 2018) and which picture a distorted crop is
from (exemplar classification, Dosovitskiy et al., NIPS 2014). Its features are not ImageNet's, and every figure made
with them says so in its name.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.method import Context, Method, Phase, Player
from restore_ml.nn.features import FeatureNet, equalise
from restore_ml.seeds import derive, generator
from restore_ml.tasks.base import Material
from restore_ml.training.schedules import cosine

READ = ("relu2_2", "relu3_4", "relu4_4", "relu5_4")
"""The taps whose averages the heads see: with several, the early blocks learn from the first step."""


class Heads(nn.Module):
    """Linear classifiers over the channel means of the taps `READ`: logits of 4 turns and of `buckets` pictures."""

    def __init__(self, width: int, buckets: int) -> None:
        super().__init__()
        channels = width * (2 + 4 + 8 + 8)
        self.turn, self.picture = nn.Linear(channels, 4), nn.Linear(channels, buckets)

    def forward(self, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Feature maps by tap -> (N x 4, N x buckets)."""
        means = torch.cat([maps[tap].float().mean((2, 3)) for tap in READ], 1)
        return self.turn(means), self.picture(means)


class Features(Method):
    """Trains `nn.features.FeatureNet`; `width` 64 is VGG19's. See the module's docstring.

    `buckets`: exemplar classes, a picture's class being a hash of its id modulo this; `jitter`: largest relative change
    of gain and offset of a crop's channels; `calibration`: crops over which `finish` sets every channel's root mean
    square to 1. At small budgets many deep channels never fire on a training crop (after 500 steps 40 % at relu4_4 and
    56 % at relu5_4): they add nothing to any term.
    """

    task = "representation"
    feature_network = True
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "buckets": 1000, "jitter": 0.3, "turn_weight": 1.0, "picture_weight": 1.0, "calibration": 64,
        "steps": 370_000, "batch": 256, "patch": 224, "ema": 0.0, "lr": 1e-4, "weight_decay": 5e-4,
    }
    reading = "self-supervised by turns and exemplars, Adam; VGG19's layers, batch, patch and number of steps"
    stored_networks = ("features",)

    def build(self) -> dict[str, nn.Module]:
        """The convolutions, and the heads that are thrown away."""
        width = self.settings["width"]
        return {"features": FeatureNet(width), "heads": Heads(width, self.settings["buckets"])}

    def phases(self) -> list[Phase]:
        """One, with one player; the learning rate falls to 0 as a half cosine."""
        s = self.settings
        player = Player("features", ["features", "heads"], self.loss, clip_norm=5.0, schedule=cosine(),
                        optimiser=lambda p: torch.optim.AdamW(p, s["lr"], weight_decay=s["weight_decay"]))
        return [Phase("train", s["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Cross-entropy of turns and of pictures on turned, distorted crops."""
        pictures, s = context.target["image"], self.settings
        turns = context.integers(4, (len(pictures),))
        turned = torch.stack([torch.rot90(picture, int(turn), (1, 2))
                              for picture, turn in zip(pictures, turns, strict=True)])
        gain, offset = context.uniform(pictures.new_empty(2, len(pictures), 3, 1, 1), -s["jitter"], s["jitter"])
        seen = (turned * (1 + gain) + offset / 2).clamp(0, 1)
        classes = torch.tensor([derive(identity) % s["buckets"] for identity in context.ids],
                               device=pictures.device)
        turn, picture = context.networks["heads"](context.networks["features"](seen, READ))
        return {"turn": s["turn_weight"] * F.cross_entropy(turn, turns),
                "picture": s["picture_weight"] * F.cross_entropy(picture, classes)}

    def finish(self, networks: dict[str, nn.Module], material: Material, seed: int) -> None:
        """Set each tap channel's root mean square over crops of the training split to 1 (normalised VGG)."""
        network = networks["features"]
        assert isinstance(network, FeatureNet)
        equalise(network, self.calibration_crops(material, seed).to(next(network.parameters()).device))

    def calibration_crops(self, material: Material, seed: int) -> Tensor:
        """`calibration` x 3 x side x side in [0, 1] from the training split; side is `patch`, less where a picture is
        smaller."""
        records, count = material.records, self.settings["calibration"]
        ids = sorted(records.ids, key=lambda identity: derive(seed, "calibration", identity))
        images = [records.find(ids[number % len(ids)]).arrays["image"] for number in range(count)]
        side = min(self.settings["patch"], *(min(image.shape[:2]) for image in images))
        crops = []
        for number, image in enumerate(images):
            draws = generator(seed, "calibration", ids[number % len(ids)], number)
            top, left = (int(draws.integers(length - side + 1)) for length in image.shape[:2])
            crops.append(image[top:top + side, left:left + side])
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


METHOD = Features
