"""Palette-guided colorization: the colours of a picture come from five that a person names, wherever they fit.

Source: the palette-based colorization network of Bahng et al., "Coloring with words" (Text2Colors), ECCV 2018, and the
authors' code; the method card `palette_guided`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.methods.guided_colorization.user_hints import turned
from restore_ml.nn.hints_network import AB_SCALE, HintsNet
from restore_ml.nn.initialisation import he
from restore_ml.nn.muon import Muon
from restore_ml.tasks.guided_colorization import without_points
from restore_ml.tasks.guided_colorization.palette import COLOURS, ENTRIES
from restore_ml.training.schedules import drops

BRANCHES = {"conv4_3": (2, 4, 8, 8), "conv8_3": (2, 4), "conv9_3": (2,)}
"""Where the palette is added, and the channels of its layers up to there, times the width."""
JUDGE_LAYERS = 5
"""Of stride 2."""
FIRST = 0.1
"""The share of He's first weights in the last layer of a branch."""


class PaletteNet(nn.Module):
    """lightness (N x 1 x H x W, H and W multiples of 8) and a palette (N x 15, Lab) -> ab / 110 in (-1, 1).

    The hints network without hints and without its classes, to whose features behind conv4, conv8 and conv9 a vector is
    added at every pixel: what layers of 1 x 1 with ReLU make of the palette and the picture's mean lightness.
    reading: the sixteenth number is the mean lightness; in the code it says whether a palette is given, which one
    always is. The branches begin small, so that the picture is seen first. The trunk is the card's: that of the code
    sees lightness alone, learns how to leave out pixels, has layers of its own for what goes across, a slope of 0.02 in
    the last block and a sigmoid at the end.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.trunk = HintsNet(width, classes=False)
        self.branches = nn.ModuleDict()
        for name, channels in BRANCHES.items():
            layers: list[nn.Module] = []
            before = ENTRIES + 1
            for after in channels:
                layers += [nn.Conv2d(before, after * width, 1), nn.ReLU()]
                before = after * width
            branch, last = nn.Sequential(*layers), layers[-2]
            he(branch)
            assert isinstance(last, nn.Conv2d)
            with torch.no_grad():
                last.weight *= FIRST
            self.branches[name] = branch

    def forward(self, lightness: Tensor, palette: Tensor) -> Tensor:
        """The colours."""
        numbers = numbers_of(lightness, palette)
        none = torch.zeros_like(lightness)

        def at(name: str, features: Tensor) -> Tensor:
            return features + self.branches[name](numbers) if name in BRANCHES else features

        colours: Tensor = self.trunk(lightness, none.expand(-1, 2, -1, -1), none, at=at)[0]
        return colours


class Judge(nn.Module):
    """Colours (N x 2 x side x side) and the sixteen numbers of a palette -> N logits.

    Convolutions of 4 x 4 and stride 2 that double the channels, LeakyReLU 0.01; a 3 x 3 one without bias, everything
    normalised over the batch, one linear layer. It sees pictures of one size.
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 2 + ENTRIES + 1
        for number in range(JUDGE_LAYERS):
            layers += [nn.Conv2d(before, width * 2**number, 4, 2, 1), nn.LeakyReLU(0.01)]
            before = width * 2**number
        self.main = nn.Sequential(*layers, nn.Conv2d(before, before, 3, padding=1, bias=False))
        count = before * (side // 2**JUDGE_LAYERS) ** 2
        self.score = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(count), nn.Linear(count, 1))

    def forward(self, colours: Tensor, numbers: Tensor) -> Tensor:
        """`numbers`: N x 16 x 1 x 1, seen at every pixel."""
        seen = torch.cat([colours, numbers.expand(-1, -1, *colours.shape[2:])], 1)
        scores: Tensor = self.score(self.main(seen))[:, 0]
        return scores


