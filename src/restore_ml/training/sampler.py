"""Which samples make up the batch of a step: a pure function of (seed, step), for any number of workers or processes.

A slot counts samples from the start of training. Slots are cut into epochs, each a permutation of the training
pictures; a picture's crop, flip and mask in an epoch come from (seed, picture id, epoch). So a batch can be made by
any worker at any time, a resumed run continues in the middle of an epoch, and a picture that is added changes no
other picture's samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from restore_ml import tensors
from restore_ml.errors import UserError
from restore_ml.seeds import derive, generator
from restore_ml.tasks.base import Material, Task


@dataclass
class Batch:
    """One batch: tensors by name and the pictures' ids."""

    inputs: dict[str, Tensor]
    target: dict[str, Tensor]
    ids: list[str]


class Sampler:
    """`sampler[step]` is the batch of that step (of this process's share of it)."""

    def __init__(self, task: Task, material: Material, settings: dict[str, Any], seed: int, *, rank: int = 0,
                 world: int = 1) -> None:
        """Map the training records. Raises `UserError` when there are none or the batch does not divide evenly."""
        self.task, self.material, self.settings, self.seed = task, material, settings, seed
        self.records = material.records
        if not len(self.records):
            raise UserError(f"There is no training picture for {task.name}; add some with `restore-ml data add`.")
        if settings["batch"] % world:
            raise UserError(f"The batch of {settings['batch']} cannot be shared evenly by {world} processes.")
        self.rank, self.world = rank, world
        pools = material.folder / "pools"
        names = sorted(path.name for path in pools.iterdir()) if pools.is_dir() else []
        self.pools = {name: material.pool(name) for name in names}
        self.order = lru_cache(maxsize=2)(self._order)

    def __reduce__(self) -> tuple[Any, ...]:
        """Worker processes map the files again."""
        return _rebuild, (self.task, self.material, self.settings, self.seed, self.rank, self.world)

    def _order(self, epoch: int) -> list[str]:
        return sorted(self.records.ids, key=lambda identity: derive(self.seed, "order", epoch, identity))

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of `step`."""
        options = self.task.batch_options(generator(self.seed, "batch", step), self.settings)
        size, ids, samples = self.settings["batch"], [], []
        for slot in range(step * size + self.rank, (step + 1) * size, self.world):
            epoch, place = divmod(slot, len(self.records))
            identity = self.order(epoch)[place]
            draws = generator(self.seed, "sample", identity, epoch)
            record = self.records.find(identity)
            samples.append(self.task.training_sample(record, self.pools, draws, self.settings, options))
            ids.append(identity)
        return Batch(tensors.batch([sample.inputs for sample in samples], self.task.inputs),
                     tensors.batch([sample.target for sample in samples], self.task.target), ids)


def _rebuild(task: Task, material: Material, settings: dict[str, Any], seed: int, rank: int, world: int) -> Sampler:
    return Sampler(task, material, settings, seed, rank=rank, world=world)


class Steps:
    """A map-style data set of whole batches for torch's DataLoader: item i is the batch of step `first + i`."""

    def __init__(self, sampler: Sampler, first: int, last: int) -> None:
        """The steps from `first` up to, not including, `last`."""
        self.sampler, self.first, self.last = sampler, first, last

    def __len__(self) -> int:
        """How many steps are left."""
        return self.last - self.first

    def __getitem__(self, index: int) -> Batch:
        """The batch of step `first + index`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.sampler[self.first + index]
