"""Instance-aware colorization: the whole picture and each of its objects are coloured, and their features are fused.

Source: Su, Chu, Huang, "Instance-aware image colorization", CVPR 2020, and the authors' code; the method card
`inst_color`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.kinds import BOXES
from restore_ml.losses.huber import huber
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.hints_network import AB_SCALE, POINTS, REGRESSION, HintsNet
from restore_ml.nn.initialisation import he
from restore_ml.training.schedules import linear_to_zero

OUTSIDE = 1e5
"""Added to the background's score where no box is."""
SMALLEST, LARGEST = 1 / 64, 3 / 4
"""The least area of what stands out, and the largest of its box, in shares of the picture."""
FIRST_SCORE = 1.0
"""About what every score begins with."""
MOVED = ("net.conv10.", "net.colours.", "blocks.")
"""What the fusion phase moves."""

Place = tuple[int, int, int, int]
"""Top, bottom, left, right: rows and columns from the first to before the last."""


class FusionBlock(nn.Module):
    """Features of the whole picture (1 x C x H x W) and of its K instances (K x C x h x w) to fused ones.

    Either kind is scored by three 3 x 3 convolutions (`inner`, `inner`, 1 channels, ReLU after each). Features and
    scores of an instance are resized to its place and are 0 elsewhere; the softmax over the instances' scores and the
    background's weights their features.
    reading: first biases of `FIRST_SCORE` before the last ReLU, so that no score begins dead.
    """

    def __init__(self, channels: int, inner: int = 16) -> None:
        super().__init__()
        self.instance, self.background = _scorer(channels, inner), _scorer(channels, inner)

    def forward(self, features: Tensor, instances: Tensor, places: list[Place]) -> Tensor:
        """`places`: of the instances, in pixels of `features`."""
        height, width = features.shape[2:]
        covered = torch.zeros_like(features[:, :1])
        own, layers = self.instance(instances), [features]
        scores: list[Tensor] = []
        for number, (top, bottom, left, right) in enumerate(places):
            for values, placed in ((instances, layers), (own, scores)):
                resized = F.interpolate(values[number:number + 1], (bottom - top, right - left), mode="bilinear",
                                        align_corners=False)
                placed.append(F.pad(resized, (left, width - right, top, height - bottom)))
            covered[..., top:bottom, left:right] = 1
        background = self.background(features) + OUTSIDE * (1 - covered)
        weights = torch.cat([background, *scores]).float().softmax(0)
        return (weights * torch.cat(layers)).sum(0, keepdim=True)


def _scorer(channels: int, inner: int) -> nn.Sequential:
    last = nn.Conv2d(inner, 1, 3, padding=1)
    layers = nn.Sequential(nn.Conv2d(channels, inner, 3, padding=1), nn.ReLU(),
                           nn.Conv2d(inner, inner, 3, padding=1), nn.ReLU(), last, nn.ReLU())
    he(layers)
    with torch.no_grad():
        last.weight *= 0.1
        assert last.bias is not None
        last.bias.fill_(FIRST_SCORE)
    return layers


