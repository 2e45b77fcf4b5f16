"""`restore-ml sync --follow`: ships the plain history of trainings that are running, so that training needs no MLflow.

Each folder of .state/checkpoints with a growing history.csv gets a run tagged `live` in its task's experiment. When
the training has ended (its folder is gone, or its model is written) the live run goes: `sync` writes the real one.
One whose training was killed is `KILLED` from the end of the rebuild, or the next sync, until the training goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.tracking import store, writing
from restore_ml.tracking.entry import curves
from restore_ml.training.train import DONE

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUNNING, KILLED = "RUNNING", "KILLED"


def follow(root: Path, seconds: float = 5.0, stop: Callable[[], bool] = lambda: False) -> None:
    """Ship what was added every `seconds`, until `stop()` is true (asked once a round) or the process is ended."""
    with store.writing(root), store.explained(root):
        store.migrate(root)
    follower = Follower(root)
    while True:
        follower.ship()
        if stop():
            return
        time.sleep(seconds)


class Follower:
    """Keeps what was shipped of each training; a new follower goes on where another one ended."""

    def __init__(self, root: Path) -> None:
        """Find the live runs that an earlier follower left."""
        self.root = root
        self.client: MlflowClient = store.client(root)
        self.shipped: dict[str, tuple[str, int]] = {}
        """Training -> (MLflow run, points shipped)."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        for run in store.every(lambda token: self.client.search_runs(
                experiments, "tags.live = 'true'", max_results=1000, page_token=token)):
            count = run.data.tags.get("points", "0")
            self.shipped[run.data.tags.get("training", "")] = (run.info.run_id, int(count) if count.isdigit() else 0)

    def ship(self) -> list[str]:
        """One round; returns the trainings that had something new."""
        new = []
        running = {path.parent.name: path for path in (self.root / layout.CHECKPOINTS).glob("*/history.csv")}
        done = finished(self.root)
        for training, path in sorted(running.items()):
            if training not in done and self._ship_one(training, path):
                new.append(training)
        for training in [name for name in self.shipped if name not in running or name in done]:
            end(self.client, self.shipped.pop(training)[0])
        return new

    def rest(self) -> None:
        """The last round, when nothing trains any more: no run is left running."""
        self.ship()
        for identity, _ in self.shipped.values():
            self.client.set_terminated(identity, KILLED)

    def _ship_one(self, training: str, path: Path) -> bool:
        try:
            points = curves(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):  # the training ended between the listing and the reading
            return False
        identity, count = self.shipped.get(training, ("", 0))
        count = min(count, len(points))  # a resumed training cuts its history back, and repeats what it cut
        if not points[count:]:
            if identity:
                self.shipped[training] = (identity, count)
            return False
        if not identity:
            identity = self._create(training, path.parent)
        elif self.client.get_run(identity).info.status != RUNNING:
            self.client.update_run(identity, RUNNING)
        writing.log(self.client, identity, {}, {}, points[count:], int(time.time() * 1000))
        self.client.set_tag(identity, "points", str(len(points)))
        self.shipped[training] = (identity, len(points))
        return True

    def _create(self, training: str, folder: Path) -> str:
        header = _header(folder / "run.json")
        task = str(header.get("task", ""))
        name = writing.registry_name(task) if task in registry.task_names() else "restore-training"
        present = self.client.get_experiment_by_name(name)
        artifacts = store.artifacts(self.root) / f"{name}-{time.time_ns():x}"
        experiment = present.experiment_id if present else self.client.create_experiment(name, artifacts.as_uri())
        tags = {"live": "true", "training": training, "run": str(header.get("run", training))}
        run = self.client.create_run(experiment, tags=tags, run_name=f"{tags['run']} (training)")
        return str(run.info.run_id)


def end(client: MlflowClient, identity: str) -> None:
    """Take a run away that will not go on; a deleted run must not say for ever that it is running."""
    client.set_terminated(identity, KILLED)
    client.delete_run(identity)


def finished(root: Path) -> set[str]:
    """The trainings (their fingerprints) whose models are written, here or by an experiment that left no model here."""
    written = {str(_header(path).get("fingerprint", "")) for path in (root / layout.MODELS).glob("*/*/model.json")}
    return written | {path.parent.name for path in (root / layout.CHECKPOINTS).glob(f"*/{DONE}")}


def _header(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing when it is missing or half written."""
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}
