"""Globally and locally consistent image completion: a dilated network and a judge of the picture and of the filling.

Source: Iizuka, Simo-Serra, Ishikawa, SIGGRAPH 2017; method card `glcic`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.losses.adversarial import discriminator_terms, generator_term
from restore_ml.losses.reconstruction import masked_mse
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.blending import BLENDS, blended
from restore_ml.nn.known_mean import known_mean
from restore_ml.tasks.base import Material
from restore_ml.training.schedules import constant, cosine


def layer(before: int, after: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (but for the stride), batch normalisation, ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, dilation * (kernel // 2), dilation),
                         nn.BatchNorm2d(after), nn.ReLU())


def enlarging(before: int, after: int) -> nn.Sequential:
    """Transposed convolution to twice the size, batch normalisation, ReLU."""
    return nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU())


def completion(width: int, dilations: list[int]) -> nn.Sequential:
    """The paper's table 1: N x 4 x H x W (centred picture, mask) -> N x 3 x H x W in [0, 1]; H, W multiples of 4.

    6,072,131 parameters for (64, [2, 4, 8, 16]), 6,066,179 of them outside of normalisation.
    """
    wide = 4 * width
    return nn.Sequential(
        layer(4, width, 5), layer(width, 2 * width, stride=2), layer(2 * width, 2 * width),
        layer(2 * width, wide, stride=2), layer(wide, wide), layer(wide, wide),
        *(layer(wide, wide, dilation=dilation) for dilation in dilations), layer(wide, wide), layer(wide, wide),
        enlarging(wide, 2 * width), layer(2 * width, 2 * width), enlarging(2 * width, width), layer(width, width // 2),
        nn.Conv2d(width // 2, 3, 3, 1, 1), nn.Sigmoid())


def receptive_field(dilations: list[int]) -> int:
    """Side in pixels by the paper's way of counting (each enlarging layer as three taps): 307, and 99 undilated."""
    side, jump = 1, 1
    steps = [(5, 1, 1), (3, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 1), (3, 1, 1), *((3, 1, d) for d in dilations),
             (3, 1, 1), (3, 1, 1)]
    for kernel, stride, dilation in steps:
        side, jump = side + (kernel - 1) * dilation * jump, jump * stride
    for scale in (2, 1, 2, 1, 1):  # enlarging, convolution, enlarging, convolution, output: three taps each
        side, jump = side + 2 * jump, jump // scale
    return side


def critic(side: int, width: int, hidden: int) -> nn.Sequential:
    """5x5 convolutions of stride 2 until the map is 4 x 4, then a vector: N x 3 x side x side -> N x hidden.

    19,253,248 parameters for (128, 64, 1024), 25,808,384 for (256, 64, 1024).
    """
    layers, before = [], 3
    for level in range((side // 4).bit_length() - 1):
        after = width * min(2 ** level, 8)
        layers.append(layer(before, after, 5, 2))
        before = after
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * before, hidden), nn.ReLU())


