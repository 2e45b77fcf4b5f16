"""What may go, by kind: MLflow runs, leftovers of trainings and rebuilds, DVC's objects. Collectors only look.

What a dvc.lock (of the workspace and of HEAD) or champions/ names is no garbage, whatever its age.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.work import estimate
from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import sha256, sha256_of_file
from restore_ml.base.programs import NoRepository, dvc, git

if TYPE_CHECKING:
    from mlflow import MlflowClient

DAY = 86400.0
CURRENT = "current"


@dataclass(frozen=True)
class Item:
    """One thing that may go: its kind, what it is called, its bytes, and why it may go."""

    kind: str
    name: str
    size: int
    reason: str


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir() or file.is_symlink())
    return path.lstat().st_size if os.path.lexists(path) else 0


# --- leftovers --------------------------------------------------------------------------------------------------------


def leftovers(root: Path, days: float) -> list[Item]:
    """Below .state: checkpoints of finished or old trainings, costs of results that are gone, stores set aside, logs.

    A checkpoint of an unfinished training, and all else, stays for `days` days.
    """
    from restore_ml.tracking.follow import finished

    state, over = root / layout.STATE, finished(root)
    items = [Item("checkpoint", str(path.relative_to(root)), size_of(path),
                  "its training is finished" if path.name in over else f"untouched for {days:g} days")
             for path in sorted((root / layout.CHECKPOINTS).glob("*"))
             if path.name in over or _older(path, days)]
    in_use = {estimate.FILE.name, *_costs_in_use(root)}
    items += [Item("costs", str(path.relative_to(root)), size_of(path), "of a result that is not here any more")
              for path in sorted((root / layout.COSTS).glob("*.json"))
              if path.name not in in_use and _older(path, days)]
    aside = [*state.glob("mlflow.old-*"), *state.glob("incoming-*"), *state.glob("parallel/*.log")]
    items += [Item("leftover", str(path.relative_to(root)), size_of(path), f"untouched for {days:g} days")
              for path in sorted(aside) if _older(path, days)]
    return items


def _older(path: Path, days: float) -> bool:
    """Whether nothing in it changed for so many days."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return max(file.lstat().st_mtime for file in files) < time.time() - days * DAY


def _costs_in_use(root: Path) -> Iterator[str]:
    for kind, pattern, folders in (("train", "*/*/model.json", (layout.MODELS,)),
                                   ("train", "*/*/model.json", (layout.CHAMPIONS,)),
                                   ("restore", "*/*/status.json", (layout.RESTORED,))):
        for folder in folders:
            for path in (root / folder).glob(pattern):
                yield f"{kind}-{sha256_of_file(path)[:16]}.json"


def remove(root: Path, items: list[Item]) -> None:
    """Delete leftovers."""
    for item in items:
        path = root / item.name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


# --- MLflow -----------------------------------------------------------------------------------------------------------


def mlflow_runs(root: Path, days: float) -> list[Item]:
    """Runs of ours that no table shows any more, older than `days`, without an alias, whose model nothing names.

    Runs that somebody logged by hand (without our tag `entry` or `live`) are not ours to delete.
    """
    from mlflow.entities import ViewType

    from restore_ml.tracking import store
    from restore_ml.tracking.writing import registry_name

    if store.tracking_uri(root).startswith("sqlite") and not store.database(root).exists():
        return []
    client, named = store.client(root), models_in_use(root)
    items = []
    names = [registry_name(task) for task in registry.task_names()]
    for experiment in client.search_experiments(ViewType.ALL):
        if experiment.name not in (*names, "restore-training"):
            continue
        for run in store.every(partial(_page, client, experiment.experiment_id)):
            reason = _why(client, run, named, days)
            if reason:
                items.append(Item("mlflow run", run.info.run_id, _run_size(client, run), reason))
    return items


def _page(client: MlflowClient, experiment: str, token: str | None) -> Any:
    from mlflow.entities import ViewType

    return client.search_runs([experiment], "", ViewType.ALL, 1000, page_token=token)


def _why(client: MlflowClient, run: Any, named: set[str], days: float) -> str:
    """Why the run may go, or nothing."""
    tags = run.data.tags
    if "entry" not in tags and "live" not in tags:
        return ""
    when = (run.info.end_time or run.info.start_time or 0) / 1000
    unfinished = "fingerprint" not in tags and run.info.lifecycle_stage == "active"
    if when > time.time() - days * DAY or tags.get("state") == CURRENT or unfinished:
        return ""
    if tags.get("model_sha256", "") in named or any(_aliases(client, version) for version in _versions(client, run)):
        return ""
    return f"{tags.get('entry', tags.get('run', 'a run'))}, {tags.get('state', 'live')}, of {days:g} days ago or before"


def _versions(client: MlflowClient, run: Any) -> list[Any]:
    return list(client.search_model_versions(f"run_id = '{run.info.run_id}'"))


def _aliases(client: MlflowClient, version: Any) -> list[str]:
    model = client.get_registered_model(version.name)
    return [alias for alias, number in model.aliases.items() if str(number) == str(version.version)]


