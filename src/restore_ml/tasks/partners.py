"""The records that play other roles in a sample (a style picture, the other side of an unpaired set).

A partner is chosen by a hash of the seed, the sample and the role from the index of its split, so that it is the same
in any worker; nothing but the index is held in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, sha256
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shards
from restore_ml.seeds import derive
from restore_ml.tasks.base import Partner, Task


class Partners:
    """The shards that each role but the first is drawn from."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """`folders`: role -> a folder of shards; they are mapped when the first partner is drawn."""
        self.folders = dict(folders)
        self._shards: dict[str, Shards] = {}

    def __reduce__(self) -> tuple[type[Partners], tuple[Mapping[str, Path]]]:
        """Worker processes map the files again."""
        return Partners, (self.folders,)

    def of(self, *draw: object) -> Partner:
        """The partners of the sample that `draw` names (seed, picture id, degradation or visit)."""
        def partner(role: str) -> Record:
            if role not in self._shards:
                self._shards[role] = Shards(self.folders[role])
            records = self._shards[role]
            if not len(records):
                raise UserError(f"There is no picture for the role {role!r} in {self.folders[role]}; "
                                "add some with `restore-ml data add`.")
            return records[derive("partner", role, *draw) % len(records)]

        return partner

    def digest(self, ledger: Ledger) -> str:
        """What the choice of partners depends on; empty where there are none."""
        files = [(role, ledger.digest(path)) for role, folder in sorted(self.folders.items())
                 for path in sorted(folder.glob("*.arrow"))]
        return sha256(canonical_json(files).encode()) if files else ""


def partners_of_tests(task: Task, prepared: Path, test_set: str) -> Partners:
    """For a test set: the set of the same name in the other role's domain, else the first one there is."""
    folders = {}
    for role, domain in list(task.roles.items())[1:]:
        tests = prepared / domain / "test"
        names = sorted(path.name for path in tests.iterdir() if path.is_dir()) if tests.is_dir() else []
        folders[role] = tests / (test_set if test_set in names or not names else names[0])
    return Partners(folders)
