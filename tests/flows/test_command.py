"""What flows share: the project's lock between processes, notes of failures, parameters that Prefect refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import command
from pipelines.steps import Broken, Steps
from restore_ml import layout
from restore_ml.errors import UserError
from tests.pipelines.toy import environment

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from flows.command import project_lock
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
    with pytest.raises(UserError, match=words), command.project_lock(tmp_path, "ingest"):
        raise AssertionError


def test_or_waits_until_the_first_is_done(holder, tmp_path):
    threading.Timer(0.5, lambda: holder.communicate("go")).start()
    begin = time.monotonic()
    with command.project_lock(tmp_path, "ingest", wait=60):
        assert time.monotonic() - begin > 0.3
        assert "ingest" in (tmp_path / command.HOLDER).read_text()
    assert not (tmp_path / command.HOLDER).exists()


def test_the_lock_of_a_killed_process_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    with command.project_lock(tmp_path, "ingest"):
        pass


def test_a_failure_leaves_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    monkeypatch.setattr(command, "_calls", [])
    flow, run = SimpleNamespace(name="retrain"), SimpleNamespace(name="quiet-otter")
    command.note_failure(flow, run, SimpleNamespace(message="The disk is\nfull.", name="Failed"))
    try:
        raise Broken from UserError("a sentence")
    except Broken as error:
        monkeypatch.setattr(command, "_calls", [command.Call(error=error)])
    command.note_failure(flow, run, SimpleNamespace(message="", name="Failed"))
    lines = (tmp_path / command.FAILURES).read_text().splitlines()
    assert lines[0].endswith("retrain quiet-otter: The disk is full.") and lines[1].endswith(": a sentence")


@pytest.mark.parametrize(("name", "arguments", "words"), [
    ("prune", ["--keep-days", "-1"], "keep_days"),
    ("ingest", ["--inbox", "/nowhere", "--collection", "No Name"], "collection"),
    ("retrain", ["--profile", "enormous"], "profile"),
    ("rebuild", ["--runner", "proceses"], "processes"),
    ("rebuild", ["--workers", "many"], "whole number"),
])
def test_a_wrong_parameter_is_a_sentence_before_anything_is_started(tmp_path, name, arguments, words):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = subprocess.run([sys.executable, "-m", f"flows.{name}", *arguments], cwd=ROOT, capture_output=True, text=True,
                          env=environment(ROOT) | {"RESTORE_ML_ROOT": str(tmp_path)}, check=False)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and not (tmp_path / ".state").exists()


@pytest.mark.parametrize("name", ["rebuild", "ingest", "retrain", "promote", "prune"])
def test_help_has_an_example(name):
    done = subprocess.run([sys.executable, "-m", f"flows.{name}", "--help"], cwd=ROOT, capture_output=True, text=True,
                          env=environment(ROOT), check=False)
    assert done.returncode == 0 and f"example:\n  python -m flows.{name}" in done.stdout


def test_every_flow_is_deployed_once_inactive_and_one_at_a_time():
    from ruamel.yaml import YAML

    from flows import deployed

    found = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert {entry["name"] for entry in found} == {"rebuild", "ingest", "retrain", "promote", "prune"}
    for entry in found:
        path, _, name = entry["entrypoint"].partition(":")
        assert path == "flows/deployed.py" and getattr(deployed, name).name == entry["name"]
        assert entry["concurrency_limit"] == 1 and not any(item["active"] for item in entry.get("schedules", []))
        getattr(deployed, name).validate_parameters(entry.get("parameters", {}))


def test_the_body_of_a_flow_works_without_prefect_and_keeps_finished_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    done = []

    def work(step: Steps, word: str) -> str:
        step("one", done.append, word)
        return step("two", lambda: "result")

    assert command.body("toy", work, 0.0, {"word": "a"}) == "result" and done == ["a"]
