"""Writes one entry of the view into MLflow: a run with curves, pictures and files, and its model, registered."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from restore_ml.base import layout
from restore_ml.base.files import copy_files, read_json, write_json, write_text
from restore_ml.tracking import descriptions, package
from restore_ml.tracking.entry import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REQUIREMENTS = ("numpy", "pandas", "pillow", "safetensors", "torch", "scipy", "scikit-image", "scikit-learn",
                "opencv-python-headless", "pyarrow", "ruamel.yaml", "mlflow")
"""What a model needs beside the package that lies in it; versions are those of this environment."""
MLFLOW_LOGGED_ARTIFACTS = "mlflow.loggedArtifacts"
"""The tag by which MLflow's pages know a table among a run's artifacts (what `log_table` sets; it takes 0.1 s)."""
CASES, WITHOUT_TRUTH = "cases.json", "without_truth.json"
PICTURES = 3
"""Restored pictures shown with a run."""
POINTS_A_CALL, VALUES_A_CALL = 1000, 100  # what MLflow takes in one batch


def registry_name(task: str) -> str:
    """`restore-super-resolution`: the experiment and the registered model of a task."""
    return f"restore-{task.replace('_', '-')}"


def write(client: MlflowClient, experiment: str, entry: Entry, mutable: dict[str, str], shown: dict[str, str],
          register: bool) -> str:
    """Write one entry and, where `register`, its model as a new version; returns the id of the MLflow run.

    `mutable`: tags of run and version that may change without the result; `shown`: those that only the run has
    (`descriptions.Task.run_tags`). The tag `fingerprint` comes last: an entry that a kill cut short has none and is
    written anew.
    """
    now = int(time.time() * 1000)
    start, end = entry.times() or (now, now)
    licences = descriptions.trained_under(entry) if entry.role == "run" else ""
    mutable = mutable | ({"licences": licences} if licences else {})
    table = {MLFLOW_LOGGED_ARTIFACTS: json.dumps([{"path": CASES, "type": "table"}])} if len(entry.scores) else {}
    run = client.create_run(experiment, start_time=start, run_name=entry.run,
                            tags={**entry.tags(), **mutable, **shown, **table, "mlflow.source.name": "restore-ml sync"})
    identity = run.info.run_id
    if register and entry.usable:
        _log_model(client, identity, entry, mutable)
    log(client, identity, entry.params(), entry.metrics() | entry.costs(), entry.curves(), end)
    _log_data(client, identity, entry.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (entry.folder / "model.json", entry.folder / "history.csv"):
            if path.exists():
                shutil.copyfile(path, folder / path.name)
        write_json(folder / "code.json", entry.code)
        if table:
            write_text(folder / CASES, entry.cases().to_json(orient="split", index=False))
        if found := entry.without_truth():
            write_json(folder / WITHOUT_TRUTH, found)
        _pictures(entry, folder / "pictures")
        client.log_artifacts(identity, name)
    failed = entry.tags()["status"] not in ("ok", "", layout.OUTSIDE)
    client.set_terminated(identity, "FAILED" if failed else "FINISHED", end_time=end)
    client.set_tag(identity, "fingerprint", entry.fingerprint)
    return identity


def log(client: MlflowClient, identity: str, params: dict[str, str], metrics: dict[str, float],
        points: list[tuple[str, int, float]], now: int) -> None:
    """Log params, metrics and curves in as few calls as MLflow allows (a thousand points take 0.1 s)."""
    from mlflow.entities import Metric, Param

    rows = [Metric(clean(name), value, now, 0) for name, value in metrics.items()]
    rows += [Metric(clean(name), value, now, step) for name, step, value in points]
    pairs = [Param(clean(key), value) for key, value in params.items()]
    while rows or pairs:
        part = rows[: POINTS_A_CALL - VALUES_A_CALL]
        client.log_batch(identity, metrics=part, params=pairs[:VALUES_A_CALL])
        rows, pairs = rows[len(part):], pairs[VALUES_A_CALL:]


def clean(name: str) -> str:
    """A name that MLflow takes: letters, digits and `_-./ `."""
    return re.sub(r"[^\w\-./ ]", "_", name)


def _log_data(client: MlflowClient, identity: str, digest: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(name="data.dvc", digest=digest[:36], source_type="local", source='{"uri": "data"}')
    client.log_inputs(identity, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])


def _pictures(entry: Entry, folder: Path) -> None:
    """The first restored pictures of the primary case (or of the first that has any), and of the first case whose truth
    nobody knows, as PNG."""
    from restore_ml.report.pictures import first_outputs, save_png

    for name, picture in first_outputs(entry.root, entry.task, entry.run, PICTURES):
        save_png(folder / f"{name}.png", picture)


def _log_model(client: MlflowClient, identity: str, entry: Entry, mutable: dict[str, str]) -> None:
    import mlflow

    with tempfile.TemporaryDirectory() as name:
        homes = stage(entry, Path(name) / "project")
        code = package.lay_out(Path(name) / "code", homes)
        with mlflow.start_run(run_id=identity), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it asks for an input example; the signature is given
            info = mlflow.pyfunc.log_model(
                name="model", python_model=str(Path(__file__).with_name("model.py")), signature=_signature(entry.task),
                artifacts={"project": str(Path(name) / "project")}, pip_requirements=requirements(),
                code_paths=[str(code)])
    tags = {key: value for key, value in {**entry.tags(), **mutable}.items() if key != "entry"}
    client.create_model_version(registry_name(entry.task), source=info.model_uri, run_id=identity,
                                tags={**tags, "fingerprint": entry.fingerprint}, model_id=info.model_id,
                                description=f"{entry.run} ({entry.model['method']})")
    client.set_tag(identity, "model_id", info.model_id)


def stage(entry: Entry, project: Path) -> set[str]:
    """Lay a model out as a small project: run.json, models/<task>/<run> and what fills the slots that restoring uses.
    Returns the tasks whose modules it needs."""
    from restore_ml import registry

    copy_files(entry.folder, project / layout.model(entry.task, entry.run), layout.MODEL_FILES)
    write_json(project / "run.json", {"run": entry.run, "task": entry.task})
    cls = registry.method_class(entry.task, entry.model["method"])
    filled = {run for slot, run in entry.model.get("slots", {}).items()
              if slot in cls.restoring_slots and layout.is_run(run)}
    for run in sorted(filled):
        own = entry.folder / layout.slot(run)  # a champion brings what fills its slots
        copy_files(own if own.is_dir() else entry.root / layout.slot(run), project / layout.slot(run),
                   layout.MODEL_FILES)
    methods = {str(read_json(path).get("method", "")) for path in (project / layout.MODELS).glob("*/*/model.json")}
    return {entry.task, *(run.partition("/")[0] for run in filled),
            *(name.partition(".")[0] for name in methods if "." in name)}


def _signature(task: str) -> Any:
    """That of `restore_ml.serving.payload`, which may not be imported here; a task that takes no files has none."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    from restore_ml import registry
    from restore_ml.serving.payload import signature

    photos = registry.photos(task)
    if photos is None:
        return ModelSignature(Schema([ColSpec("string", "image")]), Schema([ColSpec("string", "image")]))
    said = signature(photos)
    inputs, results = (Schema([ColSpec(entry["type"], entry["name"], required=entry["required"])
                               for entry in said[side]]) for side in ("inputs", "outputs"))
    return ModelSignature(inputs, results, ParamSchema([ParamSpec(entry["name"], entry["type"], entry["default"])
                                                        for entry in said["params"]]))


