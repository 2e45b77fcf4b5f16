"""A small project that is rebuilt in half a minute, ways to kill the rebuild, and what must hold after the next one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml.base.files import PART, write_json, write_text
from restore_ml.runs import graph
from tests.graphs import write_runs

ROOT = Path(__file__).parents[2]
COPIED = ("src", "pipelines", "flows", "dvc.yaml", "graph/task.yaml", "constraints.txt", "pyproject.toml",
          "brought/README.md", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore")
TASK = "super_resolution"
PARAMS = """\
profile: {profile}
seed: 1
threads: 1
processes: 1
precision: fp32
weights: {{}}
"""
VDSR: dict[str, Any] = {"method": "vdsr", "settings": {"layers": 3, "width": 4, "scales": [2], "batch": 2, "patch": 16}}
NOWHERE = "http://127.0.0.1:9/api"
"""A Prefect server that does not answer: the rebuild goes on without one."""
RESULTS = ("dvc.lock", "graph", "code", "prepared", "samples", "validation", "models", "restored", "scores",
           "comparison")


@dataclass
class Project:
    """A project of its own git and DVC repository, and the environment of its commands."""

    root: Path
    environment: dict[str, str]

    def start(self, *arguments: str, log: str = "rebuild.log", **changes: str) -> subprocess.Popen[bytes]:
        """Start what `make repro` runs, in a process group of its own; what it says is in .state/<log>."""
        path = self.root / ".state" / log
        path.parent.mkdir(exist_ok=True)
        with open(path, "wb") as file:
            return subprocess.Popen([sys.executable, "-m", "flows.rebuild", *arguments], cwd=self.root, stdout=file,
                                    stderr=file, env=self.environment | changes, start_new_session=True)

    def rebuild(self, *arguments: str, timeout: float = 900.0, **changes: str) -> tuple[int, str]:
        """Run it to its end; the exit status and what it said."""
        process = self.start(*arguments, **changes)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
            raise
        return status, self.said()

    def said(self, log: str = "rebuild.log") -> str:
        """What the last rebuild has said so far."""
        return (self.root / ".state" / log).read_text(encoding="utf-8", errors="replace")

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run DVC."""
        return subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=self.root, env=self.environment,
                              capture_output=True, text=True, check=False, timeout=300)

    def processes(self) -> list[int]:
        """The living processes with this project in their environment, but for its Prefect server's."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                given = (folder / "environ").read_bytes().split(b"\0")
                if f"RESTORE_ML_ROOT={self.root}".encode() in given and alive(int(folder.name)) and not any(
                        value.startswith(b"PREFECT_UI_API_URL=") for value in given):
                    found.append(int(folder.name))
        return found

    def watch(self) -> None:
        """Start the project's Prefect server, which takes minutes on a busy machine; rebuilds find it then."""
        code = ("import sys\nfrom pathlib import Path\nfrom pipelines.machinery import server\n"
                "server.start(Path(sys.argv[1]), 600.0)")
        subprocess.run([sys.executable, "-c", code, str(self.root)], cwd=self.root, env=self.environment, check=True)

    def close(self) -> None:
        """End the project's Prefect server."""
        from pipelines.machinery import server

        server.stop(self.root)


def make(root: Path, prefect: bool = True, profile: str = "quick", runs: dict[str, int] | None = None) -> Project:
    """A project of six small pictures and one task: bicubic, and a tiny network for each of `runs` (name: steps)."""
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    for name in COPIED:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache"))
        else:
            shutil.copyfile(source, target)
    networks = {name: {**VDSR, "settings": {**VDSR["settings"], "steps": steps}}
                for name, steps in (runs or {"small": 40}).items()}
    write_text(root / "params.yaml", PARAMS.format(profile=profile))
    write_runs(root, TASK, {"bicubic": {}, **networks}, samples={"settings": {"scales": [2], "variants": []}})
    graph.write(root)
    for role, numbers in (("train", range(4)), ("test", range(4, 6))):
        folder = root / "data" / f"little_{role}"
        names = {f"{number}.png": {"group": str(number), "split": role if role == "test" or number else "validation"}
                 for number in numbers}
        for number in numbers:
            save(folder / "pictures" / f"{number}.png", number)
        write_json(folder / "collection.json", {
            "name": folder.name, "source": "drawn here", "licence": "own", "role": role, "domain": "photos",
            "synthetic": True, "pictures": names})
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "MLFLOW_", "RESTORE_ML_", "GIT_"))}
    environment = kept | {
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]), "RESTORE_ML_ROOT": str(root),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1", "SHELL": "/bin/sh",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}
    if not prefect:
        environment["RESTORE_ML_PREFECT_API"] = NOWHERE
    project = Project(root, environment)
    subprocess.run(["git", "init", "-q"], cwd=root, env=environment, check=True)
    return project


