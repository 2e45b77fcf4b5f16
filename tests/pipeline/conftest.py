"""A copy of the project in a temporary folder, as its own git and DVC repository, with three small runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.graphs import write_runs

ROOT = Path(__file__).parents[2]
Runs = dict[str, dict[str, dict[str, Any]]]
COPIED = ("src", "pipelines", "flows", "dvc.yaml", "graph/task.yaml", "params.yaml", "prefect.yaml", "constraints.txt",
          "brought/README.md", "pyproject.toml", "Makefile", ".dvcignore", ".gitignore", ".dvc/config",
          ".dvc/.gitignore")
RUNS: Runs = {
    "super_resolution": {"bicubic": {}, "vdsr": {"quick": {"steps": 20, "width": 8, "batch": 2, "patch": 32}}},
    "inpainting": {"telea": {}}, "colorization": {"gray_ab0": {}}, "representation": {}}
"""Of each task its runs."""
KINDS = ("photos", "scenes", "labelled")
"""The kinds of data that the copy has."""


@dataclass
class Project:
    """The copy: its folder, and commands run in it as a person would."""

    root: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, timeout: float = 900.0) -> subprocess.CompletedProcess[str]:
        """Run a command in the project and return what it printed."""
        done = subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False,
                              timeout=timeout)
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run DVC in the project."""
        return self.run(sys.executable, "-m", "dvc", *arguments, check=check)

    def locked(self) -> dict[str, dict[str, Any]]:
        """What the locks hold: stages of the root by name, those of a task as `<task>:<name>`."""
        found = {}
        for path in [self.root / "dvc.lock", *sorted(self.root.glob("graph/*/dvc.lock"))]:
            stages = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["stages"] if path.exists() else {}
            title = "" if path.parent == self.root else f"{path.parent.name}:"
            found |= {f"{title}{name}": entry for name, entry in stages.items()}
        return found

    def rebuild(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run what `make repro` runs."""
        return self.run(sys.executable, "-m", "flows.rebuild", *arguments, check=check)


def make_project(root: Path, runs: Runs = RUNS, samples: dict[str, Any] | None = None) -> Project:
    """Copy the project to `root`, with `runs` in place of its runs and the profile `quick`, committed to git.

    `samples`: settings by task in place of the project's own.
    """
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache"))
        else:
            shutil.copyfile(source, target)
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (root / "params.yaml").write_text(re.sub(r"^profile:.*$", "profile: quick", params, flags=re.MULTILINE), "utf-8")
    for task, entries in runs.items():
        real = YAML(typ="safe").load((ROOT / "graph" / task / "runs.yaml").read_text(encoding="utf-8"))
        kept = {"samples": real["samples"], "margins": real["margins"]}
        write_runs(root, task, entries, **kept | ({"samples": samples[task]} if task in (samples or {}) else {}))
    for path in (root / "src/restore_ml/data/domains").glob("*.py"):  # the others take half a minute to lay out
        if path.stem not in (*KINDS, "__init__"):
            path.unlink()
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PREFECT_", "MLFLOW_", "RESTORE_ML_", "GIT_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]), "RESTORE_ML_ROOT": str(root),
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1",
                    "DO_NOT_TRACK": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
    project = Project(root, environment)
    project.run(sys.executable, "-m", "restore_ml.cli", "graph")
    project.run("git", "init", "-q")
    project.run(sys.executable, "-m", "flows.setup")
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m", "Set up")
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory):
    """The project, set up and not built yet; its Prefect server is stopped at the end."""
    made = make_project(tmp_path_factory.mktemp("project"))
    yield made
    made.run(sys.executable, "-m", "flows.clean", check=False)
