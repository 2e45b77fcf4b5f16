"""A convolution of signs with signs by their bits alone (numpy): where two words of 64 signs differ, XOR has a one.

Of n signs the sum of products is n - 2 popcount(a xor b) (Rastegari et al., XNOR-Net, ECCV 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = 8
"""Of a word of 64 signs."""
TOGETHER = 3
"""Words whose differing signs are added up in a byte: three have at most 192."""
STRIP = 16_384
"""Pixels that are computed at a time, so that they stay in the cache."""
Words = NDArray[np.uint64]


def words_of(signs: NDArray[Any], axis: int) -> Words:
    """The signs (1 for what is above 0) along an axis as uint64 words, which come first; what is missing to 64 is 0.

    >>> words_of(np.array([[1.0, -1.0, 1.0]]), 1)
    array([[5]], dtype=uint64)
    """
    packed = np.packbits(np.moveaxis(signs > 0, axis, 0), axis=0, bitorder="little")
    packed = np.pad(packed, [(0, -len(packed) % BYTES)] + [(0, 0)] * (packed.ndim - 1))
    by_word = np.moveaxis(packed.reshape(-1, BYTES, *packed.shape[1:]), 1, -1)
    return np.ascontiguousarray(by_word).view("<u8")[..., 0].astype(np.uint64)


def convolution(activations: Words, kernel: Words, channels: int) -> NDArray[np.int32]:
    """A convolution of signs with signs, of stride 1, with zeros (no signs) beyond the border.

    `activations`: words x H x W. `kernel`: words x out x side x side, `side` odd. `channels`: signs in all the words of
    a place. Returns out x H x W whole numbers, from -channels side^2 to channels side^2.
    """
    count, height, width = activations.shape
    _, outputs, side, _ = kernel.shape
    margin = side // 2
    padded = np.pad(activations, [(0, 0), (margin, margin), (margin, margin)])
    row, flat = width + 2 * margin, padded.reshape(count, -1)
    length = height * row - 2 * margin  # the last row's right margin is never computed
    differing = np.zeros((outputs, height * row), np.uint16)
    xor, ones, few = np.empty(STRIP, np.uint64), np.empty(STRIP, np.uint8), np.empty(STRIP, np.uint8)
    taps = list(np.ndindex(side, side, count))
    for start in range(0, length, STRIP):
        size = min(STRIP, length - start)
        for output in range(outputs):
            total = differing[output, start:start + size]
            for number, (y, x, word) in enumerate(taps, 1):
                at = start + y * row + x
                np.bitwise_xor(flat[word, at:at + size], kernel[word, output, y, x], out=xor[:size])
                if number % TOGETHER == 1:
                    np.bitwise_count(xor[:size], out=few[:size])
                else:
                    few[:size] += np.bitwise_count(xor[:size], out=ones[:size])
                if number % TOGETHER == 0 or number == len(taps):
                    total += few[:size]
    sums = channels * side**2 - 2 * differing.reshape(outputs, height, row)[:, :, :width].astype(np.int32)
    return _without_border(sums, kernel, channels)


def _without_border(sums: NDArray[np.int32], kernel: Words, channels: int) -> NDArray[np.int32]:
    """Take away, in place, what words of 0 beyond the border added as if they were signs of -1."""
    _, height, width = sums.shape
    added = channels - 2 * np.bitwise_count(kernel).sum(0, dtype=np.int32)
    side = added.shape[1]
    for y, x in np.ndindex(side, side):
        rows, columns = (np.arange(length) + shift - side // 2 for length, shift in ((height, y), (width, x)))
        outside = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))
        sums[:, outside] -= added[:, y, x, None]
    return sums
