"""What every flow is guarded by: the project's lock between processes, notes of failures, finished steps."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import guard
from pipelines.machinery.steps import Broken, Steps
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from tests.pipelines.toy import environment

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from flows.guard import project_lock
with project_lock(Path(sys.argv[1]), "retrain"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    made = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True, cwd=ROOT, env=environment(ROOT))
    assert made.stdout.readline().strip() == "held"
    yield made
    made.kill()
    made.wait()


def test_a_second_process_refuses_in_a_sentence_that_names_the_first(holder, tmp_path):
    words = rf"Another rebuild .* retrain \(process {holder.pid}, since .*--wait SECONDS"
    with pytest.raises(UserError, match=words), guard.project_lock(tmp_path, "ingest"):
        raise AssertionError


def test_or_waits_until_the_first_is_done(holder, tmp_path):
    threading.Timer(0.5, lambda: holder.communicate("go")).start()
    begin = time.monotonic()
    with guard.project_lock(tmp_path, "ingest", wait=60):
        assert time.monotonic() - begin > 0.3
        assert "ingest" in (tmp_path / guard.HOLDER).read_text()
    assert not (tmp_path / guard.HOLDER).exists()


def test_the_lock_of_a_killed_process_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    with guard.project_lock(tmp_path, "ingest"):
        pass


def test_a_failure_leaves_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    monkeypatch.setattr(guard, "_calls", [])
    shown = []
    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", lambda text, **about: shown.append(text))
    flow, run = SimpleNamespace(name="retrain"), SimpleNamespace(name="quiet-otter")
    guard.note_failure(flow, run, SimpleNamespace(message="The disk is\nfull.", name="Failed"))
    try:
        raise Broken from UserError("a sentence")
    except Broken as error:
        monkeypatch.setattr(guard, "_calls", [guard.Call(error=error)])
    guard.note_failure(flow, run, SimpleNamespace(message="", name="Failed"))
    lines = (tmp_path / guard.FAILURES).read_text().splitlines()
    assert lines[0].endswith("retrain quiet-otter: The disk is full.") and lines[1].endswith(": a sentence")
    assert shown[-1].splitlines() == [f"- {lines[1]}", f"- {lines[0]}"]  # in Prefect's pages the last one comes first


def test_the_body_of_a_flow_works_without_prefect_and_keeps_finished_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    done = []

    def work(step: Steps, word: str) -> str:
        step("one", done.append, word)
        return step("two", lambda: "result")

    assert guard.body("toy", work, 0.0, {"word": "a"}) == "result" and done == ["a"]
