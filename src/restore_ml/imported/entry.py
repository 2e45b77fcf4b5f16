"""The entry of a run with weights of others in its task's runs.yaml, and its files in brought/weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_text, write_whole
from restore_ml.base.programs import dvc
from restore_ml.imported.model import Source
from restore_ml.runs import graph, settings
from restore_ml.runs.merging import resolved
from restore_ml.runs.one_line import flow
from restore_ml.runs.plain_yaml import read_mapping
from restore_ml.runs.replicates import RUNS, end_of_runs
from restore_ml.runs.run_entry import RUN_NAME, SLOTS

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,199}")
"""Names that DVC, git and YAML take as they are."""


@dataclass(frozen=True)
class Wish:
    """A run with weights of others: `changed` are the settings that differ from its method's paper, `files` those of
    its entry, where it has one (by network, as the entry has them)."""

    task: str
    run: str
    method: str
    changed: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    files: dict[str, str] = field(default_factory=dict)
    outside: bool = False
    """Whether the entry is one of outputs of another tool."""

    @classmethod
    def of(cls, root: Path, task: str, run: str) -> Wish | None:
        """What the entry of that name says; None where there is none."""
        entries = read_mapping(root / layout.runs_file(task), settings.GRAPH_KEYS).get("runs") or {}
        if run not in entries:
            return None
        entry = entries[run] or {}
        files = entry.get("weights") or {}
        return cls(task, run, str(entry.get("method") or entry.get("of") or run), dict(entry.get("settings") or {}),
                   str(entry.get("weights_licence") or ""), files if isinstance(files, dict) else {"": str(files)},
                   "outputs" in entry)

    def settings(self, root: Path) -> dict[str, Any]:
        """All of the run's settings, checked."""
        cls = registry.method_class(self.task, self.method)
        if not cls.stored_networks:
            raise UserError(f"The method {self.method!r} has no networks that weights could fill.")
        if not RUN_NAME.fullmatch(self.run) or self.run == layout.NONE:
            raise UserError(f"{self.run!r} is no name for a run; use letters, digits, dots, - and _, a letter or digit "
                            "first.")
        params = settings.load(root / layout.PARAMS)
        there = {**params.runs, **params.elsewhere}.get(f"{self.task}/{self.run}")
        if there is not None and there.method == self.method and not self.changed:
            return there.settings
        return resolved(cls, self.method, self.changed, f"the run {self.run!r}")


def write(root: Path, wish: Wish, sources: Mapping[str, Source], present: Wish | None) -> Iterator[str]:
    """Copy the files, write the entry and hand the files to DVC; a sentence for each of these.

    Raises:
        UserError: a name that cannot be kept, a file of that name that another run uses, an entry that does not hold;
            then the runs.yaml is as it was.
    """
    placed = {network: _place(root, source, wish, sources) for network, source in sources.items()}
    path = root / layout.runs_file(wish.task)
    before = path.read_text(encoding="utf-8")
    given = {network: placed[network].as_posix() + (f"#{source.part}" if source.part else "")
             for network, source in sources.items()}
    after = _with_entry(before, path, wish, given, root, present is not None)
    write_text(path, after)
    try:
        settings.load(root / layout.PARAMS)
        if (root / graph.TEMPLATE).exists():
            graph.wanted(root)
        for network, source in sources.items():  # last: an entry that does not hold has replaced no file
            _copy(source.path, root / placed[network])
    except BaseException:
        write_text(path, before)
        raise
    files = list(dict.fromkeys(str(file) for file in placed.values()))
    yield f"{', '.join(files)}: copied from {', '.join(dict.fromkeys(str(s.path) for s in sources.values()))}."
    if (root / ".dvc").is_dir():
        dvc(root, "add", "--quiet", *files)
        yield f"Kept by DVC: {', '.join(f'{file}.dvc' for file in files)}; commit them with {path.relative_to(root)}."
    else:
        yield f"{root} is no DVC repository, so the files are not pinned; `dvc init` and `dvc add` would do it."
    yield f"{path.relative_to(root)}: the run {wish.run!r} of the method {wish.method!r}, with these weights."
    if not wish.licence:
        yield "The licence of the weights is unknown; say it with --licence, or as `weights_licence` in the entry."
    yield (f"`dvc repro {layout.stage('score', wish.task, wish.run)}` restores and scores it; `make repro` also "
           "shows it in tables and gallery.")


