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
from pipelines.machinery.lock import holds
from pipelines.machinery.steps import Broken, Steps
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
  degrade@inpainting:
    cmd: python -m pipelines degrade inpainting
    outs:
    - path: samples/inpainting/train
      hash: md5
      md5: aaa.dir
  train@one:
    cmd: python -m pipelines train one
    deps:
    - path: code/train/one.json
      hash: md5
      md5: {code}
    - path: samples/inpainting/train
      hash: md5
      md5: aaa.dir
    outs:
    - path: models/one
      hash: md5
      md5: bbb.dir
  train@two:
    cmd: python -m pipelines train two
"""


def test_the_lock_holds_a_training_only_of_the_very_same_code_and_samples(tmp_path):
    (tmp_path / "code/train").mkdir(parents=True)
    (tmp_path / "code/train/one.json").write_text("{}")
    (tmp_path / "samples/inpainting/train").mkdir(parents=True)
    assert not holds(tmp_path, "one")
    text = LOCK.format(code=hashlib.md5(b"{}").hexdigest())
    (tmp_path / "dvc.lock").write_text(text)
    assert holds(tmp_path, "one")
    assert not holds(tmp_path, "two") and not holds(tmp_path, "three")
    (tmp_path / "code/train/one.json").write_text('{"seed": 2}')
    assert not holds(tmp_path, "one")
    (tmp_path / "code/train/one.json").write_text("{}")
    (tmp_path / "dvc.lock").write_text(text.replace("aaa.dir", "ccc.dir", 1))
    assert not holds(tmp_path, "one")
