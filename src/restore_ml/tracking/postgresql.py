"""MLflow's store in PostgreSQL instead of the project's SQLite file: whose it is, one writer at a time, sentences.

`RESTORE_ML_MLFLOW_URI=postgresql://user@host:port/database` chooses it. MLflow's own MLFLOW_TRACKING_URI is not read:
a shell that points at somebody's server must not have a rebuild write there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError

VARIABLE = "RESTORE_ML_MLFLOW_URI"
DRIVER = "postgresql+psycopg2"
KEY = 0x726573746F7265
"""The advisory lock that says "somebody writes the view": it holds for every checkout and machine that shares it."""


def address() -> str | None:
    """The URI that the environment names, with its driver; None without one, `UserError` for another kind of store."""
    configured = os.environ.get(VARIABLE, "").strip()
    if not configured:
        return None
    scheme, _, rest = configured.partition("://")
    if scheme not in ("postgresql", "postgres", DRIVER) or not rest:
        raise UserError(f"{VARIABLE} does not begin with postgresql://; give postgresql://user@host:port/database, or "
                        "unset it to use the project's own SQLite file.")
    return f"{DRIVER}://{rest}"


def shown(uri: str) -> str:
    """The URI for eyes: no password, no options."""
    from sqlalchemy.engine import URL, make_url

    url = make_url(uri)
    return str(URL.create("postgresql", url.username, None, url.host, url.port, url.database))


def check(uri: str, artifacts: Path) -> None:
    """Raise `UserError` unless the server answers and the database is empty or the store of these artifacts."""
    with closing(_connect(uri)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        tables = {row[0] for row in cursor.fetchall()}
        if "experiments" not in tables:
            if tables:
                raise UserError(f"{shown(uri)} holds tables, and not MLflow's; name an empty database in {VARIABLE}.")
            return
        cursor.execute("SELECT artifact_location FROM experiments WHERE name LIKE 'restore-%'")
        for (location,) in cursor.fetchall():
            if not str(location).startswith(f"{artifacts.as_uri()}/"):
                raise UserError(f"{shown(uri)} belongs to a store whose artifacts lie at {location}, not under "
                                f"{artifacts}; name their folder in RESTORE_ML_MLFLOW_ARTIFACTS, or an empty database.")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """What goes wrong inside because the server went away, or refuses, becomes a `UserError`."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except UserError:
        raise
    except Exception as error:
        _connect(uri).close()  # away: that is the sentence
        if isinstance(error, DBAPIError):
            raise UserError(f"{shown(uri)} refuses: {_first_line(error.orig)}") from error
        raise


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Only one writer at a time; a second waits here. The lock ends with its connection, also when that is lost."""
    with explained(uri), closing(_connect(uri)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        yield


def _connect(uri: str) -> Any:
    try:
        import psycopg2
    except ModuleNotFoundError:
        raise UserError(f"{VARIABLE} names PostgreSQL, and psycopg2 is not installed; run `pip install -c "
                        "constraints.txt -e '.[postgres]'`.") from None
    try:
        return psycopg2.connect(uri.replace(DRIVER, "postgresql", 1), connect_timeout=10)
    except psycopg2.Error as error:
        raise UserError(f"MLflow's store {shown(uri)} cannot be reached ({_first_line(error)}); start it "
                        f"(`python -m remotes.postgres start`), or correct or unset {VARIABLE}.") from None


def _first_line(error: object) -> str:
    return " ".join(str(error).split("\n", maxsplit=1)[0].split())
