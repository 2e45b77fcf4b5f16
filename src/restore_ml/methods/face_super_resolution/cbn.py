"""A deep cascaded bi-network (Zhu, Liu, Loy, Tang, Deep cascaded bi-network for face hallucination, ECCV 2016): stages
that each enlarge twice, and in each a branch that sees the picture alone, one that also sees the high frequencies of
a face laid upon it, and a gate that chooses between them for every pixel.

Layers of branches and gate were read in the authors' released networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.colour import rgb_to_ycbcr, ycbcr_to_rgb
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.blocks import MIDDLE
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.muon import Muon
from restore_ml.nn.spatial_transformer import similarity_matrix
from restore_ml.tasks.base import Material
from restore_ml.tasks.face_super_resolution.task import rgb
from restore_ml.training import schedules

STAGES = 3
"""Each enlarges twice."""
DEPTHS = (4, 4, 3)
"""Convolutions of each width in a branch, before the last one."""

class Branch(nn.Sequential):
    """N x `channels` x H x W to N x 1 x H x W: four, four and three convolutions 3 x 3 with ReLU, of the three
    `widths`, and a last one."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for width, depth in zip(widths, DEPTHS, strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        super().__init__(*layers, nn.Conv2d(channels, 1, 3, padding=1))


class Correspondence(nn.Module):
    """Where the prior lies on a face of `side` pixels: the picture and the prior (N x 1 x H x W each) to the prior,
    turned, scaled and shifted. It begins as the identity.

    Two convolutions 3 x 3 of stride 2 with ReLU (`width` and 2 `width` channels), a linear layer to 4 `width` numbers,
    ReLU, and one to the four of the similarity.
    """

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.locate = nn.Sequential(
            nn.Conv2d(2, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, 4 * width), nn.ReLU(), nn.Linear(4 * width, 4))
        last = self.locate[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, picture: Tensor, prior: Tensor) -> Tensor:
        """The prior, moved; what lies outside is 0."""
        theta = similarity_matrix(self.locate(torch.cat([picture, prior], 1)).float())
        grid = functional.affine_grid(theta, list(prior.shape), align_corners=False)
        return functional.grid_sample(prior.float(), grid, padding_mode="zeros", align_corners=False)


