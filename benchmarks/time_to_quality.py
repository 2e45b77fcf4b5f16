"""PSNR on Set5 against the seconds of training from scratch: how soon a method is good.

    python benchmarks/time_to_quality.py PICTURES... --set5 .../Set5/image_SRF_2 [--settings '{"steps": 400}']

    python benchmarks/time_to_quality.py PICTURES... --set5 .../Set5/image_SRF_3 --scale 3 --trunk x2.safetensors

PICTURES are folders of training pictures (T91 and BSD200), or one folder of a project's training records
(samples/super_resolution/train). Every --every-th picture of a folder is held out: settings are to be chosen by its
column, Set5 is only looked at. The clock runs while the loop trains, its checkpoints included, and stops while scores
are taken from the averaged weights; the last rows add the seconds that restoring Set5 took. PSNR: luma alone as VDSR
was published (its official weights: 37.53 at x2, 33.66 at x3, 31.35 at x4; bicubic 33.66, 30.39, 28.42), and, for
held-out pictures and in the last column, 8-bit RGB in and out as this project's tables. Scores are taken in fp32, as
theirs. `--trunk` starts from what `--save` kept of another call: all but the last convolution, which is a scale's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sr_sets import high_resolution, on_luma, read

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.method import Method, Model
from restore_ml.metrics.fidelity import psnr_y
from restore_ml.tasks.base import Material
from restore_ml.training import checkpoint, precision
from restore_ml.training.loop import Job, fit_networks
from restore_ml.training.sampler import Sampler

TASK = registry.task("super_resolution")
PARTS = registry.parts("super_resolution")
SIDE = 200
"""Of the corner of a held-out picture that is scored, in pixels."""


class Scores:
    """PSNR of a method's networks at the one scale that it is trained for."""

    def __init__(self, method: Method, set5: Path, held_out: list[Record]) -> None:
        self.method, self.scale = method, int(method.settings["scales"][0])
        self.set5 = high_resolution(set5, self.scale)
        self.held_out = [np.ascontiguousarray(modcrop(record.arrays["image"][:SIDE, :SIDE], self.scale))
                         for record in held_out]

    def table(self, model: Model) -> tuple[float, float, float]:
        """(Set5 on luma alone, held-out pictures, Set5 in 8-bit RGB)."""
        held_out = [self.rgb(model, hr) for hr in self.held_out]
        return (float(np.mean([self.luma(model, hr) for hr in self.set5])),
                float(np.mean(held_out)) if held_out else float("nan"),
                float(np.mean([self.rgb(model, hr) for hr in self.set5])))

    def luma(self, model: Model, hr: np.ndarray) -> float:
        """By the published protocol (`sr_sets.on_luma`)."""
        return on_luma(lambda inputs: self.run(model, inputs), hr, self.scale)[0]

    def rgb(self, model: Model, hr: np.ndarray) -> float:
        """As the tables score: the low-resolution picture and the result are 8-bit RGB."""
        inputs = {"lr": TASK.inputs["lr"].to_tensor(imresize(hr, 1 / self.scale)[None]),
                  "scale": torch.tensor([self.scale])}
        return float(psnr_y(TASK.output["sr"].to_array(self.run(model, inputs)[0]), hr, self.scale))

    def run(self, model: Model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The restored batch."""
        with torch.no_grad():
            return self.method.restore(model, inputs, 1)["sr"]


class Watch:
    """The loop's progress, with a row of scores whenever a checkpoint is `every` seconds of training further on."""

    def __init__(self, scores: Scores, path: Path, every: float) -> None:
        self.scores, self.path, self.every = scores, path, every
        self.started, self.stopped, self.seen = time.perf_counter(), 0.0, 0

    def seconds(self) -> float:
        """Of training until now."""
        return time.perf_counter() - self.started - self.stopped

    def __call__(self, phase: str, done: int, total: int, loss: float) -> None:
        saved = self.path.stat().st_mtime_ns if self.path.exists() else 0
        if saved == self.seen:
            return
        self.seen, seconds, began = saved, self.seconds(), time.perf_counter()
        self.scores.method.settings["ensemble"], kept = 1, self.scores.method.settings["ensemble"]
        row(seconds, done, *self.scores.table(Model({"net": averaged(self.scores.method, self.path)})))
        self.scores.method.settings["ensemble"] = kept
        self.stopped += time.perf_counter() - began


def begin_from(method: Method, file: Path) -> None:
    """The method's network starts from what the file has under the same name and shape; what is new starts as ever."""
    build, saved = method.build, load_file(file)

    def started() -> dict[str, torch.nn.Module]:
        networks = build()
        own = networks["net"].state_dict()
        networks["net"].load_state_dict({**own, **{name: value for name, value in saved.items() if name in own}})
        return networks

    method.build = started  # type: ignore[method-assign]


def averaged(method: Method, path: Path) -> torch.nn.Module:
    """The averaged network that a checkpoint holds."""
    net = method.build()["net"].eval()
    checkpoint.fill_network("average.net", net, checkpoint.load(path)[0])
    return net


def row(seconds: float, step: int, luma: float, held_out: float, rgb: float, note: str = "") -> None:
    print(f"| {seconds:.1f} | {step} | {luma:.3f} | {held_out:.3f} | {rgb:.3f} | {note} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--set5", type=Path, required=True, help="folder of its high-resolution pictures")
    parser.add_argument("--method", default="rapid_sr", help="with a setting `ensemble` and a network `net`")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, changes to the method's settings")
    parser.add_argument("--scale", type=int, default=2, help="of the enlargement (default: 2)")
    parser.add_argument("--save", type=Path, help="file for the averaged network")
    parser.add_argument("--trunk", type=Path, help="file of an earlier --save to start from")
    parser.add_argument("--checkpoints", type=Path, help="folder to go on from after an interruption")
    parser.add_argument("--seconds", type=float, default=15.0, help="between rows")
    parser.add_argument("--every", type=int, default=24, help="hold out each so many pictures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kind = precision.resolve(options.precision)
    method = registry.method_class("super_resolution", options.method)({"scales": [options.scale], **options.settings})
    if options.trunk:
        begin_from(method, options.trunk)
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = options.pictures[0]
        held_out: list[Record] = []
        if not any(folder.glob("*.arrow")):
            training, held_out = read(options.pictures, options.every)
            folder = Path(scratch) / "train"
            asked = {"scales": [options.scale], "variants": []}
            shards.write(folder / "0.arrow", PARTS.training.records(training, 1, asked))
        scores = Scores(method, options.set5, held_out)
        sampler = Sampler(PARTS, Material(folder), method.settings, options.seed)
        print(f"{len(sampler.records)} pictures, {options.threads} threads, {kind}, {method.settings}\n\n"
              f"| training, s | steps | Set5 luma | held out | Set5 8-bit RGB | |\n|---|---|---|---|---|---|",
              flush=True)
        place = options.checkpoints or Path(scratch) / "checkpoints"
        watch = Watch(scores, place / "checkpoint.safetensors", options.seconds)
        trained = fit_networks(Job(method, options.method, options.seed, sampler, place, kind,
                                   checkpoint_seconds=options.seconds, progress=watch))
        if options.save:
            state = trained.average.networks["net"].state_dict()
            save_file({name: value.contiguous() for name, value in state.items()}, options.save)
        finish(scores, Model({"net": trained.average.networks["net"].eval()}), watch.seconds(), trained.done)


def finish(scores: Scores, model: Model, seconds: float, steps: int) -> None:
    """The rows of the trained network, alone and as an ensemble of eight, with the time that Set5 takes added."""
    settings: dict[str, Any] = scores.method.settings
    for ensemble in (1, 8):
        settings["ensemble"] = ensemble
        began = time.perf_counter()
        for hr in scores.set5:
            scores.luma(model, hr)
        took = time.perf_counter() - began
        row(seconds + took, steps, *scores.table(model), note=f"with {took:.1f} s of restoring, ensemble of {ensemble}")


if __name__ == "__main__":
    main()
