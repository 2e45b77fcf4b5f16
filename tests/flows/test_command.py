"""The command lines of the flows: parameters that Prefect refuses, help, what is deployed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from flows import command, guard, promote
from restore_ml.base import layout
from tests.pipelines.test_stage import alive, wait_until
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
    (tmp_path / "params.yaml").write_text("profile: quick\n")
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


@pytest.mark.parametrize(("profile", "said"), [
    ("", "Profile quick, as params.yaml says; `make repro PROFILE=cpu` changes it (quick, cpu, gpu, paper)."),
    ("quick", "Profile quick, as params.yaml says; `make repro PROFILE=cpu` changes it (quick, cpu, gpu, paper)."),
    ("cpu", "Profile cpu, from now on; params.yaml was rewritten; `make repro PROFILE=quick` changes it (quick, cpu, "
            "gpu, paper).")])
def test_a_rebuild_says_its_profile_first(tmp_path, capsys, profile, said):
    from flows.work import rebuild

    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("profile: cpu", "profile: quick"))
    rebuild.set_profile(tmp_path, profile)
    assert capsys.readouterr().out == f"{said}\n"
    assert settings_of(tmp_path) == (profile or "quick")


def settings_of(root):
    from restore_ml.runs.settings import load

    return load(root / "params.yaml").profile


@pytest.mark.parametrize("watched", [False, True])
def test_a_flow_that_is_ended_by_term_says_so_and_takes_what_it_started_with_it(tmp_path, watched):
    """Make then prints its usual word instead of "No child processes". Watched: as an engine of Prefect's runs it."""
    (tmp_path / "params.yaml").write_text("profile: quick\n")
    code = (
        "import os, subprocess, sys\nfrom flows import command, promote\nfrom flows.work import promote as working\n"
        "from pipelines.machinery.client import with_parent\n"
        "def work(step, rollback):\n"
        "    child = subprocess.Popen(['sleep', '100'], preexec_fn=with_parent())\n"
        "    print('ready', child.pid, flush=True)\n"
        "    child.wait()\n"
        "working.work = work\n"
        "command._server = lambda root: None\n"
        "sys.exit(promote.main([]))\n")
    if watched:
        code = code.replace("sys.exit(promote.main([]))", "from prefect.utilities.engine import capture_sigterm\n"
                            "real = command.call\n"
                            "def call(*given):\n    with capture_sigterm():\n        return real(*given)\n"
                            "command.call = call\nsys.exit(promote.main([]))")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.PIPE, env=environment(ROOT) | {"RESTORE_ML_ROOT": str(tmp_path)})
    line = process.stdout.readline()
    assert line.startswith("ready ")
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143 and "Ended by the signal TERM; the next start goes on from here." in said
    assert "Traceback" not in said and not (tmp_path / guard.HOLDER).exists()
    wait_until(lambda: not alive(int(line.split()[1])))


def test_a_flow_outside_a_project_makes_nothing_there(tmp_path):
    done = subprocess.run([sys.executable, "-m", "flows.promote"], cwd=tmp_path, capture_output=True, text=True,
                          env=environment(ROOT) | {"RESTORE_ML_ROOT": str(tmp_path)}, check=False)
    assert done.returncode == 2 and "is no project of restore-ml" in done.stderr and not list(tmp_path.iterdir())
