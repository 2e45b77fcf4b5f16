"""What is restored of rain whose streaks all have one length: PSNR in dB of models against the rainy picture.

    python benchmarks/streaks.py [idcgan_rain mprnet_derain derain_median] [--lengths 5 10 15 20 30 40]

idcgan's generator sees 25 pixels around each one, so it cannot see a longer streak whole. The test photographs
are cut into squares of --side pixels; all but the streaks' length is the task's rain, with the same draws at each
length. Needs prepared/ and models/ (`make repro`).
"""

from __future__ import annotations

import argparse
from unittest.mock import patch

import numpy as np

from restore_ml.base import layout
from restore_ml.data.shards import Shards
from restore_ml.degradations import dense
from restore_ml.degradations.blur import motion_kernel
from restore_ml.metrics.fidelity import psnr
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.seeds import generator
from restore_ml.tasks.cropping import centre_square, resized_to_short_side

TASK = "restoration"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=["idcgan_rain", "mprnet_derain", "derain_median"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[5, 10, 15, 20, 30, 40], help="in pixels")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--draws", type=int, default=3, help="of rain for each photograph")
    options = parser.parse_args()
    root = layout.root()
    photos = [centre_square(resized_to_short_side(record.arrays["image"], options.side), options.side)
              for record in Shards(root / layout.PREPARED / "photos" / "test" / "photos")
              if record.arrays["image"].shape[2] == 3]
    models = {name: load_model(root / layout.model(TASK, name), root) for name in options.runs}
    print(f"| streaks, pixels | the rainy picture | {' | '.join(models)} |\n|---|---|{'---|' * len(models)}")
    for length in options.lengths:
        pairs = [rainy(photo, length, f"{place}/{draw}")
                 for place, photo in enumerate(photos) for draw in range(options.draws)]
        before = np.mean([psnr(seen, truth) for seen, truth in pairs])
        after = [np.mean([psnr(restore(method, model, {"image": seen}, 1)["image"], truth)
                          for seen, truth in pairs]) for method, model in models.values()]
        print(f"| {length} | {before:.2f} | {' | '.join(f'{value - before:+.2f}' for value in after)} |", flush=True)


def rainy(photo: np.ndarray, length: int, draw: str) -> dense.Pair:
    """The task's rain with streaks of `length` pixels."""
    with patch.object(dense, "motion_kernel", lambda _, angle: motion_kernel(length, angle)):
        return dense.rain(photo, generator("streaks", draw))


if __name__ == "__main__":
    main()
