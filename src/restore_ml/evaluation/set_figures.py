"""Figures of a whole case (rank-1, macro-F1, a Frechet distance), for tasks whose protocol measures any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Shard
from restore_ml.evaluation.scoring import cases_on_disk
from restore_ml.tasks.protocol import SetRow, protocol


def set_figures(task: str, samples: Path, restored: Path, judge: Any = None) -> dict[str, dict[str, float]]:
    """By case, the figures of one run, whose outputs lie in `restored` (restored/<task>/<run>).

    A case that the run did not restore has none, and neither has one on which the protocol finds nothing to measure; a
    figure that is not finite is left out. `ValueError` for a figure that the protocol does not declare.
    """
    rules = protocol(task)
    names = {metric.name for metric in rules.set_metrics}
    figures = {}
    for case in cases_on_disk(samples) if names else ():
        output = restored / f"{case}.arrow"
        if not output.exists():
            continue
        targets = Shard(samples / "targets" / f"{case}.arrow")
        context = rules.context(record.arrays for record in targets)
        measured = rules.measure_set(_rows(samples, case, targets, output), context, judge)
        if set(measured) - names:
            raise ValueError(f"{task} declares no set metric {', '.join(sorted(set(measured) - names))}.")
        figures[case] = {name: float(value) for name, value in sorted(measured.items()) if math.isfinite(value)}
    return {case: values for case, values in figures.items() if values}


def _rows(samples: Path, case: str, targets: Shard, output: Path) -> Iterator[SetRow]:
    """The samples that have an output, in the order of ids."""
    try:
        outputs = Shard(output)
    except UserError:  # scoring says of every picture that the file is broken
        return
    places = {outputs.id(number): number for number in range(len(outputs))}
    inputs = Shard(samples / "inputs" / f"{case}.arrow")
    for number, target in enumerate(targets):
        if target.id in places:
            yield SetRow(inputs[number], outputs[places[target.id]].arrays, target.arrays)