class FusionNet(nn.Module):
    """A copy of the hints network with a fusion block at each of its `POINTS`. Only the blocks, conv10 and the last
    layer learn."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = HintsNet(width, classes=False)
        self.blocks = nn.ModuleDict({name: FusionBlock(channels * width, inner)
                                     for name, (channels, _) in POINTS.items()})
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(MOVED))

    def forward(self, lightness: Tensor, instances: Mapping[str, Tensor], boxes: Tensor) -> Tensor:
        """One picture (1 x 1 x H x W) with the features of its instances at each point and their boxes (K x 4) to
        ab / 110."""
        def fused(name: str, features: Tensor) -> Tensor:
            places = [place(box, POINTS[name][1], *features.shape[2:]) for box in boxes.tolist()]
            return self.blocks[name](features, instances[name], places)

        return unhinted(self.net, lightness, fused)


class InstColor(Method):
    """Three phases: a network for whole pictures; one for instances, which begins as its copy; and the fusion network,
    which begins as a copy of the first, is given the features of the second, and moves its fusion blocks and its last
    two layers, all with normalisation that stands still. Where there is no box the first network colours alone.

    At most `instances` boxes are used; what is in them is resized to `patch` x `patch`. `full_rate`: the share of each
    phase's steps before its rate falls towards 0.

    reading: photographs come without boxes and detectors of objects with weights that are not ours, so boxes are drawn
    around what stands out in lightness (`boxes_of`). A picture in which nothing does is an instance itself when those
    are learned. The first network begins untrained (the paper: with the weights of the hints network). All phases have
    batches of one size (the paper: 1 in the last, of which the number of steps is told here in batches of 16).
    """

    task = "colorization"
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "inner": 16, "instances": 8, "lr": {"full": 5e-4, "instance": 5e-4, "fusion": 5e-5},
        "full_rate": {"full": 2 / 3, "instance": 2 / 3, "fusion": 1 / 3}, "betas": [0.9, 0.999],
        "steps": {"full": 1_108_950, "instance": 1_108_950, "fusion": 221_790}, "batch": 16, "patch": 256, "ema": 0.0,
    }
    reading = ("boxes around what stands out in lightness, not of a detector; the first network begins untrained; the "
               "batch of the fusion; first weights of its scores")
    stored_networks = ("full", "instance", "fusion")
    derived: ClassVar[Mapping[str, ArraySpec]] = {"boxes": ArraySpec(BOXES, 4)}
    multiple = 8

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop and the average."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", "it must be a multiple of 8")
        if self.settings["ema"]:
            raise self.wrong("ema", "it must be 0: networks begin as copies of trained ones, which an average is not")

    def derive(self, inputs: Arrays, target: Arrays | None, rng: np.random.Generator) -> Arrays:
        """In training the boxes of the grey picture; when restoring they are found in `restore`."""
        return {} if target is None else {"boxes": boxes_of(inputs["L"][..., 0], self.settings["instances"])}

    def build(self) -> dict[str, nn.Module]:
        """`full`, `instance` and `fusion`."""
        s = self.settings
        return {"full": HintsNet(s["width"], classes=False), "instance": HintsNet(s["width"], classes=False),
                "fusion": FusionNet(s["width"], s["inner"])}

    def phases(self) -> list[Phase]:
        """`full`, `instance`, `fusion`, each of one player of that name."""
        s = self.settings

        def phase(name: str, loss: Any, frozen: tuple[str, ...] = (), **options: Any) -> Phase:
            def adam(parameters: NamedParameters) -> torch.optim.Optimizer:
                return torch.optim.Adam([one for one in parameters if one[1].requires_grad], s["lr"][name],
                                        tuple(s["betas"]))

            player = Player(name, [name], loss, adam, schedule=linear_to_zero(s["full_rate"][name]), **options)
            return Phase(name, s["steps"][name], [player], frozen_norm=frozen)

        return [phase("full", self.full_loss, after=self.hand_on), phase("instance", self.instance_loss),
                phase("fusion", self.fusion_loss, ("instance", "fusion"))]

    def hand_on(self, context: Context) -> None:
        """With its last step the network for whole pictures becomes the start of both others."""
        if context.step == context.steps - 1:
            trained = context.networks["full"].state_dict()
            for copy in (context.networks["instance"], cast(FusionNet, context.networks["fusion"]).net):
                copy.load_state_dict(trained)

    def full_loss(self, context: Context) -> dict[str, Tensor]:
        """Whole pictures."""
        return _huber(unhinted(context.networks["full"], context.inputs["L"]), context.target["ab"])

    def instance_loss(self, context: Context) -> dict[str, Tensor]:
        """One box of each picture, cut out of lightness and colours alike."""
        lightness, ab = context.inputs["L"], context.target["ab"]
        draws, crops = context.uniform(lightness[:, 0, 0, 0]).tolist(), []
        for number, (boxes, share) in enumerate(zip(context.inputs["boxes"], draws, strict=True)):
            known = boxes[boxes.any(1)]
            box = known[int(share * len(known))][None] if len(known) else _whole(lightness)
            both = torch.cat([lightness[number:number + 1], ab[number:number + 1]], 1)
            crops.append(self.cut(both, box))
        batch = torch.cat(crops)
        return _huber(unhinted(context.networks["instance"], batch[:, :1]), batch[:, 1:])

    def fusion_loss(self, context: Context) -> dict[str, Tensor]:
        """Whole pictures with their instances."""
        lightness, made = context.inputs["L"], []
        for number, boxes in enumerate(context.inputs["boxes"]):
            made.append(self.fused(context.networks, lightness[number:number + 1], boxes[boxes.any(1)]))
        return _huber(torch.cat(made), context.target["ab"])

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` to `ab`, each picture by itself."""
        made = []
        for lightness in inputs["L"].split(1):
            found = boxes_of(lightness[0, 0].float().cpu().numpy(), self.settings["instances"])
            boxes = torch.from_numpy(found[found.any(1)]).to(lightness.device)
            made.append(self.fused(model.networks, lightness, boxes) if len(boxes)
                        else unhinted(model.networks["full"], lightness))
        return {"ab": AB_SCALE * torch.cat(made).float()}

    def fused(self, networks: Mapping[str, nn.Module], lightness: Tensor, boxes: Tensor) -> Tensor:
        """ab / 110 of one picture by the fusion network. The instances' features get no gradient."""
        features: dict[str, Tensor] = {}

        def kept(name: str, values: Tensor) -> Tensor:
            features[name] = values
            return values

        with torch.no_grad():
            crops = self.cut(lightness, boxes) if len(boxes) else lightness[:0]
            unhinted(networks["instance"], crops, kept)
        return networks["fusion"](lightness, features, boxes)

    def cut(self, picture: Tensor, boxes: Tensor) -> Tensor:
        """What is in each box (K x 4, of at least a pixel), K x C x `patch` x `patch`."""
        side = self.settings["patch"]
        places = [place(box, 1, *picture.shape[2:]) for box in boxes.tolist()]
        return torch.cat([F.interpolate(picture[..., top:bottom, left:right], (side, side), mode="bilinear",
                                        align_corners=False) for top, bottom, left, right in places])


