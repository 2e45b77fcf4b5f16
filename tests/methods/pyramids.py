"""A generator of pictures at several sizes that gives always the same, and a training step with it, for the tests of
the methods that draw pyramids."""

from typing import Any

import torch
from torch import Tensor, nn

from restore_ml.method import Context
from restore_ml.methods.inpainting.pen_net import PENNet
from tests.methods.holes import Judge, context_of, pictures

SMALL = {"widths": [8, 8, 8], "disc_width": 4, "patch": 64}
STEPS = {"alone": 60, "adversarial": 40}


class Drawn(nn.Module):
    """A generator that gives the same pictures whatever it is shown, in [-1, 1], and remembers what that was."""

    def __init__(self, count: int, side: int, sides: tuple[int, ...]) -> None:
        super().__init__()
        self.inner = nn.ParameterList(2 * pictures(count, each, each) - 1 for each in sides)
        self.output = nn.Parameter(2 * pictures(count, side, 1) - 1)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        self.seen.append((x.detach().clone(), mask.detach().clone()))
        return list(self.inner), self.output


def step(cls: type[PENNet] = PENNet, features: Any = None, **settings: Any) -> tuple[
        Any, Context, Tensor, Tensor, Drawn]:
    """Method, context, truth, mask (5 x 8 of 16 x 16 pixels missing) and the generator."""
    truth, mask = pictures(2, 16, 5), torch.zeros(2, 1, 16, 16)
    mask[:, :, 9:14, 1:9] = 1
    drawn = Drawn(2, 16, (8, 4))
    networks = {"generator": drawn, "discriminator": Judge()}
    return cls(SMALL | settings), context_of(truth, mask, networks, features), truth, mask, drawn
