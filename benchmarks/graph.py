"""What DVC itself costs over a graph of our shape: many tasks and runs whose stages only write a line.

    python benchmarks/graph.py [--tasks 19] [--runs 250] [--one-lock] [--strict]

Builds a toy project in a temporary folder from today's graph/task.yaml with `--runs` runs over `--tasks` tasks, and
prints a line for each figure: processor seconds of DVC for every executed stage, of a `dvc repro` with nothing to do
(and its wall time), and of the project's own `settings` and `code` for as many runs of real methods. `--one-lock` adds
the same stages in one dvc.yaml with one dvc.lock. `--strict` exits with 1 where a goal is missed; measure on an idle
machine.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
SLOTS = ("features", "teacher", "recogniser", "parts")
GOALS = {"stage": 0.5, "noop": 10.0, "code": 1.0, "settings": 1.0}
"""Processor seconds, of the no-op wall seconds."""
TOY = """\
w() { mkdir -p "${1%/*}"; echo "$2" > "$1"; }
task=${2%/*}; run=${2#*/}
case $1 in
  prepare) w prepared/photos/a x; w prepared/quarantine.parquet x;;
  degrade) for name in contract.parquet left_out.parquet inputs/a targets/a train/a; do w samples/$2/$name x; done;;
  validate) w validation/$2.json x;;
  train) w models/$task/$run/model.json $2;;
  restore) w restored/$task/$run/status.json $2;;
  score) w scores/$task/$run.json $2; w scores/$task/$run.parquet $2;;
  champion) w scores/champion/$2.parquet x;;
  compare) w comparison/$2/table.csv x; w comparison/$2/table.md x; w comparison/$2/plots/primary.csv x
           w comparison/$2/metrics.json '{"x": 1}';;
