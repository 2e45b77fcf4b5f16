"""The 24 Gabor kernels of gabor_pix2pix, each trained a little on the embedded photographs and scored.

    python benchmarks/gabor_kernels.py [--norm sum] [--steps 100] [--kernels all] [--seed 1]

Each kernel (6 sizes x 4 directions) gives a small network the same training: same seed, samples and steps. The last row
is the control, the grey picture itself in place of a texture. Printed for each: the kernel's sum before normalisation
(`!` where dividing by it saturates the texture), the share of texture pixels clipped to 0 or 1, PSNR on ab and RMSE of
ab on the validation photographs (never the test tiles), processor seconds. The best kernel by validation is named last.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore_ml import registry
from restore_ml.data import embedded_photos, shards
from restore_ml.data.pictures import pixel_hash, read_picture
from restore_ml.data.shards import Record
from restore_ml.degradations.colour import grey_from_lightness
from restore_ml.method import Model
from restore_ml.methods.colorization.gabor_pix2pix import GaborPix2Pix
from restore_ml.metrics.colour import psnr_ab, rmse_ab
from restore_ml.nn.gabor import DIRECTIONS, NORMS, SIZES, gabor_kernel, texture
from restore_ml.restoring import harness
from restore_ml.tasks.base import Material, Sample
from restore_ml.training.loop import Job, fit_networks
from restore_ml.training.sampler import Sampler

TASK = registry.task("colorization")
PARTS = registry.parts("colorization")
SMALL: dict[str, Any] = {"batch": 8, "patch": 32, "levels": 4, "width": 12, "dropout": False, "disc_width": 8,
                         "disc_layers": 2, "lr": 2e-3, "ema": 0.9}
SIZE = 64
"""Side of the validation squares, as in the quick profile."""


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


def train(method: GaborPix2Pix, material: Material, seed: int) -> Model:
    """The method after its few steps, by the project's own loop."""
    with tempfile.TemporaryDirectory() as folder:
        sampler = Sampler(PARTS, material, method.settings, seed)
        training = fit_networks(Job(method, "gabor_pix2pix", seed, sampler, Path(folder), checkpoint_seconds=1e9))
    return Model({name: network.eval() for name, network in training.average.networks.items()})


def clipped(samples: list[Sample], kernel: Tensor) -> float:
    """The share of texture pixels at 0 or 1."""
    shares = []
    for sample in samples:
        grey = grey_from_lightness(TASK.inputs["L"].to_tensor(sample.inputs["L"][None]))
        maps = texture(grey, kernel)
        shares.append(float(((maps == 0) | (maps == 1)).float().mean()))
    return float(np.mean(shares))


def row(method: GaborPix2Pix, material: Material, samples: list[Sample], seed: int) -> tuple[float, float, float]:
    """(share clipped, PSNR on ab, RMSE of ab), means over the validation pictures."""
    model = train(method, material, seed)
    restored = [harness.restore(method, model, sample.inputs, seed)["ab"] for sample in samples]
    pairs = [(ab, sample.target["ab"]) for ab, sample in zip(restored, samples, strict=True)]
    return (clipped(samples, method.kernel), float(np.mean([psnr_ab(*pair) for pair in pairs])),
            float(np.mean([rmse_ab(*pair) for pair in pairs])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--norm", choices=NORMS, default="sum")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--kernels", default="all", help="all, or some as size/direction: 7/0,17/45")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kernels = [(size, direction) for direction in DIRECTIONS for size in SIZES]
    if options.kernels != "all":
        kernels = [tuple(map(int, pair.split("/"))) for pair in options.kernels.split(",")]  # type: ignore[misc]
    samples = [PARTS.cases.sample(picture, "lab_grey", 1, {"size": SIZE}) for picture in photographs("validation")]
    grey = float(np.mean([psnr_ab(np.zeros_like(sample.target["ab"]), sample.target["ab"]) for sample in samples]))
    scores: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder) / "train")
        count = shards.write(material.folder / "0.arrow",
                             PARTS.training.records(photographs("train"), 1, {"size": SIZE}))
        print(f"{count} training photographs, {len(samples)} for validation ({SIZE} x {SIZE}); norm {options.norm}, "
              f"{options.steps} steps; no colour at all: psnr_ab {grey:.2f} dB")
        print(f"{'direction':>9} {'size':>5} {'sum':>10} {'clipped':>8} {'psnr_ab':>8} {'rmse_ab':>8} {'cpu s':>6}")
        for size, direction in [*kernels, (1, -1)]:
            settings = {**GaborPix2Pix.paper, **SMALL, "steps": options.steps, "norm": options.norm}
            began, control = time.process_time(), size == 1
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", UserWarning)
                method = Control(settings) if control else GaborPix2Pix({**settings, "size": size, "theta": direction})
                share, psnr, rmse = row(method, material, samples, options.seed)
            mark = "!" if any("saturates" in str(entry.message) for entry in warned) else " "
            total = 1.0 if control else float(gabor_kernel(size, direction).sum())
            name = "grey" if control else str(direction)
            scores["grey" if control else f"size {size}, direction {direction}"] = psnr
            print(f"{name:>9} {size:5} {total:9.6f}{mark} {share:8.3f} {psnr:8.2f} {rmse:8.2f} "
                  f"{time.process_time() - began:6.1f}", flush=True)
    textures = {name: value for name, value in scores.items() if name != "grey"}
    best = max(textures, key=lambda name: textures[name])
    print(f"best by validation: {best} ({textures[best]:.2f} dB); grey itself {scores['grey']:.2f} dB")


if __name__ == "__main__":
    main()
