"""Wavelet-SRNet (Huang, He, Sun, Tan, Wavelet-SRNet: a wavelet-based CNN for multi-scale face super resolution, ICCV
2017): the network gives the coefficients of the large face's Haar wavelet packet, which is as small as the small face,
and the fixed inverse transform makes the face of them.

What the paper leaves open was read in the authors' released code: layers, the sums in the losses, optimiser.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.nn.haar_packet import HaarPacket
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules

COLOURS = 3
LEVELS = int(math.log2(SCALE))
"""Splits of the packet: its coefficients have the size of the small face."""


class Residual(nn.Module):
    """Convolution, batch norm, ReLU, convolution; the sum with the input; then batch norm and ReLU of the sum.

    Convolutions are 3 x 3 without bias, in `groups` (the first one in `first_groups`); the input goes through a 1 x 1
    convolution, never in groups, where the number of channels changes.
    """

    def __init__(self, before: int, after: int, groups: int = 1, first_groups: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1, groups=first_groups, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, groups=groups, bias=False)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1, bias=False)
        self.sum_norm = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """N x before x H x W to N x after x H x W."""
        inner = self.second(functional.relu(self.norm(self.first(x))))
        return functional.relu(self.sum_norm(self.shortcut(x) + inner))


class WaveletSRNet(nn.Module):
    """N x 3 x h x w in [0, 1] to the N x (3 * 4^levels) x h x w coefficients of the face 2^levels times as large.

    An embedding net (a convolution, then stages of `blocks` residual blocks with twice the channels of the stage
    before) and a prediction net for each level: one group of channels a band, of which level 0 has the mean and level l
    the 3 * 4^(l - 1) details that make the face twice as large. The order of channels is that of `HaarPacket`.
    """

    def __init__(self, levels: int = LEVELS, width: int = 64, stages: int = 5, blocks: int = 2,
                 band_width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(stages)]
        embedding: list[nn.Module] = [nn.Conv2d(COLOURS, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
                                      nn.ReLU()]
        for before, after in zip([width, *widths], widths, strict=False):
            embedding += [Residual(before if not block else after, after) for block in range(blocks)]
        self.embedding = nn.Sequential(*embedding)
        groups = [1, *(3 * 4**level for level in range(levels))]
        self.levels = nn.ModuleList(nn.Sequential(
            Residual(widths[-1], band_width * bands, bands),
            Residual(band_width * bands, 2 * band_width * bands, bands, bands),
            nn.Conv2d(2 * band_width * bands, COLOURS * bands, 3, padding=1, groups=bands)) for bands in groups)

    def forward(self, lr: Tensor) -> Tensor:
        """The coefficients, of all levels."""
        features = self.embedding(lr)
        return torch.cat([level(features) for level in self.levels], 1)


class WaveletSRNetMethod(FixedFaces):
    """Four terms: squares of the errors of details, mean band and face, and too little detail.

    `patch`, `kinds` and `jitter`: see `FixedFaces`, though the net itself takes any size. `width`, `stages`, `blocks`:
    of the embedding net; `band_width`: channels of a band. `texture_factor`: how much more energy than the truth's is
    asked of the details. Ours, off at paper: `residual`, the coefficients of the bicubic face are added to those of the
    net, whose last layers start small; `schedule`; `jitter`.
    """

    paper: ClassVar[dict[str, Any]] = {
        "width": 64, "stages": 5, "blocks": 2, "band_width": 32, "kinds": ["plain"], "detail_weight": 0.99,
        "low_weight": 0.01, "image_weight": 0.1, "texture_weight": 1.0, "texture_factor": 1.2, "lr": 2e-4,
        "weight_decay": 5e-4, "schedule": "constant", "residual": False, "jitter": 0.0,
        "steps": 1_272_000, "batch": 64, "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "schedule": ("constant", "cosine")}
    reading = ("the term for textures is of the details alone; bands are ordered from the coarsest; first weights are "
               "torch's; faces are shown whole, where the released code cuts them at random; small profiles add the "
               "net's coefficients to those of the bicubic face and show faces in other light")
    stored_networks = ("net",)

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        s = self.settings
        net = WaveletSRNet(LEVELS, s["width"], s["stages"], s["blocks"], s["band_width"])
        if s["residual"]:
            for level in net.levels:
                last: Any = list(level.children())[-1]
                nn.init.normal_(last.weight, std=1e-3)
                nn.init.zeros_(last.bias)
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One phase, one player."""
        schedule = schedules.cosine() if self.settings["schedule"] == "cosine" else schedules.constant()
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser, schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """`detail`, `low` and `image`: sums of squares over coefficients or pixels, half of the mean over the faces.
        `texture`: the mean over bands and places of what the details lack of `texture_factor` times the true energy,
        summed over colours. It is not least at the truth, as in the released code: details as strong as the true ones
        still cost a fifth of their energy."""
        s = self.settings
        lr, hr = self.faces(context)
        packet = HaarPacket(LEVELS).to(hr.device)
        truth, given = packet(hr), self._coefficients(context.networks["net"], lr, packet)
        error, picture_error = given - truth, packet.inverse(given) - hr
        count = 2 * len(lr)
        missing = s["texture_factor"] * energy(truth[:, COLOURS:]) - energy(given[:, COLOURS:])
        return {"detail": s["detail_weight"] * error[:, COLOURS:].square().sum() / count,
                "low": s["low_weight"] * error[:, :COLOURS].square().sum() / count,
                "image": s["image_weight"] * picture_error.square().sum() / count,
                "texture": s["texture_weight"] * functional.relu(missing).mean()}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]."""
        packet = HaarPacket(LEVELS).to(inputs["lr"].device)
        given = self._coefficients(model.networks["net"], inputs["lr"], packet)
        return {"sr": packet.inverse(given).clip(0, 1)}

    def _coefficients(self, net: nn.Module, lr: Tensor, packet: HaarPacket) -> Tensor:
        """What the net gives, as float32, or the bicubic face's coefficients with that added."""
        given: Tensor = net(lr).float()
        return given + packet(imresize(lr.float(), float(SCALE))) if self.settings["residual"] else given

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"], betas=(0.9, 0.999),
                                weight_decay=self.settings["weight_decay"])


def energy(coefficients: Tensor) -> Tensor:
    """N x (3 * bands) x h x w to N x bands x h x w: squares, summed over the colours of a band."""
    count, channels, height, width = coefficients.shape
    return coefficients.reshape(count, channels // COLOURS, COLOURS, height, width).square().sum(2)


METHOD = WaveletSRNetMethod
