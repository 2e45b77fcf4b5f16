"""params.yaml and graph/<task>/runs.yaml, read and checked: what a run's settings are under the active profile.

params.yaml holds what belongs to no task: `profile`, `seed`, `seeds`, `threads`, `processes`, `precision`, `features`,
`recogniser`, `weights` and `promotion`. A task's runs.yaml holds its `runs`, the settings of its `samples`, its
promotion `margins`, its primary case, and what dvc.yaml asks of it. Samples and runs have `settings` (for every
profile) and one mapping a profile with only what differs (`restore_ml.runs.merging`). Unknown keys and wrong kinds are
refused in a sentence that names the nearest right one, and so is what JSON cannot hold or what aliases blow up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError, short, shown
from restore_ml.registry import nearest, parts, support, tables
from restore_ml.runs.checks import known, mapping, one_of, right_one, same_kind, section, whole
from restore_ml.runs.merging import FEATURES, OWN, RECOGNISERS, VGG16, merged
from restore_ml.runs.plain_yaml import read_mapping
from restore_ml.runs.run_entry import PROFILES, Run, read_run

TOP_KEYS = ("profile", "seed", "seeds", "threads", "processes", "precision", "features", "recogniser", "weights",
            "promotion")
OLD_KEYS = ("tasks", "runs", "support")
"""Of params.yaml before each task had a file of its own."""
GRAPH_KEYS = ("task", "tables", "domain", "other_domain", "primary_case", "judge", "default", "samples", "margins",
              "empty", "runs", "tested")
"""Of a task's runs.yaml; `task`, `tables`, the domains, `empty` and `tested` stand there for dvc.yaml."""
SAMPLE_KEYS = ("settings", *PROFILES)
PRECISIONS = ("auto", "fp32", "bf16")
MOST_THREADS = 4096


@dataclass(frozen=True)
class Params:
    """All of params.yaml and of the tasks' runs.yaml under the active profile."""

    profile: str
    seed: int
    threads: int
    precision: str
    weights: dict[str, str]
    """Files that a user supplies: `vgg19: PATH` (ImageNet weights in torchvision's layout)."""
    tasks: dict[str, dict[str, Any]]
    """Settings of the samples by task."""
    runs: dict[str, Run]
    """By `task/run`, task after task: those that are built at the active profile."""
    promotion: dict[str, Any]
    processes: int = 1
    """In how many processes a network is trained, at most: see `processes_of`."""
    seeds: int = 1
    """How many seeds of a run the active profile asks for before the run may become champion."""
    primary_cases: dict[str, str] = field(default_factory=dict)
    """The case that ranks, of the tasks that name another one than their protocol's own."""
    judges: dict[str, str] = field(default_factory=dict)
    """The run (`task/run`) whose model a task's scores need, of the tasks that name one."""
    defaults: dict[str, str] = field(default_factory=dict)
    """The run that restores where there is no champion, of the tasks that name one: those whose metrics choose none."""
    features: str = OWN
    """Which of `FEATURES` a slot that names a feature network is filled with."""
    elsewhere: dict[str, Run] = field(default_factory=dict)
    """By `task/run`, the runs that are built at other profiles alone."""
    order: dict[str, list[str]] = field(default_factory=dict)
    """By task, the names of all its runs as its runs.yaml has them."""
    recogniser: str = OWN
    """Which of `RECOGNISERS` a slot or a judge that names a recogniser is filled with."""

    def processes_of(self, run: Run) -> int:
        """The largest number of processes, up to `processes`, that share the run's batch evenly."""
        batch = run.settings.get("batch") or 1
        return max(number for number in range(1, self.processes + 1) if batch % number == 0)

    def needs_of(self, run: Run) -> set[str]:
        """The runs (`task/run`) whose models a run or its scores need: those in its slots, and its task's judge."""
        judge = self.judges.get(run.task)
        return {*run.slots.values(), *([judge] if judge else [])}

    def runs_of(self, task: str) -> list[Run]:
        """The runs of a task in the order of its runs.yaml."""
        return [run for run in self.runs.values() if run.task == task]


