"""What the number of threads changes: the same trainings and restorations with 1 and 2 threads, compared to the bit.

    python benchmarks/determinism.py [--threads 1 2] [--repeats 2] [--methods vdsr glcic ...]

Each method is trained (or fitted) for a few steps on made pictures and restores three pictures it has not seen, in a
fresh process for every number of threads and every repetition. The table says whether weights, restored pictures and
scores (PSNR) have the same bits with the same number of threads, and how far they are apart with different ones: the
largest difference of a weight beside the largest weight, of a restored value beside the range, and of a score in dB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SIDE, PICTURES, TESTED, SEED = 64, 6, 3, 5
METHODS: dict[str, tuple[str, dict[str, Any], str]] = {
    "bicubic": ("super_resolution", {}, "x2"),
    "vdsr": ("super_resolution", {"layers": 5, "width": 16, "scales": [2], "optimiser": "adam", "lr": 1e-3,
                                  "last_std": 1e-3, "clip": 0.0, "steps": 30, "batch": 4, "patch": 32,
                                  "augment_scales": [1.0]}, "x2"),
    "glcic": ("inpainting", {"width": 4, "dilations": [2], "disc_width": 4, "disc_hidden": 8, "optimiser": "adam",
                             "lr": 1e-3, "batch": 2, "patch": 64, "masks": ["random_rect"],
                             "steps": {"completion": 6, "discriminator": 2, "joint": 4}}, "centre"),
    "deep_colorization": ("colorization", {"steps": 20, "batch": 2, "patch": 64, "daisy_radius": 7, "hidden": 16,
                                           "semantic_radius": 1, "prepare_crops": 16, "refine_radius": 4}, "lab_grey"),
    "colorful_colorization": ("colorization", {"width": 4, "steps": 8, "batch": 2, "patch": 64}, "lab_grey"),
    "gray_transform": ("colorization", {"fit": "poly3"}, "lab_grey"),
}
"""Task, settings and tested degradation."""
TASK_SETTINGS: dict[str, dict[str, Any]] = {"super_resolution": {"scales": [2], "variants": []},
                                            "inpainting": {"size": 64, "pool": 2}, "colorization": {"size": 64}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), default=list(METHODS))
    parser.add_argument("--work", nargs=3, metavar=("METHOD", "THREADS", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        method, threads, folder = options.work
        work(method, int(threads), Path(folder))
        return
    print(f"| method | the same bits again with {' and '.join(map(str, options.threads))} threads | weights | "
          "restored values | scores, dB |\n|---|---|---|---|---|")
    for row in rows(options.methods, options.threads, options.repeats):
        print("| " + " | ".join(row) + " |", flush=True)


def rows(methods: list[str], threads: list[int], repeats: int) -> Iterator[tuple[str, str, str, str, str]]:
    """A row of the table for each method."""
    for method in methods:
        found = {count: [run(method, count) for _ in range(repeats)] for count in threads}
        same = all(equal(first, other) for results in found.values() for first, other in pairwise(results))
        base, others = found[threads[0]][0], [found[count][0] for count in threads[1:]]
        cells = [worst([difference(base[part], other[part]) for other in others])
                 for part in ("weights", "restored", "scores")]
        yield method, "yes" if same else "NO", *cells


def worst(found: list[tuple[float, float]]) -> str:
    """`same bits`, or the largest difference and what it is a part of."""
    largest, size = max(found, default=(0.0, 0.0))
    return "same bits" if largest == 0 else f"{largest:.1e} of {size:.3g}"


Result = dict[str, dict[str, np.ndarray]]


def equal(first: Result, second: Result) -> bool:
    """Whether all arrays have the same names, types, shapes and bits."""
    return all(first[part].keys() == second[part].keys() and all(
        first[part][name].dtype == second[part][name].dtype and first[part][name].shape == second[part][name].shape
        and first[part][name].tobytes() == second[part][name].tobytes() for name in first[part]) for part in first)


def difference(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> tuple[float, float]:
    """The largest absolute difference, and the largest absolute value."""
    assert first.keys() == second.keys()
    pairs = [(first[name].astype(np.float64), second[name].astype(np.float64)) for name in first]
    return (max((float(np.abs(a - b).max()) for a, b in pairs if a.size), default=0.0),
            max((float(np.abs(a).max()) for a, _ in pairs if a.size), default=0.0))


def run(method: str, threads: int) -> Result:
    """Train and restore in a fresh process with so many threads."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS")}}
        done = subprocess.run([sys.executable, __file__, "--work", method, str(threads), folder], check=False,
                              env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{method} with {threads} threads failed:\n{done.stderr}")
        found: Result = {}
        for part in ("weights", "restored", "scores"):
            with np.load(Path(folder) / f"{part}.npz", allow_pickle=False) as stored:
                found[part] = dict(stored)
        return found


def work(method: str, threads: int, folder: Path) -> None:
    """In the process: samples, training, restoring, scoring, everything with the project's own stages."""
    import torch
    from safetensors.numpy import load_file

    from restore_ml import registry
    from restore_ml.data import shards
    from restore_ml.metrics.fidelity import psnr
    from restore_ml.restoring.harness import restore
    from restore_ml.restoring.loading import load_model
    from restore_ml.training.train import train_run

    torch.set_num_threads(threads)
    task_name, settings, degradation = METHODS[method]
    task, given = registry.task(task_name), TASK_SETTINGS[task_name]
    records = [shards.Record(f"{number:064x}", {"image": picture(number)}, {"name": str(number), "group": str(number)})
               for number in range(PICTURES + TESTED)]
    train = folder / "samples" / task_name / "train"
    shards.write(train / "00.arrow", registry.parts(task.name).training.records(records[:PICTURES], SEED, given))
    for name, pool in registry.parts(task.name).training.pools(records[:PICTURES], SEED, given).items():
        shards.write(train / "pools" / name / "pool.arrow", pool)
    spec = {"run": method, "task": task_name, "method": method, "slots": {}, "seed": SEED, "threads": threads,
            "settings": {**registry.method_class(task_name, method).paper, **settings}, "precision": "fp32"}
    out = folder / "models" / method
    facts = train_run(spec, folder, out)
    if facts["status"] != "ok":
        sys.exit(json.dumps(facts))
    weights: dict[str, np.ndarray] = {}
    for path in out.glob("*.safetensors"):
        weights |= load_file(path)
    built, model = load_model(out, folder)
    restored, scores = {}, {}
    for record in records[PICTURES:]:
        sample = registry.parts(task.name).cases.sample(record, degradation, SEED, given)
        output = restore(built, model, sample.inputs, SEED)
        for name, value in output.items():
            restored[f"{record.id}.{name}"] = value
            if name in sample.target or name == "sr":
                truth = sample.target["hr" if name == "sr" else name]
                scores[f"{record.id}.{name}"] = np.array(psnr(value.astype(np.float64), truth.astype(np.float64)))
    for part, arrays in (("weights", weights), ("restored", restored), ("scores", scores)):
        np.savez(folder / f"{part}.npz", **arrays)  # type: ignore[arg-type]


def picture(number: int) -> np.ndarray:
    """A coloured picture with shapes and texture, H x W x 3 uint8."""
    rng = np.random.default_rng((SEED, number))
    rows_, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    waves = [127 + 90 * np.sin(7 * (rows_ * rng.random() + columns * rng.random()) + number) for _ in range(3)]
    noisy = np.stack(waves, 2) + rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
