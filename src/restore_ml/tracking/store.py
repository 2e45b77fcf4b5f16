"""The MLflow store: one SQLite file and a folder of artifacts under .state/mlflow, a view that `sync` can refill.

It never holds anything that does not lie elsewhere too, so a store that cannot be read is set aside, not repaired.
MLflow is imported inside the functions: it takes seconds, and training needs none of it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml import layout

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # nothing of ours is ever unpickled
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def environment() -> None:
    """Set what every process that imports MLflow must have set, before the import."""
    os.environ.update(ENVIRONMENT)


def database(root: Path) -> Path:
    """The SQLite file of the project at `root`."""
    return root.resolve() / layout.MLFLOW / "mlflow.db"


def artifacts(root: Path) -> Path:
    """The folder of artifacts of the project at `root`."""
    return root.resolve() / layout.MLFLOW / "artifacts"


def tracking_uri(root: Path) -> str:
    """The URI for `mlflow.set_tracking_uri`, `mlflow ui --backend-store-uri` and MLFLOW_TRACKING_URI."""
    return f"sqlite:///{database(root)}"


def migrate(root: Path) -> Path | None:
    """Make the store, or bring its tables up to date; set-up calls it once, before anything runs in parallel.

    A file that is no readable database, or a store whose project was moved (artifacts are kept by absolute path), is
    set aside as `mlflow.old-<n>`; the folder's new name is returned then, else None.
    """
    environment()
    aside = None
    if not _readable(root):
        aside = _set_aside(root)
    artifacts(root).mkdir(parents=True, exist_ok=True)

    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _quiet()
    engine = utils.create_sqlalchemy_engine(tracking_uri(root))
    try:
        if not utils._all_tables_exist(engine):
            utils._initialize_tables(engine)
        elif utils._get_schema_version(engine) != utils._get_latest_schema_revision():
            utils._upgrade_db(engine)
    finally:
        engine.dispose()
    SqlAlchemyStore(tracking_uri(root), artifacts(root).as_uri()).engine.dispose()  # writes the default experiment
    return aside


def client(root: Path) -> MlflowClient:
    """A client of the project's store; makes the store where there is none. Sets the process's tracking URI too."""
    environment()
    if not database(root).exists():
        migrate(root)
    import mlflow

    _quiet()
    mlflow.set_tracking_uri(tracking_uri(root))
    mlflow.set_registry_uri(tracking_uri(root))
    return mlflow.MlflowClient(tracking_uri(root), tracking_uri(root))


def _quiet() -> None:
    """Sentences are ours to say; MLflow sets its own levels when it is imported, so this comes after."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Only one process at a time refreshes the view; a second waits here."""
    from filelock import FileLock

    folder = root.resolve() / layout.STATE
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "mlflow.lock"):
        yield


def _readable(root: Path) -> bool:
    """Whether there is no store yet, or a sound database whose artifacts lie under this project."""
    path = database(root)
    if not path.exists():
        return True
    try:
        connection = sqlite3.connect(path)
        try:
            if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return False
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "experiments" not in tables:
                return not tables  # an emptied file is filled; a stranger's database is left alone
            rows = connection.execute("SELECT artifact_location FROM experiments WHERE name LIKE 'restore-%'")
            return all(str(location).startswith(artifacts(root).as_uri()) for (location,) in rows)
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return False


def _set_aside(root: Path) -> Path:
    folder = root.resolve() / layout.MLFLOW
    number = 1
    while (target := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(target)
    return target