def _logged_models(client: MlflowClient, run: Any) -> list[Any]:
    return list(client.search_logged_models([run.info.experiment_id],
                                            filter_string=f"source_run_id = '{run.info.run_id}'"))


def _run_size(client: MlflowClient, run: Any) -> int:
    from mlflow.utils.file_utils import local_file_uri_to_path

    places = [run.info.artifact_uri, *(model.artifact_location for model in _logged_models(client, run))]
    return sum(size_of(Path(local_file_uri_to_path(address))) for address in places)


def models_in_use(root: Path) -> set[str]:
    """SHA-256 of every model.json that lies in models/ or champions/, or that a lock or a champion of HEAD names."""
    hashes = {sha256_of_file(path) for folder in (layout.MODELS, layout.CHAMPIONS)
            for path in root.glob(f"{folder}/*/*/model.json")}
    places = (str(layout.lock_file()), str(layout.GRAPH), str(layout.CHAMPIONS))
    texts = [_git(root, "show", f"HEAD:./{name}")
             for name in _git(root, "ls-tree", "-r", "--name-only", "HEAD", "--", *places).split()
             if name.endswith((".dvc", "dvc.lock"))]
    for text in texts:
        for digest in re.findall(r"\b([0-9a-f]{32})\.dir\b", text):
            hashes |= set(_models_in_cache(root, digest))
    return hashes


def _models_in_cache(root: Path, digest: str) -> Iterator[str]:
    """Of a folder in DVC's cache: the hash of its model.json, if it has one."""
    cache = root / ".dvc" / "cache" / "files" / "md5"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for entry in json.loads((cache / digest[:2] / f"{digest[2:]}.dir").read_text(encoding="utf-8")):
            if entry["relpath"] == "model.json":
                yield sha256((cache / entry["md5"][:2] / entry["md5"][2:]).read_bytes())


def delete_runs(root: Path, items: list[Item]) -> None:
    """Delete runs with their versions, models and files, for good."""
    from restore_ml.tracking import store

    if not items:
        return
    client, models = store.client(root), []
    with store.writing(root):
        for item in items:
            run = client.get_run(item.name)
            for version in _versions(client, run):
                client.delete_model_version(version.name, version.version)
            for model in _logged_models(client, run):
                client.delete_logged_model(model.model_id)
                models.append(model.model_id)
            if run.info.lifecycle_stage == "active":
                client.delete_run(item.name)
        _for_good(root, "_hard_delete_logged_model", models)
        _for_good(root, "_hard_delete_run", [item.name for item in items])


def _for_good(root: Path, method: str, names: list[str]) -> None:
    """Delete rows and files of what is marked deleted: what `mlflow gc` does, but of nothing else."""
    from mlflow.cli import _get_store
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.file_utils import local_file_uri_to_path

    from restore_ml.tracking import store

    backend = _get_store(store.tracking_uri(root), None)
    for name in names:
        if method == "_hard_delete_run":
            address = backend.get_run(name).info.artifact_uri
        else:
            address = backend.get_logged_model(name, allow_deleted=True).artifact_location
        get_artifact_repository(address).delete_artifacts()
        getattr(backend, method)(name)
        folder = Path(local_file_uri_to_path(address))
        if folder.name == "artifacts" and folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


# --- DVC --------------------------------------------------------------------------------------------------------------


def dvc_objects(root: Path, all_commits: bool) -> list[Item]:
    """What `dvc gc` would take from the project's own cache; nothing is looked at where the cache is shared."""
    if not (root / ".dvc").is_dir() or shared_cache(root):
        return []
    printed = _dvc_gc(root, all_commits, "--dry")
    paths = [Path(line) for line in re.findall(r"^Removing (/.+)$", printed, re.MULTILINE)]
    return [Item("dvc object", str(path), size_of(path), "named by no dvc.lock or .dvc file that is kept")
            for path in paths]


def shared_cache(root: Path) -> bool:
    """Whether the cache lies outside the project: others may need what this project does not."""
    folder = dvc(root, "cache", "dir").strip()
    return not Path(folder).resolve().is_relative_to((root / ".dvc").resolve())


def collect(root: Path, all_commits: bool) -> None:
    """Delete what `dvc_objects` lists."""
    _dvc_gc(root, all_commits)


def _dvc_gc(root: Path, all_commits: bool, *more: str) -> str:
    """Kept: the workspace, HEAD, the tips of all branches, all tags; with `all_commits` whatever git ever held."""
    kept = ["--workspace"]
    if _git(root, "rev-parse", "HEAD"):
        kept += ["--all-commits"] if all_commits else ["--all-branches", "--all-tags", "--rev", "HEAD"]
    return dvc(root, "gc", *kept, "--force", *more)


def _git(root: Path, *arguments: str) -> str:
    """What git says; nothing where there is no repository of it."""
    try:
        return git(root, *arguments)
    except NoRepository:
        return ""
