"""Real-time user-guided colorization: one network looks at grey, hints and where they are, and gives all colours.

Source: Zhang, Zhu, Isola, Geng, Lin, Yu, Efros, SIGGRAPH 2017 (the local hints network), and the authors' code; the
method card `user_hints`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.huber import huber
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.nn.hints_network import AB_SCALE, CELL, NODES, REGRESSION, HintsNet
from restore_ml.nn.muon import Muon
from restore_ml.training.schedules import drops

CLASS_GRID = 4
"""Classes are told for every fourth pixel."""


class UserHints(Method):
    """First the classes are learned without hints, then the colours with them.

    Ours is a third phase, which the paper does not have (0 steps): the colours go on with the running statistics of
    normalisation, as restoring has them. Those of a small batch change with how colourful its pictures are and how
    much of them is hinted, and divide away how strong a hint is.
    reading: the numbers of steps (15, 10 and 5 epochs of ImageNet in batches of 25) and the rate of the first phase;
    one class a pixel, as in the code; Huber's loss, as in the paper (the code's last version has L1); squares of
    coloured pictures that are nearly grey themselves stay in (the code drops them). The profile `cpu` leaves out the
    first phase: its classes are learned beside the colours and teach the trunk nothing. At restoring the classes are
    not used: in the paper's program they suggest colours to the person.
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
        return {"classes": F.cross_entropy(classes.float(), class_of(ab[..., ::CLASS_GRID, ::CLASS_GRID])),
                "huber": REGRESSION * huber(colours, ab / AB_SCALE, 1 / AB_SCALE)}


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
