"""The test files that a change can touch, nearest first, for at most three minutes: `make test CHANGED=1`.

A change is what differs from the last commit, untracked files included. A changed module touches every test file that
imports it, directly or through others; `restore_ml.runs.sources` reads the imports, nothing is run for it. What no
import statement says is found in words: a test reaches the method, task or benchmark that it names, all of them when
it goes through the registry's lists, the module that a command in it starts, and a file that is no module by its name.
`EVERYTHING` touches all tests.

Tests of whole rebuilds and real servers (the marks `pipeline` and `slow`) run only where they import or start a changed
module themselves. When the time is over, or some were left out, the last line says how many files are for `make test`.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.runs.sources import Sources

ROOT = Path(__file__).parents[1]
SECONDS = 160
"""Of all from the start of the command; what is torn down at the end may take some more."""
EVERYTHING = ("pyproject.toml", "constraints.txt", "tests/conftest.py")
CODE = ("restore_ml", "pipelines", "flows", "remotes", "tests", "benchmarks")
"""Packages whose imports are followed, `restore_ml` lying in src."""
METHODS, TASKS = "restore_ml.methods.", "restore_ml.tasks."
"""Modules that the registry imports when somebody names them: a method's, and all in the folder of a task."""
LISTS = re.compile(r"\b(?:method_names|task_names)\b|\bregistry(?:\.| import [\w, ]*\b)(?:tables|support)\b")
STARTED = re.compile(r"\b(?:flows|pipelines|remotes|benchmarks|restore_ml)(?:[./]\w+)+")
STAGES = re.compile(r"""["']-m["'], ["']pipelines["']|-m pipelines""")
STARTS = {"flows.work.rebuild": "pipelines.", "flows.work.lane": "pipelines.", "pipelines.__main__": "pipelines."}
"""Modules that start all modules of a package, through DVC or by name."""
HEAVY = re.compile(r"\bmark\.(?:pipeline|slow)\b")


class Reach:
    """The test files of a project and what each of them can reach."""

    def __init__(self, root: Path) -> None:
        """`root`: the folder that holds src and tests."""
        self.root = root
        self.sources = Sources([root / "src", root])
        folders = [root / "src" / "restore_ml", *(root / name for name in CODE[1:])]
        self.paths = {module(path.relative_to(root).as_posix()): path
                      for folder in folders for path in sorted(folder.rglob("*.py"))}
        self.files = [path.relative_to(root).as_posix() for path in self.paths.values()
                      if path.name.startswith("test_") and path.is_relative_to(root / "tests")]
        self.named = {name: called for name, path in self.paths.items() if (called := _called(name, path))}

    def touched(self, changed: Iterable[str]) -> dict[str, int]:
        """Test files that a change of these files (paths from the root) can touch -> through how many imports; nearest
        first, and of equals those that speak of the changed modules most."""
        paths = set(changed)
        if paths & set(EVERYTHING):
            return dict.fromkeys(self.files, 0)
        hit = {module(path) for path in paths if path.endswith(".py")}
        for path in paths:
            hit |= self._naming(path)
        found = {test: self._distance(module(test), hit) for test in self.files}
        near = {test: distance for test, distance in found.items() if distance is not None}
        stems = {name.rpartition(".")[2] for name in hit}
        spoken = {test: sum(word in stems for word in re.findall(r"\w+", self._text(module(test)))) for test in near}
        return dict(sorted(near.items(), key=lambda item: (item[1], -spoken[item[0]], item[0])))

    def heavy(self, test: str) -> bool:
        """Whether the file has marks of whole rebuilds or real servers."""
        return bool(HEAVY.search((self.root / test).read_text(encoding="utf-8")))

    def _distance(self, test: str, hit: set[str]) -> int | None:
        """The fewest steps from a test to one of the modules."""
        seen, ring, steps = {test}, [test], 0
        while ring:
            if not hit.isdisjoint(ring):
                return steps
            ring = list({other for name in ring for other in self._edges(name)} - seen)
            seen |= set(ring)
            steps += 1
        return None

    def _edges(self, name: str) -> frozenset[str]:
        """What a module may import or start, its packages and, for tests, the conftest.py of its folders."""
        if name not in self._known:
            self._known[name] = frozenset(self._read_edges(name)) if name in self.paths else frozenset()
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, frozenset[str]]:
        return {}

    def _read_edges(self, name: str) -> set[str]:
        read = self.sources.module(name)
        found = {other for other in (read.imports if read else ()) if other.partition(".")[0] in CODE}
        parts = name.split(".")
        packages = [".".join(parts[:count]) for count in range(1, len(parts))]
        found |= set(packages)
        if prefix := STARTS.get(name):
            found |= {other for other in self.paths if other.startswith(prefix)}
        if parts[0] == "tests":
            found |= {f"{package}.conftest" for package in packages} & set(self.paths)
            found |= self._in_words(name)
        return found

    def _in_words(self, name: str) -> set[str]:
        """What a test reaches without importing it: modules that it names, lists or starts."""
        text = self._text(name)
        words = set(re.findall(r"\w+", text))
        found = {other for other, called in self.named.items() if LISTS.search(text) or called in words}
        if "benchmarks" in words:
            found |= {other for other in self.paths if other.startswith("benchmarks.")
                      and other.rpartition(".")[2] in words}
        found |= {started.group().replace("/", ".").removesuffix(".py") for started in STARTED.finditer(text)}
        return found | ({"pipelines.__main__"} if STAGES.search(text) else set())

    def _naming(self, path: str) -> set[str]:
        """The modules that name a file which is no module of ours, or outside src its folder: tests, and of a file in
        src the library's own."""
        if module(path) in self.paths:
            return set()
        place, inside = Path(path), path.startswith("src/")
        word = rf"(?<![\w.]){re.escape(place.name)}(?!\w)"
        if place.parent.name and not inside:
            word += rf"|[\"']{re.escape(place.parent.name)}[\"']"
        return {name for name in self.paths if (inside or name.startswith("tests."))
                and name != __name__ and re.search(word, self._text(name))}

    def _text(self, name: str) -> str:
        return self.paths[name].read_text(encoding="utf-8")


