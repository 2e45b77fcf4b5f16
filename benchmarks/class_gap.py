"""How well a classifier of true pictures knows what the colorizations of labelled pictures show.

    python benchmarks/class_gap.py                       # the judge of colorization and all runs that have a model
    python benchmarks/class_gap.py gray_transform_poly3 colorful_colorization --set labelled_crops

Needs a rebuilt project: prepared/labelled and models/. Every coloured picture of the labelled test set is turned grey,
coloured by each run and shown to the judge (`restore_ml.tasks.colorization.class_gap`). The interval of the gap is a
bootstrap over photographs; a world without a gap between truth and grey is drawn again, and their share is printed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.data.shards import Record, Shards
from restore_ml.metrics.classes import gap_recovered
from restore_ml.restoring.harness import restore
from restore_ml.restoring.loading import load_model
from restore_ml.runs import settings
from restore_ml.tasks.colorization.class_gap import class_gap
from restore_ml.tasks.colorization.task import lab_sample
from restore_ml.tasks.protocol import SetRow
from restore_ml.training.slots import load_slot

WORLDS = 2000
Counts = dict[str, tuple[int, float, float, float]]
"""By photograph: how many pictures, and how many of them are known when coloured, true and grey."""


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
        coloured, truth, grey = shares(list(counts.values()))
        low, high, without = interval(counts)
        print(f"| {name} | {coloured:.3f} | {truth:.3f} | {grey:.3f} | {gap_recovered(coloured, grey, truth):+.2f} "
              f"[{low:+.2f}, {high:+.2f}], {without:.0%} of the worlds without a gap |", flush=True)


def pictures(root: Any, test_set: str) -> list[Record]:
    """The coloured pictures of a labelled test set that colorization takes."""
    task = registry.task("colorization")
    return [record for record in Shards(root / layout.PREPARED / "labelled" / "test" / test_set)
            if task.accepts(record.arrays["image"], {}) is None]


def known(rows: list[Record], run: Any, judge: Any) -> Counts:
    """What the judge knows of the pictures of each photograph."""
    by_photograph = defaultdict(list)
    for record in rows:
        sample = lab_sample(np.array(record.arrays["image"]))
        output = restore(*run, sample.inputs, 1)
        by_photograph[str(record.facts["group"])].append(SetRow(Record(record.id, sample.inputs, record.facts), output,
                                                                sample.target))
    counts = {}
    for photograph, own in by_photograph.items():
        if found := class_gap(own, judge):
            counts[photograph] = (len(own), *(len(own) * found[f"cls_acc{which}"] for which in ("", "_truth", "_grey")))
    return counts


def shares(counts: list[tuple[int, float, float, float]]) -> tuple[float, float, float]:
    """Of all pictures, those that are known when coloured, true and grey."""
    total, coloured, truth, grey = np.sum(counts, axis=0)
    return coloured / total, truth / total, grey / total


def interval(counts: Counts) -> tuple[float, float, float]:
    """The 95 % interval of the gap over photographs, and the share of worlds in which there was none."""
    rng, values, own = np.random.default_rng(1), [], list(counts.values())
    for _ in range(WORLDS):
        coloured, truth, grey = shares([own[number] for number in rng.integers(len(own), size=len(own))])
        values.append(gap_recovered(coloured, grey, truth))
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high), float(np.isnan(values).mean())


if __name__ == "__main__":
    main()
