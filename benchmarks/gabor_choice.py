"""Which of the 24 Gabor kernels gabor_pix2pix should see: each trained a little and scored, as its source did.

    python benchmarks/gabor_choice.py [--norm sum] [--steps 100] [--kernels all] [--seeds 1,2,3] [--photographs 10]

Each kernel (6 sizes x 4 directions) gives a small network the same training: same seed, samples and steps. The control
is shown the grey picture itself in place of a texture. Scored are the source's figures, PSNR and SSIM of the RGB that
the network gives, and PSNR of its ab beside the untouched lightness as in this project's table. The photographs scored
are those of validation, and where `--photographs` asks for more, some of training that are then left out of it; the
test tiles are never seen.

Every training is one line of `--results`, written when it ends; the same call goes on where an earlier one stopped, and
prints the tables of what is there. A kernel is told from another where the interval of their difference, over the
photographs, leaves out 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from restore_ml import registry
from restore_ml.data import embedded_photos, shards
from restore_ml.data.pictures import pixel_hash, read_picture
from restore_ml.data.shards import Record
from restore_ml.evaluation.statistics import paired
from restore_ml.method import Model
from restore_ml.methods.colorization.gabor_pix2pix import GaborPix2Pix
from restore_ml.metrics.colour import psnr_ab
from restore_ml.metrics.fidelity import psnr, ssim
from restore_ml.nn.gabor import DIRECTIONS, NORMS, SIZES, gabor_kernel
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material, Sample
from restore_ml.training.loop import Job, fit_networks
from restore_ml.training.sampler import Sampler

TASK = registry.task("colorization")
PARTS = registry.parts("colorization")
SMALL: dict[str, Any] = {"batch": 8, "patch": 32, "levels": 4, "width": 12, "dropout": False, "disc_width": 8,
                         "disc_layers": 2, "lr": 2e-3, "ema": 0.9}
SIZE = 64
"""Side of the scored squares, as in the quick profile."""
CHOSEN, GREY = "7/0", "grey"
"""The source's choice (size / direction in degrees) and the control."""
FIGURES = {"raw_psnr": "PSNR, dB", "raw_ssim": "SSIM", "psnr_ab": "PSNR of ab, dB"}
ALL = tuple(f"{size}/{direction}" for direction in DIRECTIONS for size in SIZES)
Scores = dict[str, list[float]]
"""Figure -> a value for each photograph."""


class Control(GaborPix2Pix):
    """The same method shown the grey picture: a kernel of one pixel."""

    kernel = torch.ones(1, 1, dtype=torch.float64)


def photographs(split: str) -> list[Record]:
    """The embedded photographs of a split that the task takes (those with colour)."""
    sources = embedded_photos._sources()
    images = {photo.name: read_picture(sources[photo.name]) for photo in embedded_photos.PHOTOGRAPHS
              if photo.split == split}
    return [Record(pixel_hash(image), {"image": image}, {"name": name}) for name, image in images.items()
            if TASK.accepts(image, {}) is None]


def divided(count: int) -> tuple[list[Record], list[Record]]:
    """(to train on, to score): validation's, with those of training whose hashes come first up to `count`."""
    scored, rest = photographs("validation"), sorted(photographs("train"), key=lambda record: record.id)
    more = max(0, count - len(scored))
    if more >= len(rest):
        raise SystemExit(f"There are {len(scored) + len(rest)} photographs; --photographs {count} leaves none to train "
                         "on.")
    return rest[more:], scored + rest[:more]


def method_of(kernel: str, settings: dict[str, Any]) -> GaborPix2Pix:
    """The method with a kernel such as `7/0`, or the control."""
    if kernel == GREY:
        return Control(settings)
    size, direction = map(int, kernel.split("/"))
    with warnings.catch_warnings():  # the table marks the kernels whose texture saturates
        warnings.simplefilter("ignore", UserWarning)
        method = GaborPix2Pix({**settings, "size": size, "theta": direction})
        _ = method.kernel
    return method


def scores(method: GaborPix2Pix, material: Material, samples: list[Sample], seed: int) -> Scores:
    """The method after its few steps of the project's own loop, on every sample."""
    with tempfile.TemporaryDirectory() as folder:
        sampler = Sampler(PARTS, material, method.settings, seed)
        training = fit_networks(Job(method, "gabor_pix2pix", seed, sampler, Path(folder), checkpoint_seconds=1e9))
    model = Model({name: network.eval() for name, network in training.average.networks.items()})
    outputs = [harness.restore(method, model, sample.inputs, seed) for sample in samples]
    pairs = [(output, sample.target) for output, sample in zip(outputs, samples, strict=True)]
    return {"raw_psnr": [float(psnr(output["rgb"], truth["rgb"])) for output, truth in pairs],
            "raw_ssim": [float(ssim(output["rgb"], truth["rgb"])) for output, truth in pairs],
            "psnr_ab": [float(psnr_ab(output["ab"], truth["ab"])) for output, truth in pairs]}


