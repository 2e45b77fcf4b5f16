"""What DVC and git say of a result: the hashes in dvc.lock, the hash of the data, the commit that holds it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, conflict
from restore_ml.base.programs import NoRepository, ProgramError, git

UNCOMMITTED, UNKNOWN = "uncommitted", "unknown"
HISTORY = 200
"""How many commits of dvc.lock are looked through for the one that brought a result."""


class Lock:
    """The dvc.lock files of the project: the hash of every output, by path. An absent file is an empty lock."""

    def __init__(self, root: Path) -> None:
        """Read them; a broken one is a `UserError`."""
        self.outs: dict[str, str] = {}
        self.deps: dict[str, str] = {}
        locks = [root / layout.lock_file(), *sorted((root / layout.GRAPH).glob("*/dvc.lock"))]
        for stage in (stage for lock in locks for stage in (_yaml(lock).get("stages") or {}).values()):
            for kind, target in (("outs", self.outs), ("deps", self.deps)):
                for entry in stage.get(kind) or []:
                    target[entry["path"]] = str(entry.get("md5") or entry.get("hash") or "")
        self._pointer = _yaml(root / f"{layout.DATA}.dvc")

    @property
    def data(self) -> str:
        """The hash of the pictures that the results were built from; `unknown` where DVC has none yet."""
        tracked = [entry.get("md5", "") for entry in self._pointer.get("outs") or []]
        return self.deps.get(str(layout.DATA)) or next(iter(tracked), "") or "unknown"


def _yaml(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML, YAMLError

    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return YAML(typ="safe").load(text) or {}
    except FileNotFoundError:
        return {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(conflict(path, text) or f"{path} is not readable YAML ({' '.join(str(error).split())}); "
                        "restore it from git.") from None


def commits(root: Path, wanted: Mapping[str, set[str]], task: str = "") -> dict[str, str]:
    """For each name the commit whose dvc.lock (of the task, or of the project) first held all of its hashes and since
    kept them, or `uncommitted`.

    `wanted`: name -> hashes. An empty set (nothing in dvc.lock) counts as uncommitted, and so does everything outside
    git. Where git refuses to answer it is told on standard error, and every commit is `unknown`.
    """
    try:
        return _commits(root, wanted, layout.lock_file(task).as_posix())
    except NoRepository:
        return dict.fromkeys(wanted, UNCOMMITTED)
    except ProgramError as error:
        print(f"{error} Until then the commits of the results count as {UNKNOWN}.", file=sys.stderr)
        return dict.fromkeys(wanted, UNKNOWN)


def _commits(root: Path, wanted: Mapping[str, set[str]], lock: str) -> dict[str, str]:
    named = dict.fromkeys(wanted, UNCOMMITTED)
    pending = {name: hashes for name, hashes in wanted.items() if hashes}
    for commit in git(root, "log", f"--max-count={HISTORY}", "--format=%H", "--", lock).split():
        if not pending:
            break
        there = git(root, "ls-tree", "--name-only", commit, "--", lock).strip()  # not where it was deleted
        text = git(root, "show", f"{commit}:./{lock}") if there else ""
        pending = {name: hashes for name, hashes in pending.items() if all(value in text for value in hashes)}
        named.update(dict.fromkeys(pending, commit))
    return named
