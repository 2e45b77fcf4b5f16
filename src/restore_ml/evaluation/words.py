"""What the test pictures of a task and the groups that they come from are called: slices of patients, faces of persons.

A group is what an interval resamples as a whole: the tiles of one photograph, the faces of one person.
"""

from __future__ import annotations

from restore_ml import registry
from restore_ml.data import domains


def counted(task: str, tested: int, groups: int) -> str:
    """`34 pictures of 11 photographs`, `29 slices of 1 patient`."""
    return f"{_of(tested, _words(task)[0])} of {of_groups(task, groups)}"


def of_groups(task: str, groups: int) -> str:
    """`11 photographs`, `1 patient`."""
    return _of(groups, _words(task)[1])


def groups(task: str) -> str:
    """`photographs`, `patients`: of the kind of data that the task's first role draws from."""
    return _words(task)[1]


def _words(task: str) -> tuple[str, str]:
    return domains.get(next(iter(registry.task(task).roles.values()))).counted


def _of(count: int, words: str) -> str:
    return f"{count} {words if count != 1 else words.removesuffix('s')}"
