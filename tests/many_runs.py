"""A project with many runs of one task, made without training: what tables and pages look like when a task has 40 rows.

Restored pictures are the truth with noise; `python -m tests.many_runs FOLDER` lays one out to look at.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from restore_ml import registry
from restore_ml.base import costs, layout
from restore_ml.base.files import read_json, write_json, write_text, write_whole
from restore_ml.data import shards
from restore_ml.data.manifest import COLUMNS, MANIFEST
from restore_ml.data.shards import Record
from restore_ml.promotion.champion_folders import digest
from restore_ml.seeds import generator
from tests.graphs import write_runs
from tests.tracking.small_project import TASK, picture, rescore, write_lock

RUNS = 40
BASELINE, UNSUPPORTED, PARTLY, FAILED = 30, 37, 38, 39
"""Places of the runs that are no ordinary ones: bicubic, one made for another scale, one that fails on a picture, one
whose training diverged."""
LONG = "multi_scale_residual_attention_generative_adversarial_network_seed_2"
SETS = ("photos", "holiday")


def run_name(number: int) -> str:
    """`bicubic`, names of all lengths, and one that is too long for any column."""
    if number in (BASELINE, 1):
        return "bicubic" if number == BASELINE else LONG
    kinds = ("vdsr", "gan", "self_attention_sr", "transformer_x2_large", "unet", "deep_recursive_network_plus", "edsr")
    return f"{kinds[number % len(kinds)]}_{number:02d}"


def build(root: Path, runs: int = RUNS, pictures: int = 6) -> Path:
    """Lay out `runs` runs of super_resolution on two test sets, with scores, a comparison, costs and decisions."""
    settings = {"scales": [2], "variants": []}
    truths = {}
    for name in SETS:
        inputs, targets = [], []
        for number in range(pictures):
            page = np.full((48, 48, 3), 255, np.uint8)  # a flat page: all that is restored of it is noise nobody sees
            image = page if number == pictures - 1 else picture(number + 100 * SETS.index(name))
            facts = {"name": f"{name} {number}.png", "collection": name, "group": str(number // 2), "synthetic": False}
            record = Record(f"{100 * SETS.index(name) + number:064x}", {"image": image}, facts)
            sample = registry.parts(TASK).cases.sample(record, "x2", 1, settings)
            inputs.append(Record(f"{100 * SETS.index(name) + number:064x}", sample.inputs, {**facts, **sample.facts}))
            targets.append(Record(inputs[-1].id, sample.target, {**facts, **sample.facts}))
        shards.write(root / f"samples/{TASK}/inputs/{name}/x2.arrow", inputs)
        shards.write(root / f"samples/{TASK}/targets/{name}/x2.arrow", targets)
        truths[name] = targets
    names = [run_name(number) for number in range(runs)]
    for number, run in enumerate(names):
        _run(root, run, number, truths)
    write_text(root / "params.yaml", "profile: cpu\nseed: 1\nthreads: 1\nprecision: fp32\n")
    write_runs(root, TASK, {run: {"method": "bicubic" if run == "bicubic" else "vdsr"} for run in names},
               samples={"settings": settings})
    licences = ["CC0-1.0"] * 3 + ["CC-BY-NC-4.0"]
    write_whole(root / "prepared/photos/train" / MANIFEST, lambda part: pq.write_table(pa.Table.from_pylist(
        [dict.fromkeys(COLUMNS.names) | {"licence": licence} for licence in licences], schema=COLUMNS), part))
    write_lock(root)
    rescore(root)
    return root


def _run(root: Path, run: str, number: int, truths: dict[str, list[Record]]) -> None:
    method = "bicubic" if run == "bicubic" else "vdsr"
    broken = number == FAILED
    folder, out = root / layout.model(TASK, run), root / layout.restored(TASK, run)
    reason = "diverged at step 1200: the term generator.adversarial is NaN; lower the learning rate or clip gradients"
    write_json(folder / "model.json", {
        "run": run, "task": TASK, "method": method, "settings": {"layers": 20, "width": 64} if method == "vdsr" else {},
        "seed": 1, "slots": {}, "precision": "fp32", "threads": 1, "fingerprint": f"{run}", "status":
        "failed" if broken else "ok", "reason": reason if broken else "", "steps": 2000, "parameters": {},
        "parameters_total": 0 if method == "bicubic" else 1000 * 3 ** (number % 8), "training_ops": 0 if method ==
        "bicubic" else 10 ** (9 + number % 6), "weights_sha256": "",
        "reading": "biases in every layer, and crops drawn at random instead of on a grid" if number % 3 == 0 else ""})
    costs.write(root, "train", folder / "model.json", {"seconds": 3.0 + 7 * number, "steps": 2000})
    if method == "vdsr":
        write_text(folder / "history.csv", _history(run, number))
    cases: dict[str, Any] = {}
    for name, targets in truths.items():
        entry: dict[str, Any] = {"status": "ok", "reason": "", "failed": {}}
        cases[f"{name}/x2"] = entry
        if broken or number == UNSUPPORTED:
            entry |= {"status": "failed" if broken else "unsupported", "reason": reason if broken else "made for x4"}
            continue
        kept = []
        for target in targets:
            if number == PARTLY and not kept and not entry["failed"]:
                entry["failed"][target.id] = "MemoryError: a picture of this size does not fit into memory"
                continue
            noise = generator("many runs", run, target.id).normal(0, 1, target.arrays["hr"].shape)
            flat = np.ptp(target.arrays["hr"]) == 0
            level = 0.2 * (number % 4) if flat else 2 + 0.25 * number + 40 * (number == BASELINE + 5)
            kept.append(Record(target.id, {"sr": np.clip(np.rint(target.arrays["hr"] + level * noise), 0,
                                                         255).astype(np.uint8)}, target.facts))
        shards.write(out / f"{name}/x2.arrow", kept)
    write_json(out / "status.json", {"run": run, "status": "failed" if broken else "ok", "reason": "",
                                     "multiply_adds": 10 ** (8 + number % 4), "cases": cases})
    costs.write(root, "restore", out / "status.json", {"seconds": 1.5 + number, "ms_per_megapixel": 20.0 * 1.3**number})


def _history(run: str, number: int) -> str:
    """The curves of one network, or of a generator and its judge in two phases."""
    rng, lines = generator("history", run), ["phase,step,term,value"]
    terms = ("net.mse",) if number % 2 else ("generator.l1", "generator.perceptual_relu3_3", "generator.adversarial",
                                             "judge.real", "judge.fake")
    for phase, steps in (("pretrain", 50), ("train", 150)):
        for step in range(steps):
            lines += [f"{phase},{step},{term},{(1 + place) / (step + 2) * (1 + 0.2 * rng.random()):.5g}"
                      for place, term in enumerate(terms)]
    return "\n".join(lines) + "\n"


def promote(root: Path, run: str, kept: int = 2, pictures: int = 40) -> None:
    """Install `run` as the champion by a decision over all other runs, with `kept` earlier decisions."""
    from restore_ml.report.promotion import page

    names = sorted(path.parent.name for path in (root / layout.models(TASK)).glob("*/model.json"))
    home = root / "champions" / TASK
    shutil.copytree(root / layout.model(TASK, run), home / "champion")
    considered = [{"run": name, "members": [name], "value": 33 - 0.1 * place,
                   "gain": {"mean": 0.3 - 0.1 * place, "low": -0.1 * place, "high": 0.6 - 0.1 * place,
                            "confidence": 0.9987, "photographs": 5},
                   "verdict": "passes" if name == run else "its gain could be noise: the interval holds 0"}
                  for place, name in enumerate([run, *(other for other in names if other != run)])]
    shown = [{"picture": f"{place:064x}", "name": f"photograph with a rather long name {place}.png",
              "challenger": 33 + 0.2 * place, "champion": 34.0, "difference": 0.2 * place - 1.0}
             for place in range(pictures)]
    record = {"task": TASK, "kind": "promoted", "promoted": True, "run": run, "install": run, "members": [run],
              "champion": "bicubic", "sentence": f"{run} replaces bicubic: psnr_y +0.30 [+0.10, +0.60] over 5 "
              "photographs, and all guards hold.", "metric": "psnr_y", "case": "photos/x2", "value": 33.0,
              "compared_with": "bicubic", "gain": considered[0]["gain"], "wins": 34, "losses": 5, "noise": 0.05,
              "pictures": shown, "considered": considered, "refused": {run_name(FAILED): "it failed: diverged"},
              "guards": [{"name": "ssim_y", "value": 0.94, "reference": 0.93, "margin": 0.002, "least": None, "most":
                          None, "holds": True, "sentence": ""}], "canaries": None, "latency": None, "synthetic": False,
              "where": [{"case": f"{name}/x2", "pictures": 6, "challenger": 33.0, "champion": 32.5, "mean": 0.5, "low":
                         0.2, "high": 0.8, "wins": 5, "losses": 1, "winner": run} for name in SETS],
              "rule": {"confidence": 0.95, "minimum_gain": 0.02, "min_pictures": 5, "min_photographs": 3},
              "evidence": "0011223344556677", "profile": "cpu", "data": "0123456789abcdef", "commit": "c0ffee" * 6,
              "weights_sha256": "", "challenger_sha256": digest(root / layout.model(TASK, run)),
              "model_sha256": digest(root / layout.model(TASK, run))}
    write_json(home / "champion" / "decision.json", record)
    for number in range(kept):
        write_json(home / f"history/{number + 1:04d}-kept-{number:08x}.json", record | {
            "kind": "kept", "promoted": False, "champion": run, "sentence": f"{run} stays ({number})."})
    write_json(home / f"history/{kept + 1:04d}-promoted-ffffffff.json", record)
    history = [read_json(path) for path in sorted((home / "history").glob("*.json"))]
    write_text(root / "reports" / "promotion" / f"{TASK}.html", page(TASK, history))


if __name__ == "__main__":
    promote(build(Path(sys.argv[1])), run_name(0))
