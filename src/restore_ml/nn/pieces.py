"""A network run on pieces of a picture that is too large for the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise

import torch
from torch import Tensor

_whole: ContextVar[bool] = ContextVar("whole", default=False)


@contextmanager
def in_one_piece() -> Iterator[None]:
    """Inside, `in_pieces` makes no pieces: for what follows a network's calls (export) or measures them."""
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def in_pieces(network: Callable[[Tensor], Tensor], x: Tensor, side: int, reach: int) -> Tensor:
    """`network(x)` (N x C x H x W to N x D x H x W), computed in pieces of at most `side` pixels a side.

    The same values as in one piece, for a network of stride 1 whose output at a pixel depends on at most `reach` pixels
    around it: each piece carries so large a margin, of which nothing is kept.
    """
    height, width = x.shape[-2:]
    rows, columns = _cores(height, side, reach), _cores(width, side, reach)
    if _whole.get() or len(rows) == len(columns) == 1:
        return network(x)
    lines = []
    for top, bottom in rows:
        above = max(0, top - reach)
        line = []
        for left, right in columns:
            before = max(0, left - reach)
            piece = network(x[..., above:bottom + reach, before:right + reach])
            line.append(piece[..., top - above:bottom - above, left - before:right - before])
        lines.append(torch.cat(line, -1))
    return torch.cat(lines, -2)


def _cores(length: int, side: int, reach: int) -> list[tuple[int, int]]:
    """Start and end of what each piece contributes: stretches of much the same length, at least as long as a margin."""
    if length <= side:
        return [(0, length)]
    count = -(-length // max(side - 2 * reach, reach, 1))
    ends = [length * number // count for number in range(count + 1)]
    return list(pairwise(ends))
