"""The methods of super-resolution on Set5 and Set14 beside the rows that papers print, each trained on T91 and BSD200.

    RESTORE_ML_BENCHMARK_DATA=.../data python benchmarks/published_sr.py --out rows [RUNS...] [--minutes 5] [--jobs 2]

RUNS are runs of graph/super_resolution/runs.yaml under the active profile (default: all that stand in
published_sr.yaml, and bicubic). Each seed is trained for at most --minutes of one processor core: a few steps are
timed, then the run's steps are stretched or cut so that they fill nine tenths of that time. What differs from the run's
own settings, and the number of seeds, stands in published_sr.yaml. A finished seed is one JSON file in --out and is not
trained again while its settings and minutes stay the same, so an interrupted call goes on where it was.

Measured as published, on luma alone (sr_sets.on_luma). Every training counts: neither settings nor steps are chosen by
these pictures. Two tables (PSNR, SSIM) show mean ± half the spread over the seeds, and after a slash what is printed;
then each step of the printed order is shown, refuted, or not told apart by the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import validation
import yaml
from sr_sets import SETS, data, high_resolution, on_luma, read, test_folder, training_folders

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json, write_json
from restore_ml.data import shards
from restore_ml.evaluation import published
from restore_ml.runs import settings

TASK, SCALES = "super_resolution", (2, 3, 4)
FILLED, TRIAL = 0.9, 8
"""The share of the minutes that the steps are to fill, and the steps of each phase that are timed before."""
ORDER = ("bicubic", "vdsr_bnn", "vdsr_dorefa", "vdsr_abc", "vdsr_bam", "vdsr")
"""As printed, the worst first."""


@dataclass(frozen=True)
class Job:
    """One seed of a run: `changes` to the run's settings, `minutes` of training at most, on `pictures` training
    pictures; what was trained with other ones is trained anew."""

    run: str
    seed: int
    changes: dict[str, Any]
    minutes: float
    pictures: int

    def file(self, out: Path) -> Path:
        """Where its row is kept."""
        return out / "rows" / f"{self.run}-{self.seed}.json"

    def done(self, out: Path) -> dict[str, Any] | None:
        """The row of an earlier call that was asked for the same."""
        path = self.file(out)
        row = read_json(path) if path.exists() else None
        return row if row is not None and row["asked"] == json.loads(json.dumps(asdict(self))) else None


class Clock:
    """The loop's progress: processor seconds of each phase's steps, the first one left out, and a line now and then."""

    def __init__(self, name: str = "", every: float = 60.0) -> None:
        self.name, self.every, self.said = name, every, time.monotonic()
        self.seen: dict[str, list[tuple[int, float]]] = {}

    def __call__(self, phase: str, done: int, total: int, loss: float) -> None:
        self.seen.setdefault(phase, []).append((done, time.process_time()))
        if self.name and time.monotonic() - self.said > self.every:
            self.said = time.monotonic()
            print(f"{self.name}: {phase}, step {done} of {total}, loss {loss:.4g}", flush=True)

    def a_step(self) -> dict[str, float]:
        """Seconds of a step, by phase."""
        return {phase: (marks[-1][1] - marks[0][1]) / max(1, marks[-1][0] - marks[0][0])
                for phase, marks in self.seen.items()}


def fitting(steps: int | dict[str, int], cost: Mapping[str, float], seconds: float) -> int | dict[str, int]:
    """The run's steps, all stretched by one factor, so that they take so many seconds."""
    if isinstance(steps, int):
        return max(1, int(seconds / next(iter(cost.values()))))
    factor = seconds / sum(steps[phase] * cost[phase] for phase in cost)
    return {phase: max(1, int(count * factor)) for phase, count in steps.items()}


