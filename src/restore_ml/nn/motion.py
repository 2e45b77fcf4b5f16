"""Motion between frames: backward warping, and VESPCN's network that finds where to read.

Flow is N x 2 x H x W in pixels, (u, v), u to the right and v down: it says from where in a frame each pixel comes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from restore_ml.nn.initialisation import he


def warp(frame: Tensor, flow: Tensor) -> Tensor:
    """`frame` (N x C x H x W) read at x + flow(x), bilinearly; beyond its edges its last pixels go on. float32, also
    under autocast."""
    height, width = frame.shape[-2:]
    with torch.autocast(frame.device.type, enabled=False):
        frame, flow = frame.float(), flow.float()
        rows, columns = torch.meshgrid(torch.arange(height, device=flow.device, dtype=flow.dtype),
                                       torch.arange(width, device=flow.device, dtype=flow.dtype), indexing="ij")
        x = 2 * (columns + flow[:, 0]) / max(width - 1, 1) - 1
        y = 2 * (rows + flow[:, 1]) / max(height - 1, 1) - 1
        return functional.grid_sample(frame, torch.stack([x, y], 3), "bilinear", "border", align_corners=True)


class MotionTransformer(nn.Module):
    """The flow from the pixels of a reference frame to where they are in another frame, coarse to fine.

    frame, reference (N x C x H x W in [0, 1], any size) -> N x 2 x H x W. The coarse part works at a quarter of the
    size; the fine one at half, on both frames, the coarse flow and the frame warped by it. Each ends in tanh and a
    sub-pixel shuffle; their sum is multiplied by `gain`, so that no part moves a pixel by more than `gain` pixels.
    reading: `gain` (the paper measures flow in shares of the frame); the last layers start near 0, so that training
    begins with frames that stand still. Sizes that 4 does not divide are mirrored at the far edges.
    Source: Caballero et al., CVPR 2017, table 1; the method card `vespcn` (53,392 parameters with one channel).
    """

    def __init__(self, channels: int = 1, gain: float = 8.0) -> None:
        super().__init__()
        self.gain = gain
        self.coarse = _flow_layers(2 * channels, [(5, 2), (3, 1), (5, 2), (3, 1)], 4)
        self.fine = _flow_layers(3 * channels + 2, [(5, 2), (3, 1), (3, 1), (3, 1)], 2)
        he(self)
        for part in (self.coarse, self.fine):
            last = part[-3]
            assert isinstance(last, nn.Conv2d)
            nn.init.normal_(last.weight, std=1e-3)

    def forward(self, frame: Tensor, reference: Tensor) -> Tensor:
        """The flow, float32."""
        height, width = frame.shape[-2:]
        padding = (0, -width % 4, 0, -height % 4)
        frame, reference = (functional.pad(one, padding, mode="reflect") for one in (frame, reference))
        coarse = self.coarse(torch.cat([frame, reference], 1)).float()
        moved = warp(frame, self.gain * coarse)
        fine = self.fine(torch.cat([frame, reference, coarse, moved], 1)).float()
        return self.gain * (coarse + fine)[..., :height, :width]


def _flow_layers(channels: int, layers: list[tuple[int, int]], shuffle: int) -> nn.Sequential:
    """24 channels and ReLU for each (kernel, stride), then 2 x shuffle^2 with tanh, shuffled."""
    parts: list[nn.Module] = []
    for kernel, stride in layers:
        parts += [nn.Conv2d(channels, 24, kernel, stride, kernel // 2), nn.ReLU()]
        channels = 24
    return nn.Sequential(*parts, nn.Conv2d(24, 2 * shuffle**2, 3, padding=1), nn.Tanh(), nn.PixelShuffle(shuffle))
