"""What a restoration task is, in three parts that stand apart so that each counts only for what it can change:

- `Task` (tasks/<task>/task.py): its arrays, its settings, which pictures it takes. All of the task depends on it.
- `Training` (tasks/<task>/training.py): what training sees. A change retrains the task's runs.
- `Cases` (tasks/<task>/cases.py): what is tested. A change degrades and restores anew and retrains nothing.

What is measured and shown is a `Protocol` (tasks/<task>/evaluation.py, see `restore_ml.tasks.protocol`); a task without
one only feeds other runs. A folder with these files is found; no list names it.

A *sample* is named arrays, split into `inputs` (what a method may see) and `target` (the truth); see
`restore_ml.arrays` for how they lie on disk and reach a method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from restore_ml.arrays import Arrays, ArraySpec
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.registry import nearest

Partner = Callable[[str], Record]
"""The record that plays a role in a sample beside the first one (`partner("style")`)."""


@dataclass(frozen=True)
class Case:
    """Test set x degradation of a task, written `set5/x2`."""

    test_set: str
    degradation: str

    @classmethod
    def parse(cls, text: str) -> Case:
        """The case that is written so.

        >>> Case.parse("set5/x2")
        Case(test_set='set5', degradation='x2')
        """
        test_set, _, degradation = text.partition("/")
        return cls(test_set, degradation)

    def __str__(self) -> str:
        return f"{self.test_set}/{self.degradation}"


@dataclass
class Sample:
    """One sample: `inputs` and `target` by name, `facts` (JSON values such as the realised hole ratio)."""

    inputs: Arrays
    target: Arrays
    facts: dict[str, Any] = field(default_factory=dict)


def no_partner(role: str) -> Record:
    """For tasks with one role: there is nothing else to draw from."""
    raise ValueError(f"The task declares no role {role!r}.")


class Task:
    """Subclass it in tasks/<task>/task.py and set `TASK = MyTask()` there; the folder's name is the task's name."""

    name: ClassVar[str]
    roles: ClassVar[Mapping[str, str]] = {"picture": "photos"}
    """What a record is to a sample -> the kind of data (`data/domains`) it is drawn from. Samples are counted by the
    first role; partners for the others are drawn from the same split. The same domain may stand twice."""
    inputs: ClassVar[Mapping[str, ArraySpec]]
    target: ClassVar[Mapping[str, ArraySpec]]
    """The truth; empty for a task that has none."""
    output: ClassVar[Mapping[str, ArraySpec]]
    """What restoring writes; `size_of` and `scale` name inputs or targets."""
    optional_output: ClassVar[tuple[str, ...]] = ()
    """Keys of `output` that a method may leave out."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """The settings that training and cases share, with their values where none is given. Those of one alone stand in
    `Training.defaults` and `Cases.defaults`."""

    @property
    def domain(self) -> str:
        """The kind of data of the first role."""
        return next(iter(self.roles.values()))

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        """Inputs and targets by name; where both have an array of one name they have it alike."""
        return {**self.target, **self.inputs}

    def resolve(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The shared settings, given over their defaults, checked; other keys are left out."""
        resolved = {key: settings.get(key, value) for key, value in self.defaults.items()}
        self.check(resolved)
        return resolved

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise `UserError` for shared settings that make no sense; all keys are there."""

    def accepts(self, picture: np.ndarray, settings: Mapping[str, Any]) -> str | None:
        """None, or the reason in a few words why this prepared picture is no sample of the task (grey, too small)."""
        return None

    def compose(self, inputs: Arrays, output: Arrays) -> Arrays:
        """Put the known pixels back, bit for bit, after a method restored (identity where a task has none)."""
        return output


class _Part(ABC):
    """What `Training` and `Cases` have in common: settings of their own beside the shared ones."""

    task: ClassVar[Task]
    defaults: ClassVar[Mapping[str, Any]] = {}
    """The settings that only this part reads, with their values where none is given."""

    def resolve(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The shared settings and this part's, given over their defaults, checked; other keys are left out."""
        resolved = self.task.resolve(settings) | {key: settings.get(key, value) for key, value in self.defaults.items()}
        self.check(resolved)
        return resolved

    def check(self, settings: Mapping[str, Any]) -> None:  # noqa: B027 - most parts have nothing to refuse
        """Raise `UserError` for settings that make no sense; all keys of `resolve` are there."""