def train_and_measure(job: Job, out: Path, folder: Path) -> str:
    """One seed, in a process of its own; writes its row and returns a sentence."""
    torch.set_num_threads(1)
    params = settings.load(layout.root().resolve() / layout.PARAMS)
    run, project = validation.named(params, f"{TASK}/{job.run}"), out / "project"
    method = registry.method(TASK, run.method, {**run.settings, **job.changes})
    steps = None
    if method.stored_networks:
        steps = method.settings["steps"]
        few = TRIAL if isinstance(steps, int) else dict.fromkeys(steps, TRIAL)
        trial = Clock()
        validation.train(project, params, run, {**job.changes, "steps": few}, job.seed, trial)
        steps = fitting(steps, trial.a_step(), FILLED * 60 * job.minutes)
    name, began = f"{job.run}, seed {job.seed}", time.process_time()
    print(f"{name}: {'no steps' if steps is None else f'{steps} steps'}", flush=True)
    changes = job.changes if steps is None else {**job.changes, "steps": steps}
    method, model = validation.train(project, params, run, changes, job.seed, Clock(name))
    took = time.process_time() - began
    figures = {f"{name} x{scale}": measured(method, model, test_folder(folder, name, scale), scale)
               for name in SETS for scale in SCALES if method.unsupported(f"x{scale}") is None}
    parameters = sum(value.numel() for network in model.networks.values() for value in network.parameters())
    write_json(job.file(out), {"asked": asdict(job), "method": run.method, "steps": steps, "seconds": round(took, 1),
                               "parameters": parameters, "figures": figures})
    return f"{name}: {took:.0f} s of training, Set5 {figures_in_words(figures)}"


