"""A picture to restore where nothing is built: one run is named with its cost, and built on a yes alone."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml import cli
from restore_ml.base import costs, layout
from restore_ml.base.files import write_json
from restore_ml.registry import photos, tables
from restore_ml.serving import first_run
from restore_ml.tasks.protocol import protocol
from tests.tracking import small_project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    shutil.copytree(ROOT / "graph", root / "graph")
    Image.fromarray(small_project.picture(5, 60)).save(tmp_path / "old.png")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(root))
    return root


@pytest.fixture
def built(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for the build: a model that is there afterwards. Gives what was built."""
    done: list[str] = []

    def run(command: list[str], cwd: Path, check: bool) -> object:
        assert command[1:] == ["-m", "flows.rebuild", "--task", "super_resolution", "--methods", command[-1]]
        assert cwd == project
        done.append(command[-1])
        write_json(project / "models/super_resolution" / command[-1] / "model.json", {
            "run": command[-1], "task": "super_resolution", "method": "bicubic", "settings": {}, "slots": {},
            "status": "ok", "reason": "", "seed": 1})
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(first_run.subprocess, "run", run)
    return done


def restore(project: Path, *more: str) -> int:
    return cli.main(["restore", "--task", "super_resolution", str(project.parent / "old.png"), "-o",
                     str(project.parent / "new.png"), *more])


def answers(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(text))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)


def test_a_script_is_told_which_run_and_what_it_costs(project: Path, built: list[str],
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(project) == 2
    said = capsys.readouterr().err
    assert "Building the run rapid_sr (profile cpu) takes about 110 s of processor time and 360 MB of disk" in said
    assert "Give --yes to have it built, or run `make repro METHODS=super_resolution/rapid_sr`" in said and not built


@pytest.mark.parametrize(("answer", "status", "runs"), [
    ("y\n", 0, ["rapid_sr"]), ("yes\n", 0, ["rapid_sr"]), ("n\n", 2, []), ("\n", 2, []), ("", 2, [])])
def test_a_person_is_asked(project: Path, built: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, status: int,
                           runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, answer)
    assert restore(project) == status and built == runs
    assert "Build it now? [y/N]" in capsys.readouterr().err
    assert (project.parent / "new.png").exists() == bool(runs)


def test_yes_builds_what_is_named_and_restores_with_it(project: Path, built: list[str],
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(project, "--yes", "--model", "bicubic") == 0 and built == ["bicubic"]
    assert "restored with bicubic" in capsys.readouterr().out
    assert np.asarray(Image.open(project.parent / "new.png")).shape == (120, 120, 3)
    assert restore(project, "--yes", "--model", "bicubic") == 0 and built == ["bicubic"], "built once"


def test_a_mistake_is_told_before_anything_is_built(project: Path, built: list[str],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    (project.parent / "old.png").write_bytes(b"no picture")
    assert restore(project, "--yes") == 2 and "not an image" in capsys.readouterr().err
    assert restore(project, "--yes", "--model", "rapid_rs") == 2 and not built
    Image.fromarray(small_project.picture(5, 60)).save(project.parent / "old.png")
    assert restore(project, "--yes", "--model", "rapid_rs") == 2 and not built
    assert "Did you mean 'rapid_sr'?" in capsys.readouterr().err


def test_what_is_built_is_named_instead_of_building(project: Path, built: list[str],
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert restore(project, "--yes", "--model", "bicubic") == 0
    assert restore(project, "--yes") == 2 and built == ["bicubic"]
    assert "There are bicubic." in capsys.readouterr().err


def test_the_seconds_come_from_the_last_build_here(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run, profile, seconds in (("rapid_sr", "cpu", 30.2), ("rapid_sr", "quick", 3.0), ("vdsr", "cpu", 55.0)):
        text = (ROOT / "params.yaml").read_text().replace("profile: cpu", f"profile: {profile}")
        (project / "params.yaml").write_text(text)
        model = project / layout.model("super_resolution", run) / "model.json"
        write_json(model, {"run": run, "profile": profile})
        costs.write(project, "train", model, {"seconds": seconds})
    status = project / "restored/super_resolution/rapid_sr/status.json"
    write_json(status, {"a": 1})
    costs.write(project, "restore", status, {"seconds": 11.0})
    shutil.rmtree(project / "models")
    assert restore(project) == 2
    assert "Building the run rapid_sr (profile cpu) took 41 s here before" in capsys.readouterr().err
    assert costs.of_run(project, "super_resolution", "rapid_sr", "quick") == 3.0
    assert costs.of_run(project, "inpainting", "telea", "cpu") is None
    assert costs.of_run(project, "inpainting", "rapid_sr", "quick") is None, "a run of that name of another task"


@pytest.mark.parametrize("task", [task for task in tables() if photos(task)])
def test_each_task_has_a_first_choice_that_stands_in_params(task: str) -> None:
    from restore_ml.runs.settings import load

    params = load(ROOT / "params.yaml")
    runs = {run.name: run.method for run in params.runs_of(task)}
    first = first_run.first_choice(params, task)
    assert first in runs and (runs[first] not in protocol(task).baselines or ("inpainting", first) in first_run.FIGURES)
    assert [run for named, run in first_run.FIGURES if named == task] in ([], [first])