def known(path: Path, asked: dict[str, Any]) -> dict[tuple[str, int], Scores]:
    """What earlier calls with the same settings wrote, by kernel and seed; a line that was cut short counts for
    nothing."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry["asked"] == asked:
            found[entry["kernel"], entry["seed"]] = entry["scores"]
    return found


def tables(found: dict[tuple[str, int], Scores], names: list[str]) -> list[str]:
    """For each figure the means over seeds and photographs, then what can be told of the source's choice."""
    kernels = [kernel for kernel in (*ALL, GREY) if any(kernel == one for one, _ in found)]
    lines = []
    for figure, title in FIGURES.items():
        means = {kernel: np.mean([values[figure] for (one, _), values in found.items() if one == kernel], axis=0)
                 for kernel in kernels}
        control = f" (the grey picture itself: {means[GREY].mean():.3f})" if GREY in means else ""
        lines += ["", f"{title}{control}", "", f"| kernel size | {' | '.join(f'{one}°' for one in DIRECTIONS)} |",
                  f"|---|{'---|' * len(DIRECTIONS)}"]
        lines += [f"| {size} | " + " | ".join(
            f"{means[f'{size}/{one}'].mean():.3f}{'' if abs(float(gabor_kernel(size, one).sum())) >= 0.1 else ' !'}"
            if f"{size}/{one}" in means else "" for one in DIRECTIONS) + " |" for size in SIZES]
        lines += ["", *verdict(means, names)]
    return lines


def verdict(means: dict[str, np.ndarray], names: list[str]) -> list[str]:
    """The best kernel, the place of the source's choice, and how many others are told from it."""
    textures = sorted((kernel for kernel in means if kernel != GREY), key=lambda one: -means[one].mean())
    if CHOSEN not in textures:
        return [f"The source's choice {CHOSEN} is not among those trained."]
    lines = [f"Best: {textures[0]} ({means[textures[0]].mean():.3f}). The source's {CHOSEN} "
             f"({means[CHOSEN].mean():.3f}) is number {1 + textures.index(CHOSEN)} of {len(textures)}."]
    told: dict[str, list[str]] = {"better": [], "worse": []}
    for kernel, values in means.items():
        if kernel == CHOSEN:
            continue
        gain = paired(values, means[CHOSEN], names, 1)
        if kernel in (textures[0], GREY):
            lines.append(f"{kernel} less {CHOSEN}: {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}].")
        if gain.low > 0 or gain.high < 0:
            told["better" if gain.low > 0 else "worse"].append(kernel)
    return [*lines, *(f"Told from it as {how}: {', '.join(which) or 'none'}." for how, which in told.items())]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norm", choices=NORMS, default="sum")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--kernels", default="all", help="all, or some as size/direction: 7/0,17/45")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--photographs", type=int, default=10, help="how many are scored (default: 10)")
    parser.add_argument("--results", type=Path, default=Path(".state/gabor_choice.jsonl"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    kernels = list(ALL) if options.kernels == "all" else options.kernels.split(",")
    if wrong := [kernel for kernel in kernels if kernel not in ALL]:
        raise SystemExit(f"There is no kernel {wrong[0]!r}; write size/direction, such as {CHOSEN}: sizes are "
                         f"{', '.join(map(str, SIZES))}, directions {', '.join(map(str, DIRECTIONS))}.")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    trained_on, scored = divided(options.photographs)
    names = [record.facts["name"] for record in scored]
    settings = {**GaborPix2Pix.paper, **SMALL, "steps": options.steps, "norm": options.norm}
    asked = {"settings": json.loads(json.dumps(settings)), "size": SIZE, "scored": names}
    samples = [PARTS.cases.sample(picture, "lab_grey", 1, {"size": SIZE}) for picture in scored]
    found = known(options.results, asked)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    wanted = [(kernel, seed) for seed in seeds for kernel in (*kernels, GREY)]
    missing = [pair for pair in wanted if pair not in found]
    print(f"{len(trained_on)} photographs to train on, {len(scored)} scored ({SIZE} x {SIZE}); norm {options.norm}, "
          f"{options.steps} steps; {len(wanted) - len(missing)} of {len(wanted)} trainings are there", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder) / "train")
        shards.write(material.folder / "0.arrow", PARTS.training.records(trained_on, 1, {"size": SIZE}))
        for number, (kernel, seed) in enumerate(missing, 1):
            began = time.perf_counter()
            found[kernel, seed] = scores(method_of(kernel, settings), material, samples, seed)
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"asked": asked, "kernel": kernel, "seed": seed,
                                       "scores": found[kernel, seed]}) + "\n")
            seconds = time.perf_counter() - began
            shown = ", ".join(f"{figure} {np.mean(values):.3f}" for figure, values in found[kernel, seed].items())
            print(f"{number} of {len(missing)}: {kernel}, seed {seed}: {shown} ({seconds:.1f} s, about "
                  f"{seconds * (len(missing) - number) / 60:.0f} min left)", file=sys.stderr, flush=True)
    print("\n".join(tables({pair: found[pair] for pair in wanted}, names)))
    print("\n! divided by a sum near 0, so that the texture saturates.")


if __name__ == "__main__":
    main()
