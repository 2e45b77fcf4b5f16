"""Whether a recipe of VDSR learns: loss and score on pictures held out from training, step by step.

    python benchmarks/vdsr_recipe.py PICTURES... [--recipe clip=0.4,clip_by=norm]... [--steps 300] [--minutes 4]

PICTURES are folders of training pictures (T91, BSD200). Every so many of them are held out; the others become training
material in a temporary folder, and each recipe (changes to the paper's settings) is trained in turn by the project's
own loop at full width unless told otherwise. A row of the table: the mean loss since the row before, PSNR on Y of the
held-out pictures (centre squares) for each scale, in brackets its gain on bicubic, and the processor seconds of a step
(all threads together, so that other programs on the machine hardly matter). Test sets have no part in it.
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
from sr_sets import read

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.degradations.resize import imresize
from restore_ml.method import Inputs, Model
from restore_ml.methods.super_resolution.vdsr import VDSR
from restore_ml.metrics.fidelity import psnr_y
from restore_ml.tasks.base import Material, Sample
from restore_ml.training import precision
from restore_ml.training.divergence import Diverged
from restore_ml.training.loop import Job, fit_networks
from restore_ml.training.sampler import Sampler

TASK = registry.task("super_resolution")
PARTS = registry.parts("super_resolution")
ROWS = 6
SIDE = 160
"""Of the centre squares that are scored, in pixels."""


class TimeIsUp(Exception):
    """The minutes of a recipe are over."""


class Watched(VDSR):
    """VDSR whose networks can be looked at while the loop trains them."""

    def build(self) -> dict[str, torch.nn.Module]:
        self.networks = super().build()
        return self.networks


def cases(pictures: list[Record], scales: list[int]) -> dict[int, list[Sample]]:
    """The held-out pictures' centre squares, degraded, by scale."""
    found: dict[int, list[Sample]] = {}
    for scale in scales:
        for picture in pictures:
            image = picture.arrays["image"]
            top, left = (max(0, length - SIDE) // 2 for length in image.shape[:2])
            square = Record(picture.id, {"image": image[top:top + SIDE, left:left + SIDE]})
            found.setdefault(scale, []).append(PARTS.cases.sample(square, f"x{scale}", 1, {}))
    return found


def score(method: Watched, samples: list[Sample], scale: int) -> float:
    """Mean PSNR on Y."""
    model = Model({name: network.eval() for name, network in method.networks.items()})
    values = []
    with torch.no_grad():
        for sample in samples:
            inputs: Inputs = {"lr": TASK.inputs["lr"].to_tensor(sample.inputs["lr"][None]),
                              "scale": torch.tensor([scale])}
            restored = TASK.output["sr"].to_array(method.restore(model, inputs, 1)["sr"][0])
            values.append(psnr_y(restored, sample.target["hr"], scale))
    method.networks["net"].train()
    return float(np.mean(values))


def train(settings: dict[str, Any], folder: Path, held_out: dict[int, list[Sample]], options: argparse.Namespace,
          bicubic: dict[int, float]) -> None:
    """Train one recipe and print its rows."""
    method, losses, started, clock, scoring = Watched(settings), [], time.monotonic(), time.process_time(), 0.0

    def row(done: int) -> None:
        nonlocal scoring
        seconds = (time.process_time() - clock - scoring) / done
        before = time.process_time()
        scores = {scale: score(method, samples, scale) for scale, samples in held_out.items()}
        scoring += time.process_time() - before
        shown = "  ".join(f"{scores[scale]:6.3f} ({scores[scale] - bicubic[scale]:+.3f})" for scale in scores)
        print(f"{done:6}{np.mean(losses):13.4g}  {shown}{seconds:9.2f}", flush=True)
        losses.clear()

    def progress(phase: str, done: int, total: int, loss: float) -> None:
        losses.append(loss)
        if done in (1, total) or done % max(1, total // ROWS) == 0:
            row(done)
        elif time.monotonic() - started > 60 * options.minutes:
            row(done)
            raise TimeIsUp

    sampler = Sampler(PARTS, Material(folder / "train"), method.settings, options.seed)
    with tempfile.TemporaryDirectory() as checkpoints:
        job = Job(method, "vdsr", options.seed, sampler, Path(checkpoints), precision.resolve(options.precision),
                  checkpoint_seconds=1e9, progress=progress)
        try:
            fit_networks(job)
        except Diverged as error:
            print(f"  {error}", flush=True)
        except TimeIsUp:
            print(f"  stopped after {options.minutes:g} minutes", flush=True)


def changes(text: str) -> dict[str, Any]:
    """`clip=0.4,clip_by=norm` as a mapping; values are JSON, or else words."""
    def value(word: str) -> Any:
        try:
            return json.loads(word.replace(";", ","))
        except ValueError:
            return word
    return {key: value(word) for key, _, word in (part.partition("=") for part in text.split(",") if part)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--recipe", action="append", help="changes to the paper's settings, e.g. clip=0.4,clip_by=norm "
                        "(lists with ; between, as scales=[2;3]); several may be given")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=10.0, help="the most that a recipe may take")
    parser.add_argument("--every", type=int, default=24, help="hold out each so many pictures")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    training, held_out = read(options.pictures, options.every)
    scales = VDSR.paper["scales"]
    samples = cases(held_out, scales)
    bicubic = {scale: float(np.mean([psnr_y(imresize(sample.inputs["lr"], scale), sample.target["hr"], scale)
                                     for sample in samples[scale]])) for scale in scales}
    print(f"{len(training)} pictures to train on, {len(held_out)} held out; {options.threads} threads, "
          f"{precision.resolve(options.precision)}; bicubic "
          + ", ".join(f"x{scale} {bicubic[scale]:.3f} dB" for scale in scales))
    with tempfile.TemporaryDirectory() as folder:
        shards.write(Path(folder) / "train" / "0.arrow", PARTS.training.records(training, 1, {"scales": scales}))
        for recipe in options.recipe or [""]:
            settings = {**VDSR.paper, "steps": options.steps, **changes(recipe)}
            print(f"\n{recipe or 'the settings of the paper'}\n  step         loss  "
                  + "".join(f"{'x' + str(scale) + ' (gain)':17}" for scale in scales) + "  s/step", flush=True)
            train(settings, Path(folder), samples, options, bicubic)


if __name__ == "__main__":
    main()
