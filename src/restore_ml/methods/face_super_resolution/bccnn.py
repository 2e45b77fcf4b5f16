"""BCCNN: a bi-channel convolutional network (Zhou, Fan, Cao, Jiang, Yin, Learning face hallucination in the wild, AAAI
2015): one channel enlarges the face, the other one draws a face from features, and a number blends the two."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules

FIRST_ALPHA = 2.0
"""Of `start: bicubic`, before the sigmoid: 0.88 of the enlarged face at first."""
MIDDLE = 0.5
"""Of colours: what the drawing head gives at first with `start: bicubic`."""


class BiChannel(nn.Module):
    """N x 3 x side/8 x side/8 in [0, 1] to N x 3 x side x side, not clipped: alpha up + (1 - alpha) drawn.

    `up` is bicubic. Features: convolutions 5 x 5, 3 x 3, the maximum of 2 x 2, 3 x 3 and the maximum again, with 1, 2
    and 4 times `width` channels, then `hidden` numbers, all through tanh. Of these a linear layer (two with `rank`
    numbers between them, where `rank` is not 0) draws the whole face, another one with a sigmoid gives alpha.
    """

    def __init__(self, side: int = 128, width: int = 32, hidden: int = 2000, rank: int = 0) -> None:
        super().__init__()
        self.side = side
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 5, padding=2), nn.Tanh(), nn.Conv2d(width, 2 * width, 3, padding=1), nn.Tanh(),
            nn.MaxPool2d(2), nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(4 * width * (side // SCALE // 4) ** 2, hidden), nn.Tanh())
        pixels = 3 * side * side
        self.draw = nn.Sequential(nn.Linear(hidden, rank), nn.Linear(rank, pixels)) if rank else nn.Sequential(
            nn.Linear(hidden, pixels))
        self.blend = nn.Linear(hidden, 1)

    def forward(self, lr: Tensor) -> Tensor:
        """The face."""
        features = self.features(lr)
        drawn = self.draw(features).view(-1, 3, self.side, self.side)
        alpha = torch.sigmoid(self.blend(features))[:, :, None, None]
        return alpha * imresize(lr, float(SCALE)) + (1 - alpha) * drawn

    @torch.no_grad()
    def start_as_bicubic(self) -> None:
        """Change the first weights, in place, so that the face begins near the enlarged one: see `FIRST_ALPHA`."""
        last = self.draw[-1]
        assert isinstance(last, nn.Linear)
        last.bias.fill_(MIDDLE)
        self.blend.bias.fill_(FIRST_ALPHA)


class Bccnn(FixedFaces):
    """Squared error.

    `patch`, `kinds` and `jitter`: see `FixedFaces`. `width`, `hidden` and `head_rank` (0: one full layer): see
    `BiChannel`. `start`: torch's first weights, or `bicubic` (`BiChannel.start_as_bicubic`). `schedule`: `constant` or
    `cosine` (to zero).
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 32, "hidden": 2000, "head_rank": 0, "start": "random", "kinds": ["plain"], "jitter": 0.0,
        "lr": 1e-4, "schedule": "constant", "steps": 200_000, "batch": 64, "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "start": ("random", "bicubic"), "schedule": ("constant", "cosine")}
    zero_allowed = ("head_rank",)
    reading = ("the layers' sizes, for colour faces enlarged eight times instead of grey ones of 100 pixels from 48; "
               "at paper no blur, which the original's small faces have; the drawing head is linear; Adam instead of "
               "gradient descent with momentum, its rate, steps and batch; ours for short trainings: faces of 64 "
               "pixels, a drawing head of low rank (head_rank), first weights near the bicubic face (start), faces "
               "in other light (jitter)")
    stored_networks = ("net",)

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        s = self.settings
        net = BiChannel(s["patch"], s["width"], s["hidden"], s["head_rank"])
        if s["start"] == "bicubic":
            net.start_as_bicubic()
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One, with one player."""
        schedule = schedules.cosine() if self.settings["schedule"] == "cosine" else schedules.constant()
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser, schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error on RGB of 0 ... 1."""
        lr, truth = self.faces(context)
        return {"mse": functional.mse_loss(context.networks["net"](lr).float(), truth)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than the network's
        own."""
        return {"sr": model.networks["net"](self.small(inputs)).float().clip(0, 1)}

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"])


METHOD = Bccnn