class Training(_Part):
    """What training sees. Subclass it in tasks/<task>/training.py and set `TRAINING = ...` there."""

    pools_from: ClassVar[str] = "nothing"
    """What `pools` are made from: `nothing` but seed and settings, all `pictures`, or `shards` of them, whose arrays
    add up to those of all pictures (counts)."""

    @abstractmethod
    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """What training reads for each picture of the first role: fixed or costly material (resized pictures,
        low-resolution twins).

        Written once to samples/<task>/train/<prefix>.arrow; the record's id is the picture's. A record depends on its
        own picture alone: it is kept while that stays the same, whatever comes beside it.
        """

    def partner_records(self, role: str, pictures: Sequence[Record], seed: int,
                        settings: Mapping[str, Any]) -> Iterator[Record]:
        """The same for another role; written to samples/<task>/train/roles/<role>/<prefix>.arrow. A picture that is not
        to play it gives no record."""
        return self.records(pictures, seed, settings)

    def pools(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> dict[str, list[Record]]:
        """Shared material by name (masks, histograms): written to samples/<task>/train/pools/<name>/pool.arrow."""
        return {}

    def options(self, rng: np.random.Generator, run: Mapping[str, Any]) -> dict[str, Any]:
        """Draws common to a whole batch (the scale), from a generator seeded by (seed, step). `run`: run settings."""
        return {}

    @abstractmethod
    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
        """One training sample cut from `record`: crop, flip, mask. `rng` is seeded by (seed, picture id, visit), and so
        is the choice of a `partner`."""


class Cases(_Part):
    """What is tested. Subclass it in tasks/<task>/cases.py and set `CASES = ...` there."""

    without_truth: ClassVar[tuple[str, ...]] = ()
    """Beside `degradations`, the names of cases whose samples have no target: of pictures that are damaged as they were
    found (the fact `as_found`). Every run restores them and they are shown; nothing is scored, so nothing ranks."""
    also_from: ClassVar[tuple[str, ...]] = ()
    """Kinds of data, beside that of the first role, whose test sets are tested on too. They are there for another task,
    so nobody is told of those of their pictures that are no samples of this one."""

    @abstractmethod
    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """The names of all degradations that are tested (`x2`, `centre_half`), in the order of the table."""

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """None, or the reason in a few words why a picture that the task accepts is no sample of that degradation (it
        lacks an annotation, or has another class). One that no degradation takes is named as left out."""
        return None

    @abstractmethod
    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """Degrade one test picture. Every draw comes from (seed, picture.id, degradation)."""


class OptionalInputs(ABC):
    """Inputs that only some methods take (hints, a palette, a reference). Subclass it in tasks/<task>/optional.py and
    set `OPTIONAL = ...` there.

    They are drawn from a finished sample by a documented simulator, for the tables and in training; a person gives them
    as files. A method names those it takes in `Method.inputs`, and only for such a method does this file count.
    """

    inputs: ClassVar[Mapping[str, ArraySpec]]

    @abstractmethod
    def draw(self, name: str, sample: Sample, degradation: str, rng: np.random.Generator) -> np.ndarray:
        """The optional input of that name for a sample; `degradation` is empty in training."""


@dataclass(frozen=True)
class Parts:
    """All parts of a task but its evaluation; `registry.parts(name)` finds them."""

    task: Task
    training: Training
    cases: Cases | None = None
    optional: OptionalInputs | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """Every setting that some part of the task knows, with its value where none is given."""
        cases = self.cases.defaults if self.cases else {}
        return {**self.task.defaults, **cases, **self.training.defaults}

    def check_settings(self, settings: Mapping[str, Any]) -> None:
        """Raise `UserError` for a setting that no part of the task knows, or a value that makes no sense."""
        for key in settings:
            if key not in self.defaults:
                raise UserError(f"The task {self.task.name} has no setting {str(key)[:100]!r}; it has "
                                f"{', '.join(self.defaults) or 'none'}.{nearest(str(key), self.defaults)}")
        self.training.resolve(settings)
        if self.cases is not None:
            self.cases.resolve(settings)


@dataclass(frozen=True)
class Material:
    """Where a task's training material lies: samples/<task>/train."""

    folder: Path

    @property
    def records(self) -> Shards:
        """One record a training picture."""
        return Shards(self.folder)

    def role(self, name: str) -> Shards:
        """The records of a role other than the first."""
        return Shards(self.folder / "roles" / name)

    def pool(self, name: str) -> Shards:
        """A named pool (`pools/<name>/*.arrow`)."""
        return Shards(self.folder / "pools" / name)
