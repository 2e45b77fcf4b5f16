"""`restore-ml sync`: MLflow as a view of the tracked files, written so that a second run changes nothing.

One experiment and one registered model a task; one entry a run of ours, joined to its files by a fingerprint of code,
data, settings and result. An entry whose fingerprint the store has is kept, any other is written; what an entry
replaces stays as `superseded`; a run that left its runs.yaml is `archived` and hidden. Tags that may change without the
result (git commit, profile, state) are refreshed in place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import canonical_json, read_json, sha256
from restore_ml.base.provenance import UNCOMMITTED, Lock, commits
from restore_ml.evaluation.scoring import read_scores, read_task
from restore_ml.promotion import champion_scores as standing
from restore_ml.promotion import decisions, sweeps
from restore_ml.runs import settings
from restore_ml.tracking import aliases, descriptions, shared_view, store, writing
from restore_ml.tracking.entry import VIEW, Entry
from restore_ml.tracking.follow import KILLED, RUNNING, end, finished

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CURRENT, SUPERSEDED, ARCHIVED = "current", "superseded", "archived"


@dataclass
class SyncReport:
    """What a sync did: entries written, kept, superseded and archived, tags and aliases changed, sentences to show."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    superseded: list[str] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the store is another than before."""
        return bool(self.written or self.superseded or self.archived or self.refreshed or self.aliases)

    def __str__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name))} {name}"
                           for name in ("written", "kept", "superseded", "archived", "refreshed"))
        return "\n".join([f"MLflow: {counts}.", *self.aliases, *self.sentences])


def sync(root: Path, tasks: Sequence[str] | None = None) -> SyncReport:
    """Fill or refresh the store of the project at `root`, for all tasks or some. A second process waits for the
    first."""
    report = SyncReport()
    params = settings.load(root / "params.yaml")
    with store.writing(root), store.explained(root):
        aside = store.migrate(root)
        if aside is not None:
            report.sentences.append(f"The old store could not be used and was set aside as {aside.name}.")
        client = store.client(root)
        lock = Lock(root)
        for task in registry.task_names() if tasks is None else tasks:
            entries = list(_entries(root, task, params, lock, report))
            _Task(client, root, task, params.profile, report).refresh(entries, lock, {r.name for r in
                                                                                   params.runs_of(task)})
    return report


def _entries(root: Path, task: str, params: settings.Params, lock: Lock, report: SyncReport) -> Iterator[Entry]:
    """The task's runs that are built, and its champion where no run is that very model."""
    import pandas as pd

    scores = read_task(root, task)
    scores = pd.DataFrame({"run": pd.Series(dtype=str)}) if scores is None else scores
    built = set()
    for run in params.runs_of(task):
        folder = root / layout.model(task, run.name)
        if not (folder / "model.json").exists():
            report.sentences.append(f"The run {run.key} is not built yet.")
            continue
        code = {kind: read_json(file) for kind in ("train", "restore")
                if (file := root / layout.code(kind, task, run.name)).exists()}
        entry = Entry(root, task, run.name, folder, scores[scores["run"] == run.name].reset_index(drop=True),
                      lock.data, code=code)
        built.add(entry.model_sha256)
        yield entry
    champion = aliases.champion_folder(root, task)
    if champion is not None:
        name = str(read_json(champion / "model.json")["run"])
        data = str(read_json(champion / "decision.json").get("data") or lock.data)
        table = standing.path(root, task)
        own = sweeps.tested(task, read_scores(table)) if table.exists() else scores.iloc[:0]
        own = own[own["run"] == standing.name(champion)].reset_index(drop=True)
        entry = Entry(root, task, name, champion, own, data, role="champion")
        if entry.model_sha256 not in built:
            yield entry


