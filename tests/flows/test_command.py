"""The command lines of the flows: parameters that Prefect refuses, help, what is deployed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command, guard, promote
from restore_ml import layout
from tests.pipelines.toy import environment

ROOT = Path(__file__).parents[2]


WRONG = [
    ("prune", ["--keep-days", "-1"], "keep_days"),
    ("ingest", ["--inbox", "/nowhere", "--collection", "No Name"], "collection"),
    ("retrain", ["--profile", "enormous"], "profile"),
    ("rebuild", ["--runner", "proceses"], "processes"),
    ("rebuild", ["--workers", "many"], "whole number"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), WRONG)
def test_a_wrong_parameter_is_a_sentence_before_anything_is_started(tmp_path, monkeypatch, capsys, name, arguments,
                                                                    words):
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    assert importlib.import_module(f"flows.{name}").main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error
    assert not (tmp_path / ".state").exists()


def test_a_command_with_a_wrong_parameter_prints_the_sentence_alone(tmp_path):
    name, arguments, words = WRONG[0]
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    done = subprocess.run([sys.executable, "-m", f"flows.{name}", *arguments], cwd=ROOT, capture_output=True, text=True,
                          env=environment(ROOT) | {"RESTORE_ML_ROOT": str(tmp_path)}, check=False)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and not (tmp_path / ".state").exists()


@pytest.mark.parametrize("name", ["rebuild", "ingest", "retrain", "promote", "prune"])
def test_help_has_an_example_and_does_not_wait_for_prefect(name):
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", f"flows.{name}", "--help"], cwd=ROOT,
                          capture_output=True, text=True, env=environment(ROOT), check=False)
    assert done.returncode == 0 and f"example:\n  python -m flows.{name}" in done.stdout
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "flows.command" in modules and "prefect" not in modules


def test_without_a_server_the_work_runs_plainly_and_its_mistake_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layout, "root", lambda: tmp_path)
    monkeypatch.setattr(command, "_server", lambda root: None)
    monkeypatch.setattr(command, "set_threads", lambda: None)
    assert promote.main(["--rollback", "inpaintin"]) == 2
    assert capsys.readouterr().err.startswith("error: There is no task 'inpaintin'")
    assert not guard._calls and not (tmp_path / guard.HOLDER).exists()


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
