"""Which samples make up the batch of a step: a pure function of (seed, step), for any number of workers or processes.

A slot counts samples from the start of training. Slots are cut into epochs, each a permutation of the training
pictures; a picture's crop, flip and mask in an epoch come from (seed, picture id, epoch). So a batch can be made by
any worker at any time, a resumed run continues in the middle of an epoch, and a picture that is added changes no
other picture's samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.seeds import generator, sample_generator
from restore_ml.tasks.base import Material, Parts, Sample
from restore_ml.tasks.partners import Partners

if TYPE_CHECKING:
    from restore_ml.method import Method

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass
class Batch(Generic[Array]):
    """One batch: by name arrays as they are on disk, stacked (N x H x W x C), or their tensors; the pictures' ids."""

    inputs: dict[str, Array]
    target: dict[str, Array]
    ids: list[str]


class Sampler:
    """`sampler[step]` is the batch of that step (of this process's share of it)."""

    def __init__(self, parts: Parts, material: Material, settings: dict[str, Any], seed: int, *, rank: int = 0,
                 world: int = 1, method: Method | None = None) -> None:
        """Map the training records. `method`: whose optional and derived inputs are added to each sample. Raises
        `UserError` when there are no records or the batch does not divide evenly."""
        task = parts.task
        self.parts, self.material, self.settings, self.seed, self.method = parts, material, settings, seed, method
        self.records = material.records
        if not len(self.records):
            raise UserError(f"There is no training picture for {task.name}; add some with `restore-ml data add`.")
        if settings["batch"] % world:
            raise UserError(f"The batch of {settings['batch']} cannot be shared evenly by {world} processes.")
        self.rank, self.world = rank, world
        pools = material.folder / "pools"
        names = sorted(path.name for path in pools.iterdir()) if pools.is_dir() else []
        self.pools = {name: material.pool(name) for name in names}
        self.partners = Partners({role: material.folder / "roles" / role for role in list(task.roles)[1:]})
        added = method.input_specs(parts.optional) if method is not None else {}
        self.inputs, self.target = {**task.inputs, **added}, dict(task.target)

    def __getitem__(self, step: int) -> Batch[np.ndarray]:
        """Make the batch of `step`."""
        training = self.parts.training
        options = training.options(generator(self.seed, "batch", step), self.settings)
        ids, samples = [], []
        for epoch, position in self._visits(step)[self.rank::self.world]:
            identity = self.records.id(position)
            draws = sample_generator(self.seed, "sample", identity, epoch)
            record = Record(identity, self.records.arrays(position))
            partner = self.partners.of(self.seed, identity, epoch)
            sample = training.sample(record, self.pools, draws, self.settings, options, partner)
            if self.method is not None:
                self._add_inputs(self.method, sample, identity, epoch)
            samples.append(sample)
            ids.append(identity)
        return Batch(_stacked([sample.inputs for sample in samples], self.inputs),
                     _stacked([sample.target for sample in samples], self.target), ids)

    def _add_inputs(self, method: Method, sample: Sample, identity: str, epoch: int) -> None:
        """The optional inputs that the method takes, drawn from the sample, and what it derives from it."""
        for name in method.inputs:
            assert self.parts.optional is not None
            sample.inputs[name] = self.parts.optional.draw(
                name, sample, "", sample_generator(self.seed, "optional", name, identity, epoch))
        if method.derived:
            draws = sample_generator(self.seed, "derive", identity, epoch)
            sample.inputs |= method.derive(sample.inputs, sample.target, draws)

    def floats(self, batch: Batch[np.ndarray], device: torch.device) -> Batch[Tensor]:
        """What a method trains on: the batch on the device in the units of `ArraySpec`."""
        inputs = {name: spec.to_tensor(batch.inputs[name], device) for name, spec in self.inputs.items()}
        target = {name: spec.to_tensor(batch.target[name], device) for name, spec in self.target.items()}
        return Batch(inputs, target, batch.ids)

    def ids(self, step: int) -> list[str]:
        """The pictures of the whole batch of `step`, also of the other processes' shares."""
        return [self.records.id(position) for _, position in self._visits(step)]

    def _visits(self, step: int) -> list[tuple[int, int]]:
        """The epoch and the record's position of each sample of the batch."""
        size, count = self.settings["batch"], len(self.records)
        slot, end = step * size, (step + 1) * size
        visits: list[tuple[int, int]] = []
        while slot < end:
            epoch, index = divmod(slot, count)
            positions = _order(self.seed, epoch, count)[index:index + end - slot].tolist()
            visits += [(epoch, position) for position in positions]
            slot += len(positions)
        return visits


def _stacked(samples: list[dict[str, np.ndarray]], names: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of these names of all samples in one each, as `np.stack` makes them: its own checks are felt here."""
    batch = {}
    for name in names:
        first = samples[0][name]
        whole = batch[name] = np.empty((len(samples), *first.shape), first.dtype)
        for index, sample in enumerate(samples):
            if sample[name].shape != first.shape:
                raise ValueError(f"The samples of a batch have {name} of the shapes {first.shape} and "
                                 f"{sample[name].shape}.")
            whole[index] = sample[name]
    return batch


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The positions of all records as they are visited in an epoch."""
    return generator(seed, "order", epoch).permutation(count)


class Steps:
    """A map-style data set of whole batches for torch's DataLoader: item i is the batch of step `first + i`."""

    def __init__(self, sampler: Sampler, first: int, last: int) -> None:
        """The steps from `first` up to, not including, `last`."""
        self.sampler, self.first, self.last = sampler, first, last

    def __len__(self) -> int:
        """How many steps are left."""
        return self.last - self.first

    def __getitem__(self, index: int) -> Batch[np.ndarray]:
        """The batch of step `first + index`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.sampler[self.first + index]
