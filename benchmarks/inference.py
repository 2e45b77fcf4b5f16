"""How a picture is restored fastest: plain torch, tiles, bf16 and ONNX Runtime side by side, and what each changes.

    python benchmarks/inference.py [--runs vdsr partial_conv ...] [--sizes 0.25 1] [--seconds 280]

Run it in a built project; without --runs it takes each task's champion and the network `partial_conv`, where they are.
Megapixels are those of the input (super-resolution makes four of one). `plain` is float32 on the whole picture in
torch's default memory layout, what a straightforward program does; `tiles` is float32 in the tables' own way
(channels_last, tiled as the method declares); `bf16` the same under autocast; `ONNX` the exported file in the place of
torch's network. Differences are to `plain`, in 8-bit levels of the restored picture, and as the change of the PSNR
to the truth (over RGB; in inpainting of what was missing). The last column is the rule's own measurement on the canary
pictures (`restore_ml.restoring.arithmetic`) and what it therefore takes by default.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

from serving import holes, photograph

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.data import domains
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize
from restore_ml.method import Method, Model
from restore_ml.nn.pieces import in_one_piece
from restore_ml.restoring import arithmetic as inference
from restore_ml.restoring.harness import restore
from restore_ml.serving.photos import restore_photo
from restore_ml.serving.restore_command import load_for, run_name
from restore_ml.tasks.photos import default_scale

Work = Callable[[Method, Model], np.ndarray]
Variant = tuple[str, Method, Model, Callable[[], AbstractContextManager[None]]]
"""Its name, a method, a model, and what makes the context in which it runs."""
TIMES = 3


def wanted(root: Path, runs: list[str]) -> list[tuple[str, str]]:
    """(task, run) of what is measured."""
    found = []
    for task in registry.tables():
        with contextlib.suppress(UserError):
            found.append((task, run_name(load_for(root, task, "champion", "fp32")[0])))
    other = "inpainting", "partial_conv"
    if other not in found and (root / layout.model(*other) / "model.json").exists():
        found.append(("inpainting", "partial_conv"))
    if not runs:
        return found
    return [(registry_task(root, run), run) for run in runs]


def registry_task(root: Path, run: str) -> str:
    """The task of a run."""
    from restore_ml.base.files import read_json

    path = next((root / layout.MODELS).glob(f"*/{run}/model.json"), None)
    if path is None:
        sys.exit(f"There is no model of a run {run!r} in {root}; `make repro METHODS={run}` builds it.")
    return str(read_json(path)["task"])


def picture(task: str, method: Method, megapixels: float) -> tuple[Work, Callable[[np.ndarray], float]]:
    """What to restore (any variant of a method and model to the restored picture), and PSNR against the truth."""
    side = round((megapixels * 1e6) ** 0.5)
    if task == "cloud_removal":
        scene = Record("scene", domains.get("scenes").from_rgb(photograph(side, side)), {"name": "scene"})
        sample = registry.parts(task).cases.sample(scene, "cloud_20", 1, {})
        hole = sample.inputs["mask"][..., 0] > 0
        return (lambda method, model: 255 * restore(method, model, sample.inputs, 1)["image"],
                lambda shown: psnr(shown[hole], 255 * sample.target["truth"][hole]))
    if task == "super_resolution":
        scale = default_scale(method)
        truth = photograph(side * scale, side * scale)
        low = np.rint(np.clip(imresize(truth.astype(np.float64), output_size=(side, side)), 0, 255)).astype(np.uint8)
        return lambda method, model: restore_photo(method, model, low), lambda shown: psnr(shown, truth)
    truth = photograph(side, side)
    if task == "inpainting":
        mask = holes(side, side)
        return (lambda method, model: restore_photo(method, model, truth * (1 - mask[..., None]), mask),
                lambda shown: psnr(shown[mask > 0], truth[mask > 0]))
    return lambda method, model: restore_photo(method, model, truth), lambda shown: psnr(shown, truth)


def psnr(shown: np.ndarray, truth: np.ndarray) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((shown.astype(float) - truth) ** 2)), 1e-9))


def variants(method: Method, model: Model) -> Iterator[Variant]:
    """The ways to restore with a model, plain torch first."""
    whole, plain = copy.copy(method), copy.copy(model)
    whole.tile = None
    plain.networks = {name: copy.deepcopy(network).to(memory_format=torch.contiguous_format)
                      for name, network in model.networks.items()}
    yield "plain", whole, plain, in_one_piece
    if not model.networks:
        return
    for name, precision in (("tiles", "fp32"), ("bf16", "bf16")):
        chosen = copy.copy(model)
        chosen.precision = precision
        yield name, method, chosen, contextlib.nullcontext
    exported = through_onnx(method, model)
    if exported is not None:
        yield "ONNX", *exported, contextlib.nullcontext


class _Session(torch.nn.Module):
    """An ONNX file in the place of a network."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session, self.names = session, [value.name for value in session.get_inputs()]

    def forward(self, *given: torch.Tensor) -> Any:
        """What the network gives."""
        feed = {name: value.contiguous().numpy() for name, value in zip(self.names, given, strict=True)}
        found = [torch.from_numpy(value) for value in self.session.run(None, feed)]
        return found if len(found) > 1 else found[0]


