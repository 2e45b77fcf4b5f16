"""Figures of the cases whose truth nobody knows: a case with inputs and no targets (`Cases.without_truth`).

They stand apart from the score rows (scores/<task>/<run>.json, under `without_truth`), so that no mean, rank, interval
or promotion can ever hold one.
"""

from __future__ import annotations

import math
from pathlib import Path

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Shard
from restore_ml.tasks.protocol import protocol

KEY = "without_truth"
"""Where scores/<task>/<run>.json has them."""
Figures = dict[str, dict[str, dict[str, float]]]
"""By case and picture, the figures by name."""


def cases(samples: Path) -> list[str]:
    """The cases (`set/degradation`) of samples/<task> that have no targets, sorted."""
    found = (path.relative_to(samples / "inputs") for path in (samples / "inputs").glob("*/*.arrow"))
    return sorted(path.with_suffix("").as_posix() for path in found if not (samples / "targets" / path).exists())


def figures(task: str, samples: Path, restored: Path) -> Figures:
    """What the task's protocol measures of one run, whose outputs lie in `restored` (restored/<task>/<run>).

    A picture that the run did not restore has none; a figure that is not finite is left out. `ValueError` for a figure
    that the protocol does not declare.
    """
    rules = protocol(task)
    declared = {metric.name for metric in rules.figures_without_truth}
    measured: Figures = {}
    for case in cases(samples) if declared else ():
        path = restored / f"{case}.arrow"
        try:
            outputs = {record.id: record for record in Shard(path)} if path.exists() else {}
        except UserError:  # broken: the gallery says that it cannot be shown
            outputs = {}
        for record in Shard(samples / "inputs" / f"{case}.arrow"):
            if record.id not in outputs:
                continue
            values = rules.measure_without_truth(record.arrays, outputs[record.id].arrays)
            if unknown := sorted(set(values) - declared):
                raise ValueError(f"{task} declares no figure without a truth {', '.join(unknown)}.")
            measured.setdefault(case, {})[record.id] = {name: round(float(value), 6) for name, value in
                                                        sorted(values.items()) if math.isfinite(value)}
    return measured
