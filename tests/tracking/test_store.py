import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml.tracking import store


@pytest.mark.parametrize("module", ["store", "sync", "follow", "aliases"])
def test_importing_costs_no_mlflow(module: str) -> None:
    code = f"import sys, restore_ml.tracking.{module}; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_migrating_twice_keeps_what_is_there(project: Path) -> None:
    client = store.client(project)
    identity = client.create_experiment("mine")
    assert store.migrate(project) is None
    assert client.get_experiment(identity).name == "mine"


def test_an_older_schema_is_upgraded(tmp_path: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    store.artifacts(tmp_path).mkdir(parents=True)
    engine = utils.create_sqlalchemy_engine(store.tracking_uri(tmp_path))
    utils.InitialBase.metadata.create_all(engine)
    config = utils._get_alembic_config(store.tracking_uri(tmp_path))
    newest = utils._get_latest_schema_revision()
    before = ScriptDirectory.from_config(config).get_revision(newest).down_revision
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, before)
    assert utils._get_schema_version(engine) == before
    assert store.migrate(tmp_path) is None
    assert utils._get_schema_version(engine) == newest
    engine.dispose()


def test_the_store_of_a_moved_project_is_set_aside(project: Path, tmp_path: Path) -> None:
    place = (store.artifacts(project) / "inpainting").as_uri()
    store.client(project).create_experiment("restore-inpainting", artifact_location=place)
    assert store.migrate(project) is None
    moved = project.rename(tmp_path / "moved")
    aside = store.migrate(moved)
    assert aside == moved / ".state/mlflow.old-1" and (aside / "mlflow.db").exists()
    assert store.client(moved).get_experiment_by_name("restore-inpainting") is None