def load(path: Path | None = None) -> Params:
    """Read and check params.yaml (of the project by default) and the runs.yaml of every task in graph/ beside it;
    every mistake is a `UserError`."""
    path = path or layout.root() / layout.PARAMS
    raw = read_mapping(path, TOP_KEYS)
    old = [key for key in OLD_KEYS if key in raw]
    if old:
        raise UserError(f"{path} has {' and '.join(old)}, as projects of an earlier version had; `restore-ml migrate` "
                        f"moves them to {layout.GRAPH}/<task>/runs.yaml.")
    known(raw, TOP_KEYS, str(path))
    profile = one_of(raw.get("profile"), PROFILES, f"profile in {path}")
    precision = one_of(raw.get("precision", "auto"), PRECISIONS, f"precision in {path}")
    features = one_of(raw.get("features", OWN), FEATURES, f"features in {path}")
    recogniser = one_of(raw.get("recogniser", OWN), RECOGNISERS, f"recogniser in {path}")
    weights = _weights(raw, path)
    if features == VGG16 and "vgg19" in weights:
        raise UserError(f"{path} has `features: {VGG16}` and a file of vgg19 under `weights`: two feature networks for "
                        f"one place. Write `features: {OWN}` to use the file, or `weights: {{}}` to use VGG16.")
    seed = whole(raw.get("seed", 1), "seed", 0)
    promotion = section(raw, "promotion", path)
    if "margins" in promotion:
        raise UserError(f"margins of promotion stand in {layout.GRAPH}/<task>/runs.yaml, not in {path}.")
    tasks, margins, primary_cases, judges, defaults, order = {}, {}, {}, {}, {}, {}
    runs: dict[str, Run] = {}
    elsewhere: dict[str, Run] = {}
    for name in (*support(), *tables()):
        file = path.parent / layout.runs_file(name)
        if not file.exists():
            continue
        graph = _graph(file, name)
        tasks[name] = _sample_settings(name, section(graph, "samples", file), profile)
        if name in tables() or graph.get("margins"):  # feature networks have none; the rule refuses theirs
            margins[name] = section(graph, "margins", file)
        if graph.get("primary_case") is not None:
            primary_cases[name] = str(graph["primary_case"])
        if graph.get("judge", layout.NONE) != layout.NONE:
            judges[name] = str(graph["judge"])
        if graph.get("default") is not None:
            defaults[name] = str(graph["default"])
        entries = mapping(graph, "runs", file)
        order[name] = list(entries)
        for run_name in entries:
            run = read_run(name, run_name, entries, (profile, features), seed, file)
            (runs if profile in run.profiles else elsewhere)[run.key] = run
    _check_named(profile, runs, elsewhere, judges, defaults)
    promotion |= {"margins": margins, "primary_case": primary_cases, "default": defaults}
    return Params(profile, seed, whole(raw.get("threads", 1), "threads", 1, MOST_THREADS), precision,
                  weights, tasks, runs, promotion,
                  whole(raw.get("processes", 1), "processes", 1, MOST_THREADS),
                  _seeds(raw.get("seeds") or {}, profile, path), primary_cases, judges, defaults, features,
                  elsewhere, order, recogniser)


def built_at(run: Run) -> str:
    """At which profiles a run is built: `built at gpu and paper alone`."""
    return f"built at {' and '.join(run.profiles)} alone"


def _check_named(profile: str, runs: dict[str, Run], elsewhere: dict[str, Run], judges: dict[str, str],
                 defaults: dict[str, str]) -> None:
    """Refuse a slot, a judge or a default that holds a run there is not, or that is not built where it is needed."""
    for what, other in _named(runs, judges, defaults):
        if other in runs and runs[other].outputs:
            raise UserError(f"{what} is {other!r}, outputs of another tool: there is no model of it to use. Name a run "
                            "that is built here.")
    for run in runs.values():
        for slot, other in run.slots.items():
            if other in elsewhere:
                raise UserError(f"The slot {slot} of the run {run.key!r} holds {other!r}, which is "
                                f"{built_at(elsewhere[other])}; give {run.name!r} these profiles too.")
            if other not in runs or other == run.key:
                raise UserError(f"The slot {slot} of the run {run.key!r} holds {shown(other)}, which is no other run; "
                                f"name one as task/run.{nearest(other, runs)}")
    for what, other in [*((f"judge of {name}", other) for name, other in judges.items()),
                        *((f"default of {name}", f"{name}/{other}") for name, other in defaults.items())]:
        if other in elsewhere:
            raise UserError(f"{what} is {other!r}, which is {built_at(elsewhere[other])}; it is needed at {profile}.")
    for name, other in judges.items():
        if other not in runs:
            raise UserError(f"judge of {name} is {shown(other)}, which is no run; name one as task/run, or none."
                            f"{nearest(other, runs)}")
    for name, other in defaults.items():
        if f"{name}/{other}" not in runs:
            own = [run.name for run in runs.values() if run.task == name]
            raise UserError(f"default of {name} is {shown(other)}, which is no run of it.{right_one(other, own)}")