esac
"""


def build(root: Path, tasks: int, runs: int, one_lock: bool = False) -> int:
    """Lay the toy project out; returns how many stages it has."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "toy.sh").write_text(TOY)
    (root / ".dvc").mkdir()
    shutil.copyfile(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    names = {f"task_{number:02d}": [f"run_{index:03d}" for index in range(number, runs, tasks)]
             for number in range(tasks)}
    template = (ROOT / "graph" / "task.yaml").read_text(encoding="utf-8").replace("python -m pipelines", "sh toy.sh")
    stages: dict[str, dict[str, object]] = {
        "prepare": {"cmd": "sh toy.sh prepare", "deps": ["code/prepare.json"],
                    "outs": ["prepared/photos", "prepared/quarantine.parquet"]}}
    for task, own in names.items():
        _code(root, task, own)
        if one_lock:
            stages |= _stages(template, task, own)
            continue
        folder = root / "graph" / task
        folder.mkdir(parents=True)
        (folder / "dvc.yaml").write_text(template)
        slots = ", ".join(f"{slot}: none" for slot in SLOTS)
        lines = [f"task: {task}", f"tables: [{task}]", "domain: photos", "other_domain: photos", "judge: none",
                 f"empty: &empty {{{slots}}}", "runs: &runs",
                 *(f"  {run}: *empty" for run in own), "tested: *runs"]
        (folder / "runs.yaml").write_text("\n".join(lines) + "\n")
    stages["register"] = {"cmd": "true", "deps": ["comparison", "models", "scores/champion"]}
    with open(root / "dvc.yaml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump({"stages": stages}, file)
    return 2 + tasks * 4 + 3 * runs


def _code(root: Path, task: str, runs: list[str]) -> None:
    paths = [f"code/{kind}/{task}.json" for kind in ("degrade", "validate", "score", "champion", "compare")]
    paths += [f"code/{kind}/{task}/{run}.json" for run in runs for kind in ("train", "restore")]
    for name in (*paths, "code/prepare.json", "models/none", f"champions/{task}/.gitignore"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")


def _stages(template: str, task: str, runs: list[str]) -> dict[str, dict[str, object]]:
    """The template's stages written out for one task, under names that tell tasks apart."""
    found: dict[str, dict[str, object]] = {}
    for name, entry in YAML(typ="safe").load(template)["stages"].items():
        keys = ([""] if "foreach" not in entry else [task] if entry["foreach"] == "${tables}" else runs)
        for key in keys:
            values = {"task": task, "key": key, "item": key, "judge": "none", "domain": "photos",
                      "other_domain": "photos"}
            text = re.sub(r"\$\{(?:item\.)?(\w+)\}", lambda match, values=values: values.get(match[1], "none"),
                          _dumped(entry.get("do", entry)))
            stage = YAML(typ="safe").load(text)
            stage.pop("wdir")
            found[f"{name}-{task}-{key}".strip("-")] = stage
    return found


def _dumped(value: object) -> str:
    import io

    out = io.StringIO()
    YAML(typ="safe").dump(value, out)
    return out.getvalue()


def dvc(root: Path, *arguments: str) -> tuple[float, float, str]:
    """Run DVC: processor seconds (its commands' too), wall seconds, what it said."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True,
                          check=False, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"dvc {' '.join(arguments)}: {done.stderr[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.monotonic() - began, done.stdout


def measure(root: Path, tasks: int, runs: int, one_lock: bool = False) -> dict[str, float]:
    """Build everything, then nothing: seconds."""
    stages = build(root, tasks, runs, one_lock)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    built, built_wall, said = dvc(root, "repro")
    ran = said.count("Running stage")
    if ran != stages:
        raise SystemExit(f"{ran} of {stages} stages ran.")
    idle, idle_wall, said = dvc(root, "repro")
    if "Running stage" in said:
        raise SystemExit("Something ran although nothing had changed.")
    return {"stages": stages, "stage": (built - idle) / stages, "build_wall": built_wall, "noop_cpu": idle,
            "noop": idle_wall}


def ours(runs: int) -> dict[str, float]:
    """Processor seconds of `settings.load` and of `fingerprints.code` for so many runs, once everything is imported."""
    sys.path.insert(0, str(ROOT / "src"))
    import dataclasses

    from restore_ml.runs import fingerprints, settings

    settings.load(ROOT / "params.yaml")
    began = time.process_time()
    params = settings.load(ROOT / "params.yaml")
    loading = (time.process_time() - began) * runs / max(1, len(params.runs))
    many = {}
    for number in range(runs):
        run = list(params.runs.values())[number % len(params.runs)]
        copy = dataclasses.replace(run, name=f"{run.name}_{number}")
        many[copy.key] = copy
    fingerprints.code(ROOT, params)
    began = time.process_time()
    fingerprints.code(ROOT, dataclasses.replace(params, runs=params.runs | many))
    return {"settings": loading, "code": time.process_time() - began}


def main() -> int:
    """Print the figures; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=19)
    parser.add_argument("--runs", type=int, default=250)
    parser.add_argument("--one-lock", action="store_true")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    found = ours(options.runs)
    print(f"settings, {options.runs} runs: {found['settings']:.2f} CPU s; code: {found['code']:.2f} CPU s", flush=True)
    for one_lock in (False, True) if options.one_lock else (False,):
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(Path(folder) / "toy", options.tasks, options.runs, one_lock)
        title = "one lock" if one_lock else "a lock a task"
        print(f"{title}: {figures['stages']:.0f} stages; {figures['stage']:.2f} CPU s an executed stage; no-op "
              f"{figures['noop']:.1f} s ({figures['noop_cpu']:.1f} CPU s); all {figures['build_wall']:.0f} s",
              flush=True)
        if not one_lock:
            found |= figures
    missed = [f"{name}: {found[name]:.2f} s, goal {goal:g} s" for name, goal in GOALS.items() if found[name] > goal]
    print("All goals are met." if not missed else f"Missed: {'; '.join(missed)}.")
    return int(bool(missed) and options.strict)


if __name__ == "__main__":
    sys.exit(main())
