"""How long `dvc repro` takes when there is nothing to do, over a graph of our shape with many empty runs.

    python benchmarks/noop.py [--runs 120] [--seconds 5]

Builds a toy project in a temporary folder: the stages of dvc.yaml with commands that only copy, `--runs` runs (120 make
260 stages). Prints a line of figures; the exit status is 1 when the repetition takes longer than `--seconds`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = """
import sys
from pathlib import Path
name, key = sys.argv[1], "".join(sys.argv[2:])
def write(path, text=""):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or f"{name} {key}")
TASKS = ("super_resolution", "inpainting", "colorization", "cloud_removal", "representation")
if name == "code":
    write("models/none")
    runs = [line.split(":")[0].strip() for line in open("params.yaml") if "needs:" in line]
    for run in [*runs, "features"]:
        write(f"code/train/{run}.json", run), write(f"code/restore/{run}.json", run)
    for part in ("prepare", "validate"):
        write(f"code/{part}.json")
    for task in TASKS:
        write(f"code/{task}.runs.json")
        write(f"champions/{task}/.gitignore", "/champion")
        for part in ("degrade", "score", "champion", "compare"):
            write(f"code/{part}/{task}.json")
elif name == "prepare":
    write("prepared/photos/train/a.arrow")
elif name == "degrade":
    for part in ("contract.parquet", "inputs/a", "targets/a", "train/a"):
        write(f"samples/{key}/{part}")
elif name == "validate":
    for task in TASKS:
        write(f"validation/{task}.json")
elif name == "train":
    write(f"models/{key}/model.json")
elif name == "restore":
    task = next(line for line in open("params.yaml") if line.strip().startswith(key + ":")).split("task:")[1]
    write(f"restored/{task.split(',')[0].strip()}/{key}/status.json")
elif name == "score":
    write(f"scores/{key}.parquet")
elif name == "champion":
    write(f"scores/champion/{key}.parquet")
elif name == "compare":
    for part in ("table.csv", "table.md", "plots/primary.csv"):
        write(f"comparison/{key}/{part}", "a,b\\n1,2\\n")
    write(f"comparison/{key}/metrics.json", "{}")
"""
TASKS = ("super_resolution", "inpainting", "colorization", "cloud_removal")


def make(root: Path, runs: int) -> None:
    """The toy project: our dvc.yaml, `runs` runs over the four tasks."""
    for name in ("dvc.yaml", ".dvcignore", "constraints.txt"):
        shutil.copyfile(ROOT / name, root / name)
    (root / "pipelines").mkdir()
    (root / "pipelines" / "__main__.py").write_text(STAGE)
    for path in ("src/restore_ml/module.py", "data/picture.txt"):
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("x = 1\n")
    lines = [f"  run_{number}: {{task: {TASKS[number % 4]}, needs: none}}" for number in range(runs)]
    (root / "params.yaml").write_text("tasks: {" + ", ".join(f"{task}: {{}}" for task in (*TASKS, "representation"))
                                      + "}\nsupport: {features: {task: representation}}\nruns:\n" + "\n".join(lines)
                                      + "\n")


def dvc(root: Path, *arguments: str) -> tuple[float, str]:
    """Run DVC there; returns seconds and output. A failure ends the benchmark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RESTORE_ML_", "PYTHONPATH"))}
    environment = kept | {"DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1",
                          "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        sys.exit(f"dvc {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started, done.stdout


def measure(root: Path, runs: int) -> dict[str, float]:
    """Build the toy graph, then repeat; returns the number of stages and the seconds of both."""
    make(root, runs)
    dvc(root, "init", "--no-scm", "-q")
    build, _ = dvc(root, "repro")
    again, output = dvc(root, "repro")
    stages = len(dvc(root, "stage", "list", "--name-only")[1].split())
    if "Running stage" in output:
        sys.exit(f"Something ran again although nothing had changed:\n{output}")
    return {"stages": stages, "build_seconds": round(build, 1), "noop_seconds": round(again, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.runs)
    print("  ".join(f"{name} {value}" for name, value in found.items()))
    return int(found["noop_seconds"] > options.seconds)


if __name__ == "__main__":
    sys.exit(main())