def through_onnx(method: Method, model: Model) -> tuple[Method, Model] | None:
    """Method and model with the exported file in them; None where there is no ONNX Runtime or no export."""
    try:
        from restore_ml.serving import export

        candidates = export._candidates(method, model, default_scale(method))
        for traced in candidates:
            if isinstance(traced, str):
                continue
            with contextlib.suppress(Exception):
                data = export._onnx(traced)
                if export.compare(data, traced) > export.TOLERANCE:
                    continue
                network = _Session(export.open_session(data, torch.get_num_threads()))
                replaced, inside = copy.copy(method), copy.copy(model)
                if traced.form != "the whole restore":
                    inside.networks = {**model.networks, traced.form.split("'")[1]: network}
                    return method, inside
                replaced.restore = _restoring(traced, network)  # type: ignore[method-assign]
                return replaced, inside
    except ImportError:
        pass
    return None


def _restoring(traced: Any, network: _Session) -> Callable[..., dict[str, torch.Tensor]]:
    def restoring(model: Model, inputs: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
        found = network(*(inputs[name] for name in traced.inputs))
        found = found if isinstance(found, list) else [found]
        return {name.removeprefix("restored_"): value for name, value in zip(traced.outputs, found, strict=True)}

    return restoring


def timed(work: Work, method: Method, model: Model, times: int) -> tuple[np.ndarray, float, float]:
    """The picture, and the medians of seconds and processor seconds."""
    seconds, processor = [], []
    for _ in range(times):
        started, before = time.perf_counter(), time.process_time()
        shown = work(method, model)
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - before)
    return shown, statistics.median(seconds), statistics.median(processor)


def measure(root: Path, task: str, run: str, sizes: list[float], until: float) -> None:
    """Print the rows of a run."""
    from restore_ml.serving.restore_command import load, model_folder

    folder = root / layout.model(task, run)
    if not (folder / "model.json").exists():
        folder = model_folder(root, task, "champion")
    method, model = load(folder, root)
    canary = inference.difference(method, model) if model.networks else None
    rule = "one way" if canary is None else (f"canaries: {canary.largest}, {canary.decibels:+.4f} dB: "
                                             f"{inference.choose(method, model)}")
    ways = list(variants(method, model))
    small = picture(task, method, 0.01)[0]
    for megapixels in sizes:
        work, score = picture(task, method, megapixels)
        reference = None
        for name, chosen, inside, place in ways:
            if time.monotonic() > until:
                print(f"| {run} | {megapixels:g} | {name} | out of time | | | | | |", flush=True)
                continue
            with place():
                small(chosen, inside)
                shown, seconds, processor = timed(work, chosen, inside, TIMES if megapixels < 0.5 else 1)
            if reference is None:
                reference = (shown.astype(float), score(shown), processor)
            gap = np.abs(shown - reference[0])
            times = reference[2] / processor
            print(f"| {run} | {megapixels:g} | {name} | {seconds:.2f} | {processor:.2f} | {times:.1f} | "
                  f"{gap.max():.3g}, {gap.mean():.4f} | {score(shown) - reference[1]:+.4f} | {rule} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--runs", nargs="*", default=[])
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.25, 1.0])
    parser.add_argument("--seconds", type=float, default=280.0, help="after which nothing more is begun")
    options = parser.parse_args()
    root, until = layout.root().resolve(), time.monotonic() + options.seconds
    chosen = wanted(root, options.runs)
    if not chosen:
        sys.exit(f"There is no champion in {root} to measure; `make repro` builds one, or name runs with --runs.")
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnxscript") is None:
        print("ONNX is left out: its packages are not installed; `pip install -e '.[onnx]'` brings them.\n")
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| run | megapixels | way | seconds | processor s | times plain | largest, mean difference | PSNR, dB | "
          "default |\n|---|---|---|---|---|---|---|---|---|")
    for task, run in chosen:
        measure(root, task, run, options.sizes, until)


if __name__ == "__main__":
    main()
