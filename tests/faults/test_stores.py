"""A store that is locked, broken or read-only is a sentence and stays readable; no run is RUNNING for ever."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from restore_ml.base import files
from restore_ml.base.errors import UserError
from restore_ml.tracking import follow, store
from restore_ml.training import train
from tests.faults import limiting


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("migrated")
    assert store.migrate(root) is None
    return store.database(root)


@pytest.fixture
def stored(migrated, tmp_path) -> Path:
    """A project with a store, whose tables took seconds to make."""
    store.artifacts(tmp_path).mkdir(parents=True)
    shutil.copyfile(migrated, store.database(tmp_path))
    return tmp_path


@contextlib.contextmanager
def locked(root: Path):
    """Somebody else writes in the store, and does not come to an end."""
    script = ("import sqlite3, sys\nstore = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
              "store.execute('BEGIN EXCLUSIVE')\nprint(flush=True)\nsys.stdin.readline()\n")
    with subprocess.Popen([sys.executable, "-c", script, str(store.database(root))], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        try:
            yield other
        finally:
            other.kill()


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.8])
def test_a_store_whose_making_was_killed_is_made_by_the_next(tmp_path, moment):
    """MLflow makes its tables one by one and cannot go on from the middle."""
    script = ("import os, signal, sys\nfrom pathlib import Path\nfrom alembic.runtime import migration\n"
              "from restore_ml.tracking import store\nleft = [0]\ntables = migration.HeadMaintainer.update_to_step\n"
              "def update(self, step):\n    left[0] += 1\n    tables(self, step)\n"
              "    if left[0] == int(sys.argv[2]):\n        os.kill(os.getpid(), signal.SIGKILL)\n"
              "migration.HeadMaintainer.update_to_step = update\nstore.migrate(Path(sys.argv[1]))\n")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(int(40 * moment))], check=False,
                          capture_output=True)
    assert (done.returncode, done.stderr) == (-9, b"")
    assert not store.database(tmp_path).exists()
    assert store.migrate(tmp_path) is None
    assert [found.name for found in store.client(tmp_path).search_experiments()] == ["Default"]


def test_a_locked_store_is_waited_for_and_never_set_aside(stored, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.5)
    with locked(stored), pytest.raises(UserError, match=r"mlflow\.db is locked by another process"):
        store.migrate(stored)
    assert os.listdir(stored / ".state") == ["mlflow"]
    monkeypatch.setattr(store, "PATIENCE", 60.0)
    client = store.client(stored)
    with locked(stored) as other:
        import threading

        threading.Timer(7.0, other.kill).start()  # longer than MLflow itself waits
        run = client.create_run("0")
    assert client.get_run(run.info.run_id).info.status == "RUNNING"


def test_a_broken_store_is_still_set_aside(stored):
    path = store.database(stored)
    path.write_bytes(path.read_bytes()[:5000])
    assert store.migrate(stored).name == "mlflow.old-1"
    assert store.client(stored).search_experiments()


def test_a_store_that_may_not_be_written_is_a_sentence_and_stays_readable(stored):
    if not limiting.heeds_permissions():
        pytest.skip("Permissions cannot be taken from this user.")
    path = store.database(stored)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    script = ("import sys\nfrom pathlib import Path\nfrom restore_ml.base.errors import UserError\n"
              "from restore_ml.tracking import store\nroot = Path(sys.argv[1])\nclient = store.client(root)\n"
              "print([found.name for found in client.search_experiments()])\n"
              "try:\n    with store.explained(root):\n        client.create_run('0')\n"
              "except UserError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-c", script, str(stored)], preexec_fn=limiting.obey_permissions,
                          capture_output=True, text=True, check=False)
    path.parent.chmod(0o700)
    assert "['Default']" in done.stdout and "may not be written by this user" in done.stdout, done.stderr
    assert os.listdir(stored / ".state") == ["mlflow"]


def test_a_live_run_of_a_killed_training_is_not_running_for_ever(stored):
    folder = stored / ".state/checkpoints/abc"
    files.write_json(folder / "run.json", {"run": "vdsr", "task": "super_resolution"})
    files.write_text(folder / "history.csv", "phase,step,term,value\ntrain,0,net.mse,1\n")
    follower = follow.Follower(stored)
    assert follower.ship() == ["abc"]

    def statuses():
        with contextlib.closing(sqlite3.connect(store.database(stored))) as database:
            return list(database.execute("SELECT status, lifecycle_stage FROM runs"))

    assert statuses() == [("RUNNING", "active")]
    follow.Follower(stored).rest()  # the rebuild ends, the training does not
    assert statuses() == [("KILLED", "active")]
    with open(folder / "history.csv", "a", encoding="utf-8") as file:
        file.write("train,1,net.mse,0.5\n")
    follower = follow.Follower(stored)
    assert follower.ship() == ["abc"] and statuses() == [("RUNNING", "active")]  # it goes on
    files.write_text(folder / train.DONE, "")
    follower.rest()
    assert statuses() == [("KILLED", "deleted")]
