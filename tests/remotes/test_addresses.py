"""The variables that name PostgreSQL and a Prefect server elsewhere: what is taken, what is refused, what is shown."""

from __future__ import annotations

import time

import pytest

from pipelines.machinery import server
from restore_ml.base.errors import UserError
from restore_ml.tracking import postgresql, store


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in (postgresql.VARIABLE, store.ARTIFACTS, server.API, server.DATABASE):
        monkeypatch.delenv(name, raising=False)


def test_without_them_all_is_in_the_project(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:5000")
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://somebody/else")
    assert store.tracking_uri(tmp_path) == store.shown(tmp_path) == f"sqlite:///{tmp_path}/.state/mlflow/mlflow.db"
    assert store.artifacts(tmp_path) == tmp_path / ".state/mlflow/artifacts"
    assert "PREFECT_API_DATABASE_CONNECTION_URL" not in server.environment(tmp_path, 1)


def test_an_address_gets_its_driver_and_is_shown_without_its_password(tmp_path, monkeypatch):
    given = "postgresql://me:s3cret@db.example:5433/mlflow?sslmode=require"
    monkeypatch.setenv(postgresql.VARIABLE, given)
    monkeypatch.setenv(server.DATABASE, given)
    assert store.tracking_uri(tmp_path) == given.replace("postgresql", "postgresql+psycopg2")
    assert store.shown(tmp_path) == "postgresql://me@db.example:5433/mlflow"
    assert server.environment(tmp_path, 1)["PREFECT_API_DATABASE_CONNECTION_URL"] == given.replace(
        "postgresql", "postgresql+asyncpg")


@pytest.mark.parametrize("given", ["http://me:s3cret@host", "mysql://me:s3cret@host/db", "postgresql://", "host"])
def test_another_kind_of_address_is_a_sentence_that_tells_no_password(tmp_path, monkeypatch, given):
    monkeypatch.setenv(postgresql.VARIABLE, given)
    monkeypatch.setenv(server.DATABASE, given)
    for ask in (lambda: store.tracking_uri(tmp_path), lambda: server.environment(tmp_path, 1)):
        with pytest.raises(UserError, match="does not begin with postgresql://") as error:
            ask()
        assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("given", ["s3://bucket/artifacts", "relative/folder"])
def test_artifacts_go_into_a_folder(tmp_path, monkeypatch, given):
    monkeypatch.setenv(store.ARTIFACTS, given)
    with pytest.raises(UserError, match="absolute path of a folder"):
        store.artifacts(tmp_path)


def test_a_database_that_is_away_costs_a_sentence_and_no_waiting(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(server.DATABASE, "postgresql://me@127.0.0.1:9/prefect")
    started = time.monotonic()
    assert server.start(tmp_path) is None
    assert time.monotonic() - started < 5 and not (tmp_path / server.HOME).exists()
    assert "that RESTORE_ML_PREFECT_DATABASE names does not answer" in capsys.readouterr().err


def test_a_server_elsewhere_that_is_away_costs_a_sentence_and_none_is_started(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(server.API, "http://127.0.0.1:9/api")
    assert server.start(tmp_path) is None
    assert "that RESTORE_ML_PREFECT_API names does not answer" in capsys.readouterr().err
    assert not (tmp_path / server.HOME).exists()
