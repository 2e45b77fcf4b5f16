"""MLflow and Prefect with their tables in a real PostgreSQL that the start script started."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from pipelines.machinery import server
from remotes import postgres
from restore_ml.base.errors import UserError
from restore_ml.tracking import postgresql, store
from restore_ml.tracking.sync import sync
from tests.graphs import edit_runs
from tests.pipelines import toy
from tests.remotes.repository import addresses
from tests.tracking import small_project

psycopg2 = pytest.importorskip(
    "psycopg2", reason="psycopg2 is not installed; run `pip install -c constraints.txt -e '.[postgres]'`.")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder():
    """A running cluster's folder; root's belongs to another user, who may not enter pytest's folders."""
    try:
        postgres.program("initdb")
    except UserError as error:
        pytest.skip(str(error))
    made = Path(tempfile.mkdtemp(prefix="restore-ml-"))
    made.chmod(0o755)
    postgres.start(made / "server")
    yield made / "server"
    postgres.stop(made / "server")
    shutil.rmtree(made)


@pytest.fixture
def project(tmp_path, _built):
    return shutil.copytree(_built, tmp_path / "project")


@pytest.fixture(scope="module")
def _built(tmp_path_factory):
    root = small_project.build(tmp_path_factory.mktemp("built") / "project", pictures=1)
    edit_runs(root, small_project.TASK, bicubic=None)
    return root


@pytest.fixture
def mlflow_uri(folder, monkeypatch):
    """MLflow's database, empty, chosen in the environment."""
    ask(folder, "postgres", "DROP DATABASE mlflow WITH (FORCE)")
    lines = dict(line.removeprefix("export ").replace("'", "").split("=", 1)
                 for line in postgres.start(folder).splitlines() if line.startswith("export "))
    monkeypatch.setenv(postgresql.VARIABLE, lines[postgresql.VARIABLE])
    return lines[postgresql.VARIABLE]


def ask(folder, database, query):
    connection = psycopg2.connect(postgres.address(folder, database))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


PREDICT = """
import sys, base64
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/restore-super-resolution@champion")
print(model.predict(pd.DataFrame({"image": [sys.stdin.read()]}), params={"scale": 2})["image"][0])
"""


def test_mlflow_is_filled_once_and_its_models_load(folder, project, mlflow_uri, tmp_path):
    first = sync(project)
    assert sorted(first.written) == [f"super_resolution: {name}" for name in ("comparison", "run/broken", "run/vdsr")]
    runs = ask(folder, "mlflow", "SELECT run_uuid, name, status FROM runs ORDER BY 1")
    assert len(runs) == 3 and not store.database(project).exists()
    second = sync(project)
    assert not second.changed and len(second.kept) == 3
    assert ask(folder, "mlflow", "SELECT run_uuid, name, status FROM runs ORDER BY 1") == runs

    buffer = io.BytesIO()
    Image.fromarray(small_project.picture(9, 32)[:17, :31]).save(buffer, "PNG")
    environment = {**toy.environment(project), **store.ENVIRONMENT, "MLFLOW_TRACKING_URI": store.tracking_uri(project)}
    done = subprocess.run([sys.executable, "-c", PREDICT], input=base64.b64encode(buffer.getvalue()).decode(),
                          env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Image.open(io.BytesIO(base64.b64decode(done.stdout.splitlines()[-1]))).size == (62, 34)

    other = tmp_path / "other"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns(".state"))
    with pytest.raises(UserError, match=r"artifacts lie at .* name their folder in RESTORE_ML_MLFLOW_ARTIFACTS"):
        sync(other)


def test_two_checkouts_share_a_store_and_its_folder(project, mlflow_uri, tmp_path, monkeypatch):
    monkeypatch.setenv(store.ARTIFACTS, str(tmp_path / "artifacts"))
    other = shutil.copytree(project, tmp_path / "other")
    assert len(sync(project).written) == 3
    assert not sync(other).changed
    assert list((tmp_path / "artifacts").rglob("weights.safetensors"))


def test_one_writer_at_a_time_on_all_machines(folder, project, mlflow_uri):
    with store.writing(project):
        assert ask(folder, "mlflow", f"SELECT pg_try_advisory_lock({postgresql.KEY})") == [(False,)]
    assert ask(folder, "mlflow", f"SELECT pg_try_advisory_lock({postgresql.KEY})") == [(True,)]


def test_a_database_of_others_is_left_alone(folder, project, mlflow_uri):
    ask(folder, "mlflow", "CREATE TABLE theirs (id int)")
    with pytest.raises(UserError, match="holds tables, and not MLflow's"):
        sync(project)
    assert ask(folder, "mlflow", "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [("theirs",)]


def test_a_wrong_password_and_a_server_that_is_away_are_sentences(folder, project, mlflow_uri, monkeypatch):
    monkeypatch.setenv(postgresql.VARIABLE, mlflow_uri.split("?")[0].replace("restore@", "restore:wr0ng@"))
    with pytest.raises(UserError, match=r"cannot be reached \(.*password authentication failed") as error:
        sync(project)
    assert "wr0ng" not in str(error.value)
    monkeypatch.setenv(postgresql.VARIABLE, mlflow_uri)
    with pytest.raises(UserError, match=r"cannot be reached .*remotes.postgres start"), store.writing(project):
        postgres.stop(folder)
        raise OSError("what MLflow raises, whatever it is")
    with pytest.raises(UserError, match="cannot be reached"):
        sync(project)
    postgres.start(folder)
    assert len(sync(project).written) == 3


def test_a_second_start_changes_nothing_and_the_password_is_in_one_file(folder):
    lines = postgres.start(folder)
    assert postgres.start(folder) == lines
    pid = int(postgres_pid(folder))
    assert addresses(pid) == {"127.0.0.1"}
    password = (folder / "pgpass").read_text().strip().rsplit(":", 1)[1]
    assert len(password) >= 24 and password not in lines
    assert (folder / "pgpass").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["cluster", "pgpass"]


def postgres_pid(folder):
    return (folder / "cluster" / "postmaster.pid").read_text().splitlines()[0]


@pytest.mark.pipeline
def test_prefect_keeps_the_runs_there(folder, tmp_path, monkeypatch, capsys):
    made = toy.make(tmp_path / "toy")
    monkeypatch.setenv(server.DATABASE, postgres.address(folder, "prefect"))
    url = server.start(made)
    try:
        assert url, (made / server.LOG).read_text()
        done = subprocess.run(toy.command("fine"), cwd=made, env=toy.environment(made), capture_output=True, text=True,
                              check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        request = urllib.request.Request(f"{url}/flow_runs/filter", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            runs = json.load(answer)
        assert [(run["name"], run["state_type"]) for run in runs] == [("toy fine", "COMPLETED")]
        assert ask(folder, "prefect", "SELECT name, state_type::text FROM flow_run") == [("toy fine", "COMPLETED")]
        assert not list((made / server.HOME).glob("*.db"))

        password = (folder / "pgpass").read_text().strip().rsplit(":", 1)[1]
        assert password not in (made / server.RECORD).read_text() + (made / server.LOG).read_text()
        monkeypatch.delenv(server.DATABASE)
        assert server.start(made) == url
        assert "keeps its tables elsewhere" in capsys.readouterr().err
        monkeypatch.setenv(server.API, url)
        assert server.find(tmp_path / "another project") == url
    finally:
        monkeypatch.delenv(server.API, raising=False)
        server.stop(made)
