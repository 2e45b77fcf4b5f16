"""How much faster a parallel rebuild is: the same runs one after the other, over processes, over a Dask cluster.

    python benchmarks/parallel.py [--workers 2] [--ways sequential processes dask] [--runs vdsr glcic] [--budget cpu]

The project is copied to a temporary folder with the profile `quick` (or with the settings of another as its budget) and
one torch thread; its pictures are prepared and degraded once. Then each way rebuilds a copy of that: all runs, tables,
MLflow and the gallery. After each one `dvc status` must be clean, `dvc repro` must run nothing, and dvc.lock must be
the same as after the first. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from ruamel.yaml import YAML  # noqa: E402 - found only now

from restore_ml.runs.run_entry import SLOTS  # noqa: E402
from tests.pipeline.conftest import Project, make_project  # noqa: E402


def runs(names: list[str], budget: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each task its runs with empty slots, as these are left out of the project."""
    chosen: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(ROOT.glob("graph/*/runs.yaml")):
        for name, entry in YAML(typ="safe").load(path.read_text(encoding="utf-8"))["runs"].items():
            if all(entry[slot] == "none" for slot in SLOTS) and (not names or name in names):
                kept = {"method": "method", "settings": "settings", "quick": budget}
                chosen.setdefault(path.parent.name, {})[name] = {
                    key: entry[given] for key, given in kept.items() if given in entry}
    return chosen


def rebuilt(start: Path, way: str, workers: int, environment: dict[str, str]) -> tuple[float, dict[str, bytes]]:
    """Seconds of the rebuild of a copy of the project, and its locks."""
    root = start.with_name(way)
    shutil.copytree(start, root, symlinks=True, ignore=shutil.ignore_patterns("prefect"))
    project = Project(root, {**environment, "RESTORE_ML_ROOT": str(root),
                             "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])})
    begin = time.monotonic()
    project.run(sys.executable, "-m", "flows.rebuild", "--runner", way, "--workers",
                str(1 if way == "sequential" else workers), timeout=7200)
    whole = time.monotonic() - begin
    clean = "up to date" in project.dvc("status").stdout
    again = re.findall("Running stage", project.dvc("repro").stdout)
    print(f"{way}: dvc status {'clean' if clean else 'NOT CLEAN'}, dvc repro ran {len(again)} stages", flush=True)
    project.run(sys.executable, "-m", "flows.clean", check=False)
    locks = [root / "dvc.lock", *root.glob("graph/*/dvc.lock")]
    return whole, {path.relative_to(root).as_posix(): path.read_bytes() for path in locks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", nargs="+", default=["sequential", "processes", "dask"])
    parser.add_argument("--runs", nargs="*", default=[], help="only these (default: all that need no features)")
    parser.add_argument("--budget", default="quick", help="the profile whose settings the runs get (default: quick)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restore-ml-parallel-") as folder:
        start = Path(folder) / "start"
        start.mkdir()
        project = make_project(start, runs(options.runs, options.budget))
        project.dvc("repro", "prepare")
        first: tuple[float, dict[str, bytes]] | None = None
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
        rows = ["| runner | workers | rebuild, s | speed-up | locks |", "|---|---|---|---|---|"]
        for way in options.ways:
            whole, lock = rebuilt(start, way, options.workers, project.environment)
            first = first or (whole, lock)
            rows.append(f"| {way} | {1 if way == 'sequential' else options.workers} | {whole:.0f} | "
                        f"{first[0] / whole:.2f} | {'the same' if lock == first[1] else 'ANOTHER'} |")
        print("\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