def requirements() -> list[str]:
    """`name==version` of what a model needs, without local tags such as `+cpu`, so that it installs elsewhere."""
    pinned = []
    for name in REQUIREMENTS:
        try:
            pinned.append(f"{name}=={metadata.version(name).partition('+')[0]}")
        except metadata.PackageNotFoundError:
            continue
    return pinned



def write_table(client: MlflowClient, experiment: str, folder: Path, tags: dict[str, str], fingerprint: str) -> None:
    """Write a task's comparison (comparison/<task>) as a run with an MLflow table beside its files."""
    import pandas as pd

    now = int(time.time() * 1000)
    run = client.create_run(experiment, start_time=now, run_name="comparison",
                            tags={**tags, "mlflow.source.name": "restore-ml sync"})
    client.log_artifacts(run.info.run_id, str(folder))
    client.log_table(run.info.run_id, pd.read_csv(folder / "table.csv"), "comparison.json")
    notes = folder / "table.md"
    if notes.exists():
        client.set_tag(run.info.run_id, "mlflow.note.content", notes.read_text(encoding="utf-8")[:5000])
    client.set_terminated(run.info.run_id, "FINISHED", end_time=now)
    client.set_tag(run.info.run_id, "fingerprint", fingerprint)


def fresh_costs(client: MlflowClient, run: Run, entry: Entry) -> None:
    """Log costs that came to be known (or changed, on another machine) since the entry was written. MLflow keeps the
    start of a run, so that the end moves until the length is right."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    new = [Metric(clean(name), value, now, 0) for name, value in entry.costs().items()
           if run.data.metrics.get(clean(name)) != value]
    if new:
        client.log_batch(run.info.run_id, metrics=new)
    times = entry.times()
    if times and (run.info.end_time or 0) - run.info.start_time != times[1] - times[0]:
        client.set_terminated(run.info.run_id, run.info.status, run.info.start_time + times[1] - times[0])


def intact(run: Run) -> bool:
    """Whether the files of an entry that the database knows are still there."""
    folder = Path(unquote(urlparse(run.info.artifact_uri).path))
    if not any(folder.glob("*.*")):
        return False
    model = run.data.tags.get("model_id")
    return model is None or (folder.parents[1] / "models" / model / "artifacts" / "MLmodel").exists()
