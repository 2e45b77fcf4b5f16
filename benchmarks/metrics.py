"""Processor seconds a megapixel of PSNR + SSIM, ours against scikit-image's, and of the bootstrap of many pictures.

    python benchmarks/metrics.py [--rounds 5] [--pictures 10000]

Both sides get the same 8-bit pictures, one thread and the same definition (Gaussian window of 11, sigma 1.5, population
moments), in turn; the least of the rounds counts. Prints a table with the largest difference of the values.
"""

from __future__ import annotations

import argparse
import os

# The libraries read it when they are loaded.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import resource
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restore_ml.evaluation.statistics import bootstraps, resamples
from restore_ml.metrics.fidelity import psnr, ssim


def fastest(rounds: int, *ways: Callable[[], Any]) -> list[tuple[float, Any]]:
    """The least processor seconds of each way and what it gave, the ways in turn."""
    found: list[tuple[float, Any]] = [(float("inf"), None)] * len(ways)
    for _ in range(rounds):
        for number, way in enumerate(ways):
            start = time.process_time()
            value = way()
            found[number] = min(found[number][0], time.process_time() - start), value
    return found


def pair(shape: tuple[int, ...], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture, or one of flat black and white, and the same with noise."""
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 2)
    if kind == "black and white":
        picture = np.where(picture > 128, 255, 0)
    return picture.astype(np.uint8), np.clip(np.rint(picture + rng.normal(0, 8, shape)), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=10_000, help="of the bootstrap")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("| pictures | scikit-image, s/Mpixel | ours, s/Mpixel | ratio | SSIM differs by | PSNR differs by, dB |\n"
          "|---|---|---|---|---|---|")
    for shape, kind in (((1024, 1024), "smooth"), ((1024, 1024, 3), "smooth"), ((256, 256, 3), "smooth"),
                        ((128, 128, 3), "smooth"), ((1024, 1024), "black and white")):
        a, b = pair(shape, kind)
        axis = -1 if len(shape) == 3 else None

        def theirs(a: np.ndarray = a, b: np.ndarray = b, axis: int | None = axis) -> tuple[float, float]:
            return (peak_signal_noise_ratio(a, b, data_range=255),
                    structural_similarity(a, b, data_range=255, gaussian_weights=True, sigma=1.5,
                                          use_sample_covariance=False, channel_axis=axis))

        (slow, expected), (fast, found) = fastest(options.rounds, theirs,
                                                  lambda a=a, b=b: (psnr(a, b), ssim(a, b)))  # type: ignore[misc]
        size = shape[0] * shape[1] / 1e6
        print(f"| {' x '.join(map(str, shape))}, {kind} | {slow / size:.4f} | {fast / size:.4f} | {slow / fast:.1f} | "
              f"{abs(expected[1] - found[1]):.0e} | {abs(expected[0] - found[0]):.0e} |", flush=True)
    groups = [f"{number:064x}" for number in range(options.pictures)]
    table = np.random.default_rng(1).random((24, options.pictures))
    start = time.process_time()
    resamples(options.pictures, 1, 10_000)
    drawn = time.process_time()
    bootstraps(table, groups, 1)
    print(f"\n10,000 resamples of {options.pictures} photographs: {drawn - start:.1f} s once, then 24 intervals in "
          f"{time.process_time() - drawn:.2f} s; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}"
          " MiB")


if __name__ == "__main__":
    main()
