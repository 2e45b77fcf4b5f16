"""Batches made ahead by worker processes and handed over through wide pipes."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from restore_ml.training.sampler import Batch, Steps

WIDTH = 1 << 20
"""Bytes that a pipe holds; the most that Linux allows anyone by default, who gives 64 KB otherwise."""


class WidePipes(SpawnContext):
    """Fresh processes (`spawn`) whose queues hold a batch of pictures whole: in a pipe of 64 KB worker and reader wake
    each other a dozen times for one."""

    def Queue(self, maxsize: int = 0) -> Queue[Any]:
        """A queue of the standard library with a pipe of `WIDTH` where the system gives one."""
        queue = super().Queue(maxsize)
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
            with suppress(OSError):  # where all the wide pipes that a person may have are open, it stays as it is
                fcntl.fcntl(queue._writer.fileno(), fcntl.F_SETPIPE_SZ, WIDTH)  # type: ignore[attr-defined]
        return queue


def batches(steps: Steps, workers: int) -> Iterator[Batch[np.ndarray]]:
    """The steps' batches in their order, made by worker processes or, with none, in this one when they are wanted."""
    if not workers:
        return map(steps.__getitem__, range(len(steps)))
    return iter(DataLoader(steps, batch_size=None, num_workers=workers,  # type: ignore[arg-type]
                           multiprocessing_context=WidePipes()))
