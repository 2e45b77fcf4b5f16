"""Moves the champions: `promote` on evidence, `rollback` by hand; nothing else writes champions/.

One process at a time holds the lock of the champions; a second waits for it and says so in a sentence when it takes
too long. Afterwards the folders are handed to DVC (`dvc_add`) and `sync` moves the aliases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_text
from restore_ml.base.programs import dvc
from restore_ml.base.provenance import Lock
from restore_ml.data import licences
from restore_ml.evaluation.comparison import first_case
from restore_ml.evaluation.scoring import read_task, scored_runs
from restore_ml.promotion import champion_scores as standing
from restore_ml.promotion import decisions
from restore_ml.promotion.champion_folders import CHAMPION, PREVIOUS, digest, install, read_champion, recover, swap
from restore_ml.promotion.deciding import Decision, decide
from restore_ml.promotion.rule import Rule, resolve
from restore_ml.registry import tables
from restore_ml.runs import settings
from restore_ml.tasks.protocol import protocol

WAIT = 600.0
"""Seconds that a second process waits for the first."""


@contextmanager
def writing(root: Path, seconds: float | None = None) -> Iterator[None]:
    """Only one process at a time moves champions; a second waits, `WAIT` seconds at most."""
    from filelock import FileLock, Timeout

    folder = root.resolve() / layout.STATE
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "champions.lock", timeout=WAIT if seconds is None else seconds):
            yield
    except Timeout:
        raise UserError("Another process is moving the champions of this project; wait for it or end it.") from None


def promote(root: Path, tasks: Sequence[str] | None = None, *, dry_run: bool = False) -> list[str]:
    """Decide for each task that has scores and move its champion where the rule says so; a sentence a task.

    With `dry_run` nothing is written. The caller hands the folders to DVC afterwards (`dvc_add`) and syncs MLflow.
    """
    params = settings.load(root / "params.yaml")
    tasks = tables() if tasks is None else tasks
    for task in tasks:
        resolve(task, params.promotion)
    sentences = []
    with writing(root):
        for task in tasks:
            if not dry_run:
                recover(root / layout.champions(task))
                decisions.heal(root, task)
            if scored_runs(root, task):
                sentences.append(f"{task}: {_promote(root, task, params, dry_run)}")
    return sentences or ["Nothing is scored yet, so nothing can be promoted; `make repro` builds and scores the runs."]


def _promote(root: Path, task: str, params: settings.Params, dry_run: bool) -> str:
    import pandas as pd

    scores = read_task(root, task)
    assert scores is not None  # asked before
    models, rule = root / layout.models(task), resolve(task, params.promotion)
    teams, seeds = _teams(root, task, params)
    evidence = decisions.evidence(task, scores, models, rule, params.profile, seeds, teams)
    earlier = decisions.last_word(root, task, evidence)
    if earlier is not None:
        if not dry_run:
            write_page(root, task)
        return f"nothing new; decided before: {earlier['sentence']}"
    folder = root / layout.champion(task)
    champion = read_champion(folder)
    own = standing.rows(root, task, scores) if champion is not None and len(scores) else None
    if champion is not None and own is not None:
        champion, scores = {**champion, "scored_as": standing.name(folder)}, pd.concat([scores, own], ignore_index=True)

    def probe(run: str, asked: Rule) -> dict[str, Any]:
        from restore_ml.promotion.probes import probe as look

        case = first_case(protocol(task), scores["case"], asked.primary_case)
        return look(root, task, run, case, asked, decisions.latency(root, task, digest(models / run)))

    decision = decide(task, scores, models, champion, params.promotion, profile=params.profile, replicates=teams,
                      seeds=seeds, probe=probe)
    under = licences.of_model(root, root / layout.model(task, decision.install)) if decision.promoted else {}
    sentence = f"{decision.sentence} {licences.warning(under)}".rstrip()
    if not decision.asked or dry_run:
        return sentence
    record = _record(root, decision, evidence, params.profile, digest(folder))
    record |= {"licences": under} if decision.promoted else {}
    if decision.promoted:
        install(root, task, decision.install, record)
        standing.take_over(root, task, scores[scores["run"] == decision.install])
    decisions.append(root, task, record)
    write_page(root, task)
    return sentence


def _teams(root: Path, task: str, params: settings.Params) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Run -> itself and its replicates, and run -> the seeds that the profile asks of it: none of a run that draws
    nothing (code/compare/<task>.json says which those are)."""
    path = root / layout.code("compare", task)
    kinds = {entry["run"]: entry["kind"] for entry in read_json(path)["runs"]} if path.exists() else {}
    runs = params.runs_of(task)
    teams = {run.name: [run.name, *(other.name for other in runs if other.of == run.name)]
             for run in runs if not run.of}
    return teams, {run: params.seeds for run in teams if kinds.get(run) not in ("no training", "imported")
                   and params.seeds > 1}


