"""VESPCN: neighbouring frames are moved onto each frame, fused early and enlarged by sub-pixel convolution.

Source: Caballero, Ledig, Aitken, Acosta, Totz, Wang, Shi, "Real-time video super-resolution with spatio-temporal
networks and motion compensation", CVPR 2017 (9L-E3-MC); the method card `vespcn`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.colour import rgb_to_ycbcr, ycbcr_to_rgb
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Method, Model, Phase, Player
from restore_ml.nn.initialisation import he
from restore_ml.nn.motion import MotionTransformer, warp
from restore_ml.training import schedules

EPSILON = 0.01
"""Of the Huber penalty."""


class EarlyFusion(nn.Module):
    """`frames` aligned luma frames (N x frames x h x w) -> detail, N x 1 x scale h x scale w.

    `layers` 3 x 3 convolutions of `width` channels with ReLU between them, the last one to scale^2 channels that are
    shuffled. He initialisation; `last_std` > 0 draws the last layer from N(0, last_std) instead.
    """

    def __init__(self, frames: int = 3, scale: int = 4, layers: int = 9, width: int = 24,
                 last_std: float = 0.0) -> None:
        super().__init__()
        body: list[nn.Module] = []
        for number in range(layers - 1):
            body += [nn.Conv2d(width if number else frames, width, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*body)
        self.last = nn.Conv2d(width, scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        he(self)
        if last_std > 0:
            nn.init.normal_(self.last.weight, std=last_std)

    def forward(self, aligned: Tensor) -> Tensor:
        """See the class."""
        return self.shuffle(self.last(self.body(aligned)))


class Vespcn(Method):
    """On Y; Cb and Cr are enlarged bicubically. One model for one degradation.

    reading: the detail is added to the bicubic frame (`residual`), as re-implementations do; `beta` of the warping
    error, the gain of the flow and the number of steps; norms are means over pixels, and the Huber penalty is taken at
    each pixel; every frame of a clip is restored, the first and the last one are repeated where neighbours are missing.
    """

    task = "video_super_resolution"
    reading = ("the detail is added to the bicubic frame; the weight of the warping error, the gain of the flow and "
               "the number of steps; norms are means over pixels")
    stored_networks = ("motion", "net")
    tile = 256
    overlap = 32
    paper: ClassVar[dict[str, Any]] = {
        "degradation": "x4", "frames": 3, "layers": 9, "width": 24, "residual": True, "last_std": 0.0, "gain": 8.0,
        "beta": 1.0, "huber": 0.01, "lr": 1e-4, "schedule": "constant", "steps": 200_000, "batch": 16, "patch": 132,
        "ema": 0.0,
    }
    """`patch`: 33 low-resolution pixels. `beta` and `huber` (lambda) weigh the warping error and the roughness of the
    flow of each neighbour. `last_std`: see `EarlyFusion`."""
    choices: ClassVar = {"degradation": ("x2", "x3", "x4", "x2_bd", "x3_bd", "x4_bd"), "frames": (3, 5, 7),
                         "schedule": ("constant", "linear", "cosine")}

    def __init__(self, settings: dict[str, Any]) -> None:
        """Take the scale from the degradation."""
        super().__init__(settings)
        self.scale, self.reach = int(self.settings["degradation"][1]), self.settings["frames"] // 2

    def unsupported(self, degradation: str) -> str | None:
        """What it was not trained for."""
        made_for = self.settings["degradation"]
        return None if degradation == made_for else f"trained for {made_for}"

    def build(self) -> dict[str, nn.Module]:
        """`motion` and `net`."""
        s = self.settings
        return {"motion": MotionTransformer(1, s["gain"]),
                "net": EarlyFusion(s["frames"], self.scale, s["layers"], s["width"], s["last_std"])}

    def phases(self) -> list[Phase]:
        """Both networks are trained jointly."""
        player = Player("vespcn", ["motion", "net"], self.loss,
                        lambda parameters: torch.optim.Adam(parameters, self.settings["lr"]),
                        schedule=SCHEDULES[self.settings["schedule"]])
        return [Phase("train", self.settings["steps"], [player])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of the restored middle frame's Y (of 0 ... 1), and for each neighbour `beta` times that of
        the moved one against the middle one, and `huber` times the roughness of its flow."""
        low, truth = luma(context.inputs["lr"]), luma(context.target["hr"][:, self.reach])
        moved, flows = self.aligned(context.networks["motion"], low)
        restored = self.enlarged(context.networks["net"], low, moved)
        middle = low[:, self.reach]
        return {"mse": functional.mse_loss(restored, truth),
                "warping": self.settings["beta"] * torch.stack([functional.mse_loss(one, middle) for one in moved]
                                                               ).sum(),
                "huber": self.settings["huber"] * torch.stack([roughness(flow) for flow in flows]).sum()}

    def aligned(self, motion: nn.Module, low: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The neighbours of a window (N x frames x 1 x h x w) moved onto its middle frame, and their flows."""
        middle = low[:, self.reach]
        neighbours = [low[:, place] for place in range(low.shape[1]) if place != self.reach]
        flows = [motion(one, middle) for one in neighbours]
        return [warp(one, flow) for one, flow in zip(neighbours, flows, strict=True)], flows

    def enlarged(self, net: nn.Module, low: Tensor, moved: list[Tensor]) -> Tensor:
        """The middle frame of a window, N x 1 x scale h x scale w float32; frames are fused in the order of time."""
        middle = low[:, self.reach]
        detail = net(torch.cat([*moved[:self.reach], middle, *moved[self.reach:]], 1)).float()
        return imresize(middle, float(self.scale)) + detail if self.settings["residual"] else detail

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x T x 3 x h x w in [0, 1]) to `sr`, every frame with its neighbours."""
        ycbcr = rgb_to_ycbcr(inputs["lr"])
        low, count = ycbcr[:, :, :1] / 255, ycbcr.shape[1]
        frames = []
        for middle in range(count):
            places = [min(max(place, 0), count - 1) for place in range(middle - self.reach, middle + self.reach + 1)]
            moved, _ = self.aligned(model.networks["motion"], low[:, places])
            frames.append(self.enlarged(model.networks["net"], low[:, places], moved))
        chroma = imresize(ycbcr[:, :, 1:], float(self.scale))
        return {"sr": ycbcr_to_rgb(torch.cat([255 * torch.stack(frames, 1), chroma], 2)).clip(0, 1)}


def luma(rgb: Tensor) -> Tensor:
    """Y of BT.601 studio swing over 255, ... x 1 x H x W."""
    return rgb_to_ycbcr(rgb)[..., :1, :, :] / 255


def roughness(flow: Tensor) -> Tensor:
    """The mean over pixels of sqrt(0.01 + the squared differences of u and v to the next pixel below and on the
    right); 0 is taken for the differences beyond the last row and column."""
    down = functional.pad(flow[:, :, 1:] - flow[:, :, :-1], (0, 0, 0, 1))
    right = functional.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    return (EPSILON + (down.square() + right.square()).sum(1)).sqrt().mean()


SCHEDULES = {"constant": schedules.constant(), "linear": schedules.linear_to_zero(), "cosine": schedules.cosine()}
METHOD = Vespcn
