"""Compares settings of the watershed that tells touching nuclei apart, on training and validation fields.

    python benchmarks/watershed.py --apart 2 3 5 --sigma 0 0.5 1

The aggregated Jaccard index (mean over the outlined fields of each collection) of what is split of the true foreground
and of Otsu's, for each pair of settings (needs prepared/). No test picture is read.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data.shards import Shards
from restore_ml.method import Model
from restore_ml.metrics.segmentation import aggregated_jaccard
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.segmentation.instances import split_touching


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apart", nargs="+", type=int, default=[2, 3, 4, 5])
    parser.add_argument("--sigma", nargs="+", type=float, default=[0.0, 0.5, 1.0, 1.5])
    options = parser.parse_args()
    otsu = registry.method("segmentation", "classical_segmentation", {})
    fields: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for side in ("train", "validation"):
        for record in Shards(layout.root() / layout.PREPARED / "nuclei" / side):
            if "instances" in record.arrays:
                found = otsu.restore_arrays(Model(), {"image": three_channels(record.arrays["image"])}, 1)["labels"]
                fields.setdefault(f"{record.facts['collection']}, {side}", []).append(
                    (np.array(record.arrays["instances"][..., 0]), found[..., 0] > 0))
    heads = [f"{name} ({len(pairs)}), {of}" for name, pairs in fields.items() for of in ("truth", "otsu")]
    print(f"| apart | sigma | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    for apart, sigma in itertools.product(options.apart, options.sigma):
        values = [np.mean([aggregated_jaccard(truth, split_touching(foreground, apart, sigma))
                           for truth, found in pairs for foreground in [truth > 0 if of == "truth" else found]])
                  for pairs in fields.values() for of in ("truth", "otsu")]
        print(f"| {apart} | {sigma:g} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


if __name__ == "__main__":
    main()
