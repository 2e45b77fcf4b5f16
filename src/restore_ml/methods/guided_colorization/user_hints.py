"""Real-time user-guided colorization: one network looks at grey, hints and where they are, and gives all colours.

Source: Zhang, Zhu, Isola, Geng, Lin, Yu, Efros, SIGGRAPH 2017 (the local hints network), and the authors' code; the
method card `user_hints`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.initialisation import he
from restore_ml.nn.muon import Muon
from restore_ml.training.schedules import drops

AB_SCALE, CELL, NODES = 110.0, 10, 23
"""ab are divided by this; classes are the NODES x NODES points of a grid of step CELL from -110 to 110."""
CLASS_GRID = 4
"""Classes are told for every fourth pixel."""
REGRESSION = 10.0
"""The weight of the regression, as in the code."""
FIRST = 0.1
"""The share of He's first weights in the two last layers."""
FIRST_HINTS = 5.0
"""Times He's first weights of a and b of the hints, whose values are a tenth of those of lightness."""


class HintsNet(nn.Module):
    """lightness, hint, hinted (N x 1, 2 and 1 x H x W as in the task, H and W multiples of 8) -> ab / 110 in (-1, 1)
    (N x 2 x H x W) and the logits of 529 classes (N x 529 x H/4 x W/4).

    A U-Net: conv1 to conv7 as in Colorful Image Colorization, but every other pixel of a block's output goes on in
    place of strides; conv8 to conv10 enlarge and add what conv3 to conv1 saw. `width` is the paper's 64.
    reading: He's first weights, a tenth of them in the two last layers and five times them where the hints' a and b
    come in (the code starts from its classification network, and that from scratch). Whole ones begin in the flat ends
    of tanh and hardly see hints beside lightness; with torch's own hints are learned more slowly.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w = width
        self.conv1, self.conv2 = _block(4, w, 2), _block(w, 2 * w, 2)
        self.conv3, self.conv4 = _block(2 * w, 4 * w, 3), _block(4 * w, 8 * w, 3)
        self.conv5, self.conv6 = _block(8 * w, 8 * w, 3, 2), _block(8 * w, 8 * w, 3, 2)
        self.conv7 = _block(8 * w, 8 * w, 3)
        self.up8, self.short8 = nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1), nn.Conv2d(4 * w, 4 * w, 3, padding=1)
        self.conv8 = nn.Sequential(nn.ReLU(), *_block(4 * w, 4 * w, 2))
        self.up9, self.short9 = nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1), nn.Conv2d(2 * w, 2 * w, 3, padding=1)
        self.conv9 = nn.Sequential(nn.ReLU(), *_block(2 * w, 2 * w, 1))
        self.up10, self.short10 = nn.ConvTranspose2d(2 * w, 2 * w, 4, 2, 1), nn.Conv2d(w, 2 * w, 3, padding=1)
        self.conv10 = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * w, 2 * w, 3, padding=1), nn.LeakyReLU(0.2))
        self.colours = nn.Conv2d(2 * w, 2, 1)
        self.classes = nn.Conv2d(4 * w, NODES**2, 1)
        he(self)
        first = self.conv1[0]
        assert isinstance(first, nn.Conv2d)
        with torch.no_grad():
            first.weight[:, 1:3] *= FIRST_HINTS
            for last in (self.colours, self.classes):
                last.weight *= FIRST

    def forward(self, lightness: Tensor, hint: Tensor, hinted: Tensor, classify: bool = False) -> tuple[Tensor, Tensor]:
        """With `classify` the classes train the trunk and conv9 to the colours see it detached; without it the classes
        see it detached."""
        seen = torch.cat([(lightness - 50) / 100, hint * hinted / AB_SCALE, hinted - 0.5], 1)
        one = self.conv1(seen)
        two = self.conv2(one[..., ::2, ::2])
        three = self.conv3(two[..., ::2, ::2])
        deep = self.conv7(self.conv6(self.conv5(self.conv4(three[..., ::2, ::2]))))
        eight = self.conv8(self.up8(deep) + self.short8(three))
        classes = self.classes(eight if classify else eight.detach())
        if classify:
            one, two, eight = one.detach(), two.detach(), eight.detach()
        nine = self.conv9(self.up9(eight) + self.short9(two))
        ten = self.conv10(self.up10(nine) + self.short10(one))
        return torch.tanh(self.colours(ten)), classes


def _block(before: int, after: int, count: int, dilation: int = 1) -> nn.Sequential:
    """`count` 3 x 3 convolutions with ReLU, then batch normalisation."""
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [nn.Conv2d(after if number else before, after, 3, 1, dilation, dilation), nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm2d(after))


class UserHints(Method):
    """First the classes are learned without hints, then the colours with them.

    Ours is a third phase, which the paper does not have (0 steps): the colours go on with the running statistics of
    normalisation, as restoring has them. Those of a small batch change with how colourful its pictures are and how
    much of them is hinted, and divide away how strong a hint is.
    reading: the numbers of steps (15, 10 and 5 epochs of ImageNet in batches of 25) and the rate of the first phase;
    one class a pixel, as in the code. At restoring the classes are not used: in the paper's program they suggest
    colours to the person.
    """

    task = "guided_colorization"
    reading = ("the numbers of steps and the rate of the first phase; the first weights; small profiles go on with "
               "normalisation that stands still, and Muon moves their inner kernels")
    stored_networks = ("colorizer",)
    multiple = 8
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "hint_rate": 0.125, "hint_sides": [1, 9], "hint_whole": 0.01, "lr": 1e-4, "colour_lr": 1e-5,
        "lr_drops": {"512000": 0.1}, "betas": [0.9, 0.999],
        "steps": {"classes": 768_000, "colours": 768_000, "settled": 0}, "batch": 25, "patch": 176, "ema": 0.0,
        "turned": 0.0, "muon": 0.0,
    }
    """`lr`: of the first phase; `colour_lr`: of the others, in each of which `lr_drops` are factors by step.
    `hint_rate`, `hint_sides` and `hint_whole`: see the task's training. `turned`: the share of samples whose true
    colours and hints are turned by a random angle about grey, ours: the colours of a few photographs are soon known by
    heart, and hints then not needed; a turned colour can only be told from the hints. `muon`: ours, the rate at which
    Muon moves the inner kernels in place of Adam (0: Adam moves all). Hints are few among the pixels, so that their
    share in a kernel's gradient is small; Muon moves all directions of a kernel alike, and in the same steps hints are
    spread much farther."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop and the hints."""
        super().__init__(settings)
        sides = self.settings["hint_sides"]
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", "it must be a multiple of 8")
        if not isinstance(sides, list) or len(sides) != 2 or not 1 <= sides[0] <= sides[1]:
            raise self.wrong("hint_sides", "it must be the least and the largest side in pixels, such as [1, 9]")
        for share in ("turned", "hint_whole"):
            if not 0 <= self.settings[share] <= 1:
                raise self.wrong(share, "it must be a share from 0 to 1")
        if not self.settings["muon"] >= 0:
            raise self.wrong("muon", "it must be a rate, or 0 for Adam alone")
        if not 0 < self.settings["hint_rate"] <= 1:
            raise self.wrong("hint_rate", "it must be above 0 and at most 1")

    def build(self) -> dict[str, nn.Module]:
        """`colorizer`."""
        return {"colorizer": HintsNet(self.settings["width"])}

    def phases(self) -> list[Phase]:
        """`classes`, then `colours`, then `settled` (its optimiser goes on, its normalisation stands still)."""
        s = self.settings

        def player(name: str, rate: float, loss: Any, **options: Any) -> Player:  # an optimiser, and so a rate, each
            return Player(name, ["colorizer"], loss, lambda parameters: self._optimiser(parameters, rate), **options)

        colorizer = player("colorizer", s["colour_lr"], self.colours_loss, schedule=drops(s["lr_drops"]))
        return [Phase("classes", s["steps"]["classes"], [player("classifier", s["lr"], self.classes_loss)]),
                Phase("colours", s["steps"]["colours"], [colorizer]),
                Phase("settled", s["steps"]["settled"], [colorizer], frozen_norm=["colorizer"])]

    def _optimiser(self, parameters: NamedParameters, rate: float) -> torch.optim.Optimizer:
        """Adam, or Muon for the kernels between the first layer and the two last ones and Adam for the others."""
        betas = tuple(self.settings["betas"])
        if not self.settings["muon"]:
            return torch.optim.Adam(parameters, rate, betas)
        return Muon([parameter for name, parameter in parameters if by_muon(name, parameter)],
                    [parameter for name, parameter in parameters if not by_muon(name, parameter)],
                    self.settings["muon"], rate, betas=betas)

    def classes_loss(self, context: Context) -> dict[str, Tensor]:
        """Hints are hidden; the trunk learns the classes, and the layers behind it the colours."""
        none = {name: torch.zeros_like(context.inputs[name]) for name in ("hint", "hinted")}
        return self._terms(context, {**context.inputs, **none}, classify=True)

    def colours_loss(self, context: Context) -> dict[str, Tensor]:
        """With hints; the whole network learns the colours, and the classes' own layer the classes."""
        return self._terms(context, context.inputs, classify=False)

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L`, `hint` and `hinted` to `ab`."""
        colours, _ = model.networks["colorizer"](inputs["L"], inputs["hint"], inputs["hinted"])
        return {"ab": AB_SCALE * colours.float()}

    def _terms(self, context: Context, inputs: Inputs, classify: bool) -> dict[str, Tensor]:
        """Cross-entropy at every fourth pixel, and ten times Huber's loss of ab / 110, quadratic below 1 / 110 and
        summed over a and b."""
        ab, hint = context.target["ab"], inputs["hint"]
        if self.settings["turned"]:
            draws = context.uniform(ab[:, :, 0, 0])
            angles = 2 * torch.pi * draws[:, 0] * (draws[:, 1] < self.settings["turned"])
            ab, hint = turned(ab, angles), turned(hint, angles)
        colours, classes = context.networks["colorizer"](inputs["L"], hint, inputs["hinted"], classify)
        huber = F.smooth_l1_loss(colours.float(), ab / AB_SCALE, beta=1 / AB_SCALE, reduction="none").sum(1)
        return {"classes": F.cross_entropy(classes.float(), class_of(ab[..., ::CLASS_GRID, ::CLASS_GRID])),
                "huber": REGRESSION * huber.mean()}


def by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether the parameter of that name (`colorizer.conv1.0.weight`) is an inner kernel."""
    ends = ("colorizer.conv1.0.", "colorizer.colours.", "colorizer.classes.")
    return parameter.ndim == 4 and not name.startswith(ends)


def turned(ab: Tensor, angles: Tensor) -> Tensor:
    """Each sample's colours (N x 2 x H x W) turned about grey by its angle in radians, from a towards b."""
    a, b = ab[:, :1], ab[:, 1:]
    cosine, sine = (function(angles).view(-1, 1, 1, 1) for function in (torch.cos, torch.sin))
    return torch.cat([cosine * a - sine * b, sine * a + cosine * b], 1)


def class_of(ab: Tensor) -> Tensor:
    """The nearest point of the grid, N x H x W int64 in [0, 529), by a, then by b (N x 2 x H x W)."""
    half = NODES // 2
    node = (ab / CELL).round().clamp(-half, half).long() + half
    return node[:, 0] * NODES + node[:, 1]


METHOD = UserHints