def _called(name: str, path: Path) -> str:
    """The word that stands for a module which the registry imports: a method's or a task's name; else nothing."""
    if name.startswith(METHODS):
        return name.rpartition(".")[2]
    return name.split(".")[2] if name.startswith(TASKS) and path.parent.parent.name == "tasks" else ""


def module(path: str) -> str:
    """The dotted name of a Python file (a path from the root)."""
    parts = Path(path).with_suffix("").parts
    parts = parts[1:] if parts[:1] == ("src",) else parts
    return ".".join(parts[:-1] if parts[-1:] == ("__init__",) else parts)


def changed(root: Path) -> list[str]:
    """Paths from the root that differ from the last commit, untracked ones included; `UserError` where git does not
    say."""
    found: set[str] = set()
    for command in (("diff", "--name-only", "--relative", "HEAD"), ("ls-files", "--others", "--exclude-standard")):
        done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = " ".join(done.stderr.split())
            raise UserError(f"git does not say what changed in {root} ({reason}); run `make test` without CHANGED.")
        found |= set(done.stdout.splitlines())
    return sorted(found)


class Deadline:
    """A plugin of pytest that ends the session, without a failure of its own, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.left = seconds, set[str]()

    def pytest_collection_finish(self, session: Any) -> None:
        """All files are left at first."""
        self.left = {item.location[0] for item in session.items}
        self.last = {item.location[0]: item.nodeid for item in session.items}

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """A file is done with its last test."""
        if self.last.get(location[0]) == nodeid:
            self.left.discard(location[0])

    def pytest_sessionstart(self, session: Any) -> None:
        """Set the clock."""
        import pytest

        def ring(*_: Any) -> None:
            pytest.exit("the time is over", returncode=int(session.testsfailed > 0))

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def pytest_sessionfinish(self) -> None:
        """Stop it: what is torn down now takes the time that it needs."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> int:
    """Run the touched test files; pytest's exit status, 0 where there is nothing to run."""
    import pytest

    began = time.monotonic()
    try:
        paths = changed(ROOT)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    reach = Reach(ROOT)
    near = reach.touched(paths)
    chosen = [test for test, distance in near.items() if distance <= 1 or not reach.heavy(test)]
    chosen.sort(key=reach.heavy)
    print(f"{len(paths)} files differ from the last commit; {len(near)} of {len(reach.files)} test files can feel it.",
          flush=True)
    if not chosen:
        return 0
    deadline = Deadline(max(1.0, SECONDS - (time.monotonic() - began)))
    status = int(pytest.main(chosen, plugins=[deadline]))
    left = len(near) - len(chosen) + len(deadline.left)
    if left:
        print(f"{left} of these {len(near)} test files were left to `make test`.")
    return status


if __name__ == "__main__":
    sys.exit(main())
