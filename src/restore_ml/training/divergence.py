"""The guard of the loop: what is not finite ends a training in a sentence that says where and on which pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from restore_ml.method import Context


class Diverged(Exception):
    """A loss term, a gradient or a weight is not finite: the sentence names the step, the term and the pictures."""


def check(player: str, terms: Mapping[str, float], norm: Tensor, context: Context, ids: list[str]) -> None:
    """Raise `Diverged` where a loss term of the player or the norm of its gradient is not finite.

    `ids`: the pictures of the whole batch, also of the other processes' shares.
    """
    for name, value in terms.items():
        if not math.isfinite(value):
            raise Diverged(sentence(f"the loss term {player}.{name} is {value}", context.step, ids, context))
    if not math.isfinite(norm.item()):
        raise Diverged(sentence(f"the gradient of {player} is not finite", context.step, ids, context))


def sentence(what: str, step: int, ids: list[str], context: Context | None = None) -> str:
    """What stopped the training at which step, and the pictures; with a context also which of them are broken."""
    broken = [] if context is None else _broken(context)
    cause = f", of which {_pictures(broken)} brought values that are not finite" if broken else ""
    return f"Training stopped at step {step}: {what}; the batch held the pictures {_pictures(ids)}{cause}."


def _pictures(ids: list[str]) -> str:
    return ", ".join(dict.fromkeys(identity[:12] for identity in ids))


def _broken(context: Context) -> list[str]:
    """The pictures of the step whose own samples are not finite."""
    arrays = [*context.inputs.values(), *context.target.values()]
    return [identity for number, identity in enumerate(context.ids)
            if not all(torch.isfinite(array[number]).all() for array in arrays)]
