"""Words change a colouring network's features: its deepest maps are scaled and shifted by what a text says.

Source: the small preset of the method card `text_guided`; FiLM: Perez, Strub, de Vries, Dumoulin, Courville, AAAI 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from restore_ml.losses.huber import huber
from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.methods.guided_colorization.palette_guided import by_muon
from restore_ml.methods.guided_colorization.text_guided import TextEncoder, TextGuided
from restore_ml.methods.guided_colorization.user_hints import turned
from restore_ml.nn.hints_network import AB_SCALE, POINTS, HintsNet
from restore_ml.nn.muon import Muon
from restore_ml.tasks.guided_colorization import without_points
from restore_ml.training.schedules import drops


class FilmNet(nn.Module):
    """lightness (N x 1 x H x W, H and W multiples of 8) and what a text says (N x hidden) -> ab / 110 in (-1, 1).

    The hints network without hints and without its classes; its features at each of `points` (`POINTS` of the network)
    become (1 + scale) times themselves plus shift, a scale and a shift for each channel from one linear layer a point.
    """

    def __init__(self, width: int, hidden: int, points: Sequence[str]) -> None:
        super().__init__()
        self.trunk = HintsNet(width, classes=False)
        self.film = nn.ModuleDict({name: nn.Linear(hidden, 2 * POINTS[name][0] * width) for name in points})

    def forward(self, lightness: Tensor, said: Tensor) -> Tensor:
        """The colours."""
        none = torch.zeros_like(lightness)

        def at(name: str, features: Tensor) -> Tensor:
            if name not in self.film:
                return features
            scale, shift = self.film[name](said)[..., None, None].chunk(2, 1)
            changed: Tensor = features * (1 + scale) + shift
            return changed

        colours: Tensor = self.trunk(lightness, none.expand(-1, 2, -1, -1), none, at=at)[0]
        return colours


class TextFilm(Method):
    """One network from lightness and words to colours, without a palette between, by smooth L1 alone.

    reading: all of it but FiLM on the deepest maps and the small embedding, which are the card's; texts are told and
    colours turned as in `text_guided`, and small profiles go on with normalisation that stands still. These also scale
    and shift behind each block on the way up (`points`): in a short training the words are not heard through the
    deepest maps alone, as what is on the way weakens their gradients.
    """

    task = "guided_colorization"
    reading = ("all but the scale and shift of the deepest maps and the small embedding, which are the card's; small "
               "profiles scale and shift on the way up too")
    stored_networks = ("encoder", "colorizer")
    inputs = ("text",)
    derived = TextGuided.derived
    derive = TextGuided.derive
    multiple = 8
    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "embedding": 16, "hidden": 150, "points": ["conv7_3"], "bend": 0.01, "turned": 0.3, "lr": 1e-4,
        "lr_drops": {}, "muon": 0.0, "steps": {"train": 276_000, "settled": 0}, "batch": 32, "patch": 256, "ema": 0.0,
    }

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the crop and the shares."""
        super().__init__(settings)
        if self.settings["patch"] % self.multiple:
            raise self.wrong("patch", "it must be a multiple of 8")
        if not 0 <= self.settings["turned"] <= 1:
            raise self.wrong("turned", "it must be a share from 0 to 1")
        if not self.settings["points"] or any(name not in POINTS for name in self.settings["points"]):
            raise self.wrong("points", f"it must be a list of some of {', '.join(POINTS)}")
        if not self.settings["bend"] > 0:
            raise self.wrong("bend", "it must be above 0")

    def unsupported(self, degradation: str) -> str | None:
        """Cases with points, which it is not told."""
        return without_points.unsupported(degradation)

    def build(self) -> dict[str, nn.Module]:
        """`encoder` of texts and `colorizer`."""
        s = self.settings
        return {"encoder": TextEncoder(s["embedding"], s["hidden"]),
                "colorizer": FilmNet(s["width"], s["hidden"], s["points"])}

    def phases(self) -> list[Phase]:
        """`train`, then `settled`, in which normalisation stands still."""
        s = self.settings
        player = Player("colorizer", ["encoder", "colorizer"], self.loss, self._optimiser,
                        schedule=drops(s["lr_drops"]))
        return [Phase("train", s["steps"]["train"], [player]),
                Phase("settled", s["steps"]["settled"], [player], frozen_norm=["colorizer"])]

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        """Adam, or Muon for the trunk's inner kernels and Adam for the others."""
        s = self.settings
        if not s["muon"]:
            return torch.optim.Adam(parameters, s["lr"])
        return Muon([parameter for name, parameter in parameters if by_muon(name, parameter)],
                    [parameter for name, parameter in parameters if not by_muon(name, parameter)], s["muon"], s["lr"])

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Smooth L1 of ab / 110, quadratic below `bend`, of colours turned as the text tells them."""
        _, said, _ = context.networks["encoder"](context.inputs["words"].long())
        made = context.networks["colorizer"](context.inputs["L"], said).float()
        true = turned(context.target["ab"], context.inputs["angle"][:, 0]) / AB_SCALE
        return {"l1": huber(made, true, self.settings["bend"])}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`L` and `words` to `ab`."""
        _, said, _ = model.networks["encoder"](inputs["words"].long())
        return {"ab": AB_SCALE * model.networks["colorizer"](inputs["L"], said).float()}


METHOD = TextFilm