def _record(root: Path, decision: Decision, evidence: str, profile: str, present: str) -> dict[str, Any]:
    """A decision with what it was made from: profile, data, commit, the hashes of the models before and after."""
    challenger = digest(root / layout.model(decision.task, decision.install)) if decision.install else ""
    return {**decision.as_json(), "kind": decisions.PROMOTED if decision.promoted else decisions.KEPT,
            "evidence": evidence, "profile": profile, "data": Lock(root).data, "commit": decisions.commit(root),
            "challenger_sha256": challenger, "model_sha256": challenger if decision.promoted else present}


def rollback(root: Path, task: str) -> str:
    """Put the previous champion back in its place, and the present one aside, so that a second call undoes the first.

    It holds until there is new evidence: promoting again on the same scores changes nothing.
    """
    params = settings.load(root / "params.yaml")
    home = root / layout.champions(task)
    with writing(root):
        recover(home)
        decisions.heal(root, task)
        before = read_champion(home / CHAMPION)
        swap(home)
        run = str(read_json(home / CHAMPION / "model.json")["run"])
        replaced = "" if before is None else str(before["run"])
        sentence = f"{run} is the champion of {task} again" + (f", in place of {replaced}." if replaced else ".")
        decisions.append(root, task, {
            "kind": decisions.ROLLBACK, "task": task, "run": run, "champion": replaced, "sentence": sentence,
            "evidence": _evidence_now(root, task, params), "model_sha256": digest(home / CHAMPION),
            "profile": params.profile, "data": Lock(root).data, "commit": decisions.commit(root)})
        write_page(root, task)
    return sentence


def _evidence_now(root: Path, task: str, params: settings.Params) -> str:
    """The hash of today's evidence; empty where nothing is scored."""
    scores = read_task(root, task)
    if scores is None:
        return ""
    teams, seeds = _teams(root, task, params)
    return decisions.evidence(task, scores, root / layout.models(task), resolve(task, params.promotion),
                              params.profile, seeds, teams)


def write_page(root: Path, task: str) -> None:
    """Write reports/promotion/<task>.html from the history, where its text changes."""
    from restore_ml.report.promotion import page

    records = decisions.history(root, task)
    if not records:
        return
    path, text = root / layout.REPORTS / "promotion" / f"{task}.html", page(task, records)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def dvc_add(root: Path) -> list[str]:
    """Hand every champion's folder to DVC (`dvc add`, which does nothing for what it has) and bring the stage
    `champion` of each task up to date, so that `dvc status` is clean; returns the folders.

    The rows of a champion that has just been promoted are there already (`standing.take_over`); where nothing but the
    champion differs they are committed, elsewhere the stage runs. Nothing happens outside a DVC project. `UserError`
    when DVC refuses.
    """
    folders = [path.relative_to(root) for path in sorted((root / layout.CHAMPIONS).glob("*/*"))
               if path.name in (CHAMPION, PREVIOUS) and path.is_dir()]
    if not folders or not (root / ".dvc").is_dir():
        return []
    dvc(root, "add", "--quiet", *map(str, folders))
    tasks = [task for task in sorted({folder.parts[1] for folder in folders}) if standing.path(root, task).exists()]
    if tasks:
        _bring_up_to_date(root, tasks)
    return [str(folder) for folder in folders]


def _bring_up_to_date(root: Path, tasks: Sequence[str]) -> None:
    """What depends on the champions: the hashes of their methods' code, their rows, and the view of both."""
    if _of_another_method(root, tasks):
        dvc(root, "repro", "--quiet", "--force", "--single-item", "code")
    champion = {task: layout.stage("champion", task, task) for task in tasks}
    scored = {task: [layout.stage("score", task, run) for run in scored_runs(root, task)] for task in tasks}
    status = json.loads(dvc(root, "status", "--json", *champion.values(), *(
        stage for stages in scored.values() for stage in stages), "register"))
    stale = [task for task in tasks if champion[task] in status]
    taken = [task for task in stale if not any(stage in status for stage in scored[task])
             and standing.is_current(root, task) and _changed(status[champion[task]]) <= {
                 layout.champions(task).as_posix(), layout.code("champion", task).as_posix()}]
    for task in taken:
        dvc(root, "commit", "--force", "--quiet", champion[task])
    left = [champion[task] for task in stale if task not in taken]
    if left:
        dvc(root, "repro", "--quiet", "--single-item", *left)
    view = _changed(status.get("register", []))
    if stale and view <= {layout.champion_scores("").parent.as_posix()}:  # whoever moves a champion syncs MLflow
        dvc(root, "commit", "--force", "--quiet", "register")


def _of_another_method(root: Path, tasks: Sequence[str]) -> bool:
    """Whether code/champion/<task>.json was written for a champion of another method."""
    for task in tasks:
        path, code = root / layout.champion(task) / "model.json", root / layout.code("champion", task)
        method = read_json(path)["method"] if path.exists() else ""
        if code.exists() and read_json(code)["method"] != method:
            return True
    return False


def _changed(entries: list[Any]) -> set[str]:
    """The dependencies that `dvc status --json` says have changed."""
    return {path for entry in entries if isinstance(entry, dict) for path in entry.get("changed deps", {})}
