"""A task of which only some cases are tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.registry import nearest
from restore_ml.tasks.base import Cases, Partner, Parts, Sample, no_partner


class _SomeCases(Cases):
    """The cases of a task of which only those with some names are tested."""

    def __init__(self, all_of_them: Cases, chosen: Sequence[str]) -> None:
        self.all, self.chosen = all_of_them, chosen
        self.__dict__["task"], self.__dict__["defaults"] = all_of_them.task, all_of_them.defaults

    def check(self, settings: Mapping[str, Any]) -> None:
        """That of the task."""
        self.all.check(settings)

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """Those that were chosen, in the task's order."""
        return [name for name in self.all.degradations(settings) if name in self.chosen]

    def leaves_out(self, picture: Record, degradation: str, settings: Mapping[str, Any]) -> str | None:
        """That of the task."""
        return self.all.leaves_out(picture, degradation, settings)

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """That of the task."""
        return self.all.sample(picture, degradation, seed, settings, partner)


def some_cases(parts: Parts, settings: Mapping[str, Any], chosen: Sequence[str]) -> Parts:
    """The task with the chosen cases alone (all, where none is named); `UserError` for one that there is not."""
    if parts.cases is None or not chosen:
        return parts
    there = parts.cases.degradations(settings)
    for name in chosen:
        if name not in there:
            raise UserError(f"{parts.task.name} has no case {name!r}; it has {', '.join(there)}.{nearest(name, there)}")
    return dataclasses.replace(parts, cases=_SomeCases(parts.cases, chosen))
