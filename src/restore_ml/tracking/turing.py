"""The blind test in MLflow: a run `turing` in the task's experiment, written so that the same answers change nothing.

The files of answers are the source and lie with it as artifacts; what new answers replace stays as `superseded`.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.base import layout
from restore_ml.base.files import canonical_json, sha256, write_text
from restore_ml.report.turing import FOOLED, Report
from restore_ml.tracking import descriptions, shared_view, store, writing
from restore_ml.tracking.sync import CURRENT, SUPERSEDED, experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

VIEW = 1
"""What a report looks like in the store; raise it when that changes."""
ENTRY = "turing"


def log(root: Path, result: Report) -> str:
    """Bring the task's experiment up to date with a report that is written (`report.turing.report`); a sentence."""
    folder = root / layout.REPORTS / "turing"
    files = [folder / f"{result.task}.csv", folder / f"{result.task}.md"]
    texts = sorted(session.text for session in result.sessions)
    parts = {"view": VIEW, "task": result.task, "answers": [sha256(text.encode()) for text in texts],
             "files": [sha256(path.read_bytes()) for path in files]}
    fingerprint = sha256(canonical_json(parts).encode())[:32]
    name = writing.registry_name(result.task)
    with store.writing(root):
        aside = store.migrate(root)
        client = store.client(root)
        experiment_id = experiment(client, root, result.task)
        shared_view.ensure(client, experiment_id, result.task, descriptions.Task(root, result.task).experiment())
        runs = _runs(client, experiment_id)
        present = next((run for run in runs
                        if run.data.tags.get("fingerprint") == fingerprint and writing.intact(run)), None)
        for run in runs:
            wanted = CURRENT if run is present else SUPERSEDED
            if run.data.tags.get("state") != wanted:
                client.set_tag(run.info.run_id, "state", wanted)
        if present is None:
            _write(client, experiment_id, result, files, texts, fingerprint)
    said = f"MLflow has this report already (experiment {name}, run turing)." if present is not None else (
        f"Written to MLflow: experiment {name}, run turing.")
    return said if aside is None else f"The old store could not be used and was set aside as {aside.name}. {said}"


def _runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    return list(store.every(lambda token: client.search_runs(
        [experiment_id], f"tags.entry = '{ENTRY}'", max_results=1000, page_token=token)))


def _write(client: MlflowClient, experiment_id: str, result: Report, files: list[Path], texts: list[str],
           fingerprint: str) -> None:
    now = int(time.time() * 1000)
    tags = {"task": result.task, "entry": ENTRY, "state": CURRENT, "mlflow.source.name": "restore-ml turing report",
            "mlflow.note.content": files[1].read_text(encoding="utf-8")[:5000]}
    run = client.create_run(experiment_id, start_time=now, run_name="turing", tags=tags)
    identity = run.info.run_id
    writing.log(client, identity, {"sessions": str(len(result.sessions))}, _metrics(result), [], now)
    client.log_table(identity, result.table, "turing.json")
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            write_text(Path(folder) / path.name, path.read_text(encoding="utf-8"))
        for number, text in enumerate(texts, 1):
            write_text(Path(folder) / "answers" / f"{number:05d}.json", text)
        client.log_artifacts(identity, folder)
    client.set_terminated(identity, "FINISHED", end_time=now)
    client.set_tag(identity, "fingerprint", fingerprint)  # last: what a kill cut short has none, and sync removes it


def _metrics(result: Report) -> dict[str, float]:
    """`turing_fool_rate/<run>` and `turing_preferred/<run>_over_<run>` with `_low`, `_high` and `_pairs`.

    Where a method was tested as several models, or with several times, the present model and the longest time count.
    """
    metrics: dict[str, float] = {}
    for row in result.table.sort_values(["present", "seconds"], kind="stable").to_dict("records"):
        name = (f"turing_fool_rate/{row['run']}" if row["question"] == FOOLED
                else f"turing_preferred/{row['run']}_over_{row['against']}")
        metrics |= {name: row["rate"], f"{name}_low": row["low"], f"{name}_high": row["high"],
                  f"{name}_pairs": float(row["pairs"])}
    people, pairs = result.table["people"].max(), result.table["pairs"].sum()
    return metrics | {"turing_people": float(people), "turing_pairs": float(pairs)}
