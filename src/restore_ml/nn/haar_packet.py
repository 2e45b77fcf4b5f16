"""The full Haar wavelet packet of pictures and its inverse: a fixed orthonormal transform."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def haar_kernels(levels: int) -> Tensor:
    """4^levels x 2^levels x 2^levels: the orthonormal pictures of a full packet, all values 2^-levels or -2^-levels.

    A band is a number of `levels` digits of base 4, one a split (0 low, 1 detail across, 2 down, 3 both); the first
    digit is the split of neighbouring pixels, the last that of the largest parts. So bands 0 ... 4^l - 1 are together
    the packet of the picture that is 2^l times as large as the smallest one: 0 is its mean, 1 to 3 the coarsest detail.

    >>> haar_kernels(1)[:, 0].tolist(), haar_kernels(1)[:, 1].tolist()
    ([[0.5, 0.5], [0.5, -0.5], [0.5, 0.5], [0.5, -0.5]], [[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5]])
    """
    low_and_high = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    pairs = torch.stack([torch.outer(low_and_high[band // 2], low_and_high[band % 2]) / 2 for band in range(4)])
    kernels = torch.ones(1, 1, 1)
    for _ in range(levels):  # a further split of the largest parts is the last digit
        kernels = torch.stack([torch.kron(pair, kernel) for kernel in kernels for pair in pairs])
    return kernels


class HaarPacket(nn.Module):
    """N x C x H x W to N x (4^levels C) x H/2^levels x W/2^levels and, by `inverse`, back; nothing is trained.

    The channel of a band's colour is C * band + colour; for the order of bands see `haar_kernels`. Squares sum to the
    same in both forms. H and W must be multiples of 2^levels.
    """

    kernels: Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.side, self.bands = 2**levels, 4**levels
        self.register_buffer("kernels", haar_kernels(levels).reshape(self.bands, self.bands), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The coefficients, as float32."""
        parts = functional.pixel_unshuffle(pictures.float(), self.side).unflatten(1, (-1, self.bands))
        with torch.autocast(pictures.device.type, enabled=False):  # in bf16 the inverse would not be one
            return torch.einsum("ncphw,bp->nbchw", parts, self.kernels).flatten(1, 2)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """The pictures, as float32."""
        parts = coefficients.float().unflatten(1, (self.bands, -1))
        with torch.autocast(coefficients.device.type, enabled=False):
            return functional.pixel_shuffle(torch.einsum("nbchw,bp->ncphw", parts, self.kernels).flatten(1, 2),
                                            self.side)
