"""A stage as a plain process: exit statuses, sentences, steps, children; and whether dvc.lock holds a training."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

from pipelines.machinery.children import Child
from pipelines.machinery.lock import holds, in_order
from pipelines.machinery.steps import Broken, Steps
from restore_ml.base.files import write_text
from tests.pipelines import toy


@pytest.fixture
def project(tmp_path):
    return toy.make(tmp_path)


def run(project, *arguments):
    return subprocess.run(toy.command(*arguments), cwd=project, env=toy.environment(project), capture_output=True,
                          text=True, check=False, timeout=60)


@pytest.mark.parametrize(("key", "status", "sentence", "done"), [
    ("fine", 0, "", ["first", "last"]),
    ("mistake", 2, "error: The toy is broken; mend it.", ["first"]),
    ("bug", 1, "ValueError: a bug in the toy", ["first"]),
    ("busy", 0, "", ["first", "busy", "busy", "busy", "last"]),
    ("child", 0, "", ["first", "in the child go", "child gave 7", "last"]),
])
def test_exit_status_and_sentence(project, key, status, sentence, done):
    result = run(project, key)
    assert (result.returncode, toy.log(project)) == (status, done)
    assert sentence in result.stderr
    assert ("Traceback" in result.stderr) == (key == "bug")


@pytest.mark.parametrize("name", ["nonsense", "machinery", "__init__"])
def test_an_unknown_stage_is_a_sentence(project, name):
    done = subprocess.run([sys.executable, "-m", "pipelines", name], cwd=project, env=toy.environment(project),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"no stage {name!r}" in done.stderr and "Traceback" not in done.stderr


def test_finished_steps_are_not_done_again():
    done = []

    def stage(step):
        first = step("a", lambda: done.append("a") or "from a")
        step("b", done.append, f"b {first}")

    steps = Steps()
    steps.start(watched=False)
    assert steps("a", lambda: done.append("a") or "from a") == "from a"
    steps.start(watched=False)
    stage(steps)
    assert done == ["a", "b from a"]


def test_an_error_of_a_step_is_told_from_errors_around_it():
    steps = Steps()
    steps.start(watched=False)
    with pytest.raises(Broken) as caught:
        steps("bug", lambda: 1 / 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_child_tells_how_it_ended_and_one_that_is_not_needed_goes():
    ends = Child(int)
    killed = Child(lambda word: os.kill(os.getpid(), signal.SIGKILL))
    idle = Child(lambda word: 1)
    assert ends.run("5") == 5
    assert killed.run() == -signal.SIGKILL
    idle.close()
    with pytest.raises(ProcessLookupError):
        os.kill(idle.pid, 0)


def test_a_child_ends_with_its_parent(tmp_path):
    script = ("import os, sys, time\nfrom pipelines.machinery.children import Child\n"
              "child = Child(lambda word: time.sleep(60) or 0)\n"
              "print(child.pid, flush=True)\nchild.run()\n")
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                              env=toy.environment(toy.ROOT))
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(pid))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true, seconds=30.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


LOCK = """schema: '2.0'
stages:
  degrade:
    cmd: python -m pipelines degrade super_resolution
    outs:
    - path: samples/super_resolution/train
      hash: md5
      md5: aaa.dir
  train@one:
    cmd: python -m pipelines train super_resolution/one
    deps:
    - path: code/train/super_resolution/one.json
      hash: md5
      md5: {code}
    - path: samples/super_resolution/train
      hash: md5
      md5: aaa.dir
    outs:
    - path: models/super_resolution/one
      hash: md5
      md5: bbb.dir
  train@two:
    cmd: python -m pipelines train super_resolution/two
"""


def test_the_lock_holds_a_training_only_of_the_very_same_code_and_samples(tmp_path):
    code, task = tmp_path / "code/train/super_resolution/one.json", "super_resolution"
    write_text(code, "{}")
    (tmp_path / "samples/super_resolution/train").mkdir(parents=True)
    assert not holds(tmp_path, task, "one")
    text = LOCK.format(code=hashlib.md5(b"{}").hexdigest())
    lock = tmp_path / "graph/super_resolution/dvc.lock"
    write_text(lock, text)
    assert holds(tmp_path, task, "one")
    assert not holds(tmp_path, task, "two") and not holds(tmp_path, task, "three")
    assert not holds(tmp_path, "inpainting", "one")
    code.write_text('{"seed": 2}')
    assert not holds(tmp_path, task, "one")
    code.write_text("{}")
    lock.write_text(text.replace("aaa.dir", "ccc.dir", 1))
    assert not holds(tmp_path, task, "one")


def test_what_fills_a_slot_is_looked_for_in_the_lock_of_its_task(tmp_path):
    write_text(tmp_path / "code/train/super_resolution/one.json", "{}")
    write_text(tmp_path / "models/none", "nothing")
    (tmp_path / "samples/super_resolution/train").mkdir(parents=True)
    (tmp_path / "models/representation/features").mkdir(parents=True)
    slot = ("    - path: models/representation/features\n      hash: md5\n      md5: fff.dir\n    outs:\n"
            "    - path: models/s")
    text = LOCK.format(code=hashlib.md5(b"{}").hexdigest()).replace("    outs:\n    - path: models/s", slot)
    write_text(tmp_path / "graph/super_resolution/dvc.lock", text)
    other = "stages:\n  train@features:\n    outs:\n    - path: models/representation/features\n      md5: {}.dir\n"
    write_text(tmp_path / "graph/representation/dvc.lock", other.format("fff"))
    assert holds(tmp_path, "super_resolution", "one")
    write_text(tmp_path / "graph/representation/dvc.lock", other.format("ggg"))
    assert not holds(tmp_path, "super_resolution", "one")


def test_locks_are_put_into_the_order_of_their_stages(tmp_path):
    """However many workers there were; and a run that is gone is gone from the lock."""
    write_text(tmp_path / "dvc.yaml", "stages:\n  code:\n    cmd: x\n  prepare:\n    cmd: x\n\nplots:\n")
    write_text(tmp_path / "graph/t/dvc.yaml", "vars:\n  - runs.yaml\n\nstages:\n  degrade:\n    cmd: x\n"
               "  train:\n    foreach: x\n  score:\n    foreach: x\n  compare:\n    foreach: x\n")
    names = ["compare@t", "score@b", "train@b", "train@gone", "score@a", "train@a", "degrade"]
    head = "schema: '2.0'\nstages:\n"
    write_text(tmp_path / "graph/t/dvc.lock", head + "".join(f"  {name}:\n    cmd: {name}\n" for name in names))
    write_text(tmp_path / "dvc.lock", f"{head}  prepare:\n    cmd: x\n  code:\n    cmd: x\n")
    in_order(tmp_path, {"t": ["a", "b"]})
    wanted = ["degrade", "train@a", "train@b", "score@a", "score@b", "compare@t"]
    assert (tmp_path / "graph/t/dvc.lock").read_text() == head + "".join(
        f"  {name}:\n    cmd: {name}\n" for name in wanted)
    assert (tmp_path / "dvc.lock").read_text() == f"{head}  code:\n    cmd: x\n  prepare:\n    cmd: x\n"