class Discriminator(nn.Module):
    """(pictures N x 3 x side x side, their patches N x 3 x side/2 x side/2) -> N x 1 logits. 45,063,681 parameters."""

    def __init__(self, side: int, width: int, hidden: int) -> None:
        super().__init__()
        self.whole, self.local = critic(side, width, hidden), critic(side // 2, width, hidden)
        self.verdict = nn.Linear(2 * hidden, 1)

    def forward(self, pictures: Tensor, patches: Tensor) -> Tensor:
        """Judge."""
        return self.verdict(torch.cat([self.whole(pictures), self.local(patches)], 1))


class GLCIC(Method):
    """Completion alone, the discriminator alone, then both.

    `valid_weight`: how much known pixels count in the squared error (the paper: not at all). `optimiser`: `adadelta`
    (the paper's) or `adam`, at `lr`. `schedule`: `constant`, or `cosine` (the completion network's rate falls to 0 over
    its two phases, the judge's stays). `centred`: the network sees differences from the mean of the picture's known
    colours, not of all pictures', and what it says is moved by as much (the paper: not so). The local patch has half
    the side of `patch`.

    reading: the squared error is averaged over all pixels; ReLU after the judges' vectors; initial weights are torch's;
    training crops are cut from pictures of up to twice the task's `size`, where the paper resizes each picture to a
    shorter edge between 256 and 384 pixels before it crops 256.
    """

    task = "inpainting"
    paper: ClassVar[dict[str, Any]] = {
        "masks": ["random_rect"], "width": 64, "dilations": [2, 4, 8, 16], "disc_width": 64, "disc_hidden": 1024,
        "valid_weight": 0.0, "adversarial": 4e-4, "optimiser": "adadelta", "lr": 1.0,
        "schedule": "constant", "centred": False, "blend": "none",
        "steps": {"completion": 90_000, "discriminator": 10_000, "joint": 400_000},
        "batch": 96, "patch": 256, "ema": 0.0,
    }
    reading = "average of the squared error, activation of the judges' vectors, crops"
    choices: ClassVar = {"optimiser": ("adadelta", "adam"), "schedule": ("constant", "cosine"),
                         "centred": (False, True), "blend": BLENDS}
    stored_networks = ("completion",)
    multiple = 4

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `SettingError` for a patch that is no power of 2 from 16."""
        super().__init__(settings)
        patch = self.settings["patch"]
        if patch < 16 or patch & (patch - 1):
            raise self.wrong("patch", "it must be a power of 2 of at least 16")

    def build(self) -> dict[str, nn.Module]:
        """The completion network and the joint discriminator."""
        s = self.settings
        return {"completion": completion(s["width"], s["dilations"]),
                "discriminator": Discriminator(s["patch"], s["disc_width"], s["disc_hidden"])}

    def phases(self) -> list[Phase]:
        """The paper's three."""
        steps = self.settings["steps"]
        first, both = steps["completion"], steps["completion"] + steps["joint"]
        falls = self.settings["schedule"] == "cosine"
        alone = Player("completion", ["completion"], self.reconstruction_loss, self._optimiser,
                       schedule=cosine(whole=both) if falls else constant())
        judge = Player("discriminator", ["discriminator"], self.discriminator_loss, self._optimiser)
        joint = Player("completion", ["completion"], self.joint_loss, self._optimiser,
                       schedule=cosine(before=first, whole=both) if falls else constant())
        return [Phase("completion", steps["completion"], [alone]),
                Phase("discriminator", steps["discriminator"], [judge]), Phase("joint", steps["joint"], [judge, joint])]

    def prepare(self, material: Material, seed: int) -> dict[str, np.ndarray]:
        """`mean`: the mean colour of the training split, (3,) in [0, 1], each picture counting the same."""
        colours = [record.arrays["image"].reshape(-1, 3).mean(0, dtype=np.float64) / 255 for record in material.records]
        return {"mean": np.mean(colours, axis=0).astype(np.float32)}

    def fill(self, network: nn.Module, inputs: Inputs) -> Tensor:
        """The network's whole picture, float32; the hole is shown in the mean colour, that is 0."""
        image, mask = inputs["image"], inputs["mask"]
        mean = torch.from_numpy(self.constants["mean"]).to(mask.device).view(1, 3, 1, 1)
        level = known_mean(image - mean, mask) if self.settings["centred"] else torch.zeros_like(mean)
        return network(torch.cat([(image - mean - level) * (1 - mask), mask], 1)).float() + level

    def reconstruction_loss(self, context: Context) -> dict[str, Tensor]:
        """Squared error in the hole."""
        mask = context.inputs["mask"]
        weight = mask + self.settings["valid_weight"] * (1 - mask)
        return {"mse": masked_mse(self._filled(context), context.target["image"], weight)}

    def discriminator_loss(self, context: Context) -> dict[str, Tensor]:
        """Binary cross-entropy of true pictures with a patch anywhere and filled ones with the patch at the hole."""
        truth, judge = context.target["image"], context.networks["discriminator"]
        half = self.settings["patch"] // 2
        corners = context.integers(half + 1, (len(truth), 2))
        fake = self._composed(context).detach()
        return discriminator_terms("bce", judge(truth, patches(truth, corners, half)),
                                   judge(fake, patches(fake, around(context.inputs["mask"], half), half)))

    def joint_loss(self, context: Context) -> dict[str, Tensor]:
        """Squared error and alpha times -log D."""
        fake, half = self._composed(context), self.settings["patch"] // 2
        judged = context.networks["discriminator"](fake, patches(fake, around(context.inputs["mask"], half), half))
        return self.reconstruction_loss(context) | {
            "adversarial": self.settings["adversarial"] * generator_term("bce", judged)}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """The whole picture, blended as the setting says (the known pixels are put back by the task)."""
        filled = self.fill(model.networks["completion"], inputs)
        return {"image": blended(self.settings["blend"], filled, inputs["image"], inputs["mask"])}

    def _filled(self, context: Context) -> Tensor:
        return context.once("filled", lambda: self.fill(context.networks["completion"], context.inputs))

    def _composed(self, context: Context) -> Tensor:
        mask = context.inputs["mask"]
        return mask * self._filled(context) + (1 - mask) * context.target["image"]

    def _optimiser(self, parameters: Any) -> torch.optim.Optimizer:
        rate = self.settings["lr"]
        return torch.optim.Adadelta(parameters, rate) if self.settings["optimiser"] == "adadelta" else torch.optim.Adam(
            parameters, rate)


def around(mask: Tensor, side: int) -> Tensor:
    """N x 2 upper left corners of the squares of `side` centred on each hole's bounding box, moved into the picture."""
    corners = []
    for hole in mask[:, 0] > 0.5:
        corner = []
        for axis, length in ((1, hole.shape[0]), (0, hole.shape[1])):
            places = torch.nonzero(hole.any(axis)).flatten()
            middle = int(places[0] + places[-1] + 1) // 2 if len(places) else length // 2
            corner.append(min(max(middle - side // 2, 0), length - side))
        corners.append(corner)
    return torch.tensor(corners)


def patches(x: Tensor, corners: Tensor, side: int) -> Tensor:
    """Squares of `side` at the given corners: N x C x side x side."""
    return torch.stack([picture[:, top:top + side, left:left + side]
                        for picture, (top, left) in zip(x, corners.tolist(), strict=True)])


METHOD = GLCIC
