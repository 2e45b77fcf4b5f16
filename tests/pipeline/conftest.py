"""A copy of the project in a temporary folder, as its own git and DVC repository, with three small runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("src", "pipelines", "flows", "dvc.yaml", "prefect.yaml", "constraints.txt", "pyproject.toml", "Makefile",
          ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")
RUNS = """
runs:
  bicubic: {task: super_resolution, needs: none}
  vdsr: {task: super_resolution, needs: none, quick: {steps: 20, width: 8, batch: 2, patch: 32}}
  telea: {task: inpainting, needs: none}
"""


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

    def rebuild(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run what `make repro` runs."""
        return self.run(sys.executable, "-m", "flows.rebuild", *arguments, check=check)


def make_project(root: Path, runs: str = RUNS) -> Project:
    """Copy the project to `root`, with `runs` in place of its runs and the profile `quick`, committed to git."""
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache"))
        else:
            shutil.copyfile(source, target)
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = re.sub(r"^profile:.*$", "profile: quick", params, flags=re.MULTILINE)
    params = re.sub(r"^runs:\n(?:[ #].*\n|\n)*", runs.lstrip("\n"), params, flags=re.MULTILINE)
    params = re.sub(r"^support:\n(?:[ #].*\n|\n)*", "support: {}\n", params, flags=re.MULTILINE)
    (root / "params.yaml").write_text(params, encoding="utf-8")
    tables = ", ".join(dict.fromkeys(re.findall(r"task: (\w+)", runs)))
    graph = (root / "dvc.yaml").read_text(encoding="utf-8")
    (root / "dvc.yaml").write_text(re.sub(r"tables: \[.*?\]", f"tables: [{tables}]", graph), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("PREFECT_", "MLFLOW_", "RESTORE_ML_", "GIT_"))}
    environment |= {"PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]), "RESTORE_ML_ROOT": str(root),
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1",
                    "DO_NOT_TRACK": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
    project = Project(root, environment)
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
