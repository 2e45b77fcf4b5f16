"""Deep Colorization: a small fully connected network from hand-made features of a pixel to its colour.

Source: Cheng, Yang, Sheng, ICCV 2015 (extended: arXiv 1605.00075); method card `deep_colorization`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.degradations.colour import grey_from_lightness, rgb_to_lab, rgb_to_yuv, yuv_to_rgb
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.bilateral import joint_bilateral, pad_symmetric
from restore_ml.nn.daisy_features import daisy
from restore_ml.nn.initialisation import he
from restore_ml.seeds import generator
from restore_ml.tasks.base import Material

PATCH = 7
SEMANTIC = 47
"""Number of semantic classes: the object classes of the paper's training set."""
FEATURES = PATCH**2 + 32 + SEMANTIC
UV_SCALE = (0.436, 0.615)
"""The largest |U| and |V|: targets lie in [-1, 1]."""


class ColourMLPs(nn.Module):
    """One network 128 - 64 - 64 - 64 - 2 a cluster of pictures, ReLU between, linear at the end (16,706 parameters)."""

    def __init__(self, clusters: int = 1, hidden: int = 64) -> None:
        """`clusters` networks of the same shape; Kaiming initialisation, the output near 0 (grey)."""
        super().__init__()
        sizes = (FEATURES, hidden, hidden, hidden)
        self.networks = nn.ModuleList()
        for _ in range(clusters):
            layers = [layer for before, after in pairwise(sizes)
                      for layer in (nn.Linear(before, after), nn.ReLU())]
            self.networks.append(nn.Sequential(*layers, nn.Linear(hidden, 2)))
        he(self)
        for network in self.networks:
            nn.init.normal_(network[-1].weight, std=0.01)  # type: ignore[index]

    def forward(self, features: Tensor, cluster: Tensor) -> Tensor:
        """N x P x 128 features of P pixels of N pictures, N cluster numbers -> N x P x 2 scaled (U, V)."""
        return torch.stack([self.networks[int(number)](one) for one, number in zip(features, cluster, strict=True)])


