"""The graph that DVC reads, kept in step with the tasks: `restore-ml graph`.

graph/task.yaml holds the stages of a task, once. DVC follows no symbolic links in earlier commits, so each task has a
copy of it, graph/<task>/dvc.yaml, byte for byte. The root's dvc.yaml names each runs.yaml (their folder holds the locks
as well, which DVC itself writes), the folder of each kind of data and what is plotted of each table.
"""

from __future__ import annotations

import re
from pathlib import Path

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_text
from restore_ml.data import domains
from restore_ml.data.manifest import QUARANTINE
from restore_ml.registry import tables
from restore_ml.runs.plain_yaml import read_mapping
from restore_ml.runs.run_entry import SLOTS
from restore_ml.runs.settings import GRAPH_KEYS, graph_tasks

TEMPLATE = layout.GRAPH / "task.yaml"
RUNS_LINE = re.compile(rf"^      - {layout.GRAPH}/[^/\n]+/runs\.yaml\n", re.MULTILINE)
DOMAIN_LINES = re.compile(rf"^      - {layout.PREPARED}/[^/.\n]+:\n          persist: true\n", re.MULTILINE)
NEEDED = ("task", "tables", "domain", "other_domain", "judge", "runs", "tested")
"""What graph/task.yaml asks of a runs.yaml."""


def write(root: Path) -> list[Path]:
    """Bring every dvc.yaml up to date; returns the files that changed. A `UserError` for a runs.yaml that DVC could
    not use."""
    changed = []
    for path, text in wanted(root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(path)
    return changed


def check(root: Path) -> None:
    """Say in a sentence what DVC would say in words of its own: an entry that lacks a slot, a copy that is not one."""
    for path, text in wanted(root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path.relative_to(root)} is not what {TEMPLATE} and the tasks ask for; `restore-ml "
                            "graph` writes it.")


def wanted(root: Path) -> dict[Path, str]:
    """What each dvc.yaml should hold."""
    template = root / TEMPLATE
    if not template.exists():
        raise UserError(f"{template} does not exist; take it from the repository, with {layout.STAGES} and pipelines.")
    tasks = graph_tasks(root)
    shown = [task for task in tasks if _check_runs(root, task)]
    stages = template.read_text(encoding="utf-8")
    files = {root / layout.stages_file(task): stages for task in tasks}
    text = RUNS_LINE.sub("", (root / layout.STAGES).read_text(encoding="utf-8"))
    lines = "".join(f"      - {layout.runs_file(task)}\n" for task in sorted(tasks))
    text, count = re.subn(r"(?<=^      - constraints\.txt\n)", lines, text, flags=re.MULTILINE)
    kinds = "".join(f"      - {layout.PREPARED}/{name}:\n          persist: true\n" for name in domains.names())
    text, outs = re.subn(rf"(?=^      - {layout.PREPARED}/{QUARANTINE}:)", kinds, DOMAIN_LINES.sub("", text),
                         flags=re.MULTILINE)
    start = text.find("\nplots:\n")
    if count != 1 or outs != 1 or start < 0:
        raise UserError(f"{root / layout.STAGES} lacks the line `- constraints.txt`, "
                        f"`- {layout.PREPARED}/{QUARANTINE}:` or `plots:`; take it from the repository.")
    return files | {root / layout.STAGES: text[:start] + "\nplots:\n" + "".join(_plots(task) for task in tables()
                                                                            if task in shown)}


def _check_runs(root: Path, task: str) -> bool:
    """Whether the task has tables; a `UserError` where graph/task.yaml would find something missing."""
    path = root / layout.runs_file(task)
    graph = read_mapping(path, GRAPH_KEYS)
    for key in NEEDED:
        if key not in graph:
            raise UserError(f"{path} lacks `{key}:`; see another task's file.")
    for name, entry in (graph["runs"] or {}).items():
        missing = [slot for slot in SLOTS if not isinstance(entry, dict) or entry.get(slot) is None]
        if missing:
            raise UserError(f"The run {name!r} in {path} lacks {', '.join(missing)}; write `<<: *empty` first in its "
                            "entry (DVC wants every slot to be there).")
    stated, asked = [graph["domain"], graph["other_domain"]], domains_of(task)
    if stated != asked:
        raise UserError(f"{path} says `domain: {stated[0]}` and `other_domain: {stated[1]}`; {task} draws from "
                        f"`domain: {asked[0]}` and `other_domain: {asked[1]}`.")
    return bool(graph["tables"])


def domains_of(task: str) -> list[str]:
    """The two kinds of data that a runs.yaml names for DVC: what is degraded is made from these alone. The second one
    is that of the other roles, or of the other test sets; a task of one kind has it twice, since DVC takes no lists."""
    cases = registry.parts(task).cases
    kinds = list(dict.fromkeys([*registry.task(task).roles.values(), *(cases.also_from if cases else ())]))
    if len(kinds) > 2:
        raise UserError(f"{task} draws from {', '.join(kinds)}; {TEMPLATE} has room for two kinds of data.")
    return [kinds[0], kinds[-1]]


def _plots(task: str) -> str:
    """What `dvc plots show` draws of a task: the primary metric of every run, the loss terms of every training."""
    from restore_ml.tasks.protocol import protocol

    title, metric = task.replace("_", " ").capitalize(), protocol(task).primary
    folder = layout.comparison(task) / "plots"
    return (f"  - {title}, {metric}:\n      template: bar_horizontal\n      x: {metric}\n"
            f"      y: {{{folder}/primary.csv: run}}\n"
            f"  - {title}, loss terms: {{template: runs, x: step, y: {{{folder}/curves.csv: value}}}}\n")