def _place(root: Path, source: Source, wish: Wish, sources: Mapping[str, Source]) -> Path:
    """Where a file is kept: under its own name, which no other file of another content may have."""
    name = source.path.name
    if not FILE_NAME.fullmatch(name) or name.endswith(".dvc"):
        raise UserError(f"{name!r} is no name for a file in {layout.brought_weights('')}; rename it with letters, "
                        "digits, dots, + - and _.")
    if len({other.path.resolve() for other in sources.values() if other.path.name == name}) > 1:
        raise UserError(f"Two files are called {name}; rename one of them.")
    place = layout.brought_weights(name)
    if (root / place).exists() and sha256_of_file(root / place) != sha256_of_file(source.path):
        users = [run.key for run in _runs(root) if run.key != f"{wish.task}/{wish.run}"
                 and any(file.partition("#")[0] == place.as_posix() for file in run.weights.values())]
        if users:
            raise UserError(f"{place} is another file of that name, which {', '.join(users)} uses; rename yours.")
    return place


def _runs(root: Path) -> Iterator[settings.Run]:
    params = settings.load(root / layout.PARAMS)
    yield from params.runs.values()
    yield from params.elsewhere.values()


def _copy(source: Path, target: Path) -> None:
    """Copy a file in the place of what is there, which may be a link into DVC's cache."""
    if target.exists() and sha256_of_file(target) == sha256_of_file(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def fill(temporary: Path) -> None:
        shutil.copyfile(source, temporary)

    write_whole(target, fill)


def _with_entry(text: str, path: Path, wish: Wish, files: Mapping[str, str], root: Path, replace: bool) -> str:
    """A runs.yaml with the run's entry after the last one, or in the place of the one that it has."""
    kept = text.splitlines(keepends=True)
    place = end_of_runs(kept, path)
    if replace:
        _check_replaceable(path, wish)
        place, stop = _lines_of(kept, wish.run, path)
        kept = kept[:place] + kept[stop:]
    if place and not kept[place - 1].endswith("\n"):
        kept[place - 1] += "\n"
    return "".join([*kept[:place], *_entry(text, wish, files, root), *kept[place:]])


def _check_replaceable(path: Path, wish: Wish) -> None:
    """`UserError` where the run's entry says more than this command writes, which would be lost."""
    entry = read_mapping(path, settings.GRAPH_KEYS)["runs"][wish.run]
    more = [key for key in entry if key not in (*SLOTS, "method", "weights", "weights_licence", "settings")]
    if more:
        raise UserError(f"The entry of {wish.run!r} in {path} also has {', '.join(more)}, which this command does not "
                        "write; put the file's name in its line `weights:` yourself.")


def _lines_of(lines: list[str], run: str, path: Path) -> tuple[int, int]:
    """The first line of a run's entry and the one after its last."""
    runs = next((number for number, line in enumerate(lines) if RUNS.match(line)), 0)
    start = next((number for number, line in enumerate(lines)
                  if number > runs and line.startswith(f"  {flow(run)}:")), None)
    if start is None:
        raise UserError(f"The entry of {run!r} in {path} is not written as this command writes it; change it there.")
    stop = start + 1
    while stop < len(lines) and re.match(r"    |\s*$", lines[stop]) and lines[stop].strip():
        stop += 1
    return start, stop


def _entry(text: str, wish: Wish, files: Mapping[str, str], root: Path) -> Iterator[str]:
    """The lines of the entry. Slots that restoring uses are those of another run of the method."""
    used = registry.method_class(wish.task, wish.method).restoring_slots
    like = next((run for run in _runs(root) if (run.task, run.method) == (wish.task, wish.method)
                 and run.name != wish.run), None)
    slots = {slot: like.slots[slot] for slot in used if like and slot in like.slots}
    yield f"  {flow(wish.run)}:\n"
    if re.search(r"^empty: &empty ", text, re.MULTILINE):
        yield "    <<: *empty\n"
    else:
        slots = {slot: slots.get(slot, layout.NONE) for slot in SLOTS}
    content: dict[str, Any] = {**slots, "method": wish.method, "weights": files[""] if "" in files else dict(files)}
    content |= {"weights_licence": wish.licence} if wish.licence else {}
    content |= {"settings": wish.changed} if wish.changed else {}
    for key, value in content.items():
        yield f"    {key}: {flow(value)}\n"
