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
from restore_ml.data.shards import Record
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
        ids, samples = [], []
        for epoch, identity in self._visits(step)[self.rank::self.world]:
            draws = generator(self.seed, "sample", identity, epoch)
            record = Record(identity, self.records.arrays(identity))
            samples.append(self.task.training_sample(record, self.pools, draws, self.settings, options))
            ids.append(identity)
        return Batch(tensors.batch([sample.inputs for sample in samples], self.task.inputs),
                     tensors.batch([sample.target for sample in samples], self.task.target), ids)

    def ids(self, step: int) -> list[str]:
        """The pictures of the whole batch of `step`, also of the other processes' shares."""
        return [identity for _, identity in self._visits(step)]

    def _visits(self, step: int) -> list[tuple[int, str]]:
        size = self.settings["batch"]
        places = [divmod(slot, len(self.records)) for slot in range(step * size, (step + 1) * size)]
        return [(epoch, self.order(epoch)[place]) for epoch, place in places]


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