def unhinted(network: nn.Module, lightness: Tensor, at: Callable[[str, Tensor], Tensor] | None = None) -> Tensor:
    """ab / 110 by the hints network without a hint."""
    hinted = torch.zeros_like(lightness)
    options = {} if at is None else {"at": at}
    return network(lightness, hinted.expand(-1, 2, -1, -1), hinted, **options)[0]


def place(box: list[float], divisor: int, height: int, width: int) -> Place:
    """Where a box (left, top, right, bottom edges) lies on a grid of `height` x `width` pixels that are `divisor` times
    as wide: rounded down, at least one pixel."""
    left, top, right, bottom = (int(edge // divisor) for edge in box)
    top, left = min(top, height - 1), min(left, width - 1)
    return top, min(max(bottom, top + 1), height), left, min(max(right, left + 1), width)


def boxes_of(lightness: np.ndarray, most: int) -> np.ndarray:
    """Boxes around what stands out of an H x W lightness, most x 4 float32 (left, top, right, bottom; rows of zeros are
    none), by falling area.

    Smoothed lightness is cut in two by Otsu's threshold; the connected parts of either side are instances unless they
    are smaller than `SMALLEST` or their box, as that of a background, is larger than `LARGEST` of the picture.
    """
    height, width = lightness.shape
    smooth = cv2.GaussianBlur(lightness.astype(np.float32), (0, 0), max(1.0, min(height, width) / 64))
    levels = np.rint(smooth.clip(0, 100) * 2.55).astype(np.uint8)
    _, bright = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    parts = np.concatenate([cv2.connectedComponentsWithStats(side, connectivity=4)[2][1:]
                            for side in (bright, 1 - bright)])
    _, _, wide, high, area = parts.T
    parts = parts[(area >= SMALLEST * height * width) & (wide * high <= LARGEST * height * width)]
    parts = parts[np.argsort(-parts[:, 4], kind="stable")][:most]
    boxes = np.zeros((most, 4), np.float32)
    boxes[:len(parts)] = np.concatenate([parts[:, :2], parts[:, :2] + parts[:, 2:4]], 1)
    return boxes


def _huber(made: Tensor, ab: Tensor) -> dict[str, Tensor]:
    return {"huber": REGRESSION * huber(made, ab / AB_SCALE, 1 / AB_SCALE)}


def _whole(picture: Tensor) -> Tensor:
    """The box of the whole picture."""
    height, width = picture.shape[2:]
    return torch.tensor([[0, 0, width, height]])


METHOD = InstColor
