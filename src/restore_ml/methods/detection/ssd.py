"""SSD: one network says, for each of many default boxes, what is in it and how it should be moved.

Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg, "SSD: Single Shot MultiBox Detector", ECCV 2016, sections 2 and 3; the
method card `ssd`, which is three lines long: layers, variances, suppression and recipe are the paper's and its code's.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.boxes import decode, encode, shared_area, suppressed
from restore_ml.nn.initialisation import he
from restore_ml.tasks.detection.task import CLASSES
from restore_ml.training import schedules

VARIANCES = (0.1, 0.2)
"""Of centres and of sizes: what offsets are divided by."""
RATIOS = ((1, 2), (1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2), (1, 2))
"""Aspect ratios of each map's boxes (and their inverses); a ratio of 1 has a second, larger box."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of natural pictures, by channel in [0, 1]."""
NEGATIVES = 3
"""For each default box with an object so many without are learned from, the worst ones."""
LEAST_SCORE, MOST_CANDIDATES, MOST_BOXES, MOST_OVERLAP = 0.01, 400, 200, 0.45
"""Of a class: from which score on, and how many, come to the suppression; how many boxes of a picture stay; by how
much they may overlap."""


class ScaledNorm(nn.Module):
    """Each place's features scaled to length 1, then by a factor a channel that begins as 20 (ParseNet)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((width,), 20.0))

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W."""
        return functional.normalize(x, dim=1) * self.factor[:, None, None]


