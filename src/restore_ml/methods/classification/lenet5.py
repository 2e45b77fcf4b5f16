"""LeNet-5: convolutions, trainable subsampling and radial basis functions that compare with drawn characters.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998,
sections II and III and appendix A; the method card `lenet5`. Its layers, table of connections, squashing function,
start and criterion are the paper's.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.method import Context, Inputs, Method, Model, NamedParameters, Phase, Player
from restore_ml.seeds import generator
from restore_ml.tasks.squares import grey_square
from restore_ml.training import schedules

TABLE = ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5), (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5),
         (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5), (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5))
"""Which maps of S2 each of the 16 maps of C3 sees (the paper's Table I)."""
FRAME = 2
"""Pixels of background around the 28 x 28 pixels that hold the character."""
BACKGROUND, FOREGROUND = -0.1, 1.175
"""What paper and ink are to the network, so that the mean over pictures is about 0 and the variance about 1."""
ROWS, COLUMNS = 12, 7
"""Of the bitmaps that the 84 units of F6 are compared with."""
GLYPHS = (
    "..###.. .#...#. #.....# #.....# #.....# #.....# #.....# #.....# #.....# #.....# .#...#. ..###..",
    "...#... ..##... .#.#... ...#... ...#... ...#... ...#... ...#... ...#... ...#... ...#... .#####.",
    ".#####. #.....# ......# ......# ......# .....#. ....#.. ...#... ..#.... .#..... #...... #######",
    ".#####. #.....# ......# ......# .....#. ..###.. .....#. ......# ......# ......# #.....# .#####.",
    ".....#. ....##. ...#.#. ..#..#. .#...#. #....#. #....#. ####### .....#. .....#. .....#. .....#.",
    "####### #...... #...... #...... #.####. ##....# ......# ......# ......# ......# #.....# .#####.",
    "..####. .#..... #...... #...... #...... #.####. ##....# #.....# #.....# #.....# .#...#. ..###..",
    "####### ......# ......# .....#. .....#. ....#.. ....#.. ...#... ...#... ..#.... ..#.... ..#....",
    ".#####. #.....# #.....# #.....# .#...#. ..###.. .#...#. #.....# #.....# #.....# #.....# .#####.",
    "..###.. .#...#. #.....# #.....# #.....# #....## .####.# ......# ......# ......# .....#. .####..",
)
"""The ten digits on 12 rows of 7 pixels."""


def squash(x: Tensor) -> Tensor:
    """f(a) = 1.7159 tanh(2 a / 3), so that f(1) = 1 and f(-1) = -1."""
    return 1.7159 * torch.tanh(2 / 3 * x)


def start(parameter: Tensor, inputs: int) -> None:
    """Uniform between -2.4 / F and 2.4 / F, F the number of inputs of a unit."""
    nn.init.uniform_(parameter, -2.4 / inputs, 2.4 / inputs)


class Subsampling(nn.Module):
    """The sum over 2 x 2 pixels times a coefficient plus a bias, one each a map, squashed: N x C x H x W to half."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient, self.bias = nn.Parameter(torch.empty(maps)), nn.Parameter(torch.empty(maps))
        start(self.coefficient, 4)
        start(self.bias, 4)

    def forward(self, x: Tensor) -> Tensor:
        """An odd last row or column is left out."""
        total = 4 * functional.avg_pool2d(x, 2)
        return squash(self.coefficient[:, None, None] * total + self.bias[:, None, None])


class TabledConv(nn.Module):
    """A 5 x 5 convolution whose maps see only some of the maps before them: `table` has those of each. It has no
    weights for the others."""

    places: Tensor

    def __init__(self, maps: int, table: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.maps, self.outputs = maps, len(table)
        self.weight = nn.Parameter(torch.empty(sum(map(len, table)), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(table)))
        places = [number * maps + one for number, seen in enumerate(table) for one in seen]
        self.register_buffer("places", torch.tensor(places), persistent=False)
        first = 0
        for number, seen in enumerate(table):
            start(self.weight[first:first + len(seen)].data, 25 * len(seen))
            start(self.bias[number:number + 1].data, 25 * len(seen))
            first += len(seen)

    def kernel(self) -> Tensor:
        """Outputs x maps x 5 x 5, 0 where a map is not seen."""
        empty = self.weight.new_zeros(self.outputs * self.maps, 5, 5)
        return empty.index_copy(0, self.places, self.weight).view(self.outputs, self.maps, 5, 5)

    def forward(self, x: Tensor) -> Tensor:
        """N x maps x H x W to N x outputs x H - 4 x W - 4."""
        return functional.conv2d(x, self.kernel(), self.bias)


def codes(outputs: int) -> Tensor:
    """The parameter vectors of the radial basis functions, outputs x 84 of -1 and 1: bitmaps of the digits where there
    are ten outputs; else drawn with equal probabilities, as the paper allows."""
    if outputs == len(GLYPHS):
        return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in glyph.replace(" ", "")] for glyph in GLYPHS])
    signs = generator("lenet5", "codes", outputs).integers(0, 2, (outputs, ROWS * COLUMNS))
    return torch.from_numpy(2.0 * signs - 1).float()


class LeNet5(nn.Module):
    """N x 1 x 32 x 32 (paper BACKGROUND, ink FOREGROUND) to N x K penalties, the squared distances of F6 to the
    classes' bitmaps: the smallest is the answer's."""

    codes: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.c1, self.s2 = nn.Conv2d(1, 6, 5), Subsampling(6)
        self.c3, self.s4 = TabledConv(6, TABLE), Subsampling(16)
        self.c5, self.f6 = nn.Conv2d(16, 120, 5), nn.Linear(120, ROWS * COLUMNS)
        for layer, inputs in ((self.c1, 25), (self.c5, 400), (self.f6, 120)):
            for parameter in layer.parameters():
                start(parameter, inputs)
        self.register_buffer("codes", codes(outputs), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.s2(squash(self.c1(x)))
        x = self.s4(squash(self.c3(x)))
        state = squash(self.f6(squash(self.c5(x)).flatten(1)))
        return (state[:, None] - self.codes).square().sum(2)


def penalty(distances: Tensor, labels: Tensor, collision: float) -> tuple[Tensor, Tensor]:
    """The paper's criterion (equation 9) of each sample in its two terms: the distance to the right class (all of
    equation 8), and log(e^-j + sum_i e^-y_i), which pushes the other classes away. N x K distances, N labels."""
    right = distances.gather(1, labels[:, None])[:, 0]
    others = functional.pad(-distances, (1, 0), value=-collision)
    return right, torch.logsumexp(others, 1)


class LeNet(Method):
    """`loss`: `map`, the discriminative criterion with the collision constant `j`, or `mse`, the distance to the right
    class alone. `schedule`: `passes`, the paper's five rates over twenty passes as shares of the steps, or `linear` to
    0. `distort`: strength of affine distortions of the training pictures (1: as LeNet-5's better row, 0: none).
    `class_set`, `outputs`: the question it learns, and how many classes that has.

    reading: `lr` is ours. The paper's global rates, 0.0005 at first, are divided by each weight's second derivative;
    one rate for all weights takes the place of those quotients, and only its course over the passes is the paper's.
    """

    task = "classification"
    reading = ("one learning rate for all weights, its size ours, in place of the stochastic diagonal "
               "Levenberg-Marquardt method; j is not stated; the bitmaps are drawn anew")
    stored_networks = ("net",)
    paper: ClassVar[dict[str, Any]] = {
        "class_set": "digits", "outputs": 10, "loss": "map", "j": 0.1, "optimiser": "sgd", "lr": 0.001,
        "schedule": "passes", "distort": 0.0, "steps": 1_200_000, "batch": 1, "patch": 28, "ema": 0.0}
    choices: ClassVar = {"loss": ("map", "mse"), "optimiser": ("sgd", "adam"), "schedule": ("passes", "linear"),
                         "patch": (28,)}

    def unsupported(self, degradation: str) -> str | None:
        """Other class sets."""
        learned = self.settings["class_set"]
        return None if degradation == learned else f"learned the classes of {learned}"

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        return {"net": LeNet5(self.settings["outputs"])}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        schedule = passes if self.settings["schedule"] == "passes" else schedules.linear_to_zero()
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser, schedule=schedule)])]

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        kind = torch.optim.SGD if self.settings["optimiser"] == "sgd" else torch.optim.Adam
        return kind(parameters, lr=self.settings["lr"])

    def loss(self, context: Context) -> dict[str, Tensor]:
        """The mean over the batch of the criterion's terms."""
        distances = context.networks["net"](framed(context.inputs["image"])).float()
        right, others = penalty(distances, context.target["label"], self.settings["j"])
        return {"distance": right.mean()} | ({"penalty": others.mean()} if self.settings["loss"] == "map" else {})

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`image` (N x 3 x H x W in [0, 1]) to `label` (N x K scores, the distances less than 0) and `probabilities`:
        e^-y of each class by the sum of all, as in the criterion."""
        distances = model.networks["net"](framed(inputs["image"])).float()
        return {"label": -distances, "probabilities": torch.softmax(-distances, 1)}


def passes(step: int, steps: int) -> float:
    """The paper's rates by its first one, as shares of twenty passes: two of 1, three of 0.4, three of 0.2, four of
    0.1, then 0.02."""
    number = 20 * step // steps
    return next(factor for end, factor in ((2, 1.0), (5, 0.4), (8, 0.2), (12, 0.1), (math.inf, 0.02)) if number < end)


def framed(images: Tensor) -> Tensor:
    """N x 3 x H x W in [0, 1] to N x 1 x 32 x 32 for the network: grey, 28 x 28, and a frame of black around it."""
    side = 32 - 2 * FRAME
    pictures = np.rint(images.detach().float().cpu().numpy().transpose(0, 2, 3, 1) * 255).astype(np.uint8)
    grey = torch.from_numpy(np.stack([grey_square(picture, side) for picture in pictures])).to(images.device)
    scaled = BACKGROUND + (FOREGROUND - BACKGROUND) * grey[:, None].float() / 255
    return functional.pad(scaled, (FRAME,) * 4, value=BACKGROUND)


METHOD = LeNet
