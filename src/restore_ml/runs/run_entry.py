"""One run's entry of a task's runs.yaml: its method, slots, seed and settings under a profile, checked.

What the settings are is said by `restore_ml.runs.merging`. A replicate (`of:`) repeats another run under its own seed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, shown
from restore_ml.registry import method_class, nearest
from restore_ml.runs.checks import known, one_of, whole
from restore_ml.runs.merging import FEATURES, merged, resolved

if TYPE_CHECKING:
    from restore_ml.method import Method

PROFILES = ("quick", "cpu", "gpu", "paper")
SLOTS = ("features", "teacher", "recogniser", "parts")
"""Where a run names other runs (`task/run`) whose models it uses; `none` leaves a slot empty."""
RUN_KEYS = ("method", "profiles", *SLOTS, "seed", "settings", "weights", "weights_licence", *PROFILES)
OUTSIDE_KEYS = ("outputs", "profiles", *SLOTS)
"""Of a run whose outputs another tool made; the slots stand there for DVC and are empty."""
REPLICATE_KEYS = ("of", *SLOTS, "seed")
"""Of a run that repeats another one (`of:`) under its own seed; the slots stand there for DVC and must agree."""
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
"""Run names are names of folders and of MLflow's runs."""


@dataclass(frozen=True)
class Run:
    """A method with its settings, as its task's runs.yaml names it, under the active profile."""

    name: str
    task: str
    method: str
    slots: dict[str, str]
    """The slots that are filled: name -> `task/run`."""
    seed: int
    settings: dict[str, Any]
    of: str = ""
    """The run of the same task that this one repeats under another seed (a replicate), or empty."""
    profiles: tuple[str, ...] = PROFILES
    """Those at which it is built (`profiles:` of its entry)."""
    weights: dict[str, str] = field(default_factory=dict)
    """Files of weights that others trained, by stored network, or one for all under the empty name; such a run is not
    trained (`restore_ml.imported`)."""
    weights_licence: str = ""
    """Theirs, as a person gave it."""
    outputs: str = ""
    """Where the outputs of another tool lie, of a run of kind `outside`; its method is `layout.OUTSIDE`, which is none.
    """

    @property
    def key(self) -> str:
        """`task/run`: two tasks may have runs of the same name."""
        return f"{self.task}/{self.name}"


def read_run(task_name: str, name: str, entries: dict[str, Any], active: tuple[str, str], seed: int,
             file: Path) -> Run:
    """The run `name` of the `entries` under `runs` of a task's `file`, with its settings under `active`: the profile,
    and which of `restore_ml.runs.merging.FEATURES`.

    Raises:
        UserError: a mistake in its entry, or in that of the run that it repeats.
    """
    if not RUN_NAME.fullmatch(name) or name == layout.NONE:
        raise UserError(f"{shown(name)} under runs in {file} is no name for a run; use letters, digits, dots, - and _, "
                        f"a letter or digit first, and not {layout.NONE!r}.")
    entry = entries[name] or {}
    entire = _inherited(name, entry, entries, seed)
    return _run(task_name, name, entire, active, seed, str(entry.get("of", "")))


def _inherited(name: str, entry: dict[str, Any], entries: dict[str, Any], seed: int) -> dict[str, Any]:
    """A replicate's entry as a whole: the settings of the run that it repeats, and its own seed."""
    if "of" not in entry:
        return entry
    where = f"the run {name!r}, a replicate,"
    known(entry, REPLICATE_KEYS, where)
    base = entries.get(str(entry["of"]))
    if not isinstance(base, dict) or "of" in base:
        singles = [run for run, other in entries.items() if "of" not in (other or {})]
        raise UserError(f"{where} repeats {shown(entry['of'])}, which is no run of its own."
                        f"{nearest(str(entry['of']), singles)}")
    if "outputs" in base:
        raise UserError(f"{where} repeats {entry['of']!r}, outputs of another tool, which no seed changes.")
    for slot in SLOTS:
        if (entry.get(slot) or layout.NONE) != (base.get(slot) or layout.NONE):
            raise UserError(f"{where} has another {slot} than {entry['of']!r}, which it repeats; write "
                            f"{slot}: {base.get(slot) or layout.NONE}.")
    if base.get("weights"):
        raise UserError(f"{where} repeats {entry['of']!r}, whose weights were trained by others; they have no seeds.")
    if whole(entry.get("seed"), f"seed of {where[:-1]}", 0) == base.get("seed", seed):
        raise UserError(f"{where} has the seed of {entry['of']!r}, which it repeats; give it another one.")
    return {"method": entry["of"], **base, "seed": entry["seed"]}