class PaletteGuided(Method):
    """One phase of colorizer and judge; small profiles go on with normalisation that stands still (see `UserHints`).

    In training the colours of a palette come in a random order each time, since it means nothing.
    reading: how many steps (the code says 1,000 epochs of its birds). The code measures ab in [0, 1] and bends the L1
    at 1, where differences never are: half of the squared difference. `bend` says at what difference of ab / 110 ours
    turns straight. Small profiles bend early, which makes the L1 large, and give the judge a tenth of its weight: there
    it says next to nothing. The code makes the colours once for each player, and gives palettes in one order.
    """

    task = "guided_colorization"
    reading = ("the palette's sixteenth number; the number of steps; first weights; small profiles bend the L1 early, "
               "turn colours, move inner kernels by Muon and go on with normalisation that stands still")
    stored_networks = ("colorizer",)
    inputs = ("palette",)
    multiple = 8
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "judge_width": 64, "adversarial": 0.1, "bend": 1.0, "turned": 0.0, "lr": 5e-4, "judge_lr": 5e-4,
        "lr_drops": {}, "weight_decay": 5e-5, "muon": 0.0,
        "steps": {"train": 276_000, "settled": 0}, "batch": 32, "patch": 256, "ema": 0.0,
    }
    """`turned`: the share of samples whose true colours and palette are turned by a random angle about grey, ours, as
    in `UserHints`: a turned colour can only be told from the palette. `muon`: see there. `adversarial` 0: no judge."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop, which the judge halves five times, and the shares."""
        super().__init__(settings)
        if self.settings["patch"] % 2**JUDGE_LAYERS:
            raise self.wrong("patch", f"it must be a multiple of {2**JUDGE_LAYERS}")
        if not 0 <= self.settings["turned"] <= 1:
            raise self.wrong("turned", "it must be a share from 0 to 1")
        if not self.settings["bend"] > 0:
            raise self.wrong("bend", "it must be above 0")
        for name in ("muon", "adversarial"):
            if not self.settings[name] >= 0:
                raise self.wrong(name, "it must be at least 0")

    def unsupported(self, degradation: str) -> str | None:
        """Cases with points, which it is not told."""
        return without_points.unsupported(degradation)

    def build(self) -> dict[str, nn.Module]:
        """`colorizer` and, with an adversarial term, `judge`."""
        s = self.settings
        judge = {"judge": Judge(s["judge_width"], s["patch"])} if s["adversarial"] else {}
        return {"colorizer": PaletteNet(s["width"]), **judge}

    def phases(self) -> list[Phase]:
        """`train`, then `settled`: judge and colorizer in turn."""
        s = self.settings
        schedule = drops(s["lr_drops"])
        judge = [Player("judge", ["judge"], self.judge_loss, lambda p: torch.optim.Adam(
            p, s["judge_lr"], weight_decay=s["weight_decay"]), schedule=schedule)] if s["adversarial"] else []
        players = [*judge, Player("colorizer", ["colorizer"], self.colours_loss, self._optimiser, schedule=schedule)]
        return [Phase("train", s["steps"]["train"], players),
                Phase("settled", s["steps"]["settled"], players, frozen_norm=["colorizer"])]

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Adam, or Muon for the trunk's kernels between the first layer and the last and Adam for the others."""
        s = self.settings
        if not s["muon"]:
            return torch.optim.Adam(parameters, s["lr"], weight_decay=s["weight_decay"])
        return Muon([parameter for name, parameter in parameters if by_muon(name, parameter)],
                    [parameter for name, parameter in parameters if not by_muon(name, parameter)], s["muon"], s["lr"])

    def judge_loss(self, context: Context) -> dict[str, Tensor]:
        """True and made colours told apart by cross-entropy, as weighted as in the colorizer's objective."""
        numbers, true, made = self._made(context)
        judge = context.networks["judge"]
        terms = discriminator_terms("bce", judge(true, numbers), judge(made.detach(), numbers))
        return {name: self.settings["adversarial"] * term for name, term in terms.items()}

    def colours_loss(self, context: Context) -> dict[str, Tensor]:
        """Smooth L1 of ab / 110, the mean over pixels and channels, and what the judge takes for made."""
        numbers, true, made = self._made(context)
        terms = {"l1": F.smooth_l1_loss(made, true, beta=self.settings["bend"])}
        if self.settings["adversarial"]:
            terms["adversarial"] = self.settings["adversarial"] * generator_term(
                "bce", context.networks["judge"](made, numbers))
        return terms

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` and `palette` to `ab`."""
        return {"ab": AB_SCALE * model.networks["colorizer"](inputs["L"], inputs["palette"]).float()}

    def _made(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The sixteen numbers, true and made ab / 110 (one forward pass a step for both players)."""
        ab, palette = context.once("truth", lambda: self._shuffled(context))
        made = context.once("made", lambda: context.networks["colorizer"](context.inputs["L"], palette).float())
        return numbers_of(context.inputs["L"], palette), ab / AB_SCALE, made

    def _shuffled(self, context: Context) -> tuple[Tensor, Tensor]:
        """True ab, and the palette in a random order; of a share `turned` both in other colours."""
        ab, colours = context.target["ab"], context.inputs["palette"].unflatten(1, (COLOURS, 3))
        order = context.uniform(colours[..., 0]).argsort(1)
        colours = colours.gather(1, order[..., None].expand_as(colours))
        if self.settings["turned"]:
            draws = context.uniform(ab[:, :, 0, 0])
            angles = 2 * torch.pi * draws[:, 0] * (draws[:, 1] < self.settings["turned"])
            ab = turned(ab, angles)
            moved = turned(colours[..., 1:].movedim(2, 1)[..., None], angles)[..., 0].movedim(1, 2)
            colours = torch.cat([colours[..., :1], moved], 2)
        return ab, colours.flatten(1)


def numbers_of(lightness: Tensor, palette: Tensor) -> Tensor:
    """The palette (N x 15, Lab) and the mean lightness of the picture, scaled as the network has them: N x 16 x 1 x
    1."""
    colours = palette.unflatten(1, (COLOURS, 3))
    scaled = torch.cat([(colours[..., :1] - 50) / 100, colours[..., 1:] / AB_SCALE], 2).flatten(1)
    return torch.cat([scaled, (lightness.mean((1, 2, 3))[:, None] - 50) / 100], 1)[..., None, None]


def by_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether the parameter of that name (`colorizer.trunk.conv1.0.weight`) is an inner kernel of the trunk."""
    ends = ("colorizer.trunk.conv1.0.", "colorizer.trunk.colours.", "colorizer.branches.")
    return parameter.ndim == 4 and not name.startswith(ends)


METHOD = PaletteGuided