class SSDNet(nn.Module):
    """VGG-16 to conv5_3, fc6 and fc7 as convolutions, and `maps` - 2 steps to coarser maps; a predictor on each map.

    `width`: channels of the first layer (64 in the paper, all others in proportion). `classes` without the background.
    """

    def __init__(self, width: int, maps: int, classes: int) -> None:
        super().__init__()
        w = width
        self.classes = classes
        self.early = nn.Sequential(
            *_convs(3, w, 2), nn.MaxPool2d(2), *_convs(w, 2 * w, 2), nn.MaxPool2d(2),
            *_convs(2 * w, 4 * w, 3), nn.MaxPool2d(2, ceil_mode=True), *_convs(4 * w, 8 * w, 3))
        self.norm = ScaledNorm(8 * w)
        self.late = nn.Sequential(
            nn.MaxPool2d(2), *_convs(8 * w, 8 * w, 3), nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(8 * w, 16 * w, 3, padding=6, dilation=6), nn.ReLU(),
            nn.Conv2d(16 * w, 16 * w, 1), nn.ReLU())
        plan = ((16, 4, 8, 2, 1), (8, 2, 4, 2, 1), (4, 2, 4, 1, 0), (4, 2, 4, 1, 0))[:maps - 2]
        self.extra = nn.ModuleList(nn.Sequential(
            nn.Conv2d(before * w, inner * w, 1), nn.ReLU(),
            nn.Conv2d(inner * w, after * w, 3, stride, padding), nn.ReLU())
            for before, inner, after, stride, padding in plan)
        widths = [8 * w, 16 * w, *(after * w for _, _, after, _, _ in plan)]
        self.locate = nn.ModuleList(nn.Conv2d(one, 4 * boxes_at(number), 3, padding=1)
                                    for number, one in enumerate(widths))
        self.classify = nn.ModuleList(nn.Conv2d(one, (classes + 1) * boxes_at(number), 3, padding=1)
                                      for number, one in enumerate(widths))
        he(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        """N x 3 x H x W to offsets (N x P x 4), scores before the softmax (N x P x 1 + classes, the background first)
        and the height and width of each map; the P default boxes in the order of `default_boxes`."""
        x = self.early(x)
        maps = [self.norm(x)]
        maps.append(self.late(x))
        for layer in self.extra:
            maps.append(layer(maps[-1]))
        offsets = [_rows(head(one), 4) for head, one in zip(self.locate, maps, strict=True)]
        scores = [_rows(head(one), self.classes + 1) for head, one in zip(self.classify, maps, strict=True)]
        return torch.cat(offsets, 1), torch.cat(scores, 1), [(one.shape[2], one.shape[3]) for one in maps]


def _convs(before: int, after: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [nn.Conv2d(after if number else before, after, 3, padding=1), nn.ReLU()]
    return layers


def _rows(x: Tensor, size: int) -> Tensor:
    """N x (boxes * size) x H x W to N x (H * W * boxes) x size."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, size)


def boxes_at(number: int) -> int:
    """How many default boxes a cell of a map has: 4 or 6."""
    return 2 * len(RATIOS[number])


def cells(size: int, maps: int) -> list[int]:
    """How many cells a side each map has on a square picture of `size` pixels.

    >>> cells(300, 6)
    [38, 19, 10, 5, 3, 1]
    """
    first = -(-(size // 4) // 2)
    second = first // 2
    third = -(-second // 2)
    fourth = -(-third // 2)
    return [first, second, third, fourth, fourth - 2, fourth - 4][:maps]


@lru_cache(maxsize=64)
def default_boxes(grids: tuple[tuple[int, int], ...], size: int, scales: tuple[float, ...]) -> Tensor:
    """The default boxes of maps with these heights and widths: P x 4 float32 (centre x, centre y, width, height) in
    pixels; map by map, row by row, cell by cell.

    `size`: of the square picture that the network is made for; a cell of a map is as many pixels wide as on that one.
    `scales`: by map, the side of its square box as a share of `size`, and one more for the larger box of the last map,
    sqrt(s_k s_k+1) (2.2).
    """
    rows = []
    for number, (height, width) in enumerate(grids):
        step, scale, after = size / cells(size, len(grids))[number], scales[number], scales[number + 1]
        shapes = [(scale, scale), (math.sqrt(scale * after),) * 2]
        for ratio in RATIOS[number][1:]:
            root = math.sqrt(ratio)
            shapes += [(scale * root, scale / root), (scale / root, scale * root)]
        for i, j in itertools.product(range(height), range(width)):
            rows += [((j + 0.5) * step, (i + 0.5) * step, size * wide, size * high) for wide, high in shapes]
    return torch.tensor(rows, dtype=torch.float32)


def matched(defaults: Tensor, boxes: Tensor, least: float = 0.5) -> Tensor:
    """For each default box (P x 4, edges) the row of the true box (B x 4) that it stands for, -1 for none (2.2): the
    one that it overlaps most, if by more than `least`; and each true box has the default box that overlaps it most, the
    better overlap first where two want the same."""
    if not len(boxes):
        return torch.full((len(defaults),), -1, dtype=torch.int64, device=defaults.device)
    shared = shared_area(defaults, boxes)
    best, rows = shared.max(1)
    rows = torch.where(best > least, rows, torch.full_like(rows, -1))
    own, places = shared.max(0)
    for row in torch.argsort(own, stable=True).tolist():  # what comes later has the better overlap and wins
        rows[places[row]] = row
    return rows


def multibox_loss(offsets: Tensor, scores: Tensor, wanted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of equation 1, L_loc and L_conf by the number of default boxes with an object; 0 where there is
    none.

    `offsets` and `wanted` N x P x 4 (`wanted` counts where there is an object), `scores` N x P x 1 + C, `labels` N x P,
    0 for the background. Of the boxes without an object each picture's worst count, NEGATIVES for each one with.
    """
    positive = labels > 0
    count = positive.sum()
    located = functional.smooth_l1_loss(offsets, wanted, reduction="none").sum(2)
    classified = functional.cross_entropy(scores.transpose(1, 2), labels, reduction="none")
    hardness = classified.detach().masked_fill(positive, -1)
    ranks = hardness.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    negative = (ranks < NEGATIVES * positive.sum(1, keepdim=True)) & ~positive
    share = (count > 0) / count.clamp(min=1)
    return (located * positive).sum() * share, (classified * (positive | negative)).sum() * share


class SSD(Method):
    """`size`: the side of the pictures that it learns from (300 in the paper); it sees larger ones whole, as a
    convolution. `maps`: how many maps predict (6), `scales` their boxes' sides as shares of `size` and one more.
    `enlarge`: the factor by which a picture is enlarged for the network; `zoom`: that of training squares, at least and
    at most (the paper's have between 0.1 and 1 of a picture's area, a factor of 3.16). `schedule`:
    `drops`, by 0.1 after 2/3 and 5/6 of the steps, or `linear` to 0.

    reading: what `reading` says. All layers begin as He's, since none comes from ImageNet (the paper draws its own new
    layers by Glorot's rule, "xavier"). Fewer than six maps keep the aspect ratios of the first ones, so the last of
    them has the ratios 3 and 1/3 too, which the paper's last two do without.
    """

    task = "detection"
    reading = ("trained from the start, all layers by He's rule, instead of from VGG-16 on ImageNet and Glorot's rule; "
               "fewer maps keep the aspect ratios of the first ones; pictures are enlarged by one factor and "
               "seen whole instead of resized to one size; training squares are cut by size alone, not by overlap, and "
               "colours are not distorted")
    stored_networks = ("net",)
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "size": 300, "maps": 6, "scales": [0.1, 0.2, 0.375, 0.55, 0.725, 0.9, 1.075],
        "optimiser": "sgd", "lr": 0.001, "schedule": "drops", "enlarge": 2.0, "zoom": [1.0, 3.16], "steps": 60_000,
        "batch": 32, "patch": 300, "ema": 0.0}
    choices: ClassVar = {"optimiser": ("sgd", "adam"), "schedule": ("drops", "linear"), "maps": (2, 3, 4, 5, 6)}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Scales for all maps, and training pictures of `size`."""
        super().__init__(settings)
        if len(self.settings["scales"]) != self.settings["maps"] + 1:
            raise self.wrong("scales", f"there must be one for each of the {self.settings['maps']} maps and one more")
        if self.settings["patch"] != self.settings["size"]:
            raise self.wrong("patch", f"it must be the setting size, {self.settings['size']}")
        if cells(self.settings["size"], self.settings["maps"])[-1] < 1:
            raise self.wrong("size", f"it is too small for {self.settings['maps']} maps")

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": SSDNet(self.settings["width"], self.settings["maps"], len(CLASSES))}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        steps = self.settings["steps"]
        schedule = schedules.linear_to_zero() if self.settings["schedule"] == "linear" else schedules.drops(
            {2 * steps // 3: 0.1, 5 * steps // 6: 0.01})
        return [Phase("train", steps, [Player("net", ["net"], self.loss, self._optimiser, schedule=schedule)])]

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, lr=self.settings["lr"])
        return torch.optim.SGD(parameters, lr=self.settings["lr"], momentum=0.9, weight_decay=5e-4)

    def defaults(self, grids: list[tuple[int, int]]) -> Tensor:
        """See `default_boxes`."""
        return default_boxes(tuple(grids), self.settings["size"], tuple(self.settings["scales"]))

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Both terms, of equal weight (alpha is 1)."""
        offsets, scores, grids = context.networks["net"](normalised(context.inputs["image"]))
        defaults = self.defaults(grids).to(offsets.device)
        edges = decode(torch.zeros_like(defaults), defaults, VARIANCES)
        wanted, labels = [], []
        for boxes, classes in zip(context.target["boxes"], context.target["labels"], strict=True):
            real = boxes.any(1)
            rows = matched(edges, boxes[real])
            there = rows >= 0
            chosen = torch.where(there[:, None], boxes[real][rows], edges) if real.any() else edges
            wanted.append(encode(chosen, defaults, VARIANCES))
            labels.append(torch.where(there, classes[real].long()[rows] + 1, 0) if real.any() else rows + 1)
        located, classified = multibox_loss(offsets.float(), scores.float(), torch.stack(wanted), torch.stack(labels))
        return {"location": located, "confidence": classified}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`image` (N x 3 x H x W in [0, 1]) to `boxes` (N x MOST_BOXES x 4), `labels` and `scores`, best first; rows of
        zeros where there are fewer. A picture smaller than `size` goes on as its edge for the network."""
        image, factor = inputs["image"], self.settings["enlarge"]
        if factor != 1:
            image = functional.interpolate(image, scale_factor=factor, mode="bilinear")
        missing = [max(0, self.settings["size"] - length) for length in image.shape[2:]]
        padded = functional.pad(image, (0, missing[1], 0, missing[0]), mode="replicate")
        offsets, scores, grids = model.networks["net"](normalised(padded))
        boxes = decode(offsets.float(), self.defaults(grids).to(offsets.device), VARIANCES) / factor
        shares = torch.softmax(scores.float(), 2)
        found = [answers(*pair) for pair in zip(boxes.cpu().numpy(), shares.cpu().numpy(), strict=True)]
        return {name: torch.from_numpy(np.stack([one[place] for one in found])).to(image.device)
                for place, name in enumerate(("boxes", "labels", "scores"))}


def answers(boxes: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What stays of the boxes of one picture (P x 4) with the shares of their classes (P x 1 + C): MOST_BOXES boxes,
    labels and scores, best first, zeros where there are fewer."""
    kept: list[tuple[float, int, int]] = []
    for label in range(shares.shape[1] - 1):
        scores = shares[:, label + 1]
        rows = np.flatnonzero(scores > LEAST_SCORE)
        rows = rows[np.argsort(-scores[rows], kind="stable")[:MOST_CANDIDATES]]
        stay = suppressed(boxes[rows], scores[rows], MOST_OVERLAP, MOST_BOXES)
        kept += [(-float(scores[row]), label, int(row)) for row in rows[stay]]
    best = sorted(kept)[:MOST_BOXES]
    out = np.zeros((MOST_BOXES, 4), np.float32), np.zeros(MOST_BOXES, np.float32), np.zeros(MOST_BOXES, np.float32)
    for place, (score, label, row) in enumerate(best):
        out[0][place], out[1][place], out[2][place] = boxes[row], label, -score
    return out


def normalised(image: Tensor) -> Tensor:
    """N x 3 x H x W in [0, 1] less MEAN, by STD."""
    mean, std = (image.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return (image - mean) / std


METHOD = SSD
