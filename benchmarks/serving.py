"""What serving costs: seams of tiles, memory by size, latency of the champions, a folder's rate, ONNX beside torch.

    python benchmarks/serving.py [--seams] [--memory] [--latency] [--folder N] [--onnx] [--runs vdsr ...]

Run it in a built project. Without options all parts run. Prints Markdown tables; megapixels are those of the input.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from copy import copy
from functools import partial
from pathlib import Path

import numpy as np

from restore_ml.base import layout
from restore_ml.base.errors import UserError

PHOTOS = ("super_resolution", "inpainting", "colorization")
SEAM_SIDE, SEAM_TILE = 384, 256
"""Methods without a tile of their own are compared on this picture with this tile."""


def photograph(height: int, width: int) -> np.ndarray:
    """An enlarged or repeated photograph (scikit-image's astronaut, mirrored as often as it takes)."""
    from skimage import data

    tile = data.astronaut()
    tile = np.concatenate([np.concatenate([tile, tile[:, ::-1]], 1), np.concatenate([tile[::-1], tile[::-1, ::-1]], 1)])
    return np.tile(tile, (-(-height // 1024), -(-width // 1024), 1))[:height, :width]


def holes(height: int, width: int) -> np.ndarray:
    """Scratches all over: a thin line in each 64 pixels and a square hole in each 256."""
    mask = np.zeros((height, width), np.uint8)
    for top in range(32, height - 4, 64):
        mask[top:top + 3] = 1
    for top in range(100, height - 40, 256):
        for left in range(100, width - 40, 256):
            mask[top:top + 40, left:left + 40] = 1
    return mask


def runs(root: Path, wanted: list[str]) -> list[tuple[str, str]]:
    """(run, task) of all models that take photographs."""
    found = []
    for path in sorted((root / layout.MODELS).glob("*/*/model.json")):
        facts = json.loads(path.read_text())
        if facts["task"] in PHOTOS and facts["status"] == "ok" and (not wanted or facts["run"] in wanted):
            found.append((facts["run"], facts["task"]))
    return found


def sample(task: str, method: object, side: int) -> dict[str, np.ndarray]:
    """A task's inputs from the photograph."""
    from restore_ml.degradations.colour import rgb_to_lab
    from restore_ml.tasks.photos import default_scale

    picture, mask = photograph(side, side), holes(side, side)[:, :, None]
    if task == "super_resolution":
        return {"lr": picture, "scale": np.array(default_scale(method), np.int32)}  # type: ignore[arg-type]
    if task == "inpainting":
        return {"image": picture * (1 - mask), "mask": mask}
    return {"L": rgb_to_lab(picture / 255.0)[:, :, :1].astype(np.float32)}


def seams(root: Path, wanted: list[str]) -> None:
    """Tiled against untiled, in 8-bit levels of the restored RGB picture."""
    from restore_ml.degradations.colour import to_rgb8
    from restore_ml.restoring.harness import restore
    from restore_ml.serving.restore_command import load_for

    print("| run | tile, overlap | of its own | picture | largest | mean | 99.9 % |\n|---|---|---|---|---|---|---|")
    for run, task in runs(root, wanted):
        _, method, model = load_for(root, task, run)
        whole, tiled = copy(method), copy(method)
        side = SEAM_SIDE if method.tile is None else min(method.tile * 3 // 2, 640)
        whole.tile = None
        if method.tile is None:
            tiled.tile, tiled.overlap = SEAM_TILE, 64
        inputs = sample(task, method, side)
        pictures = []
        for variant in (whole, tiled):
            output = restore(variant, model, inputs, 1)
            picture = to_rgb8(inputs["L"], output["ab"]) if task == "colorization" else next(iter(output.values()))
            pictures.append(picture.astype(int))
        gap = np.abs(pictures[0] - pictures[1])
        own = "yes" if method.tile else "no"
        print(f"| {run} | {tiled.tile}, {tiled.overlap} | {own} | {side} x {side} | {gap.max()} | {gap.mean():.4f} | "
              f"{np.quantile(gap, 0.999):.1f} |", flush=True)


def one(root: Path, task: str, run: str, megapixels: float) -> None:
    """One picture in this process: prints seconds and peak memory before and after, as JSON."""
    from restore_ml.serving.restore_command import load_for, restore_picture

    _, method, model = load_for(root, task, run)
    side = round((megapixels * 1e6) ** 0.5)
    picture = photograph(side, side)
    mask = holes(side, side) if task == "inpainting" else None
    small = None if mask is None else holes(128, 128)
    restore_picture(method, model, photograph(128, 128), small)  # imports and warm-up
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, processor = time.perf_counter(), time.process_time()
    out = restore_picture(method, model, picture, mask)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "processor": processor, "before": before / 1024, "after": after / 1024,
                      "size": f"{out.shape[1]} x {out.shape[0]}"}))


def apart(root: Path, task: str, run: str, megapixels: float, seconds: float) -> dict | str:
    """`one` in a process of its own."""
    command = [sys.executable, __file__, "--one", task, run, str(megapixels)]
    environment = {**os.environ, "RESTORE_ML_ROOT": str(root)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"more than {seconds:g} s"
    if done.returncode:
        return done.stderr.strip().splitlines()[-1][:60] if done.stderr.strip() else f"killed ({done.returncode})"
    return json.loads(done.stdout.splitlines()[-1])


def memory(root: Path, wanted: list[str], sizes: list[float], seconds: float) -> None:
    """Peak memory of a fresh process by size, and what of it is not the picture's own arrays."""
    heads = " | ".join(f"{size:g} MP" for size in sizes)
    print(f"| run | at start | {heads} |\n|---|---|{'---|' * len(sizes)}")
    for run, task in runs(root, wanted):
        cells, start = [], ""
        for size in sizes:
            found = apart(root, task, run, size, seconds)
            if isinstance(found, str):
                cells.append(found)
                break
            start = f"{found['before']:.0f} MB"
            cells.append(f"{found['after']:.0f} MB, {found['seconds']:.1f} s")
        print(f"| {run} | {start} | {' | '.join(cells)} |", flush=True)


def latency(root: Path, sizes: list[float], seconds: float) -> None:
    """Seconds (and processor seconds, which a busy machine does not change) of each champion, model loaded, a fresh
    process each."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads\n")
    print(f"| champion of | run | {' | '.join(f'{size:g} MP' for size in sizes)} |\n|---|---|{'---|' * len(sizes)}")
    for task in PHOTOS:
        try:
            from restore_ml.serving.restore_command import model_folder, run_name

            name = run_name(model_folder(root, task, "champion"))
        except UserError:
            continue
        cells = [apart(root, task, "champion", size, seconds) for size in sizes]
        shown = " | ".join(cell if isinstance(cell, str) else f"{cell['seconds']:.2f} s ({cell['processor']:.2f})"
                           for cell in cells)
        print(f"| {task} | {name} | {shown} |", flush=True)


def folder(root: Path, count: int) -> None:
    """Pictures a second over a folder of 256 x 256 PNGs, and over the same folder when all is done already."""
    from PIL import Image

    from restore_ml.serving.batch import restore_folder

    print(f"load {os.getloadavg()[0]:.1f}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads\n")
    print("| champion of | pictures a second | processor seconds each | the same again, a second |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        source, masks = Path(name) / "in", Path(name) / "masks"
        source.mkdir(), masks.mkdir()
        whole = photograph(2816, 2816)
        for number in range(count):
            top, left = 251 * (number // 11), 251 * (number % 11)
            Image.fromarray(whole[top:top + 256, left:left + 256]).save(source / f"{number:03}.png")
            Image.fromarray(holes(256, 256) * 255).save(masks / f"{number:03}.png")
        for task in PHOTOS:
            rates = []
            for _ in range(2):
                started = time.perf_counter()
                with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                    processor = time.process_time()
                    failed = restore_folder(root, task, "champion", source, Path(name) / f"out-{task}",
                                            mask=masks if task == "inpainting" else None)
                if failed:
                    sys.exit(f"Pictures of {task} failed.")
                rates.append(count / (time.perf_counter() - started))
                rates.append((time.process_time() - processor) / count)
            print(f"| {task} | {rates[0]:.1f} | {rates[1]:.3f} | {rates[2]:.0f} |", flush=True)


def onnx(root: Path, wanted: list[str], side: int = 256) -> None:
    """Each model as ONNX: size, difference to torch, milliseconds of both on one picture."""
    import torch

    from restore_ml.serving import export as exporting

    print("| run | exported | MB | largest difference | torch ms | ONNX Runtime ms |\n|---|---|---|---|---|---|")
    exporting.SIZES = (*exporting.SIZES, (side, side))  # type: ignore[assignment]
    for run, task in runs(root, wanted):
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "model.onnx"
            try:
                said = exporting.export(root, task, run, path)
            except UserError as error:
                print(f"| {run} | no: {str(error).split(';')[0][:110]} | | | | |", flush=True)
                continue
            _, method, model = exporting.load_for(root, task, run)
            form = said.split(": ")[1].split(" of ")[0]
            factor = exporting.of_task(method.task).factor(method, None)
            traced = next(one for one in exporting._candidates(method, model, factor)
                          if not isinstance(one, str) and one.form == form)
            data, given = path.read_bytes(), traced.samples[-1]
            session = exporting.open_session(data, torch.get_num_threads())
            feed = {name: value.numpy() for name, value in zip(traced.inputs, given, strict=True)}
            with torch.no_grad():
                times = [best(partial(traced.module, *given)), best(partial(session.run, None, feed))]
            print(f"| {run} | {form} | {len(data) / 1e6:.2f} | {exporting.compare(data, traced):.1e} | "
                  f"{times[0]:.1f} | {times[1]:.1f} |", flush=True)


def best(call: object) -> float:
    """Milliseconds, the least of five after one."""
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        call()  # type: ignore[operator]
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    for part in ("seams", "memory", "latency", "onnx"):
        parser.add_argument(f"--{part}", action="store_true")
    parser.add_argument("--folder", type=int, metavar="N", help="pictures in the folder")
    parser.add_argument("--runs", nargs="*", default=[])
    parser.add_argument("--sizes", type=float, nargs="*", help="megapixels")
    parser.add_argument("--seconds", type=float, default=170.0, help="longest time of a measurement")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = layout.root().resolve()
    if options.one:
        one(root, options.one[0], options.one[1], float(options.one[2]))
        return
    every = not (options.seams or options.memory or options.latency or options.onnx or options.folder)
    if every or options.seams:
        seams(root, options.runs)
    if every or options.memory:
        memory(root, options.runs, options.sizes or [1, 4, 16], options.seconds)
    if every or options.latency:
        latency(root, options.sizes or [0.25, 1, 4], options.seconds)
    if every or options.folder:
        folder(root, options.folder or 100)
    if every or options.onnx:
        onnx(root, options.runs)


if __name__ == "__main__":
    main()
