"""What the command line costs before it does its work: `--help`, and `restore` of a picture beyond the network itself.

    python benchmarks/startup.py [--rounds 5] [--megapixels 1]

Run it in a built project with champions. Every figure is the median over fresh processes, taken in turn so that a busy
moment counts for all. `the network` is what a loaded model needs for the same picture in the same arithmetic, once it
has restored a small one; start-up is the rest: imports, reading model and picture, choosing the arithmetic on the
canary pictures, writing the result. Prints a Markdown table and which heavy packages were loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

HEAVY = ("torch", "numpy", "scipy", "skimage", "cv2", "pandas", "pyarrow", "mlflow", "prefect", "great_expectations",
         "matplotlib", "onnxruntime")
PHOTOS = ("super_resolution", "inpainting", "colorization")
GOALS = {"help": 0.3, "restore": 3.0}


def child(arguments: list[str]) -> None:
    """The command in this process, then what it had loaded and what of it was the network, as JSON on stderr."""
    from restore_ml import cli

    network: list[float] = []
    if arguments[0] == "restore":
        from restore_ml.serving import photos

        real = photos.answer

        def watched(*given: Any, **named: Any) -> Any:
            """The second of two times is the network alone; the first also warms up, which is start-up."""
            for _ in range(2):
                started, before = time.perf_counter(), time.process_time()
                restored = real(*given, **named)
                network[:] = [*network, time.perf_counter() - started, time.process_time() - before]
            return restored

        photos.answer = watched
    with contextlib.suppress(SystemExit):
        cli.main(arguments)
    loaded = sorted(name for name in HEAVY if name in sys.modules)
    print(json.dumps({"network": network, "loaded": loaded}), file=sys.stderr)


def once(arguments: list[str]) -> dict[str, Any]:
    """One fresh process: seconds and processor seconds of start-up and of the network."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(done.stderr.strip().splitlines()[-1])
    network = [2 * min(told["network"][part::2], default=0.0) for part in (0, 1)]  # it ran twice
    return {"seconds": seconds - network[0], "processor": processor - network[1], "network": network[0] / 2,
            "loaded": told["loaded"]}


def bare(code: str) -> dict[str, Any]:
    """A fresh interpreter that runs `code`."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return {"seconds": seconds, "network": 0.0, "loaded": [],
            "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megapixels", type=float, default=1.0)
    options = parser.parse_args()
    from PIL import Image
    from serving import holes, photograph

    from restore_ml.base import layout
    from restore_ml.base.files import read_json

    root, side = layout.root().resolve(), round((options.megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(photograph(side, side)).save(folder / "picture.png")
        Image.fromarray(255 * holes(side, side)).save(folder / "mask.png")
        ways: dict[str, list[str]] = {"restore-ml --help": ["--help"]}
        for task in PHOTOS:
            champion = root / layout.CHAMPIONS / task / "champion" / "model.json"
            if champion.exists():
                ways[f"restore, {task} ({read_json(champion)['run']})"] = [
                    "restore", str(folder / "picture.png"), "--task", task, "-o", str(folder / "out.png"),
                    *(["--mask", str(folder / "mask.png")] if task == "inpainting" else [])]
        found: dict[str, list[dict[str, Any]]] = {}
        for _ in range(options.rounds):
            for way, code in (("python alone", "pass"), ("import torch", "import torch")):
                found.setdefault(way, []).append(bare(code))
            for way, arguments in ways.items():
                found.setdefault(way, []).append(once(arguments))
    print(f"load {os.getloadavg()[0]:.1f}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, {options.megapixels:g} "
          f"megapixels, medians of {options.rounds}\n")
    print("| what | start-up s | processor s | goal s | the network s | heavy packages |\n|---|---|---|---|---|---|")
    for way, rounds in found.items():
        middle = {key: statistics.median(one[key] for one in rounds) for key in ("seconds", "processor", "network")}
        goal = next((f"{value:g}" for word, value in GOALS.items() if word in way), "")
        print(f"| {way} | {middle['seconds']:.2f} | {middle['processor']:.2f} | {goal} | {middle['network']:.2f} | "
              f"{', '.join(rounds[0]['loaded'])} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
