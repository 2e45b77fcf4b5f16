"""A rebuild that is killed, at moments chosen here; benchmarks/kills.py does the same at random ones, many times."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import zc.lockfile
from ruamel.yaml import YAML

from flows.work import rebuild
from pipelines.machinery import client, forkserver, lock, server
from restore_ml.base.files import PART, write_text
from tests.faults import killing
from tests.pipelines import toy

LOCK = """schema: '2.0'
stages:
  code:
    cmd: python -m pipelines code
    deps:
    - path: params.yaml
      hash: md5
      md5: aed10c908d4e58a318eb8ec2c062d9ba
      size: 9049
    outs:
    - path: code
      hash: md5
      md5: afc53bab8df97974b7641c6af581a3b7.dir
      size: 206203
      nfiles: 66
  train@vdsr:
    cmd: python -m pipelines train vdsr
    deps:
    - path: models/none
      hash: md5
      md5: 105bcec68f41f63bd8971be5842ee203
      size: 37
    outs:
    - path: models/vdsr
      hash: md5
      md5: 556653e61e00c31f75ee8519938c75e5.dir
      size: 12632592
      nfiles: 4
"""


def test_of_a_dvc_lock_that_was_cut_anywhere_the_whole_stages_stay(tmp_path):
    path, yaml = tmp_path / "dvc.lock", YAML(typ="safe")
    whole = yaml.load(LOCK)["stages"]
    for length in range(len(LOCK) + 1):
        path.write_text(LOCK[:length])
        said = lock.mend(tmp_path)
        assert bool(said) == (not path.exists() or path.read_text() != LOCK[:length])
        found = yaml.load(path.read_text())["stages"] if path.exists() else {}
        for name, stage in found.items():
            for kind in ("deps", "outs"):  # DVC makes again what lacks an out
                assert stage.get(kind, []) == whole[name][kind][:len(stage.get(kind, []))]
            assert stage["cmd"] == whole[name]["cmd"]
        assert "code" in found or length < LOCK.index("  train@vdsr")
        assert not lock.mend(tmp_path)


@pytest.mark.parametrize("content", ["", '{"write": {"/a', '{"write": {}}'])
def test_a_cut_rwlock_of_dvc_goes(tmp_path, content):
    path = tmp_path / lock.TEMPORARY / "rwlock"
    write_text(path, content)
    lock.mend(tmp_path)
    assert path.exists() == content.endswith("}}")


def test_nothing_is_mended_while_a_dvc_writes(tmp_path):
    for name, content in (("dvc.lock", LOCK[:-20]), (".dvc/tmp/rwlock", "")):
        write_text(tmp_path / name, content)
    with contextlib.closing(zc.lockfile.LockFile(str(tmp_path / lock.TEMPORARY / "lock"))):
        assert ["rwlock" in sentence for sentence in lock.mend(tmp_path)] == [True]
        assert (tmp_path / "dvc.lock").read_text() == LOCK[:-20]
    assert len(lock.mend(tmp_path)) == 1


def test_a_process_is_known_by_its_mark_and_a_number_used_again_is_another_process():
    mark = client.process_mark()
    assert not client.ended(mark)
    host, pid, started = mark.split(" ")
    assert client.ended(f"{host} {pid} {int(started) - 1}")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = client.process_mark(other.pid)
    assert not client.ended(theirs)
    other.kill()
    killing.wait_until(lambda: client.ended(theirs), 30)  # a zombie has ended too
    other.wait()
    assert client.ended(theirs)
    for nothing in ("", "x", f"elsewhere {pid} 1", f"{host} many 1"):
        assert not client.ended(nothing)


def test_a_stage_whose_rebuild_was_killed_before_it_began_writes_nothing(tmp_path):
    root = toy.make(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = client.process_mark(dead.pid)
    for status, expected in ((0, ["first", "last"]), (1, [])):
        done = subprocess.run(toy.command("fine"), cwd=root, env=toy.environment(root) | {client.REBUILD: mark},
                              capture_output=True, text=True, check=False)
        assert (done.returncode, toy.log(root)) == (status, expected)
        (root / "log.txt").unlink(missing_ok=True)
        dead.kill()
        dead.wait()


@pytest.mark.parametrize("served", [False, True])
def test_a_stage_ends_with_dvc_although_a_shell_stands_between(tmp_path, served):
    root = toy.make(tmp_path)
    environment = toy.environment(root) | {"DVC_STAGE": "toy"}
    helper = [sys.executable, "-c", "from pipelines.machinery import forkserver as f; f.PRELOADED = ()\n"
              "import sys; sys.exit(f.main())"]
    with contextlib.ExitStack() as stack:
        if served:
            server = stack.enter_context(subprocess.Popen(helper, cwd=root, env=environment))
            stack.callback(server.kill)
            killing.wait_until((root / client.SOCKET).exists)
        script = f"import subprocess; subprocess.run(['/bin/sh', '-c', '{sys.executable} -m pipelines toy slow; true'])"
        dvc = subprocess.Popen([sys.executable, "-c", script], cwd=root, env=environment)
        killing.wait_until(lambda: any(line.startswith("slow ") for line in toy.log(root)), process=dvc)
        pid = int(next(line for line in toy.log(root) if line.startswith("slow ")).split()[1])
        dvc.kill()
        dvc.wait()
        killing.wait_until(lambda: not killing.alive(pid), 60)
    (root / "go").touch()
    assert "slow ended" not in toy.log(root)


def test_a_child_whose_parent_died_before_it_could_ask_ends_at_once():
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                pass
            client.die_with_parent(parent)
            os.write(writing, b"alive")
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b""


def test_workers_outlive_the_thread_that_started_them_and_end_with_the_process(tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(
        "import os, sys, threading, time\nfrom pipelines.machinery.runners import Runner\n"
        "if __name__ == '__main__':\n    with Runner('processes', 1).executor() as pool:\n        pids = []\n"
        "        for _ in range(2):\n"
        "            job = threading.Thread(target=lambda: pids.append(pool.submit(os.getpid).result()))\n"
        "            job.start()\n            job.join()\n            time.sleep(0.2)\n"
        "        print(*pids, flush=True)\n        sys.stdin.readline()\n")
    process = subprocess.Popen([sys.executable, str(script)], env=toy.environment(toy.ROOT), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first, second = (process.stdout.readline() or process.stderr.read()).split()
    assert first == second and killing.alive(int(first))
    process.kill()
    process.wait()
    killing.wait_until(lambda: not killing.alive(int(first)), 30)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = killing.make(tmp_path_factory.mktemp("killed") / "project", runs={"small": 600})
    made.watch()
    yield made
    made.close()


@pytest.mark.pipeline
@pytest.mark.skipif(os.environ.get("RESTORE_ML_THOROUGH") != "1", reason="It takes minutes; set RESTORE_ML_THOROUGH=1.")
def test_a_rebuild_killed_again_and_again_ends_as_if_nothing_had_been(project):
    root = project.root

    # In prepare, the process alone.
    process = project.start()
    killing.wait_until(lambda: "Running stage 'prepare'" in project.said(), process=process)
    killing.kill(process)
    killing.wait_gone(project)

    # In a training, side by side: the pool's workers, the lanes and the stage end with the rebuild.
    process = project.start("--runner", "processes", "--workers", "2")
    histories = lambda: [path for path in (root / ".state/checkpoints").glob("*/history.csv")  # noqa: E731
                         if path.read_bytes().count(b"\n") > 3]
    killing.wait_until(histories, process=process)
    killing.kill(process)
    killing.wait_gone(project)

    # Prefect's server in the middle of the training; then all of the group, while MLflow is written.
    process = project.start()
    log = root / f".state/parallel/train@{killing.TASK}.small.log"
    log.unlink(missing_ok=True)
    killing.wait_until(log.exists, process=process)
    pid = YAML(typ="safe").load((root / server.RECORD).read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    while not _caught(project, process):
        assert process.returncode == 0  # it was too quick for us
        (root / "dvc.lock").write_text((root / "dvc.lock").read_text().split("  register:\n")[0])
        process = project.start()
    killing.kill_group(process)
    killing.wait_gone(project)

    # What else kills leave: files cut short, sockets and numbers of processes that are no more.
    cut = (root / "dvc.lock").read_bytes()
    (root / "dvc.lock").write_bytes(cut[: len(cut) * 2 // 3])
    (root / lock.TEMPORARY / "rwlock").write_text("")
    for path in (root / client.SOCKET, root / ".state/dispatch.sock"):
        path.unlink(missing_ok=True)
        killing.stale_socket(path)
    (root / ".state/rebuild.json").write_text('{"what": "rebuild", "pid": 999999999, "since": "long ago"}')
    (root / "models" / f"{PART}999999999-x-none").write_text("half")
    (root / ".state/mlflow" / f"{PART}999999999-x-mlflow.db").write_text("half")
    (root / "comparison" / killing.TASK / ".x.tmp").write_text("half of DVC's")
    project.watch()
    status, said = project.rebuild()
    assert status == 0, said
    assert "dvc.lock was cut short by a kill" in said and "rwlock was cut short" in said
    (root / "comparison" / killing.TASK / ".x.tmp").unlink()
    assert killing.complaints(project, killing.results(root)) == []
    before = killing.results(root)
    assert "register" in YAML(typ="safe").load(before["dvc.lock"])["stages"]
    task = YAML(typ="safe").load(before[f"graph/{killing.TASK}/dvc.lock"])["stages"]
    assert list(task) == ["degrade", "validate", *(f"{stage}@{name}" for stage in ("train", "restore", "score")
                                                   for name in ("bicubic", "small")),
                          f"champion@{killing.TASK}", f"compare@{killing.TASK}"]

    # Made anew without a kill, all is the same.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, value in {**project.environment, **dict.fromkeys(forkserver.THREADS, "1")}.items():
            patch.setenv(name, value)
        with forkserver.running(root):
            done = project.dvc("repro", "--force", f"graph/{killing.TASK}/dvc.yaml:compare@{killing.TASK}")
    assert done.returncode == 0, done.stderr
    assert f"graph/{killing.TASK}/dvc.yaml:train@small" in done.stdout
    assert killing.differences(project, before) == []


def _caught(project: killing.Project, process: subprocess.Popen[bytes]) -> bool:
    """Wait until MLflow is written, or the rebuild is over; whether it is the former."""
    def writes() -> bool:
        path = project.root / ".state/mlflow/mlflow.db"
        try:
            return path.exists() and "register" in project.said() and bool(killing.unfinished(project))
        except sqlite3.Error:  # its tables are being made
            return False

    killing.wait_until(lambda: process.poll() is not None or writes())
    return process.poll() is None


def test_what_killed_writers_leave_is_swept_up_wherever_they_write(tmp_path):
    names = ("params.yaml", "dvc.lock", "data/mine/collection.json", "code/x.json", "prepared/photos/train/x.arrow",
             "samples/t/contract.parquet", "validation/t.json", "models/t/x/model.json", "restored/t/x/s/c.arrow",
             "graph/t/dvc.lock", "scores/t/x.parquet", "comparison/t/plots/x.csv", "champions/t/history/1.json",
             ".state/mlflow/mlflow.db", ".state/costs/x.json", ".state/checkpoints/x/run.json", ".state/jobs/x.json",
             "reports/gallery/t.html")
    for name in names:
        path = tmp_path / name
        write_text(path, "whole")
        for writer in (999999999, os.getpid()):
            (path.parent / f"{PART}{writer}-x-{path.name}").write_text("half")
    rebuild.sweep_up(tmp_path)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    mine = [str(Path(name).parent / f"{PART}{os.getpid()}-x-{Path(name).name}") for name in names]
    assert left == sorted([*names, *mine])


def test_the_repository_ignores_unfinished_files():
    ignored = (Path(killing.ROOT) / ".dvcignore").read_text().splitlines()
    assert f"{PART}*" in ignored and ".*.tmp" in ignored
