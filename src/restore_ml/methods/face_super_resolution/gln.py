"""GLN: a global and a local network (Tuzel, Taguchi, Hershey, Global-local face upsampling network, arXiv 1603.07235,
2016). The global one enlarges the face and adds a map of detail that sees all of it; the local one, convolutions alone,
makes the face of both maps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.degradations.colour import rgb_to_ycbcr, ycbcr_to_rgb
from restore_ml.degradations.resize import imresize
from restore_ml.method import Context, Inputs, Model, NamedParameters, Phase, Player
from restore_ml.nn.fixed_faces import FixedFaces
from restore_ml.tasks.face_super_resolution.task import SCALE
from restore_ml.training import schedules

LOCAL: dict[str, list[tuple[int, int]]] = {
    "LN4": [(5, 1), (7, 4), (5, 1)],
    "LN6": [(5, 1), (7, 2), (7, 4), (7, 2), (5, 1)],
    "LN8": [(5, 1), (7, 2), (7, 4), (7, 4), (7, 4), (7, 2), (5, 1)],
}
"""By name, size and channels (times the width) of the local network's convolutions before the last one, of 5 x 5."""
FIRST = 0.01
"""With `start: interpolation`, the share of the first weights of what is added to the enlarged face."""


class GlobalLocal(nn.Module):
    """N x `channels` x side/8 x side/8 in [0, 1] to N x `channels` x side x side, not clipped.

    Global: a transposed convolution of 16 x 16 and stride 8 a channel, which enlarges bilinearly at first (beyond the
    border the edge's pixels are repeated), and beside it fully connected layers of `hidden` numbers with ReLU between
    them, whose last one gives a whole map. Local: the convolutions of `LOCAL`, ReLU between them.
    """

    def __init__(self, side: int = 128, hidden: tuple[int, ...] = (256, 256, 256), local: str = "LN4", width: int = 16,
                 channels: int = 1) -> None:
        super().__init__()
        self.shape = (channels, side, side)
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2 * SCALE, SCALE, SCALE // 2 + SCALE, groups=channels)
        numbers = [channels * (side // SCALE) ** 2, *hidden, channels * side * side]
        detail: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(numbers):
            detail += [nn.Linear(before, after), nn.ReLU()]
        self.detail = nn.Sequential(*detail[:-1])
        convolutions: list[nn.Module] = []
        before = 2 * channels
        for size, factor in LOCAL[local]:
            convolutions += [nn.Conv2d(before, factor * width, size, padding=size // 2), nn.ReLU()]
            before = factor * width
        self.local = nn.Sequential(*convolutions, nn.Conv2d(before, channels, 5, padding=2))
        with torch.no_grad():
            tent = 1 - (torch.arange(2 * SCALE) + 0.5 - SCALE).abs() / SCALE
            self.enlarge.weight.copy_(torch.outer(tent, tent).expand_as(self.enlarge.weight))
            nn.init.zeros_(self.enlarge.bias)  # type: ignore[arg-type]

    def forward(self, small: Tensor) -> Tensor:
        """The face."""
        enlarged = self.enlarge(functional.pad(small, (1, 1, 1, 1), mode="replicate"))
        return self.local(torch.cat([enlarged, self.detail(small).view(-1, *self.shape)], 1))

    @torch.no_grad()
    def start_as_interpolation(self) -> None:
        """Change the first weights, in place, so that the face begins as the enlarged one: the first channels carry
        the sum of both maps through the local network; all that is added to the enlarged face is a hundredth of what
        it would be."""
        channels, last = self.shape[0], self.detail[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(FIRST)
        last.bias.mul_(FIRST)
        layers = [layer for layer in self.local if isinstance(layer, nn.Conv2d)]
        layers[-1].weight.mul_(FIRST)
        for number, layer in enumerate(layers):
            middle = layer.kernel_size[0] // 2
            carried = layer.weight[:channels]
            if number < len(layers) - 1:
                carried.zero_()
            else:
                carried[:, :channels] = 0
            assert layer.bias is not None
            layer.bias[:channels] = 0
            for channel in range(channels):
                carried[channel, channel, middle, middle] = 1
                if number == 0:
                    carried[channel, channels + channel, middle, middle] = 1


class Gln(FixedFaces):
    """Squared error, of luma or of all colours.

    `patch`, `kinds` and `jitter`: see `FixedFaces`. `hidden`: numbers of the fully connected layers. `local`: LN4, LN6
    or LN8, see `LOCAL`; `local_width`: the channels of its first layer. `rgb`: three channels through the network
    instead of luma with bicubic chroma. `start`: torch's first weights, or `interpolation`
    (`GlobalLocal.start_as_interpolation`). `schedule`: `constant` or `cosine` (to zero).
    """

    paper: ClassVar[dict[str, Any]] = {
        "hidden": [256, 256, 256], "local": "LN4", "local_width": 16, "rgb": False, "start": "random",
        "kinds": ["plain"], "jitter": 0.0, "lr": 1e-4, "schedule": "constant", "steps": 200_000, "batch": 64,
        "patch": 128, "ema": 0.0,
    }
    choices: ClassVar = {**FixedFaces.choices, "local": tuple(LOCAL), "start": ("random", "interpolation"),
                         "schedule": ("constant", "cosine")}
    reading = ("LN8's channels; luma goes through the network and chroma is bicubic; the transposed convolution sees "
               "the edge's pixels repeated; Adam instead of gradient descent with momentum, its rate, steps and batch; "
               "ours for short trainings: faces of 64 pixels, first weights that interpolate (start), faces in other "
               "light (jitter)")
    stored_networks = ("net",)

    def build(self) -> dict[str, nn.Module]:
        """`net`."""
        s = self.settings
        net = GlobalLocal(s["patch"], tuple(s["hidden"]), s["local"], s["local_width"], 3 if s["rgb"] else 1)
        if s["start"] == "interpolation":
            net.start_as_interpolation()
        return {"net": net}

    def phases(self) -> list[Phase]:
        """One, with one player."""
        schedule = schedules.cosine() if self.settings["schedule"] == "cosine" else schedules.constant()
        return [Phase("train", self.settings["steps"], [
            Player("net", ["net"], self.loss, self._optimiser, schedule=schedule)])]

    def loss(self, context: Context) -> dict[str, Tensor]:
        """Mean squared error of what goes through the network, of about 0 ... 1."""
        lr, truth = self.faces(context)
        return {"mse": functional.mse_loss(context.networks["net"](self._seen(lr)).float(), self._seen(truth))}

    def restore(self, model: Model, inputs: Inputs, seed: int) -> Inputs:
        """`lr` (N x 3 x h x w in [0, 1]) to `sr`, clipped to [0, 1]. `UserError` for another size than the network's
        own."""
        lr = self.small(inputs)
        made = model.networks["net"](self._seen(lr)).float()
        if not self.settings["rgb"]:
            chroma = imresize(rgb_to_ycbcr(lr)[:, 1:], float(SCALE))
            made = ycbcr_to_rgb(torch.cat([255 * made, chroma], 1))
        return {"sr": made.clip(0, 1)}

    def _seen(self, faces: Tensor) -> Tensor:
        """All colours, or Y of BT.601 studio swing over 255."""
        return faces if self.settings["rgb"] else rgb_to_ycbcr(faces)[:, :1] / 255

    def _optimiser(self, parameters: NamedParameters) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, self.settings["lr"])


METHOD = Gln