class _Task:
    """Refreshes what the store holds of one task."""

    def __init__(self, client: MlflowClient, root: Path, task: str, profile: str, report: SyncReport) -> None:
        self.client, self.root, self.task, self.profile, self.report = client, root, task, profile, report
        self.registers = task in registry.tables()
        self.experiment = ""
        self.unfinished: set[str] = set()
        """The MLflow runs that a kill cut short."""

    def refresh(self, entries: list[Entry], lock: Lock, names: set[str]) -> None:
        """Bring all entries, the table and the aliases up to date."""
        self.experiment = self._experiment(bool(entries))
        if not self.experiment:
            return
        words = descriptions.Task(self.root, self.task)
        if self.registers and shared_view.ensure(self.client, self.experiment, self.task, words.experiment()):
            self.report.refreshed.append(f"{self.task}: view")
        committed = commits(self.root, {entry.key: _hashes(entry, lock) for entry in entries}, self.task)
        runs = self._runs()
        versions = aliases.versions(self.client, self.task) if self.registers else {}
        for identity in self.unfinished & set(versions):
            version = versions.pop(identity)
            self.client.delete_model_version(version.name, version.version)
        for entry in entries:
            mutable = {"git_commit": committed.get(entry.key, UNCOMMITTED), "profile": self.profile, "state": CURRENT}
            shown = words.run_tags(entry, entry.model_sha256 == words.champion_sha256)
            self._entry(entry, mutable, shown, runs, versions)
        self._table(runs)
        self._decisions(runs)
        self._retire(entries, runs, names)
        if self.registers:
            self.report.aliases += aliases.refresh(self.client, self.root, self.task, entries, words)

    def _experiment(self, needed: bool) -> str:
        if not needed and self.client.get_experiment_by_name(writing.registry_name(self.task)) is None:
            return ""
        identity = experiment(self.client, self.root, self.task)
        if self.registers:
            aliases.ensure(self.client, self.task)
        return identity

    def _runs(self) -> dict[str, Run]:
        """All entries by fingerprint; what a kill left unfinished is removed."""
        from mlflow.entities import ViewType

        runs: dict[str, Run] = {}
        self.unfinished.clear()
        done = finished(self.root)
        for run in store.every(lambda token: self.client.search_runs(
                [self.experiment], "", ViewType.ALL, 1000, page_token=token)):
            tags = run.data.tags
            if "live" in tags:
                self._end_live(run, done)
                continue
            if "fingerprint" in tags:
                runs.setdefault(tags["fingerprint"], run)
                continue
            self.unfinished.add(run.info.run_id)
            if run.info.lifecycle_stage == "active":
                end(self.client, run.info.run_id)
        return runs

    def _end_live(self, run: Run, done: set[str]) -> None:
        """A live run whose training has ended goes, also when no `sync --follow` was there to see it; that of one
        which a kill cut short is no longer running."""
        training = run.data.tags.get("training", "")
        over = training in done or not (self.root / layout.CHECKPOINTS / training / "history.csv").exists()
        if over and run.info.lifecycle_stage == "active":
            end(self.client, run.info.run_id)
        elif not over and run.info.status == RUNNING and run.info.lifecycle_stage == "active":
            # A training that is at work says so again with its next points.
            self.client.set_terminated(run.info.run_id, KILLED)

    def _entry(self, entry: Entry, mutable: dict[str, str], shown: dict[str, str], runs: dict[str, Run],
               versions: dict[str, Any]) -> None:
        run = runs.get(entry.fingerprint)
        if run is not None and not writing.intact(run):
            self._forget(run, versions)
            run = None
        if run is None:
            writing.write(self.client, self.experiment, entry, mutable, shown, self.registers)
            self.report.written.append(f"{self.task}: {entry.key}")
            return
        self.report.kept.append(f"{self.task}: {entry.key}")
        writing.fresh_costs(self.client, run, entry)
        if self._refresh_run(run, mutable | shown):
            self.report.refreshed.append(f"{self.task}: {entry.key}")
        version = versions.get(run.info.run_id)
        if version is not None:
            for key, value in mutable.items():
                if version.tags.get(key) != value:
                    self.client.set_model_version_tag(version.name, version.version, key, value)

    def _refresh_run(self, run: Run, tags: dict[str, str]) -> bool:
        changed = run.info.lifecycle_stage == "deleted"
        if changed:
            self.client.restore_run(run.info.run_id)
        for key, value in tags.items():
            if run.data.tags.get(key) != value:
                self.client.set_tag(run.info.run_id, key, value)
                changed = True
        return changed

    def _forget(self, run: Run, versions: dict[str, Any]) -> None:
        """An entry whose files are gone: out of the way, so that it is written anew."""
        if run.info.lifecycle_stage == "deleted":
            self.client.restore_run(run.info.run_id)
        self.client.delete_tag(run.info.run_id, "fingerprint")
        self.client.delete_run(run.info.run_id)
        version = versions.get(run.info.run_id)
        if version is not None:
            self.client.delete_model_version(version.name, version.version)

    def _retire(self, entries: list[Entry], runs: dict[str, Run], names: set[str]) -> None:
        wanted = {entry.fingerprint for entry in entries}
        for fingerprint, run in runs.items():
            tags = run.data.tags
            if fingerprint in wanted or tags.get("entry", "").startswith(("comparison", "promotion/", "turing")):
                continue
            gone = tags.get("entry", "").startswith("run/") and tags.get("run") not in names
            state = ARCHIVED if gone else SUPERSEDED
            if tags.get("state") == state:
                continue
            self.client.set_tag(run.info.run_id, "state", state)
            if gone and run.info.lifecycle_stage == "active":
                self.client.delete_run(run.info.run_id)
            (self.report.archived if gone else self.report.superseded).append(f"{self.task}: {tags.get('entry')}")

    def _decisions(self, runs: dict[str, Run]) -> None:
        """The task's promotion decisions, one run each, kept for ever."""
        written, kept = decisions.log(self.client, self.experiment, self.root, self.task, runs)
        self.report.written += [f"{self.task}: {name}" for name in written]
        self.report.kept += [f"{self.task}: {name}" for name in kept]

    def _table(self, runs: dict[str, Run]) -> None:
        """The task's comparison as an entry of its own: MLflow table, Markdown, CSV and plots."""
        folder = self.root / layout.comparison(self.task)
        if not (folder / "table.csv").exists():
            return
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        parts = {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in files}
        fingerprint = sha256(canonical_json({"view": VIEW, "task": self.task, "files": parts}).encode())[:32]
        for other, run in runs.items():
            tags = run.data.tags
            if tags.get("entry") == "comparison" and other != fingerprint and tags["state"] == CURRENT:
                self.client.set_tag(run.info.run_id, "state", SUPERSEDED)
                self.report.superseded.append(f"{self.task}: comparison")
        present = runs.get(fingerprint)
        if present is not None and writing.intact(present):
            self.report.kept.append(f"{self.task}: comparison")
            if self._refresh_run(present, {"state": CURRENT, "profile": self.profile}):
                self.report.refreshed.append(f"{self.task}: comparison")
            return
        tags = {"task": self.task, "entry": "comparison", "state": CURRENT, "profile": self.profile}
        writing.write_table(self.client, self.experiment, folder, tags, fingerprint)
        self.report.written.append(f"{self.task}: comparison")


def experiment(client: MlflowClient, root: Path, task: str) -> str:
    """The id of the task's experiment, which is made, or brought back, where there is none."""
    name = writing.registry_name(task)
    present = client.get_experiment_by_name(name)
    if present is not None and present.lifecycle_stage == "deleted":
        client.restore_experiment(present.experiment_id)
    if present is None:
        # The identity in the path is the database's own, so a refilled store never mixes with old folders.
        artifacts = store.artifacts(root) / f"{task}-{time.time_ns():x}"
        return str(client.create_experiment(name, artifact_location=artifacts.as_uri(), tags={"task": task}))
    return str(present.experiment_id)


def _hashes(entry: Entry, lock: Lock) -> set[str]:
    """The hashes in the locks that stand for the entry's result: its model and what it restored."""
    if entry.role != "run":
        return set()
    paths = (str(layout.model(entry.task, entry.run)), str(layout.restored(entry.task, entry.run)))
    return {lock.outs[path] for path in paths if path in lock.outs}
