"""Projects in folders whose names mean something in an address."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from restore_ml.tracking import store


@pytest.mark.parametrize("name", ["per%cent", "a%20b", "que?ry=1", "ha#sh", "two words", "bücher+x"])
def test_the_store_lies_in_the_project_whatever_its_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    for _ in range(2):
        assert store.migrate(root) is None
    client = store.client(root)
    experiment = client.create_experiment("restore-x", artifact_location=(store.artifacts(root) / "x").as_uri())
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "hello", "note.txt")
    assert [path.read_text() for path in root.rglob("note.txt")] == ["hello"]
    with sqlite3.connect(root / ".state/mlflow/mlflow.db") as connection:
        assert ("restore-x",) in connection.execute("SELECT name FROM experiments").fetchall()
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing beside the project"


def test_an_ordinary_address_is_plain(tmp_path: Path) -> None:
    assert store.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/.state/mlflow/mlflow.db"
