"""What a stage costs beyond its own work: plain, watched by Prefect, and watched through the fork server.

    python benchmarks/overhead.py [--stages 8]

A stage of three empty steps is run so many times each way in a temporary project, with torch imported in it as a
training would. Prints one line a way: seconds and processor seconds (of the stage's own process, where it is one) each.
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
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipelines import client, forkserver, server  # noqa: E402 - found only now

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--stages", type=int, default=8)
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


def show(way: str, figures: tuple[float, float]) -> None:
    print(f"{way:34}{figures[0]:10.2f}{figures[1]:12.2f}", flush=True)


if __name__ == "__main__":
    main()
