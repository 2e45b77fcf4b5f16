"""How well a classifier of true pictures knows what the colorizations of all pictures of a labelled test set show.

    python benchmarks/class_gap.py                       # the judge of colorization and all runs that have a model
    python benchmarks/class_gap.py gray_transform_poly3 colorful_colorization --set labelled_crops

Needs a rebuilt project: prepared/labelled and models/. Every coloured picture of the labelled test set is turned grey,
coloured by each run and shown to the judge (`restore_ml.tasks.colorization.class_gap`), as the tables do with some of
them (the case in_classes). The interval of the gap is a bootstrap over photographs; the share of worlds without a gap
between truth and grey is printed beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data.shards import Record, Shards
from restore_ml.metrics.classes import gap_interval, gap_recovered
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.runs import settings
from restore_ml.tasks.colorization.class_gap import known_by_photograph
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.protocol import SetRow
from restore_ml.training.slots import load_slot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--set", default="labelled_crops", help="a test set of labelled pictures")
    options = parser.parse_args()
    root = layout.root().resolve()
    params = settings.load(root / "params.yaml")
    judge = load_slot(root, params.judges["colorization"], {})
    named = options.runs or [run.name for run in params.runs_of("colorization")
                             if (root / layout.model("colorization", run.name) / "model.json").exists()]
    rows = pictures(root, options.set)
    print(f"{len(rows)} coloured pictures of {options.set}, {params.judges['colorization']}\n\n"
          "| run | known when coloured | true | grey | gap [95 %] |\n|---|---|---|---|---|")
    for name in named:
        counts = known(rows, load_model(root / layout.model("colorization", name), root), judge)
        coloured, truth, grey = shares(counts.values())
        low, high, without = gap_interval(np.array(list(counts.values()))[:, [1, 3, 2]])
        print(f"| {name} | {coloured:.3f} | {truth:.3f} | {grey:.3f} | {gap_recovered(coloured, grey, truth):+.2f} "
              f"[{low:+.2f}, {high:+.2f}], {without:.0%} of the worlds without a gap |", flush=True)


def pictures(root: Any, test_set: str) -> list[Record]:
    """The coloured pictures of a labelled test set that colorization takes."""
    task = registry.task("colorization")
    return [record for record in Shards(root / layout.PREPARED / "labelled" / "test" / test_set)
            if task.accepts(record.arrays["image"], {}) is None]


def known(rows: list[Record], run: Any, judge: Any) -> dict[str, np.ndarray]:
    """What the judge knows of the pictures of each photograph."""
    def coloured() -> Iterator[SetRow]:
        for record in rows:
            sample = lab_sample(np.array(record.arrays["image"]))
            yield SetRow(Record(record.id, sample.inputs, record.facts), restore(*run, sample.inputs, 1), sample.target)

    return known_by_photograph(coloured(), judge)


def shares(counts: Iterable[np.ndarray]) -> tuple[float, float, float]:
    """Of all pictures, those that are known when coloured, true and grey."""
    total, coloured, truth, grey = np.sum(list(counts), axis=0)
    return coloured / total, truth / total, grey / total


if __name__ == "__main__":
    main()
