"""What a filling along guessed edges is made of: the generator of both networks, what each is shown, and the edges.

Source: Nazeri, Ng, Joseph, Qureshi, Ebrahimi, ICCVW 2019, and the layers of their code; method card `edge_connect`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from restore_ml.nn.blocks import ResidualBlock, maybe_spectral
from restore_ml.nn.initialisation import normal


class Generator(nn.Module):
    """N x in_channels x H x W -> N x out_channels x H x W in [0, 1]; H and W multiples of 4, at least 12.

    7x7 convolution, two of stride 2, `blocks` residual blocks of dilation 2 and the way back, all with instance
    normalisation. `spectral` also ends in a sigmoid (edges), otherwise (tanh + 1) / 2 (colours). With width 64 and 8
    blocks 10,761,089 parameters for 3 -> 1 with spectral normalisation, 10,774,595 for 4 -> 3 without.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, blocks: int, spectral: bool) -> None:
        super().__init__()

        def layer(module: nn.Module, channels: int) -> list[nn.Module]:
            return [maybe_spectral(module, spectral), nn.InstanceNorm2d(channels), nn.ReLU()]

        def down(before: int, after: int) -> list[nn.Module]:
            return layer(nn.Conv2d(before, after, 4, 2, 1), after)

        def up(before: int, after: int) -> list[nn.Module]:
            return layer(nn.ConvTranspose2d(before, after, 4, 2, 1), after)

        self.body = nn.Sequential(
            nn.ReflectionPad2d(3), *layer(nn.Conv2d(in_channels, width, 7), width),
            *down(width, 2 * width), *down(2 * width, 4 * width),
            *(ResidualBlock(4 * width, 2, spectral) for _ in range(blocks)),
            *up(4 * width, 2 * width), *up(2 * width, width), nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7))
        self.last = torch.sigmoid if spectral else _half_tanh
        normal(self.body[-1] if spectral else self)  # spectral normalisation fixes the scale of all the others

    def forward(self, x: Tensor) -> Tensor:
        """Edges or colours."""
        return self.last(self.body(x))


def _half_tanh(x: Tensor) -> Tensor:
    return (torch.tanh(x) + 1) / 2


def shown_to_edges(grey: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
    """What the edge network sees, N x 3 x H x W: in the hole white and no edge, and the mask."""
    return torch.cat([grey * (1 - mask) + mask, edges * (1 - mask), mask], 1)


def shown_to_colours(image: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
    """What the picture network sees, N x 4 x H x W: in the hole white, and the edges everywhere."""
    return torch.cat([image * (1 - mask) + mask, edges], 1)


def completed(guessed: Tensor, edges: Tensor, mask: Tensor) -> Tensor:
    """Guessed edges in the hole, those of the picture elsewhere."""
    return mask * guessed + (1 - mask) * edges


def rgb_to_grey(x: Tensor) -> Tensor:
    """N x 3 x H x W -> N x 1 x H x W: 0.2125 R + 0.7154 G + 0.0721 B (scikit-image's `rgb2gray`)."""
    return (x * x.new_tensor([0.2125, 0.7154, 0.0721]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def canny(grey: Tensor, sigma: float, mask: Tensor | None = None) -> Tensor:
    """scikit-image's Canny with its default thresholds: N x 1 x H x W {0, 1} float32; nothing within or at a hole."""
    from skimage import feature

    known = [None] * len(grey) if mask is None else mask[:, 0].cpu().numpy() < 0.5
    edges = [feature.canny(picture, sigma=sigma, mask=region)
             for picture, region in zip(grey[:, 0].detach().float().cpu().numpy(), known, strict=True)]
    return torch.from_numpy(np.stack(edges)[:, None].astype(np.float32)).to(grey.device)
