"""What the processes of one training say to each other; with a single process nothing is said.

Every message is sent by all processes at the same place of the loop. A process whose partner has died gets `PeerLost`
there, so that nobody waits for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import torch
import torch.distributed
from accelerate import PartialState
from accelerate.utils import broadcast, reduce
from torch import Tensor

T = TypeVar("T")


class PeerLost(Exception):
    """Another process of the training ended before its time; whoever started them knows why."""


def average(tensors: Sequence[Tensor], process: PartialState) -> None:
    """Replace each tensor by its mean over the processes, in place, all of them in one message of float32."""
    if process.num_processes == 1 or not tensors:
        return
    with torch.no_grad():
        flat = torch.cat([tensor.reshape(-1).to(process.device, torch.float32) for tensor in tensors])
        mean = _say(lambda: reduce(flat, "mean"))
        for tensor, part in zip(tensors, mean.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


def main_says(word: bool, process: PartialState) -> bool:
    """What the main process answers: the others' own words do not count."""
    if process.num_processes == 1:
        return word
    return bool(_say(lambda: broadcast(torch.tensor(int(word), device=process.device))).item())


def wait(process: PartialState) -> None:
    """Go on when all processes have come this far."""
    if process.num_processes > 1:
        _say(lambda: reduce(torch.zeros((), device=process.device)))


def of_all(tensors: Mapping[str, Tensor], process: PartialState) -> list[dict[str, Tensor]]:
    """Every process's tensors of these names, by process. They must have the same shapes in all of them."""
    gathered: list[dict[str, Tensor]] = [{} for _ in range(process.num_processes)]
    for name, tensor in sorted(tensors.items()):
        mine = tensor.detach().to(process.device).contiguous()
        copies = [torch.empty_like(mine) for _ in gathered]
        if process.num_processes > 1:
            _say(partial(torch.distributed.all_gather, copies, mine))
        else:
            copies = [mine]
        for values, copy in zip(gathered, copies, strict=True):
            values[name] = copy
    return gathered


def assert_equal(tensors: Iterable[Tensor], process: PartialState) -> None:
    """All processes hold the same bits; a `RuntimeError` otherwise, in all of them (that is a bug, not a mistake)."""
    if process.num_processes == 1:
        return
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    number = int.from_bytes(digest.digest()[:7], "big")
    ends = torch.tensor([number, -number], device=process.device)
    _say(lambda: torch.distributed.all_reduce(ends, torch.distributed.ReduceOp.MAX))
    if ends[0] != -ends[1]:
        raise RuntimeError("The processes of this training do not hold the same weights.")


def _say(message: Callable[[], T]) -> T:
    try:
        return message()
    except RuntimeError as error:  # the backends' own kinds are all of this one
        raise PeerLost(" ".join(str(error).split())) from error
