"""What networks with weights and activations of one bit share.

A binary layer is trained with latent weights of full precision and computes with their signs. Its kernel is a sum of
planes, each of signs (+1 or -1) times one size: one plane for most methods, M for ABC-Net, k for weights of k bits.
That is also how it is stored: eight signs a byte, and the sizes (`with_signs`, `without_signs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Planes = tuple[Tensor, Tensor]
"""Signs of +-1 and their sizes: planes x out x in x height x width and planes, or both without the first axis."""


def straight_through(value: Tensor, path: Tensor) -> Tensor:
    """`value`, to the bit, whose gradient goes to `path` as if it had been that (straight-through estimator; Bengio,
    Leonard, Courville, arXiv 1308.3432). Of one shape; nothing flows to what `value` was made of."""
    if not path.requires_grad:
        return value.detach()
    return value.detach() + (path - path.detach())


def signs(x: Tensor) -> Tensor:
    """1 from 0 on, else -1, without a gradient."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def sign(x: Tensor) -> Tensor:
    """1 from 0 on, else -1; backward the identity where |x| <= 1, nothing elsewhere.

    >>> sign(torch.tensor([-2.0, -0.0, 0.5]))
    tensor([-1.,  1.,  1.])
    """
    return straight_through(signs(x), x.clamp(-1, 1))


class BinaryConv(nn.Module):
    """The latent weights of a convolution (out x in x side x side, He's start) and what became of them.

    `planes`: the shape of its sizes, () for one plane. `pairs`: the convolutions of bits with bits that one of it is
    (planes of weights times planes of activations); 0 where it computes with numbers. `deployed`: the kernel itself,
    where it was loaded from signs; the latent weights mean nothing then.
    """

    planes: tuple[int, ...] = ()
    pairs: int = 1
    deployed: Tensor | None

    def __init__(self, inputs: int, outputs: int, side: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, side, side))
        self.register_buffer("deployed", None, persistent=False)
        nn.init.kaiming_normal_(self.weight)


def pack(values: Tensor) -> Tensor:
    """Signs (any shape, flat in C order) as uint8, eight a byte, the first in the highest bit; 1 for what is above 0.

    >>> pack(torch.tensor([1.0, -1.0, 1.0]))
    tensor([160], dtype=torch.uint8)
    """
    return torch.from_numpy(np.packbits((values > 0).cpu().numpy().ravel()))


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The float32 signs (+-1) of that shape. Raises `RuntimeError` where `packed` holds another number of them."""
    count = int(np.prod(shape))
    if packed.dtype != torch.uint8 or packed.numel() != -(-count // 8):
        raise RuntimeError(f"these are no {count} packed signs")
    values = np.unpackbits(packed.cpu().numpy(), count=count).astype(np.float32) * 2 - 1
    return torch.from_numpy(values).reshape(shape).to(packed.device)


def kernel_of(planes: Planes) -> Tensor:
    """The kernel (out x in x height x width): the sum over the planes of signs times size."""
    values, sizes = planes
    scaled = values * sizes[..., None, None, None, None]
    return scaled.sum(0) if sizes.ndim else scaled


def with_signs(state: Mapping[str, Tensor], layers: Mapping[str, Planes],
               training: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The deployed form of a network's tensors: of the layers named, `<layer>.signs` (packed) and `<layer>.size` in
    the place of the latent `<layer>.weight` and of what only serves training."""
    out = {name: value for name, value in state.items()
           if name.rpartition(".")[0] not in layers or name.rpartition(".")[2] not in ("weight", *training)}
    for name, (values, sizes) in layers.items():
        out |= {f"{name}.signs": pack(values), f"{name}.size": sizes}
    return out


def without_signs(state: Mapping[str, Tensor], layers: Mapping[str, BinaryConv],
                  training: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Give the layers their deployed kernels from what `with_signs` made; returns the state that the network can load,
    with the layers' own latent weights. Raises `RuntimeError` where something is missing or does not fit."""
    plain = dict(state)
    for name, layer in layers.items():
        try:
            packed, sizes = plain.pop(f"{name}.signs"), plain.pop(f"{name}.size")
        except KeyError as error:
            raise RuntimeError(f"{error.args[0]} is missing") from None
        if tuple(sizes.shape) != layer.planes:
            raise RuntimeError(f"{name}.size has the shape {tuple(sizes.shape)} in place of {layer.planes}")
        try:
            values = unpack(packed, (*sizes.shape, *layer.weight.shape))
        except RuntimeError as error:
            raise RuntimeError(f"{name}.signs: {error}") from None
        layer.deployed = kernel_of((values, sizes.to(values.device))).to(layer.weight.device)
        plain |= {f"{name}.{key}": getattr(layer, key).detach() for key in ("weight", *training)}
    return plain


def bits_of(state: Mapping[str, Tensor]) -> int:
    """Bits of the tensors as they lie on disk."""
    return sum(8 * value.element_size() * value.numel() for value in state.values())


def multiply_adds(network: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """Those of one forward pass in convolutions of numbers (`nn.Conv2d`), and those of bits with bits (`BinaryConv`,
    as many times as it has pairs of planes). Borders count like the inside; normalisations are not counted."""
    counted = [0, 0]

    def count(module: Any, _: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        once = out.numel() // out.shape[1] * module.weight.numel()
        pairs = getattr(module, "pairs", 0)
        counted[bool(pairs)] += once * max(pairs, 1)

    hooks = [module.register_forward_hook(count) for module in network.modules()
             if isinstance(module, nn.Conv2d | BinaryConv)]
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return counted[0], counted[1]


class QuantisedLayer(BinaryConv):
    """Batch normalisation, quantised activations, and a 3 x 3 convolution with a quantised kernel, without a bias:
    N x width x H x W to the same shape. Zeros, no signs, stand beyond the border.

    A method says how activations (`quantised`) and latent weights (`kernel`) are quantised, each with its gradient,
    and what the kernel is as `signs_and_sizes`.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.norm = nn.BatchNorm2d(width)

    def quantised(self, x: Tensor) -> Tensor:
        """The activations that the convolution gets, of normalised ones."""
        raise NotImplementedError

    def kernel(self) -> Tensor:
        """The quantised kernel of the latent weights."""
        raise NotImplementedError

    def signs_and_sizes(self) -> Planes:
        """The same kernel as it is stored."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """The convolution."""
        kernel = self.kernel() if self.deployed is None else self.deployed
        values = self.quantised(self.norm(x))
        return functional.conv2d(values, kernel.to(values.dtype), padding=1)
