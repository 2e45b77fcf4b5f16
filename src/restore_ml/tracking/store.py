"""The MLflow store: one SQLite file and a folder of artifacts under .state/mlflow, a view that `sync` can refill.

RESTORE_ML_MLFLOW_URI puts the tables into PostgreSQL (see `postgresql`), RESTORE_ML_MLFLOW_ARTIFACTS the artifacts
into another folder, such as one that several machines mount.

The store never holds anything that does not lie elsewhere too, so a file that cannot be read is set aside, not
repaired. One that somebody else has locked, or that may not be written, is no broken one: it is waited for, and then
said so. MLflow is imported inside the functions: it takes seconds, and training needs none of it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole
from restore_ml.tracking import postgresql

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "RESTORE_ML_MLFLOW_ARTIFACTS"
PATIENCE = 60.0
"""Seconds that another process's lock on the SQLite file is waited for."""
TROUBLES = {"database is locked": "is locked by another process; end that process",
            "readonly database": "may not be written by this user; change its permissions",
            "unable to open database": "cannot be opened by this user; change the permissions",
            "disk is full": "is on a full disk; free some space", "no space left": "is on a full disk; free some space",
            "disk i/o error": "is on a disk that cannot be read or written; look at the disk"}
"""What SQLite says of a store that is sound but cannot be used, and what to do."""
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
    """The folder of artifacts: the one that the environment names, else the project's own."""
    configured = os.environ.get(ARTIFACTS, "").strip()
    if not configured:
        return root.resolve() / layout.MLFLOW / "artifacts"
    if "://" in configured or not Path(configured).is_absolute():
        raise UserError(f"{ARTIFACTS} is {configured!r}; give the absolute path of a folder.")
    return Path(configured).resolve()


def tracking_uri(root: Path) -> str:
    """The URI for `mlflow.set_tracking_uri`, MLFLOW_BACKEND_STORE_URI and MLFLOW_TRACKING_URI; may hold a password."""
    return postgresql.address() or _sqlite(database(root))


def _sqlite(path: Path) -> str:
    """The URI of a SQLite file. A `%` or `?` in its path means something there; where it has one all is quoted, the
    slashes too, for MLflow makes the folders of what it reads as a path without unquoting it."""
    text = str(path)
    return f"sqlite:///{quote(text, safe='') if set(text) & set('%?') else text}"


def shown(root: Path) -> str:
    """The same for the screen, without a password."""
    uri = postgresql.address()
    return postgresql.shown(uri) if uri else tracking_uri(root)


def migrate(root: Path) -> Path | None:
    """Make the store, or bring its tables up to date; set-up calls it once, before anything runs in parallel.

    A file that is no readable database, or a store whose project was moved (artifacts are kept by absolute path), is
    set aside as `mlflow.old-<n>`; the folder's new name is returned then, else None. With PostgreSQL both are a
    `UserError`, and so is a server that does not answer.
    """
    environment()
    uri = postgresql.address()
    aside = None
    if uri:
        postgresql.check(uri, artifacts(root))
    elif not _readable(root):
        aside = _set_aside(root)
    artifacts(root).mkdir(parents=True, exist_ok=True)
    with explained(root):
        _fill(root)
    return aside


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn what the database says of a lock, a permission or a full disk into a `UserError`."""
    uri = postgresql.address()
    try:
        with postgresql.explained(uri) if uri else nullcontext():
            yield
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy's, MLflow's or the system's own kind
        text = "" if uri else str(error).lower()
        advice = next((advice for words, advice in TROUBLES.items() if words in text), None)
        if advice is None:
            raise
        raise UserError(f"The MLflow store {database(root)} {advice}, then `restore-ml sync` fills it; no result is "
                        "lost.") from None


def _fill(root: Path) -> None:
    """Tables of MLflow's present version, and the default experiment.

    MLflow makes them in many steps that SQLite does not take back, and cannot go on from the middle; so a new file is
    made beside its place and moved there when it is whole.
    """
    _be_patient()
    folder = artifacts(root).as_uri()
    if postgresql.address() or database(root).exists():
        _make_tables(tracking_uri(root), folder)
    else:
        write_whole(database(root), lambda part: _make_tables(_sqlite(part), folder))


def _make_tables(uri: str, artifacts: str) -> None:
    from mlflow.store.db import utils
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _quiet()
    engine = utils.create_sqlalchemy_engine(uri)
    try:
        if not utils._all_tables_exist(engine):
            utils._initialize_tables(engine)
        elif utils._get_schema_version(engine) != utils._get_latest_schema_revision():
            utils._upgrade_db(engine)
    finally:
        engine.dispose()
    SqlAlchemyStore(uri, artifacts).engine.dispose()  # writes the default experiment


def client(root: Path) -> MlflowClient:
    """A client of the project's store; makes a file where there is none. Sets the process's tracking URI too."""
    environment()
    if postgresql.address() is None and not database(root).exists():
        migrate(root)
    import mlflow

    _quiet()
    _be_patient()
    mlflow.set_tracking_uri(tracking_uri(root))
    mlflow.set_registry_uri(tracking_uri(root))
    return mlflow.MlflowClient(tracking_uri(root), tracking_uri(root))


def every(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """What a search of MLflow finds, page after page; `search(token)` gives the page behind the one of that token."""
    page = search(None)
    yield from page
    while page.token:
        page = search(page.token)
        yield from page


def _quiet() -> None:
    """Sentences are ours to say; MLflow sets its own levels when it is imported, so this comes after."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


@cache
def _be_patient() -> None:
    """Have MLflow's connections to SQLite files wait for somebody else's lock; their own patience is 5 s."""
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def wait(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE)}")


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Only one process at a time refreshes the view; a second waits here, with PostgreSQL on other machines too."""
    from filelock import FileLock

    folder = root.resolve() / layout.STATE
    folder.mkdir(parents=True, exist_ok=True)
    uri = postgresql.address()
    with FileLock(folder / "mlflow.lock"), postgresql.locked(uri) if uri else nullcontext():
        yield


def _readable(root: Path) -> bool:
    """Whether there is no store yet, or a sound database whose artifacts lie under this project."""
    path = database(root)
    if not path.exists():
        return True
    try:
        connection = sqlite3.connect(path, timeout=PATIENCE)
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
    except sqlite3.OperationalError as error:
        with explained(root):
            if not any(words in str(error).lower() for words in TROUBLES):
                return False
            raise
    except sqlite3.DatabaseError:
        return False


def _set_aside(root: Path) -> Path:
    folder = root.resolve() / layout.MLFLOW
    number = 1
    while (target := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(target)
    return target