class DeepColorization(Method):
    """Features of a pixel: its 7 x 7 patch (49), DAISY (32), soft semantic classes (47); output U and V, then smoothed
    by a joint bilateral filter that the grey picture guides.

    The grey is not the paper's luma Y of the colour picture, which a method under this task's protocol cannot see, but
    the grey g whose (g, g, g) has the input's lightness (its luma is g); U and V of the truth are regressed from it.

    reading: the semantic classes are soft k-means classes of 7 x 7 patches with their position, smoothed like U and V
    (the paper: a scene parser, whose labels no photograph here has); pictures are clustered once by k-means on their
    mean features (the paper splits clusters while their training error stays high); targets scaled to [-1, 1]; mean
    instead of sum of squares; pixels are drawn uniformly (the card: 1 to 2 % of a picture, stratified by class); Adam,
    steps, weight decay, the filter's sizes.
    """

    task = "colorization"
    zero_allowed = ("semantic_radius", "refine_iterations")
    paper: ClassVar[dict[str, Any]] = {
        "hidden": 64, "clusters": 1, "daisy_radius": 15, "position": 1.0,
        "semantic_radius": 8, "refine_radius": 16, "refine_sigma": 8.0, "refine_range": 0.05, "refine_iterations": 2,
        "steps": 50_000, "batch": 4, "patch": 256, "pixels_per_image": 256, "prepare_crops": 512, "ema": 0.0,
        "lr": 1e-3, "weight_decay": 1e-4,
    }
    reading = ("semantic features by soft k-means; clustering once; pixels drawn uniformly; optimiser, steps and "
               "filter sizes")
    stored_networks = ("colorizer",)
    tile = 512  # 128 features a pixel are held at once

    def build(self) -> dict[str, nn.Module]:
        """One module that holds the network of each cluster."""
        return {"colorizer": ColourMLPs(self.settings["clusters"], self.settings["hidden"])}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """From random crops of the training pictures: the k-means `centres` and their `spread`, the features' `mean`
        and `sd`, and the `clusters` (centres of standardised mean features), all float32."""
        from scipy.cluster.vq import kmeans2

        s = self.settings
        crops = _crops(material, s["patch"], s["prepare_crops"], seed)
        draws = generator(seed, "deep_colorization", "pixels")
        sampled = np.concatenate([_some(semantic_vectors(crop, s["position"]), 64, draws) for crop in crops])
        centres, nearest = kmeans2(sampled, SEMANTIC, iter=20, minit="++", missing="warn", rng=draws)
        constants = {"centres": centres.astype(np.float32), "spread": np.square(sampled - centres[nearest]).sum(1).mean(
            keepdims=True).astype(np.float32)}
        described = [self.features(crop, constants) for crop in crops]
        pixels = np.concatenate([_some(maps, 64, draws) for maps in described])
        constants |= {"mean": pixels.mean(0), "sd": pixels.std(0) + 1e-6}
        means = np.stack([maps.mean((0, 2, 3)).numpy() for maps in described])
        means = ((means - constants["mean"]) / constants["sd"]).astype(np.float64)
        groups = kmeans2(means, s["clusters"], iter=20, minit="++", missing="warn", rng=draws)[0]
        return constants | {"clusters": groups.astype(np.float32)}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        s = self.settings
        player = Player("colorizer", ["colorizer"], self.loss,
                        lambda p: torch.optim.Adam(p, s["lr"], weight_decay=s["weight_decay"]))
        return [Phase("train", s["steps"], [player])]

    def features(self, grey: Tensor, constants: dict[str, np.ndarray]) -> Tensor:
        """The raw features of every pixel: grey N x 1 x H x W in [0, 1] -> N x 128 x H x W, float32, no gradient."""
        s = self.settings
        with torch.no_grad(), torch.autocast(grey.device.type, enabled=False):
            patches, textures = patch_vectors(grey), daisy(grey, s["daisy_radius"])
            classes = soft_classes(semantic_vectors(grey, s["position"]), constants)
            if s["semantic_radius"]:
                sigma = s["semantic_radius"] / 2
                classes = joint_bilateral(classes, grey, s["semantic_radius"], sigma, s["refine_range"])
            return torch.cat([patches, textures, classes], 1)

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of the scaled (U, V) at randomly drawn pixels."""
        grey, count = grey_from_lightness(context.inputs["L"]), self.settings["pixels_per_image"]
        features, cluster = self._standardised(grey, self.constants)
        chosen = context.integers(grey.shape[-2] * grey.shape[-1], (grey.shape[0], count, 1))
        truth = rgb_to_yuv(context.target["rgb"])[:, 1:] / _scale(grey)
        predicted = context.networks["colorizer"](_at(features, chosen), cluster).float()
        return {"squares": (predicted - _at(truth, chosen)).square().mean()}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """Colour every pixel, smooth U and V along the grey picture, join them to it."""
        s = self.settings
        grey = grey_from_lightness(inputs["L"])
        features, cluster = self._standardised(grey, model.arrays)
        predicted = model.networks["colorizer"](features.flatten(2).transpose(1, 2), cluster).float()
        uv = predicted.transpose(1, 2).reshape(-1, 2, *grey.shape[-2:]) * _scale(grey)
        uv = joint_bilateral(uv, grey, s["refine_radius"], s["refine_sigma"], s["refine_range"], s["refine_iterations"])
        rgb = yuv_to_rgb(torch.cat([grey, uv], 1)).clamp(0, 1)
        return {"rgb": rgb, "ab": rgb_to_lab(rgb)[:, 1:]}

    def _standardised(self, grey: Tensor, constants: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
        """The features with mean 0 and sd 1, and for each picture the nearest cluster."""
        mean, sd, groups = (torch.from_numpy(np.array(constants[name])).to(grey.device)
                            for name in ("mean", "sd", "clusters"))
        features = (self.features(grey, constants) - mean.view(1, -1, 1, 1)) / sd.view(1, -1, 1, 1)
        return features, (features.mean((2, 3))[:, None] - groups).square().sum(-1).argmin(1)


def patch_vectors(grey: Tensor) -> Tensor:
    """The 7 x 7 neighbourhood of each pixel, row by row, mirrored about the border's edge: N x 49 x H x W."""
    height, width = grey.shape[-2:]
    padded = pad_symmetric(grey, PATCH // 2)
    return torch.cat([padded[..., y : y + height, x : x + width] for y in range(PATCH) for x in range(PATCH)], 1)


def semantic_vectors(grey: Tensor, position: float) -> Tensor:
    """What k-means works on: the patch / 7 (so that distances are root mean squares) and the place in [0, position]."""
    height, width = grey.shape[-2:]
    down = torch.linspace(0, position, height, device=grey.device).view(1, 1, -1, 1).expand(len(grey), 1, height, width)
    right = torch.linspace(0, position, width, device=grey.device).expand(len(grey), 1, height, width)
    return torch.cat([patch_vectors(grey) / PATCH, down, right], 1)


def soft_classes(vectors: Tensor, constants: dict[str, np.ndarray]) -> Tensor:
    """Class probabilities N x 47 x H x W: softmax of -|v - centre|^2 / (2 spread)."""
    centres, spread = (torch.from_numpy(np.array(constants[name])).to(vectors.device) for name in ("centres", "spread"))
    inner = torch.einsum("nchw,kc->nkhw", vectors, centres)
    # |v|^2 is the same for all classes and leaves the softmax unchanged.
    return ((inner - centres.square().sum(1).view(1, -1, 1, 1) / 2) / spread).softmax(1)


def _crops(material: Material, side: int, count: int, seed: int) -> list[Tensor]:
    """Grey crops of at most `side` pixels, cut in turn from the training pictures."""
    crops = []
    for number in range(count):
        visit, index = divmod(number, len(material.records))
        record = material.records[index]
        rgb = record.arrays["rgb"]
        draws = generator(seed, "deep_colorization", record.id, visit)
        top, left = (int(draws.integers(max(1, length - side + 1))) for length in rgb.shape[:2])
        part = torch.from_numpy(rgb[top : top + side, left : left + side].astype(np.float32) / 255).movedim(-1, 0)
        crops.append(grey_from_lightness(rgb_to_lab(part)[None, :1]))
    return crops


def _some(maps: Tensor, count: int, draws: np.random.Generator) -> np.ndarray:
    """`count` random pixels of 1 x C x H x W as rows."""
    rows = maps[0].flatten(1).T
    return rows[torch.from_numpy(draws.integers(len(rows), size=count))].numpy()


def _at(maps: Tensor, chosen: Tensor) -> Tensor:
    """The values of N x C x H x W at N x P x 1 flat places: N x P x C."""
    return maps.flatten(2).transpose(1, 2).gather(1, chosen.to(maps.device).expand(-1, -1, maps.shape[1]))


def _scale(like: Tensor) -> Tensor:
    return torch.tensor(UV_SCALE, device=like.device).view(1, 2, 1, 1)


METHOD = DeepColorization
