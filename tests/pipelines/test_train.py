"""The training stage around its children: what is begun anew, what goes on, and what is given up."""

from __future__ import annotations

import hashlib
import json
import signal

import pytest

from pipelines import train
from pipelines.machinery import launched
from pipelines.machinery.steps import Steps
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json, write_text
from tests.pipelines.test_stage import LOCK

SPEC = {"run": "one", "task": "super_resolution", "method": "bicubic", "slots": {}, "seed": 1, "settings": {},
        "threads": 1, "precision": "fp32", "versions": {}, "modules": {}}


class Child:
    """Stands for a forked child: ends with `status`, and writes a model when that is 0."""

    def __init__(self, root, status, outcome="ok"):
        self.root, self.status, self.outcome, self.word = root, status, outcome, None

    def run(self, word):
        self.word = word
        if self.status == 0:
            write_json(self.root / "models/super_resolution/one/model.json", {"status": self.outcome})
        return self.status


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path))
    write_json(tmp_path / "code/train/super_resolution/one.json", SPEC)
    return tmp_path


def go(*children):
    train.train_method("super_resolution/one", Steps(list(children)))


def model(root):
    return json.loads((root / "models/super_resolution/one/model.json").read_text())


def hold(root):
    """Let the lock hold the result of exactly this training."""
    digest = hashlib.md5((root / "code/train/super_resolution/one.json").read_bytes()).hexdigest()
    write_text(root / "graph/super_resolution/dvc.lock", LOCK.format(code=digest))


def test_a_killed_child_is_followed_by_one_that_goes_on(root, capsys):
    first, second = Child(root, -signal.SIGKILL), Child(root, 0)
    go(first, second)
    assert (first.word, second.word, model(root)["status"]) == ("", "", "ok")
    assert "killed by signal 9" in capsys.readouterr().err


def test_a_run_killed_twice_is_transient_and_is_continued_later(root):
    go(Child(root, -signal.SIGKILL), Child(root, -signal.SIGKILL))
    facts = model(root)
    assert facts["status"] == "transient" and "killed twice" in facts["reason"]
    assert facts["run"] == "one" and len(facts["fingerprint"]) == 32
    hold(root)  # DVC takes a normal end for up to date
    again = Child(root, 0)
    go(again)
    assert again.word == ""
    once_more = Child(root, 0)
    go(once_more)
    assert once_more.word == train.FRESH


def test_a_forced_training_begins_anew_and_its_second_child_goes_on(root):
    hold(root)
    first, second = Child(root, -signal.SIGTERM), Child(root, 0)
    go(first, second)
    assert (first.word, second.word) == (train.FRESH, "")


def test_a_result_of_its_own_that_is_transient_is_remembered(root):
    hold(root)
    go(Child(root, 0, "transient"))
    again = Child(root, 0)
    go(again)
    assert again.word == ""


def test_of_several_ends_the_one_that_says_most_counts(monkeypatch, capsys):
    killed = []
    monkeypatch.setattr(launched.os, "kill", lambda pid, number: killed.append(number))

    class ChildFailedError(Exception):
        """Called as the launcher's own."""

    def judge(*ends, reason=ChildFailedError):
        return launched._judge([{"end": end, "text": f"text of {end}"} for end in ends], reason("the launcher broke"))

    assert judge(launched.LOST, launched.TRANSIENT) == 0 and not killed
    with pytest.raises(UserError, match="text of mistake"):
        judge(launched.LOST, launched.MISTAKE, launched.BUG)
    assert judge(launched.LOST, launched.BUG) == 1 and "text of bug" in capsys.readouterr().err and not killed
    judge(launched.LOST)
    judge(launched.ENDED)
    assert killed == [signal.SIGKILL] * 2 and not capsys.readouterr().err
    judge(reason=RuntimeError)
    assert "the launcher broke" in capsys.readouterr().err


def test_a_spec_of_several_processes_is_launched(root, monkeypatch):
    write_json(root / "code/train/super_resolution/one.json", SPEC | {"processes": 2})
    asked = []
    monkeypatch.setattr(launched, "launch", lambda *given: asked.append(given) or 7)
    assert train.work("super_resolution/one", train.FRESH) == 7
    assert asked == [("super_resolution/one", train.FRESH, 2, 1)]


def test_a_mistake_in_the_child_stops_the_stage(root):
    with pytest.raises(UserError, match="training of super_resolution/one stopped"):
        go(Child(root, 2), Child(root, 0))
