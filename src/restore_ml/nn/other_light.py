"""Pairs of small and true pictures in other light, for trainings on few pictures."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def in_other_light(lr: Tensor, hr: Tensor, jitter: float,
                   uniform: Callable[[Tensor, float, float], Tensor]) -> tuple[Tensor, Tensor]:
    """Both pictures (N x C x h x w and N x C x H x W), each channel multiplied by 1 + u with v added, u and v uniform
    up to `jitter`, a draw a channel and picture; as they are with a `jitter` of 0. Making a picture small keeps that.

    `uniform(like, low, high)`: `Context.uniform`.
    """
    if not jitter:
        return lr, hr
    gain, offset = uniform(lr.new_empty(2, *lr.shape[:2], 1, 1), -jitter, jitter)
    return (1 + gain) * lr + offset, (1 + gain) * hr + offset