def measured(method: Any, model: Any, folder: Path, scale: int) -> dict[str, float]:
    """Means of PSNR and SSIM over a set."""
    def restored(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            result: torch.Tensor = method.restore(model, inputs, 1)["sr"]
        return result

    values = np.mean([on_luma(restored, hr, scale) for hr in high_resolution(folder, scale)], axis=0)
    return {"psnr": round(float(values[0]), 4), "ssim": round(float(values[1]), 5)}


def figures_in_words(figures: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(f"{case.removeprefix('Set5 ')} {entry['psnr']:.2f}" for case, entry in figures.items()
                     if case.startswith("Set5 "))


def table(rows: list[dict[str, Any]], metric: str, digits: int) -> Iterator[str]:
    """Measured beside printed, a line a run."""
    columns = [f"{name} x{scale}" for name in SETS for scale in SCALES]
    yield f"| run | seeds | parameters | steps | seconds | {' | '.join(f'{metric} {column}' for column in columns)} |"
    yield "|" + "---|" * (5 + len(columns))
    for run, own in by_run(rows).items():
        cells = [cell(own, column, metric, digits) for column in columns]
        steps = sorted(sum(row["steps"].values()) if isinstance(row["steps"], dict) else row["steps"] or 0
                       for row in own)
        counted = f"{steps[0]} to {steps[-1]}" if steps[0] < steps[-1] else f"{steps[0]}"
        yield (f"| {run} | {len(own)} | {own[0]['parameters']:,} | {counted} | "
               f"{np.mean([row['seconds'] for row in own]):.0f} | {' | '.join(cells)} |")


def by_run(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The seeds of each run, in the printed order first."""
    names = {row["asked"]["run"]: 0 for row in rows}
    ordered = sorted(names, key=lambda run: (ORDER.index(run) if run in ORDER else len(ORDER), run))
    return {run: [row for row in rows if row["asked"]["run"] == run] for run in ordered}


def cell(own: list[dict[str, Any]], column: str, metric: str, digits: int) -> str:
    mean, spread = over_seeds(own, column, metric)
    name, case = column.split()
    printed = next((figure for figure in published.figures(TASK) if (
        figure.table, figure.set, figure.case, figure.method, figure.metric) == (
        "binary_sr", name, case, own[0]["method"], metric)), None)
    text = "–" if math.isnan(mean) else f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(own) > 1 else "")
    return text + ("" if printed is None else f" / {printed.value}" + " (misprint)" * (printed.kind == "misprint"))


def over_seeds(own: list[dict[str, Any]], column: str, metric: str) -> tuple[float, float]:
    """The mean over the seeds, and half of what lies between the lowest and the highest; NaN where not measured."""
    values = [row["figures"][column][metric] for row in own if column in row["figures"]]
    return (float(np.mean(values)), (max(values) - min(values)) / 2) if values else (math.nan, math.nan)


def order(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Of each set and scale, what the seeds say of the printed order, step by step."""
    own = by_run(rows)
    there = [run for run in ORDER if run in own]
    if len(there) < 2:
        return
    yield "The printed order: " + " < ".join(ORDER) + "."
    for column in (f"{name} x{scale}" for name in SETS for scale in SCALES):
        steps = [verdict(own, worse, better, column) for worse, better in pairwise(there)]
        whole = "refuted" if any("refuted" in step for step in steps) else (
            "shown" if len(there) == len(ORDER) and all("shown" in step for step in steps) else "not shown as a whole")
        yield f"{column}: {whole}. {'; '.join(steps)}."


def verdict(own: Mapping[str, list[dict[str, Any]]], worse: str, better: str, column: str) -> str:
    """`a < b shown` where every seed of b is above every seed of a."""
    low, high = (over_seeds(own[run], column, "psnr")[0] for run in (worse, better))
    if math.isnan(low) or math.isnan(high):
        return f"{worse} < {better} not measured"
    extremes = [[row["figures"][column]["psnr"] for row in own[run]] for run in (worse, better)]
    word = ("shown" if min(extremes[1]) > max(extremes[0]) else
            "refuted" if max(extremes[1]) < min(extremes[0]) else "not told apart")
    return f"{worse} < {better} {word} ({high - low:+.2f} dB)"


def asked_for(options: argparse.Namespace, params: settings.Params, pictures: int) -> list[Job]:
    """Every seed of every run, bicubic once."""
    chosen = yaml.safe_load(options.settings.read_text(encoding="utf-8"))
    known = {run.name for run in params.runs_of(TASK)}
    runs = options.runs or [run for run in ("bicubic", *chosen["seeds"]) if run in known]
    if unknown := [run for run in runs if run not in known]:
        raise SystemExit(f"{TASK} has no run {' and no run '.join(unknown)}; it has {', '.join(sorted(known))}.")
    return [Job(run, seed, chosen["settings"].get(run, {}), options.minutes, pictures)
            for run in runs for seed in range(1, (options.seeds or chosen["seeds"].get(run, 1)) + 1)
            if seed == 1 or run != "bicubic"]


def material(out: Path, folder: Path, root: Path, most: int) -> int:
    """Write the training material once, and a link to the models of the project, which runs may have in their slots;
    returns the number of pictures. `most`: pictures at most, 0 for all."""
    project = out / "project"
    pictures, _ = read(training_folders(folder), 0)
    pictures = pictures[:most or None]
    place = project / layout.material(TASK) / f"{len(pictures)}.arrow"
    if not place.exists():
        print(f"{len(pictures)} training pictures are made ready.", flush=True)
        for old in place.parent.glob("*.arrow"):
            old.unlink()
        training = registry.parts(TASK).training
        shards.write(place, training.records(pictures, 1, {"scales": list(SCALES), "variants": []}))
    (project / layout.PREPARED).mkdir(exist_ok=True)
    link = project / layout.MODELS
    if not link.is_symlink():
        link.symlink_to(root / layout.MODELS)
    return len(pictures)


def side_by_side(left: list[Job], jobs: int, out: Path, folder: Path) -> Iterator[str]:
    """What `train_and_measure` says of each as it ends; with 0 jobs in this process."""
    if not jobs:
        yield from (train_and_measure(job, out, folder) for job in left)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train_and_measure, job, out, folder) for job in left]):
            yield future.result()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", metavar="RUNS")
    parser.add_argument("--out", type=Path, required=True, help="folder of the rows and of the training material")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training, a seed at most (default: 5)")
    parser.add_argument("--seeds", type=int, default=0, help="of each run (default: as published_sr.yaml says)")
    parser.add_argument("--jobs", type=int, default=2, help="at a time, a core each (default: 2; 0: in this process)")
    parser.add_argument("--pictures", type=int, default=0, help="train on the first so many alone, to try this out")
    parser.add_argument("--settings", type=Path, default=Path(__file__).with_name("published_sr.yaml"))
    options = parser.parse_args(arguments)
    folder, root = data(), layout.root().resolve()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    jobs = asked_for(options, settings.load(root / layout.PARAMS), material(out, folder, root, options.pictures))
    left = [job for job in jobs if job.done(out) is None]
    print(f"{len(jobs)} trainings, {len(jobs) - len(left)} of them are done; the others take at most "
          f"{math.ceil(len(left) / max(1, options.jobs)) * options.minutes:g} minutes and the measuring.", flush=True)
    for number, sentence in enumerate(side_by_side(left, options.jobs, out, folder), 1):
        print(f"{number} of {len(left)}: {sentence}", flush=True)
    rows = [row for job in jobs if (row := job.done(out)) is not None]
    for metric, digits in (("psnr", 2), ("ssim", 4)):
        print("\n" + "\n".join(table(rows, metric, digits)), flush=True)
    print("\n" + "\n".join(order(rows)), flush=True)


if __name__ == "__main__":
    main()
