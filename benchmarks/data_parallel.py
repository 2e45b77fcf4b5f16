"""How long a training takes in one process and in two that share its batch.

    python benchmarks/data_parallel.py [--steps 60] [--width 32] [--layers 10] [--rounds 2]

Trains VDSR on made-up pictures with 1 process of 1 thread, 1 process of 2 threads and 2 processes of 1 thread, in turn,
`rounds` times, each by the child of the stage `train`. Prints one line a way: the quickest start-to-end seconds of the
child, of them the seconds of the training itself, steps a second after the start, and the largest difference of a
weight from the first way's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from restore_ml import registry
from restore_ml.base.files import read_json, write_json
from restore_ml.data import shards
from restore_ml.seeds import generator

ROOT = Path(__file__).parents[1]
TASK, RUN = "super_resolution", "vdsr"
WAYS = ((1, 1), (1, 2), (2, 1))
"""Processes and threads of each."""


def project(root: Path, processes: int, threads: int, settings: dict[str, int]) -> None:
    """A project with eight noise pictures and one run."""
    pictures = [shards.Record(f"{number:064x}", {
        "image": generator("benchmark", number).integers(0, 256, (96, 96, 3), dtype=np.uint8)}) for number in range(8)]
    records = registry.parts(TASK).training.records(pictures, 1, {"scales": [2], "variants": []})
    shards.write(root / f"samples/{TASK}/train/0.arrow", list(records))
    chosen = registry.method_class(TASK, RUN)({**settings, "scales": [2], "batch": 32, "patch": 40}).settings
    write_json(root / f"code/train/{RUN}.json", {
        "run": RUN, "task": TASK, "method": RUN, "slots": {}, "seed": 1, "settings": chosen, "threads": threads,
        "processes": processes, "precision": "fp32", "versions": {}, "modules": {}})


def train(root: Path, threads: int) -> float:
    """Train; the seconds of the whole child."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RESTORE_ML_ROOT": str(root), "OMP_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import sys; from pipelines.train import work; sys.exit(work({RUN!r}, ''))"],
                   cwd=root, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    for name, number in (("steps", 60), ("width", 32), ("layers", 10), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("steps", "width", "layers")}
    whole: dict[tuple[int, int], list[float]] = {way: [] for way in WAYS}
    inner: dict[tuple[int, int], list[float]] = {way: [] for way in WAYS}
    weights = {}
    for _ in range(options.rounds):
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                project(root, *way, settings)
                whole[way].append(train(root, way[1]))
                inner[way].append(read_json(next((root / ".state/costs").glob("train-*.json")))["seconds"])
                weights[way] = load_file(root / "models" / RUN / "weights.safetensors")
    print(f"{'processes x threads':22}{'child s':>10}{'training s':>12}{'steps/s':>10}{'difference':>12}   "
          f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for way in WAYS:
        apart = max(float(np.abs(value - weights[WAYS[0]][name]).max()) for name, value in weights[way].items())
        print(f"{f'{way[0]} x {way[1]}':22}{min(whole[way]):10.1f}{min(inner[way]):12.1f}"
              f"{options.steps / min(inner[way]):10.1f}{apart:12.1e}")


if __name__ == "__main__":
    main()
