"""Preparing and degrading against the bare decoding, at 100, 1,000 and 10,000 pictures, and what ten more cost.

    python benchmarks/prepare.py

Pictures are made on the spot: half JPEG, half PNG, sides of 128 to 384 pixels for the rates, 48 to 96 for the numbers.
The decoding limit is Pillow alone, the same files once more in the same round. Times are processor seconds of a process
of its own, start and imports left out (seconds by the clock in brackets: they hold the waiting for the disk).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_ml import registry
from restore_ml.base.files import write_json
from restore_ml.data.ledger import Ledger
from restore_ml.data.prepare import prepare
from restore_ml.degrading import contract_table
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.training import degrade_training

SIZES = (100, 1_000, 10_000)
MORE = 10
RATES = 400
TASKS = {"super_resolution": {"scales": [2], "variants": []}, "inpainting": {"size": 64, "pool": 8},
         "colorization": {"size": 64}}
"""The settings of degrading; SIZES are degraded for the first task."""
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--pictures", type=int, default=RATES, help="for the rates")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measured(*options.step)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rates(Path(folder) / "rates", options.pictures)
        last = numbers(Path(folder), options.sizes)
        additions(Path(folder), last, options.sizes[-1])


def rates(root: Path, count: int) -> None:
    lay_out(root, "learn", range(count), (128, 385))
    lay_out(root, "tests", range(count, count + 4), (128, 385), "test")
    limit = step("decode", root)["cpu"]
    print(f"{count} pictures of 128 to 384 pixels a side, one core\n\n| step | pictures a second and core | time "
          f"against decoding |\n|---|---|---|\n| Pillow decodes | {count / limit:.0f} | 1.0 |")
    for name in ("prepare", *TASKS):
        found = step(name, root)["cpu"]
        label = name if name == "prepare" else f"degrade {name}"
        print(f"| {label} | {count / found:.0f} | {found / limit:.1f} |", flush=True)


def numbers(folder: Path, sizes: list[int]) -> Path:
    print("\nCost and memory by the number of pictures (48 to 96 pixels a side)\n\n| pictures | prepare, s | "
          f"a picture, ms | peak, MB | degrade {next(iter(TASKS))}, s | a picture, ms | peak, MB |\n"
          f"|---|---|---|---|---|---|---|")
    for size in sizes:
        root = folder / str(size)
        lay_out(root, "learn", range(size), (48, 97))
        lay_out(root, "tests", range(10**6, 10**6 + 10), (48, 97), "test")
        cells = []
        for name in ("prepare", next(iter(TASKS))):
            found = step(name, root)
            cells.append(f"{seconds(found)} | {1000 * found['cpu'] / size:.2f} | {found['peak']:.0f}")
        print(f"| {size:,} | {' | '.join(cells)} |", flush=True)
    return root


def additions(folder: Path, root: Path, size: int) -> None:
    """Ten pictures more, beside ten pictures alone and beside nothing new."""
    few = folder / "few"
    lay_out(few, "learn", range(10**7, 10**7 + MORE), (48, 97))
    lay_out(few, "tests", range(10**6, 10**6 + 10), (48, 97), "test")
    task = next(iter(TASKS))
    steps = {"prepare": "prepare", f"degrade {task}": task, "Great Expectations": "validate",
             "`dvc add data`": "track"}
    alone = {label: step(name, few) for label, name in steps.items()}
    first = {label: step(name, root) for label, name in list(steps.items())[2:]}
    again = {label: step(name, root) for label, name in steps.items()}
    lay_out(root, "learn", range(10**7, 10**7 + MORE), (48, 97))
    added = {label: step(name, root) for label, name in steps.items()}
    print(f"\n{MORE} pictures more, s\n\n| step | {MORE} alone | {size:,}, nothing new | {MORE} more | all {size:,} "
          "for the first time |\n|---|---|---|---|---|")
    for label in steps:
        whole = seconds(first[label]) if label in first else "see above"
        print(f"| {label} | {seconds(alone[label])} | {seconds(again[label])} | {seconds(added[label])} | {whole} |")


def seconds(found: Figures) -> str:
    return f"{found['cpu']:.2f} ({found['wall']:.1f})"


def step(name: str, root: Path) -> Figures:
    """A step in a process of its own."""
    found = subprocess.run([sys.executable, __file__, "--step", name, str(root)], check=True, capture_output=True,
                           text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    return json.loads(found.stdout.splitlines()[-1])


def measured(name: str, place: str) -> Figures:
    """Processor seconds (with those of child processes), seconds by the clock, and peak memory in MB."""
    root = Path(place)
    work: dict[str, Callable[[Path], Any]] = {"decode": decoded, "prepare": prepared, "validate": validated,
                                              "track": tracked}
    call = work.get(name) or (lambda root: degraded(root, name))
    Image.init()
    if name in TASKS:
        registry.task(name)
    started, used = time.perf_counter(), cpu()
    call(root)
    return {"cpu": cpu() - used, "wall": time.perf_counter() - started,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def cpu() -> float:
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def decoded(root: Path) -> None:
    for path in sorted((root / "data").glob("*/pictures/*")):
        with Image.open(path) as image:
            np.asarray(image.convert("RGB"))


def prepared(root: Path) -> None:
    prepare(root / "data", root / "prepared", 1, ledger=Ledger.of_stage(root, "prepare", "benchmark"))


def degraded(root: Path, name: str) -> None:
    """The stage as the pipeline runs it."""
    parts, out = registry.parts(name), root / "samples" / name
    ledger = Ledger.of_stage(root, f"degrade-{name}", "benchmark")
    degrade_training(parts, root / "prepared", out, 1, TASKS[name], ledger=ledger)
    degrade_cases(parts, root / "prepared", out, 1, TASKS[name], ledger=ledger)
    contract_table.write_contract(out, ledger=Ledger.of_stage(root, f"contract-{name}", "benchmark"))


def validated(root: Path) -> None:
    from restore_ml.degrading.contracts import validate

    validate(root / "prepared", root / "samples", [next(iter(TASKS))], root / "validation", root / "docs")


def tracked(root: Path) -> None:
    def dvc(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *words], cwd=root, check=True, capture_output=True)

    if not (root / ".dvc").exists():
        dvc("init", "--no-scm", "-q")
    dvc("add", "-q", "data")


def lay_out(root: Path, name: str, seeds: range, sides: tuple[int, int], role: str = "train") -> None:
    """A collection of blurred noise with grain, one picture a seed, JPEG and PNG in turn."""
    folder = root / "data" / name / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        width, height = rng.integers(*sides, 2).tolist()
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
        grain = rng.integers(-12, 13, (height, width, 1), dtype=np.int16)
        picture = Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))
        if seed % 2:
            picture.save(folder / f"{seed:08d}.jpg", quality=92)
        else:
            picture.save(folder / f"{seed:08d}.png")
    write_json(folder.parent / "collection.json", {
        "name": name, "role": role, "domain": "photos", "synthetic": True, "source": "benchmark", "licence": "none"})


if __name__ == "__main__":
    main()