def save(path: Path, number: int, side: int = 96) -> None:
    """A smooth coloured picture, unlike the others."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:side, :side] / side
    waves = [127 + 100 * np.sin(20 * rng.random() * rows + 20 * rng.random() * columns + number) for _ in range(3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.stack(waves, 2) + rng.normal(0, 4, (side, side, 3)), 0, 255).astype(np.uint8)).save(path)


def forget(project: Project) -> None:
    """Take away all that was built, and every cache of it; servers and pictures stay."""
    built = [name for name in RESULTS if name != "graph"]  # which holds settings beside the locks
    for name in (*built, *(path.relative_to(project.root) for path in project.root.glob("graph/*/dvc.lock")),
                 "champions", "reports", ".dvc/cache", ".dvc/tmp", ".state/checkpoints", ".state/costs",
                 ".state/mlflow", ".state/transient"):
        path = project.root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def results(root: Path) -> dict[str, bytes]:
    """All results by path."""
    found = {}
    for name in RESULTS:
        path = root / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.name != ".gitignore":
                found[file.relative_to(root).as_posix()] = file.read_bytes()
    return found


def differences(project: Project, reference: dict[str, bytes]) -> list[str]:
    """The results, locks among them, that are not byte for byte those of the undisturbed rebuild."""
    now = results(project.root)
    return sorted(name for name in now.keys() | reference.keys() if now.get(name) != reference.get(name))


def complaints(project: Project, reference: dict[str, bytes]) -> list[str]:
    """All that does not hold after a rebuild that came to its end; nothing when every promise is kept."""
    found = [f"{name} differs" for name in differences(project, reference)]
    found += [f"{path} was left" for path in project.root.rglob(f"{PART}*")]
    found += [f"MLflow's run {name} is {status}" for name, status in unfinished(project)]
    found += [f"Prefect's run {name} is {state}" for name, state in under_way(project)]
    if project.processes():
        found.append(f"processes are left: {[command(pid) for pid in project.processes()]}")
    return found


def unfinished(project: Project) -> list[tuple[str, str]]:
    """MLflow's runs that say they are at work; none where a rebuild failed before it made the store."""
    path = project.root / ".state/mlflow/mlflow.db"
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as store:
        return list(store.execute("SELECT name, status FROM runs WHERE status IN ('RUNNING', 'SCHEDULED')"))


def under_way(project: Project, kinds: tuple[str, ...] = ("flow_runs", "task_runs")) -> list[tuple[str, str]]:
    """Prefect's runs that say they are at work; none where there is no server."""
    from pipelines.machinery import server

    url = server.find(project.root, timeout=30.0)
    if url is None:
        return []
    states = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    found = []
    for kind in kinds:
        for run in _post(f"{url}/{kind}/filter", {"limit": 200, kind: states}):
            if run["name"] and not (kind == "task_runs" and run["state_type"] == "PENDING" and _placeholder(run)):
                found.append((run["name"], run["state_name"]))
    return found


def _placeholder(run: dict[str, Any]) -> bool:
    """The task run that a stage's flow run hangs on; it is never run itself."""
    return run["task_key"].endswith("<lambda>") or "lambda" in run["task_key"]


def _post(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Kill the rebuild's process alone."""
    process.send_signal(number)
    process.wait(120)


def kill_group(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Kill the rebuild and all of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(120)


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], Any], seconds: float = 300.0, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for a condition; a failed assertion after `seconds`, or when `process` ends before."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        assert process is None or process.poll() is None or true(), "it ended before"
        time.sleep(0.02)


def wait_gone(project: Project, seconds: float = 60.0) -> None:
    """Wait until nothing of a killed rebuild is left, or fail with what is."""
    end = time.monotonic() + seconds
    while left := project.processes():
        assert time.monotonic() < end, [command(pid) for pid in left]
        time.sleep(0.05)


def command(pid: int) -> str:
    """The command line of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def stale_socket(path: Path) -> None:
    """What a killed server leaves: a socket that nobody listens on."""
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)
