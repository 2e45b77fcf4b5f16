"""A degradation of rising strength, and how the champion and the baseline stand up to it.

A task's `Protocol.sweep` names it. Its cases are none of the test cases on disk: every run would restore them, and each
would be a table. Who the champion is is known only after scoring, so the stage that restores the champion's stored
weights on today's samples degrades their truth once more at each strength; beside it stands the first baseline. The
rows lie among the champion's (scores/champion/<task>.parquet), with cases such as `faces_drawn/8_to_64_noise_15`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import write_json
from restore_ml.data.shards import Record, Shard, write
from restore_ml.seeds import generator
from restore_ml.tasks.protocol import Protocol, protocol

if TYPE_CHECKING:
    import pandas as pd

    from restore_ml.method import Method, Model

SEED = 1


def rows(root: Path, task: str, champion: str, method: Method, model: Model, seed: int) -> pd.DataFrame | None:
    """The score rows of the champion (called `champion` in them) and of the first baseline at every strength, on the
    pictures of the primary case; None for a task without a sweep."""
    import pandas as pd

    from restore_ml.evaluation.scoring import cases_on_disk
    from restore_ml.method import Model

    rules, samples = protocol(task), root / layout.samples(task)
    if rules.sweep is None:
        return None
    case, baseline = rules.primary_case(cases_on_disk(samples)), rules.baselines[0]
    runs = {baseline.rpartition(".")[2]: (registry.method(task, baseline, {}), Model(), SEED),
            champion: (method, model, seed)}
    return pd.concat([_at(rules, samples, case, strength, runs) for strength in rules.sweep.strengths],
                     ignore_index=True)


def _at(rules: Protocol, samples: Path, case: str, strength: int,
        runs: dict[str, tuple[Method, Model, int]]) -> pd.DataFrame:
    """The rows at one strength: degraded, restored and scored in a scratch folder."""
    from restore_ml.evaluation.scoring import score
    from restore_ml.restoring.stage import restore_cases

    targets = Shard(samples / "targets" / f"{case}.arrow")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found: set[str] = set()
        write(folder / "inputs.arrow", _inputs(rules, targets, strength, found))
        degraded = f"{case.partition('/')[0]}/{found.pop()}"
        for side, source in (("inputs", folder / "inputs.arrow"), ("targets", targets.path)):
            path = folder / "samples" / side / f"{degraded}.arrow"
            path.parent.mkdir(parents=True)
            path.symlink_to(source.resolve())
        for run, (method, model, seed) in runs.items():
            out = folder / "restored" / run
            write_json(out / "status.json", restore_cases(method, model, folder / "samples" / "inputs", out, run, seed))
        own = score(rules.task, folder / "samples", folder / "restored",
                    [{"run": run, "seed": seed} for run, (_, _, seed) in runs.items()], primary="")
    test_set, degradation = degraded.split("/")
    name = f"{degradation}_{strength}"
    return own.assign(case=f"{test_set}/{name}", degradation=name)


def _inputs(rules: Protocol, targets: Shard, strength: int, found: set[str]) -> Iterator[Record]:
    """The inputs of every sample; `found` gets the degradation that methods know them as."""
    from restore_ml.degrading.cases import check
    from restore_ml.tasks.optional_inputs import add_optional

    parts = registry.parts(rules.task)
    for record in targets:
        degradation, sample = rules.swept(record.arrays, strength, generator("sweep", record.id, strength))
        add_optional(parts.optional, sample, degradation, SEED, record.id)
        check(parts.task, sample, parts.optional)
        found.add(degradation)
        yield Record(record.id, sample.inputs, record.facts)


def tested(task: str, stored: pd.DataFrame) -> pd.DataFrame:
    """Without those of the sweep: the champion's rows on the test cases."""
    return stored[~_swept(task, stored)].reset_index(drop=True)


def of_sweep(task: str, stored: pd.DataFrame) -> pd.DataFrame:
    """The rows of the sweep alone, with a column `strength`; none where there is no sweep."""
    own = stored[_swept(task, stored)]
    return own.assign(strength=[int(name.rpartition("_")[2]) for name in own["case"]]).reset_index(drop=True)


def _swept(task: str, stored: pd.DataFrame) -> pd.Series:
    sweep = protocol(task).sweep
    if sweep is None or stored.empty:
        return stored["case"] != stored["case"]
    return stored["case"].str.fullmatch(rf".*_{sweep.name}_\d+")
