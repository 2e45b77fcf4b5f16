"""Tries settings of a run on the validation pictures, which are neither trained on nor in any table.

    python benchmarks/validation.py vdsr '{}' '{"steps": 400}' --cases x2,x4

Each JSON object changes some of the run's settings of the active profile ({} are the present ones). Every variant is
trained in a scratch folder (needs a rebuilt project: prepared/, samples/ and, for runs with `needs:`, models/) and
restores fixed crops of the validation pictures. The table gives the task's primary metric, its mean over the crops,
beside that of the task's baselines, and the training's seconds. `--seeds 2` averages two trainings.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.registry import method_class
from restore_ml.restoring import harness
from restore_ml.restoring.loading import load_model
from restore_ml.runs import settings
from restore_ml.runs.merging import resolved
from restore_ml.seeds import generator
from restore_ml.tasks.base import Sample
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import protocol
from restore_ml.training.precision import resolve
from restore_ml.training.train import Progress, train_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("variants", nargs="+", type=json.loads, metavar="JSON")
    parser.add_argument("--cases", default="", help="degradations, with commas between (default: the primary one)")
    parser.add_argument("--crops", type=int, default=4, help="of each validation picture (default: 4)")
    parser.add_argument("--side", type=int, default=192, help="of a crop in pixels (default: 192)")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    root = layout.root().resolve()
    params = settings.load(root / "params.yaml")
    run = named(params, options.run)
    rules = protocol(run.task)
    try:
        for variant in options.variants:
            resolved(method_class(run.task, run.method), run.method, {**run.settings, **variant}, run.key)
    except UserError as error:
        parser.error(str(error))
    cases = options.cases.split(",") if options.cases else [rules.primary_degradation]
    tests = {case: samples(root, params, run.task, case, options.crops, options.side) for case in cases}
    print(f"{rules.primary} on {options.crops} crops of each validation picture; a baseline beside\n\n"
          f"| {options.run} | seconds | {' | '.join(cases)} |\n|---|---|{'---|' * len(cases)}")
    for name in [name for name in rules.baselines if f"{run.task}/{name}" in params.runs]:
        base = train(root, params, params.runs[f"{run.task}/{name}"], {}, 1)
        print(f"| {name} | | {' | '.join(f'{measure(base, rules, tests[case]):.3f}' for case in cases)} |", flush=True)
    for variant in options.variants:
        started, values = time.monotonic(), []
        for seed in range(1, options.seeds + 1):
            model = train(root, params, run, variant, seed)
            values.append([measure(model, rules, tests[case]) for case in cases])
        seconds = (time.monotonic() - started) / options.seeds
        means = " | ".join(f"{value:.3f}" for value in np.mean(values, axis=0))
        print(f"| {json.dumps(variant)} | {seconds:.0f} | {means} |", flush=True)


def named(params: settings.Params, name: str) -> settings.Run:
    """The run `task/run`, or the one run of that name."""
    found = [run for run in params.runs.values() if name in (run.key, run.name)]
    if len(found) != 1:
        raise UserError(f"{name!r} names {len(found)} runs; give one of {', '.join(params.runs)}.")
    return found[0]


def samples(root: Path, params: settings.Params, task: str, case: str, crops: int, side: int) -> list[Sample]:
    """Test samples of a case made of fixed crops of the validation pictures that the task accepts."""
    known, made = registry.task(task), []
    for record in Shards(root / layout.PREPARED / known.domain / "validation"):
        if known.accepts(record.arrays.get("image", record.arrays.get("target")), params.tasks[task]):
            continue
        for number in range(crops):
            draws = generator("validation", record.id, number)
            height, width = next(iter(record.arrays.values())).shape[:2]
            size = min(side, height, width)
            y, x = int(draws.integers(height - size + 1)), int(draws.integers(width - size + 1))
            arrays = {name: np.ascontiguousarray(array[y:y + size, x:x + size])
                      for name, array in record.arrays.items()}
            cut = Record(f"{record.id}{number}", arrays, record.facts)
            parts = registry.parts(task)
            assert parts.cases is not None
            sample = parts.cases.sample(cut, case, 1, params.tasks[task])
            add_optional(parts.optional, sample, case, 1, cut.id)
            made.append(sample)
    return made


def train(root: Path, params: settings.Params, run: settings.Run, changes: dict[str, Any], seed: int,
          progress: Progress | None = None) -> Any:
    """Train in a scratch project that borrows the data; gives what `load_model` gives."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in (layout.PREPARED, layout.SAMPLES):
            (scratch / name).symlink_to(root / name)
        (scratch / layout.MODELS).mkdir()
        for other in run.slots.values():
            (scratch / layout.slot(other)).parent.mkdir(exist_ok=True)
            (scratch / layout.slot(other)).symlink_to(root / layout.slot(other))
        spec = {"run": run.name, "task": run.task, "method": run.method, "slots": run.slots, "seed": seed,
                "settings": {**run.settings, **changes}, "threads": params.threads, "processes": 1,
                "precision": resolve(params.precision), "versions": {}, "modules": {}, "weights": {}}
        facts = train_run(spec, scratch, scratch / layout.model(run.task, run.name), progress=progress)
        if facts["status"] != "ok":
            raise SystemExit(f"{run.name} with {changes}: {facts['status']}, {facts['reason']}")
        return load_model(scratch / layout.model(run.task, run.name), scratch)


def measure(loaded: Any, rules: Any, tests: list[Sample]) -> float:
    method, model = loaded
    values = [rules.measure(sample.inputs, harness.restore(method, model, sample.inputs, 1), sample.target,
                            rules.context([sample.target]))[rules.primary] for sample in tests]
    return float(np.mean(values))


if __name__ == "__main__":
    main()
