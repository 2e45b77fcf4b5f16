"""A Gaussian conditional random field over the pixels of a square, solved by unrolled conjugate gradients.

The energy of y is 1/2 y'(balance I + A) y - b'y: unaries b, and a graph Laplacian A over the links between pixels,
whose weight is exp(-|e_i - e_j|^2) for the pixels' embeddings e. Method card `structure_crf_vae`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restore_ml.seeds import derive

TINY = 1e-20
"""Least divisor: a solved system stays as it is."""


class GaussianField(nn.Module):
    """Unaries (N x C x side x side) and embeddings (N x D x side x side) -> the y of least energy (as the unaries).

    Every pixel is linked to those of the square of 2 x `radius` + 1 pixels around it and, far away, to `partners` drawn
    ones (and to those that drew it); a link counts once, whoever drew it. Nothing in it is learned.
    """

    def __init__(self, side: int, radius: int = 3, partners: int = 32, iterations: int = 20) -> None:
        """`iterations`: of conjugate gradients. The partners are the same at every construction."""
        super().__init__()
        self.iterations = iterations
        there, real = links(side, radius, partners)
        self.register_buffer("there", there, persistent=False)
        self.register_buffer("back", there.argsort(1), persistent=False)
        self.register_buffer("real", real, persistent=False)
        self.there: Tensor
        self.back: Tensor
        self.real: Tensor

    def weights(self, embedding: Tensor) -> Tensor:
        """Of every link, kinds x pixels x N: kind k links pixel i to pixel there[k, i]."""
        places = embedding.flatten(2).permute(2, 0, 1)
        return (places - places[self.there]).square().sum(-1).neg().exp() * self.real[..., None]

    def laplacian(self, weights: Tensor, y: Tensor) -> Tensor:
        """A y; y and the result pixels x N x C."""
        flow = weights[..., None] * (y - y[self.there])
        return flow.sum(0) - self._arriving(flow)

    def _arriving(self, values: Tensor) -> Tensor:
        """Of every pixel the sum over the links that end there."""
        return values[torch.arange(len(values), device=values.device)[:, None], self.back].sum(0)

    def forward(self, unary: Tensor, embedding: Tensor, balance: float = 1.0, strength: float = 1.0,
                anchors: Tensor | None = None) -> Tensor:
        """`strength` times A. `anchors` (N x 1 x side x side): the pixels' own further weights on the diagonal; what
        they pull towards is part of the unaries."""
        side = unary.shape[-1]
        b, weights = unary.float().flatten(2).permute(2, 0, 1), strength * self.weights(embedding.float())
        own = torch.full_like(b[..., :1], balance)
        if anchors is not None:
            own = own + anchors.float().flatten(2).permute(2, 0, 1)
        diagonal = own + (weights.sum(0) + self._arriving(weights))[..., None]
        solved = conjugate_gradients(lambda y: own * y + self.laplacian(weights, y), b, diagonal, self.iterations)
        return solved.permute(1, 2, 0).unflatten(2, (side, side))


def links(side: int, radius: int, partners: int) -> tuple[Tensor, Tensor]:
    """For each kind of link the other pixel of every pixel (kinds x pixels), a permutation, and whether that link is
    real (float32 0 or 1): not beyond the border, not of a pixel with itself."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    there, real = [], []
    for down in range(radius + 1):
        for right in range(-radius, radius + 1):
            if down or right > 0:  # the other half is the same links from their other ends
                inside = (rows + down < side) & (columns + right >= 0) & (columns + right < side)
                there.append(((rows + down) % side * side + (columns + right) % side).flatten())
                real.append(inside.flatten())
    draws = torch.Generator().manual_seed(derive("gaussian field", side))
    for _ in range(partners):
        there.append(torch.randperm(side * side, generator=draws))
        real.append(there[-1] != torch.arange(side * side))
    return torch.stack(there), torch.stack(real).float()


def conjugate_gradients(matrix: Callable[[Tensor], Tensor], b: Tensor, diagonal: Tensor, iterations: int) -> Tensor:
    """x with matrix(x) = b after so many steps from 0, for each picture and channel (pixels x N x C) on its own.

    Each residual is divided by the matrix's diagonal (Jacobi), which pixels with large weights of their own need.
    """
    x, residual = torch.zeros_like(b), b
    scaled = residual / diagonal
    direction, product = scaled, (residual * scaled).sum(0)
    for _ in range(iterations):
        image = matrix(direction)
        step = product / (direction * image).sum(0).clamp(min=TINY)
        x = x + step * direction
        residual = residual - step * image
        scaled = residual / diagonal
        after = (residual * scaled).sum(0)
        direction, product = scaled + after / product.clamp(min=TINY) * direction, after
    return x
