"""MATLAB-compatible bicubic resizing: the one that every super-resolution benchmark is made with.

Each axis is one banded matrix whose rows hold the (antialiased) cubic kernel; it is applied in dense blocks along the
diagonal, so that BLAS does the work, on numpy arrays and on tensors alike.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
Block = tuple[slice, slice, np.ndarray]
"""Output range, input range, weights (outputs x inputs, float64)."""

BORDERS = ("symmetric", "clamp")
ROUNDINGS = ("end", "each_pass")
SMALLEST_SCALE, LARGEST_SCALE = 1 / 1024, 1024
LARGEST_OUTPUT = 2**31
"""Values in the result; more is taken for a mistake."""


def imresize(image: Array, scale: float | tuple[float, float] | None = None, *,
             output_size: tuple[int, int] | None = None, border: str = "symmetric", rounding: str = "end") -> Array:
    """Resize with the Keys cubic kernel (a = -0.5), antialiased when an axis shrinks, as MATLAB's `imresize` does.

    `image`: a numpy array H x W or H x W x C, or a tensor ... x H x W of floats (N x C x H x W, C x H x W, H x W;
    differentiable). uint8 and uint16 arrays are computed in float64, rounded half away from zero and clipped; floats
    stay in their dtype and are not clipped (bicubic overshoots). Half-precision tensors are computed in float32, and
    autocast is off inside.
    `scale`: one factor, or (rows, columns); the result has ceil(n * scale) pixels along an axis of n. `output_size`:
    (height, width) instead; the factor of an axis is then its output length over its input length. Give one of them.
    `border`: `symmetric` mirrors, edge pixel repeated (MATLAB today); `clamp` repeats the edge pixel (older MATLAB,
    which made the low-resolution pictures in common copies of Set5 and Set14).
    `rounding`: of integer pictures, `end` rounds once, `each_pass` after each of the two passes (that older MATLAB).

    The axis with the smaller factor goes first; rows when they are equal. A product n * scale within 1e-9 of a whole
    number counts as that number, so that 1/k never adds a pixel.
    Raises `UserError` for a scale that is not in [1/1024, 1024], an empty or absurdly large result, a wrong dtype or
    shape, or an unknown option. Source: method card, section 2, checked there against BasicSR and MATLAB.
    """
    _check_options(image, border, rounding)
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.shape[-2:]
    axes = [_axis(height, width, scale, output_size, number) for number in (0, 1)]
    planes = math.prod(image.shape) // max(height * width, 1)
    if planes * axes[0][1] * axes[1][1] > LARGEST_OUTPUT:
        raise UserError(f"Resizing {height} x {width} pixels to {axes[0][1]} x {axes[1][1]} would make more than "
                        f"{LARGEST_OUTPUT:,} values; give a smaller scale.")
    order = (0, 1) if axes[0][2] <= axes[1][2] else (1, 0)
    if isinstance(image, np.ndarray):
        return _resize_numpy(image, axes, order, border, rounding == "each_pass")
    return _resize_tensor(image, axes, order, border)


def modcrop(image: Array, scale: int) -> Array:
    """Crop rows at the bottom and columns at the right so that both are multiples of `scale`.

    `image`: a numpy array H x W (x C) or a tensor ... x H x W. Raises `UserError` when an axis is shorter than `scale`.
    """
    if scale < 1:
        raise UserError(f"The scale of modcrop is {scale}; it must be a whole number of at least 1.")
    numpy = isinstance(image, np.ndarray)
    height, width = image.shape[:2] if numpy else image.shape[-2:]
    if min(height, width) < scale:
        raise UserError(f"A picture of {height} x {width} pixels is smaller than the scale {scale}; leave it out.")
    rows, columns = slice(height - height % scale), slice(width - width % scale)
    return image[rows, columns] if numpy else image[..., rows, columns]


def weights(length: int, output_length: int, scale: float, border: str = "symmetric") -> np.ndarray:
    """The matrix (output_length x length, float64) of one axis; every row sums to 1. For inspection and tests."""
    matrix = np.zeros((output_length, length))
    for rows, columns, block in _blocks(length, output_length, scale, border):
        matrix[rows, columns] = block
    return matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@lru_cache(maxsize=256)
def _blocks(length: int, output_length: int, scale: float, border: str) -> tuple[Block, ...]:
    """The matrix of one axis cut into dense blocks along its diagonal."""
    shrink = min(scale, 1.0)  # the kernel widens when the axis shrinks: antialiasing
    kernel_width = 4 / shrink
    centre = np.arange(1, output_length + 1) / scale + 0.5 * (1 - 1 / scale)  # 1-based, edges aligned
    left = np.floor(centre - kernel_width / 2)
    taps = left[:, None] + np.arange(math.ceil(kernel_width) + 2)
    values = _cubic(shrink * (centre[:, None] - taps))
    values /= values.sum(1, keepdims=True)
    index = taps.astype(np.int64) - 1
    if border == "clamp":
        index = index.clip(0, length - 1)
    else:
        index %= 2 * length
        index = np.minimum(index, 2 * length - 1 - index)
    side = max(8, round(48 * shrink))  # small blocks waste few products with zeros, large ones keep BLAS busy
    blocks = []
    for start in range(0, output_length, side):
        rows = slice(start, min(start + side, output_length))
        used = values[rows] != 0
        first, last = index[rows][used].min(), index[rows][used].max()
        matrix = np.zeros((rows.stop - start, last - first + 1))
        row, _ = np.nonzero(used)
        np.add.at(matrix, (row, index[rows][used] - first), values[rows][used])
        matrix.setflags(write=False)
        blocks.append((rows, slice(int(first), int(last) + 1), matrix))
    return tuple(blocks)


def _axis(height: int, width: int, scale: float | tuple[float, float] | None, output_size: tuple[int, int] | None,
          number: int) -> tuple[int, int, float]:
    """(input length, output length, factor) of an axis, checked."""
    length = (height, width)[number]
    if length < 1:
        raise UserError(f"A picture of {height} x {width} pixels is empty and cannot be resized.")
    if (scale is None) == (output_size is None):
        raise UserError("imresize takes either a scale or an output_size, not both and not neither.")
    if output_size is not None:
        output_length = int(output_size[number])
        factor = output_length / length
    else:
        factor = float(scale[number] if isinstance(scale, tuple | list) else scale)  # type: ignore[arg-type]
        exact = length * factor if math.isfinite(factor) else 0.0
        near = abs(exact - round(exact)) < 1e-9 * max(exact, 1)
        output_length = round(exact) if near else math.ceil(exact)
    if not (math.isfinite(factor) and SMALLEST_SCALE <= factor <= LARGEST_SCALE) or output_length < 1:
        raise UserError(f"Resizing an axis of {length} pixels to {output_length} (factor {factor:g}) is refused; the "
                        "factor must lie between 1/1024 and 1024.")
    return length, output_length, factor


def _check_options(image: Any, border: str, rounding: str) -> None:
    if border not in BORDERS:
        raise UserError(f"The border {border!r} of imresize is none of {', '.join(BORDERS)}.")
    if rounding not in ROUNDINGS:
        raise UserError(f"The rounding {rounding!r} of imresize is none of {', '.join(ROUNDINGS)}.")
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
            raise UserError(f"imresize takes H x W or H x W x C arrays of uint8, uint16, float32 or float64, not "
                            f"{image.dtype} of shape {image.shape}.")
    elif not hasattr(image, "is_floating_point") or image.ndim < 2 or not image.is_floating_point():
        raise UserError(f"imresize takes numpy arrays and tensors ... x H x W of floats, not {type(image).__name__} "
                        f"({getattr(image, 'dtype', 'no dtype')}).")


def _resize_numpy(image: np.ndarray, axes: list[tuple[int, int, float]], order: tuple[int, int], border: str,
                  each_pass: bool) -> np.ndarray:
    whole = np.issubdtype(image.dtype, np.integer)
    planar = image.transpose(2, 0, 1) if image.ndim == 3 else image
    values = np.ascontiguousarray(planar, dtype=np.float64 if whole else image.dtype)
    for axis in order:
        length, output_length, factor = axes[axis]
        shape = list(values.shape)
        shape[axis - 2] = output_length
        out = np.empty(shape, values.dtype)
        for rows, columns, matrix in _blocks(length, output_length, factor, border):
            part = matrix.astype(values.dtype, copy=False)
            if axis == 0:
                np.matmul(part, values[..., columns, :], out=out[..., rows, :])
            else:
                np.matmul(values[..., columns], part.T, out=out[..., rows])
        values = _rounded(out, image.dtype).astype(np.float64) if whole and each_pass else out
    if whole:
        values = _rounded(values, image.dtype)
    return np.ascontiguousarray(values.transpose(1, 2, 0)) if image.ndim == 3 else values


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Half away from zero, clipped; negative values clip to 0, so adding a half and flooring does it."""
    return np.floor(np.clip(values, 0, np.iinfo(dtype).max) + 0.5).astype(dtype)


def _resize_tensor(image: Tensor, axes: list[tuple[int, int, float]], order: tuple[int, int], border: str) -> Tensor:
    import torch

    dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
    with torch.autocast(image.device.type, enabled=False):  # bf16 products would leave 8 bits of a picture
        values = image.to(dtype)
        for axis in order:
            length, output_length, factor = axes[axis]
            parts = []
            for _, columns, matrix in _tensor_blocks(length, output_length, factor, border, dtype, image.device):
                if axis == 0:
                    parts.append(matrix @ values[..., columns, :])
                else:
                    parts.append(values[..., columns] @ matrix.mT)
            values = torch.cat(parts, dim=-2 if axis == 0 else -1)
    return values.to(image.dtype)


@lru_cache(maxsize=256)
def _tensor_blocks(length: int, output_length: int, scale: float, border: str, dtype: Any,
                   device: Any) -> tuple[tuple[slice, slice, Tensor], ...]:
    import torch

    return tuple((rows, columns, torch.from_numpy(matrix.copy()).to(device, dtype))
                 for rows, columns, matrix in _blocks(length, output_length, scale, border))
