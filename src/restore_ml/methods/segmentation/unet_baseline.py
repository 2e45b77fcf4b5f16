"""U-Net: a contracting and an expanding path with a skip at every level, which learns to keep touching cells apart.

Source: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015;
method card `unet_baseline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import FLOAT, LABELS
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blocks import of_its_input
from restore_ml.nn.initialisation import he

if TYPE_CHECKING:
    from restore_ml.tasks.base import Material

LEVELS = 5


class UNetBaseline(Method):
    """Cross-entropy a pixel, weighted by w = w_c + `w0` exp(-(d1 + d2)^2 / (2 `sigma`^2)): w_c balances the classes,
    d1 and d2 are the distances to the nearest and the second nearest nucleus, so that the narrow gaps between nuclei
    weigh most. Nuclei that touch are parted by a gap of one pixel before. Crops are bent by smooth random fields
    (`elastic`, standard deviation in pixels).

    `grey`: how much of the contrast a crop may lose (see `restore_ml.tasks.segmentation.training.regreyed`).
    `eval_norm: picture` normalises by the statistics of what is restored (a tile at most), as a network does that saw
    one picture a batch; `running` by their average over training.

    `loss: bce_dice` is the usual one of later work instead: cross-entropy and soft Dice, unweighted, without gaps.
    `optimiser: adam` instead of momentum 0.99.

    reading: padded convolutions with batch normalisation and nearest-neighbour enlargement before a 3 x 3 convolution
    (the paper: unpadded, none, transposed 2 x 2); one logit instead of two; w_c as half the inverse share of the class;
    the border term on background alone; the mean over pixels; learning rate and number of steps; dropout in the last
    two levels of the contracting path; `grey`, which the paper names without figures.
    """

    task = "segmentation"
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "dropout": 0.5, "loss": "border", "w0": 10.0, "sigma": 5.0, "elastic": 10.0,
        "grey": 0.5, "eval_norm": "picture", "optimiser": "sgd", "lr": 1e-3, "momentum": 0.99, "steps": 60_000,
        "batch": 1, "patch": 512, "ema": 0.0,
    }
    choices: ClassVar = {"loss": ("border", "bce_dice"), "optimiser": ("sgd", "adam"),
                         "eval_norm": ("picture", "running")}
    reading = ("padding, batch normalisation and enlargement, class weights, learning rate and number of steps, where "
               "dropout is, how much grey values vary")
    stored_networks = ("net",)
    derived: ClassVar[Mapping[str, ArraySpec]] = {"border": ArraySpec(FLOAT, 1, 0, size_of="image"),
                                                  "inside": ArraySpec(LABELS, 2, high=1, size_of="image")}
    multiple = 2 ** (LEVELS - 1)
    tile, overlap = 512, 128

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", f"it must be a multiple of {self.multiple}")

    def build(self) -> dict[str, nn.Module]:
        """The network, 34,527,041 parameters at width 64."""
        net = UNet(3, 1, self.settings["width"], self.settings["dropout"])
        if self.settings["eval_norm"] == "picture":
            of_its_input(net)
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        s = self.settings

        def optimiser(parameters: Any) -> torch.optim.Optimizer:
            if s["optimiser"] == "adam":
                return torch.optim.Adam(parameters, s["lr"])
            return torch.optim.SGD(parameters, s["lr"], momentum=s["momentum"])

        return [Phase("train", s["steps"], [Player("net", ["net"], self.loss, optimiser)])]

    def prepare(self, material: Material, seed: int) -> Arrays:
        """`class_weights`, float32 of background and nucleus: half the inverse of their shares of the pixels."""
        inside, total = 0, 0
        for record in material.records:
            nuclei = record.arrays["instances"] > 0
            inside, total = inside + int(nuclei.sum()), total + nuclei.size
        share = min(max(inside / max(total, 1), 1e-3), 1 - 1e-3)
        return {"class_weights": np.array([0.5 / (1 - share), 0.5 / share], np.float32)}

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training what the loss compares with: `inside`, nuclei without the gaps between them, and `border`, the
        second term of the weights. Nothing when restoring."""
        if target is None:
            return {}
        instances = target["instances"][..., 0]
        parted = self.settings["loss"] == "border"
        inside = parted_nuclei(instances) if parted else instances > 0
        border = border_weights(instances * inside, self.settings["w0"], self.settings["sigma"]) if parted else \
            np.zeros(instances.shape, np.float32)
        return {"inside": inside[..., None].astype(np.uint8), "border": border[..., None]}

    def loss(self, context: Context) -> dict[str, Tensor]:
        """`border`: mean of w times the cross-entropy; else the cross-entropy's mean and 1 - Dice."""
        logits = context.networks["net"](context.inputs["image"]).float()
        inside = context.inputs["inside"].float()
        if self.settings["loss"] == "border":
            background, nucleus = self.constants["class_weights"].tolist()
            weights = background * (1 - inside) + nucleus * inside + context.inputs["border"]
            return {"cross_entropy": F.binary_cross_entropy_with_logits(logits, inside, weights)}
        return {"cross_entropy": F.binary_cross_entropy_with_logits(logits, inside),
                "dice": soft_dice_loss(logits.sigmoid(), inside)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`image` (N x 3 x H x W in [0, 1]) -> `labels` as the probabilities of both classes, N x 2 x H x W.
        One picture at a time, so that none depends on its company."""
        logits = torch.cat([model.networks["net"](picture[None]) for picture in inputs["image"]])
        nucleus = logits.float().sigmoid()
        return {"labels": torch.cat([1 - nucleus, nucleus], 1)}


def parted_nuclei(instances: np.ndarray) -> np.ndarray:
    """H x W instances -> bool: nuclei, but for the pixels that touch one of a smaller number (by an edge or a corner).

    >>> parted_nuclei(np.array([[1, 1, 2, 2, 0]]))[0].tolist()
    [True, True, False, True, False]
    """
    largest = np.iinfo(np.int32).max
    framed = np.pad(np.where(instances > 0, instances, largest), 1, constant_values=largest)
    height, width = instances.shape
    smallest = np.min([framed[row:row + height, column:column + width] for row in range(3) for column in range(3)],
                      axis=0)
    return (instances > 0) & (smallest >= instances)


def border_weights(instances: np.ndarray, w0: float, sigma: float) -> np.ndarray:
    """`w0` exp(-(d1 + d2)^2 / (2 sigma^2)) on the background, 0 on nuclei and where there are not two: H x W float32.

    d1 and d2: distances in pixels to the nearest and to the second nearest nucleus.
    """
    from scipy.ndimage import distance_transform_edt

    numbers = np.unique(instances[instances > 0])
    nearest = np.full((2, *instances.shape), np.inf)
    for number in numbers:
        distance = distance_transform_edt(instances != number)
        nearest = np.sort(np.concatenate([nearest, distance[None]]), axis=0)[:2]
    weights = w0 * np.exp(-np.square(nearest.sum(axis=0)) / (2 * sigma ** 2))
    return np.where(instances == 0, weights, 0).astype(np.float32)


def soft_dice_loss(share: Tensor, truth: Tensor) -> Tensor:
    """1 - (2 sum(share truth) + 1) / (sum share + sum truth + 1) a picture (N x 1 x H x W), averaged."""
    both, either = (share * truth).sum((1, 2, 3)), (share + truth).sum((1, 2, 3))
    return (1 - (2 * both + 1) / (either + 1)).mean()


def _twice(before: int, after: int) -> nn.Sequential:
    """Twice: 3 x 3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(*(layer for channels in (before, after) for layer in (
        nn.Conv2d(channels, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())))


class UNet(nn.Module):
    """N x in_channels x H x W -> logits, N x out_channels x H x W; H and W multiples of 16.

    Five levels of width, 2 width ... 16 width channels; maximum pooling down, nearest-neighbour enlargement and a
    convolution up, the skip joined to it.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [width * 2 ** level for level in range(LEVELS)]
        self.down = nn.ModuleList(_twice(widths[level - 1] if level else in_channels, wide)
                                  for level, wide in enumerate(widths))
        self.enlarge, self.up = nn.ModuleList(), nn.ModuleList()
        for wide in reversed(widths[:-1]):
            self.enlarge.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * wide, wide, 3, padding=1),
                                              nn.BatchNorm2d(wide), nn.ReLU()))
            self.up.append(_twice(2 * wide, wide))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(width, out_channels, 1)
        he(self)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(skips[-1], 2) if level else x)
            x = self.dropout(x) if level >= LEVELS - 2 else x
            skips.append(x)
        skips.pop()
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            x = block(torch.cat([skips.pop(), enlarge(x)], 1))
        return self.last(x)


METHOD = UNetBaseline