def _run(task_name: str, name: str, entry: dict[str, Any], active: tuple[str, str], seed: int, of: str = "") -> Run:
    where = f"the run {name!r} of {task_name}"
    if "outputs" in entry:
        return _outside(task_name, name, entry, seed, where)
    known(entry, RUN_KEYS, where)
    method = str(entry.get("method") or name)
    cls = method_class(task_name, method)
    profile, features = active
    by_features = {source: resolved(cls, method, merged(entry, profile, where, source), where) for source in FEATURES}
    return Run(name, task_name, method, _slots(entry, where), whole(entry.get("seed", seed), f"seed of {where}", 0),
               by_features[features], of, _profiles(entry, where), weights_of(cls, entry, where),
               _licence(entry, where))


def _outside(task_name: str, name: str, entry: dict[str, Any], seed: int, where: str) -> Run:
    """A run of another tool's outputs: no method, no settings, nothing in its slots."""
    known(entry, OUTSIDE_KEYS, f"{where}, outputs of another tool,")
    home = layout.outputs(task_name, name).as_posix()
    if entry["outputs"] != home:
        raise UserError(f"outputs of {where} is {shown(entry['outputs'])}; it must be {home}, where `restore-ml "
                        "outputs add` puts them.")
    if filled := _slots(entry, where):
        raise UserError(f"{where} is outputs of another tool, so nothing can fill its slot {next(iter(filled))}; write "
                        "none.")
    return Run(name, task_name, layout.OUTSIDE, {}, seed, {}, profiles=_profiles(entry, where), outputs=home)


def _profiles(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    """The profiles at which a run is built, in their own order; all without a word of it."""
    named = entry.get("profiles", list(PROFILES))
    if not isinstance(named, list) or not named:
        raise UserError(f"profiles of {where} is {shown(named)}; it must be a list, such as [gpu, paper].")
    for name in named:
        one_of(name, PROFILES, f"a profile under profiles of {where}")
    return tuple(name for name in PROFILES if name in named)


def weights_of(cls: type[Method], entry: dict[str, Any], where: str) -> dict[str, str]:
    """`weights:` of an entry, a file below brought/weights (`FILE#KEY` for what lies below a key of it), or one for
    each stored network."""
    given = entry.get("weights")
    if given is None:
        return {}
    if not cls.stored_networks:
        raise UserError(f"{where} has `weights`, and its method has no networks that they could fill; take that line "
                        "away.")
    files = given if isinstance(given, dict) else {"": given}
    if isinstance(given, dict) and set(files) != set(cls.stored_networks):
        raise UserError(f"weights of {where} names {', '.join(files) or 'nothing'}; it must name a file for each of "
                        f"{', '.join(cls.stored_networks)}, or be one file.")
    home = layout.brought_weights("").as_posix()
    for file in files.values():
        path = file.partition("#")[0] if isinstance(file, str) else ""
        if not path.startswith(f"{home}/") or ".." in path.split("/") or path.endswith("/"):
            raise UserError(f"weights of {where} is {shown(file)}; it must be a file in {home}/, where `restore-ml "
                            "weights import` puts it.")
    return files


def _licence(entry: dict[str, Any], where: str) -> str:
    """`weights_licence:` of an entry."""
    value = entry.get("weights_licence") or ""
    if not isinstance(value, str) or (value and not entry.get("weights")):
        raise UserError(f"weights_licence of {where} is {shown(value)}; it must be a text, beside `weights`.")
    return value


def _slots(entry: dict[str, Any], where: str) -> dict[str, str]:
    """The filled slots of a run's entry."""
    filled = {}
    for slot in SLOTS:
        value = entry.get(slot) or layout.NONE
        if value == layout.NONE:
            continue
        if not isinstance(value, str) or value.count("/") != 1:
            raise UserError(f"The slot {slot} of {where} is {shown(value)}; name a run as task/run, or write none.")
        filled[slot] = value
    return filled