class Stage(nn.Module):
    """A picture that was enlarged twice and the prior (N x 1 x side x side each) to the picture with its details.

    `picture + G * common + (1 - G) * high`: `common` sees the picture, `high` the picture and the prior, and the gate G
    in [0, 1] sees both results, the picture and the prior through three convolutions 3 x 3 of `gate` channels with
    ReLU, and a last one. `align`: channels of the correspondence, 0 for none. `zero`: the details begin as 0.
    """

    def __init__(self, side: int, widths: Sequence[int], gate: int, align: int, zero: bool = False) -> None:
        super().__init__()
        self.common, self.high = Branch(1, widths), Branch(2, widths)
        self.gate = nn.Sequential(nn.Conv2d(4, gate, 3, padding=1), nn.ReLU(), nn.Conv2d(gate, gate, 3, padding=1),
                                  nn.ReLU(), nn.Conv2d(gate, gate, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(gate, 1, 3, padding=1), nn.Sigmoid())
        self.align = Correspondence(side, align) if align else None
        for layer in [module for module in self.modules() if isinstance(module, nn.Conv2d)]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        for branch in (self.common, self.high) if zero else ():
            nn.init.zeros_(branch[-1].weight)  # type: ignore[arg-type]

    def forward(self, picture: Tensor, prior: Tensor) -> Tensor:
        """Not clipped."""
        seen = picture - MIDDLE
        if self.align is not None:
            prior = self.align(seen, prior)
        common, high = self.common(seen), self.high(torch.cat([seen, prior], 1))
        gate = self.gate(torch.cat([high, common, seen, prior], 1))
        return picture + (gate * common + (1 - gate) * high).float()


class Cbn(FixedFaces):
    """Works on Y; Cb and Cr are enlarged bicubically. One phase a stage, in which the stages before stay as they are.

    `widths`: channels of a branch; `gate`: of the gate; `align`: of what lays the prior upon the face, 0 leaves it
    where it is. `schedule`: `constant` or, within each phase, `cosine` (to zero). `optimiser`: `adam`, or `muon`, which
    moves the kernels between the first and the last layer of each part, at `muon_lr`. `start`: `interpolation` begins
    every stage as the bicubic picture.
    """

    paper: ClassVar[dict[str, Any]] = {
        "widths": [64, 128, 32], "gate": 64, "align": 16, "start": "random", "kinds": ["plain"], "jitter": 0.0,
        "optimiser": "adam", "lr": 1e-4, "muon_lr": 0.01, "schedule": "constant",
        "steps": {"stage1": 200_000, "stage2": 200_000, "stage3": 200_000}, "batch": 32, "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "optimiser": ("adam", "muon"), "schedule": ("constant", "cosine"),
                         "start": ("random", "interpolation")}
    zero_allowed = ("align",)
    reading = ("three stages of the same layers; the gate is a sigmoid, so that it lies between 0 and 1, and weighs "
               "the common branch; the prior is the mean high-frequency face of the training faces, mirrored and not; "
               "no dense field of landmarks lays it upon a face but a similarity that each stage tells from the "
               "picture and learns by the picture's error alone, so that no landmark is needed of any face; the "
               "networks see Y less 0.45; He's first weights; optimiser, rate, steps and batch; beginning as the "
               "bicubic picture and other light are for short trainings")
    stored_networks = ("stage1", "stage2", "stage3")

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the widths."""
        super().__init__(settings)
        if len(self.settings["widths"]) != len(DEPTHS):
            raise self.wrong("widths", "it must name the channels of a branch's three parts")

    def build(self) -> dict[str, nn.Module]:
        """`stage1`, `stage2` and `stage3`."""
        s = self.settings
        return {name: Stage(self._side(number), s["widths"], s["gate"], s["align"], s["start"] == "interpolation")
                for number, name in enumerate(self.stored_networks)}

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`prior1` to `prior3`: for each stage the mean over the training faces, as they are and mirrored, of Y less
        what is left of it when it is made half as large and enlarged again; H x W float32, Y from 0 to 1."""
        records = material.records
        sums = [np.zeros((self._side(number),) * 2) for number in range(STAGES)]
        for number in range(len(records)):
            y = np.asarray(rgb_to_ycbcr(rgb(records.arrays(number)["hr"])), np.float64)[:, :, 0] / 255
            for stage in range(STAGES):
                face = imresize(y, output_size=(self._side(stage),) * 2)
                sums[stage] += face - imresize(imresize(face, 0.5), 2.0)
        return {f"prior{stage + 1}": ((total + total[:, ::-1]) / (2 * len(records))).astype(np.float32)
                for stage, total in enumerate(sums)}

    def phases(self) -> list[Phase]:
        """One stage after the other, each with a player of its own."""
        schedule = schedules.cosine() if self.settings["schedule"] == "cosine" else schedules.constant()

        def player(number: int, name: str) -> Player:
            return Player(name, [name], lambda context: self.loss(context, number), self._optimiser, schedule=schedule)

        return [Phase(name, self.settings["steps"][name], [player(number, name)])
                for number, name in enumerate(self.stored_networks)]

    def loss(self, context: Context, stage: int) -> dict[str, Tensor]:
        """The mean squared error of Y behind that stage (from 0) to the true face of its size."""
        small, true = (_luma(faces) for faces in self.faces(context))
        side = self._side(stage)
        target = true if stage == STAGES - 1 else imresize(true, output_size=(side, side))
        return {"mse": functional.mse_loss(self.cascade(context.networks, small, stage), target)}

    def cascade(self, networks: dict[str, nn.Module], small: Tensor, last: int = STAGES - 1) -> Tensor:
        """Y (N x 1 x h x w, 0 to 1) behind the stage `last`; the stages before it get no gradient."""
        y = small
        for number, name in enumerate(self.stored_networks[:last + 1]):
            prior = torch.from_numpy(np.asarray(self.constants[f"prior{number + 1}"], np.float32)).to(y.device)
            with torch.set_grad_enabled(torch.is_grad_enabled() and number == last):
                y = networks[name](imresize(y, 2.0), prior.expand(len(y), 1, -1, -1)).float()
        return y

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than the network's
        own."""
        ycbcr = rgb_to_ycbcr(self.small(inputs))
        y = 255 * self.cascade(model.networks, ycbcr[:, :1] / 255)
        colour = imresize(ycbcr[:, 1:], float(2**STAGES))
        return {"sr": ycbcr_to_rgb(torch.cat([y, colour], 1)).clip(0, 1)}

    def _side(self, stage: int) -> int:
        """Pixels of a side behind that stage (from 0)."""
        return self.settings["patch"] // 2 ** (STAGES - 1 - stage)

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        if self.settings["optimiser"] == "adam":
            return torch.optim.Adam(parameters, self.settings["lr"])
        inner = [parameter for _, parameter in parameters if by_muon(parameter)]
        others = [parameter for _, parameter in parameters if not by_muon(parameter)]
        return Muon(inner, others, self.settings["muon_lr"], self.settings["lr"])


def by_muon(parameter: Tensor) -> bool:
    """Whether Muon moves it: a kernel that is neither the first of its part (of at most four channels) nor the last."""
    return parameter.ndim == 4 and parameter.shape[1] > 4 and parameter.shape[0] > 1


def _luma(faces: Tensor) -> Tensor:
    """Y of N x 3 x H x W, from 0 to 1."""
    return rgb_to_ycbcr(faces)[:, :1] / 255


METHOD = Cbn
