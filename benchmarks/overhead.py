"""What a stage costs beyond its own work: plain, watched by Prefect, through the fork server; and a run in MLflow.

    python benchmarks/overhead.py [--stages 8] [--built FOLDER]

A stage of three empty steps is run so many times each way in a temporary project, with torch imported in it as a
training would. Then the results of the built project FOLDER (by default this one) are written to an empty MLflow store,
and once more to the full one. Prints one line a way: seconds and processor seconds (of the stage's own process, where
it is one) each, in MLflow's lines for a run of the project.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.machinery import client, forkserver, server  # noqa: E402 - found only now

STAGE = """
import time

def stage(step, key):
    import torch
    for number in range(3):
        step(f"step_{number}", time.time)
"""


@contextlib.contextmanager
def project() -> Iterator[Path]:
    """A temporary project with the real machinery and one empty stage."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "pipelines", root / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "pipelines" / "empty.py").write_text(STAGE)
        (root / "params.yaml").write_text(f"threads: {os.cpu_count()}\n")
        os.environ |= {"PYTHONPATH": f"{root}{os.pathsep}{ROOT / 'src'}", "RESTORE_ML_ROOT": folder}
        os.environ.update(dict.fromkeys(forkserver.THREADS, str(os.cpu_count())))
        try:
            yield root
        finally:
            server.stop(root)


def run(root: Path, stages: int) -> tuple[float, float]:
    """Seconds and processor seconds a stage, after one that warms the caches."""
    command = [sys.executable, "-m", "pipelines", "empty"]
    subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(stages):
        subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (time.perf_counter() - started) / stages, cpu / stages


@contextlib.contextmanager
def view(built: Path) -> Iterator[Path]:
    """A temporary project with links to what is built, and a `.state` of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for path in built.resolve().iterdir():
            if path.name != ".state":
                (Path(folder) / path.name).symlink_to(path)
        yield Path(folder)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and processor seconds of `work()`."""
    def processor() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(figures.ru_utime + figures.ru_stime for figures in used)

    started, before = time.perf_counter(), processor()
    work()
    return time.perf_counter() - started, processor() - before


def registration(built: Path) -> None:
    """Show what MLflow costs for a run of the project `built`."""
    runs = len(list((built / "models").glob("*/model.json")))
    if not runs or not (built / "comparison").is_dir():
        print(f"(nothing is built in {built}, so MLflow's share is left out; see --built)")
        return
    with view(built) as root:
        os.environ["RESTORE_ML_ROOT"] = str(root)

        def prepare() -> None:
            from restore_ml.tracking import store

            with store.writing(root):
                store.migrate(root)

        def fill() -> None:
            from restore_ml.tracking.sync import sync

            print(f"({' '.join(str(sync(root)).split())[:100]})")

        show("(importing MLflow, new store)", timed(prepare))
        for way in ("MLflow, a run registered", "MLflow, a run kept"):
            seconds, processor = timed(fill)
            show(f"{way} (of {runs})", (seconds / runs, processor / runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--built", type=Path, default=ROOT)
    options = parser.parse_args()
    with project() as root:
        print(f"{'way':34}{'seconds':>10}{'processor':>12}   load {os.getloadavg()[0]:.1f}")
        show("plain process, no server", run(root, options.stages))
        started = time.perf_counter()
        if server.start(root) is None:
            sys.exit("The Prefect server did not start.")
        print(f"{'(starting the Prefect server)':34}{time.perf_counter() - started:10.2f}")
        show("plain process, Prefect", run(root, options.stages))
        started = time.perf_counter()
        with forkserver.running(root) as there:
            print(f"{'(starting the fork server)':34}{time.perf_counter() - started:10.2f}")
            if not there or not (root / client.SOCKET).exists():
                sys.exit("The fork server did not start.")
            show("fork server, Prefect", run(root, options.stages))
    registration(options.built)


def show(way: str, figures: tuple[float, float]) -> None:
    print(f"{way:34}{figures[0]:10.2f}{figures[1]:12.2f}", flush=True)


if __name__ == "__main__":
    main()