def _named(runs: dict[str, Run], judges: dict[str, str], defaults: dict[str, str]) -> list[tuple[str, str]]:
    """What names a run whose model it needs, in words, and that run."""
    return [*((f"The slot {slot} of the run {run.key!r}", other) for run in runs.values()
              for slot, other in run.slots.items()),
            *((f"judge of {name}", other) for name, other in judges.items()),
            *((f"default of {name}", f"{name}/{other}") for name, other in defaults.items())]


def graph_tasks(root: Path) -> list[str]:
    """The tasks that have a runs.yaml in the project, feature networks first; a folder that is no task is refused."""
    tasks = {path.parent.name for path in (root / layout.GRAPH).glob("*/runs.yaml")}
    for name in sorted(tasks):
        one_of(name, (*tables(), *support()), f"the folder {layout.GRAPH}/{name}")
    return [name for name in (*support(), *tables()) if name in tasks]


def default_of(root: Path, task: str) -> str:
    """The run that the task's runs.yaml (which alone is read) names for people where there is no champion, or an empty
    text."""
    file = root / layout.runs_file(task)
    return str(_graph(file, task).get("default") or "") if file.exists() else ""


def _graph(file: Path, name: str) -> dict[str, Any]:
    """A task's runs.yaml; what stands there for DVC alone must say what it has to."""
    graph = read_mapping(file, GRAPH_KEYS)
    known(graph, GRAPH_KEYS, str(file))
    if graph.get("task", name) != name:
        raise UserError(f"task in {file} is {shown(graph['task'])}; it must be {name}.")
    if graph.get("tables", []) not in ([], [name]):
        raise UserError(f"tables in {file} is {shown(graph['tables'])}; it must be [{name}], or [] without tables.")
    if graph.get("tested") and graph["tested"] != graph.get("runs"):
        raise UserError(f"tested in {file} must repeat runs; write `runs: &runs` and `tested: *runs`.")
    return graph


def set_profile(profile: str, path: Path | None = None) -> bool:
    """Rewrite the one line `profile:` of params.yaml; returns whether it changed anything."""
    from restore_ml.base.files import write_text

    path = path or layout.root() / layout.PARAMS
    one_of(profile, PROFILES, "PROFILE")
    try:
        text = path.read_bytes().decode("utf-8")  # as it is: line ends and a byte order mark stay
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8 ({error}); save it as UTF-8.") from None
    line = re.compile(r"^(\ufeff?)profile[ \t]*:(?:[ \t]*[^\s#]\S*)?", re.MULTILINE)
    if (count := len(line.findall(text))) != 1:
        raise UserError(f"{path} must have exactly one line that starts with 'profile:'; it has {count}.")
    new = line.sub(rf"\g<1>profile: {profile}", text)
    if new != text:
        write_text(path, new)
    return new != text


def _seeds(entry: Any, profile: str, path: Path) -> int:
    """`seeds:` of params.yaml, a mapping from profiles to numbers of seeds a run; 1 where the profile has none."""
    if not isinstance(entry, dict):
        raise UserError(f"seeds in {path} is {shown(entry)}; it must be a mapping from profiles to numbers of seeds a "
                        "run.")
    for name, count in entry.items():
        one_of(name, PROFILES, f"a profile under seeds in {path}")
        whole(count, f"seeds of {name} in {path}", 1)
    return int(entry.get(profile, 1))


def _sample_settings(name: str, entry: dict[str, Any], profile: str) -> dict[str, Any]:
    where = f"samples of {name}"
    known(entry, SAMPLE_KEYS, where)
    settings = merged(entry, profile, where)
    if settings:
        described = parts(name)
        for key, value in settings.items():
            if key in described.defaults:
                same_kind(described.defaults[key], value, f"{key} of {where}")
        described.check_settings(settings)
    return settings


def _weights(raw: dict[str, Any], path: Path) -> dict[str, str]:
    value = section(raw, "weights", path)
    for name, file in value.items():
        if not isinstance(file, str):
            raise UserError(f"{short(name)} under weights in {path} is {shown(file)}; it must be the path of a file.")
    return value
