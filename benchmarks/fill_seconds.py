"""Processor seconds that a run takes to restore a picture, on one thread: what the classical methods may cost.

    python benchmarks/fill_seconds.py inpainting telea tv_inpaint efros_leung [--cases photos/centre ...] [--pictures 2]

Restores the first --pictures test pictures of each case (default: all cases) with the stored models, through the
harness that the stage uses. The least of --rounds counts for each picture. The table has the mean and the largest over
the pictures, and the case of the largest. Needs samples/ and models/ of a rebuilt project.
"""

from __future__ import annotations

import argparse
import os

# The libraries read it when they are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from restore_ml.base import layout
from restore_ml.data.shards import Record, Shard
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.restoring.stage import cases_of
from restore_ml.seeds import derive
from restore_ml.tasks.base import Case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--cases", nargs="+", help="set/degradation (default: all)")
    parser.add_argument("--pictures", type=int, default=2, help="of each case (default: 2)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    root = layout.root()
    cases = options.cases or cases_of(root / layout.inputs(options.task))
    records = {case: list(islice(Shard(root / layout.inputs(options.task) / f"{case}.arrow"), options.pictures))
               for case in cases}
    print("| run | pictures | mean, s | largest, s | in the case |\n|---|---|---|---|---|")
    for run in options.runs:
        taken = seconds(root, options.task, run, records, options.rounds)
        case, number = max(taken, key=lambda key: taken[key])
        print(f"| {run} | {len(taken)} | {np.mean(list(taken.values())):.2f} | {taken[case, number]:.2f} | {case} |",
              flush=True)


def seconds(root: Path, task: str, run: str, records: dict[str, list[Record]], rounds: int
            ) -> dict[tuple[str, int], float]:
    """Of each case that the run does and each picture of it the processor seconds."""
    method, model = load_model(root / layout.model(task, run), root)
    done = {case: of_case for case, of_case in records.items()
            if method.unsupported(Case.parse(case).degradation) is None}
    restore(method, model, next(iter(done.values()))[0].arrays, 1)  # what is loaded on first use is not counted
    taken = {}
    for case, of_case in done.items():
        for number, record in enumerate(of_case):
            each = []
            for _ in range(rounds):
                started = time.process_time()
                restore(method, model, record.arrays, derive(1, "restore", record.id, case))
                each.append(time.process_time() - started)
            taken[case, number] = min(each)
    return taken


if __name__ == "__main__":
    main()
