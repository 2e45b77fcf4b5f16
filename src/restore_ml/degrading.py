"""The degrade stage: prepared pictures become training material and test samples, one record at a time.

Every function streams: a picture is read by memory map, degraded, written and forgotten, so memory stays flat however
many pictures there are. The work goes through a `Mapper` in pieces: a shard of the training material, a chunk of a
case's pictures; the bytes do not depend on the pieces. `prepared` is the folder with all domains (`prepared/`), `out`
the task's own folder (`samples/<task>/`). The steps can be called one by one (as named tasks of a flow) or all together
by `degrade`.

With a `Ledger` (whose maker must be the task, its seed, settings and code) a file is kept while the prepared shards
that it was made from have the same bytes. Of a file that is made anew, the records of pictures that are the same (their
id, which is their pixel hash, and their facts) are copied from the old one, so only new pictures are degraded. What
falls away is deleted. The bytes are the same with and without a ledger.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import shards
from restore_ml.data.chunks import CHUNK, Chosen, Mapper, Place, Progress, pieces, pixels, places
from restore_ml.data.contract_table import write_contract
from restore_ml.data.kept import Sources, facts_of, held, made_from, records_of
from restore_ml.data.ledger import Ledger, keep_only
from restore_ml.data.shards import Record, Shard
from restore_ml.degrading_training import degrade_training
from restore_ml.tasks.base import ArraySpec, Case, Sample, Task

FACTS = ("name", "collection", "group", "synthetic")
"""The facts of a prepared picture that go with each of its samples."""
KINDS = {"picture": "uint8", "mask": "uint8", "float": "float32", "number": "int32"}
"""The dtype on disk of each `ArraySpec.kind`."""
PARTS = ".parts"
"""Where the chunks of a case wait until all of them are there."""


def test_sets(task: Task, prepared: Path) -> list[str]:
    """The names of the prepared test sets of the task's domain, sorted."""
    folder = prepared / task.domain / "test"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def degrade(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
            progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK,
            ledger: Ledger | None = None) -> list[str]:
    """The whole stage: training material, all test cases, and the table that contracts check. Returns the cases."""
    degrade_training(task, prepared, out, seed, settings, progress, mapper, ledger)
    cases = degrade_tests(task, prepared, out, seed, settings, progress, mapper, chunk, ledger)
    write_contract(out, mapper=mapper)
    return cases


def degrade_tests(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                  progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK,
                  ledger: Ledger | None = None) -> list[str]:
    """Write all test cases; returns those that hold a picture, as `set/degradation`."""
    ledger = ledger or Ledger()
    shutil.rmtree(out / PARTS, ignore_errors=True)
    for part in ("inputs", "targets"):
        (out / part).mkdir(parents=True, exist_ok=True)
    wanted = [item for name in test_sets(task, prepared) for item in _planned_cases(
        task, settings, out, name, places(prepared / task.domain / "test" / name), chunk, ledger)]
    work = [piece for item in wanted if item.value is None for piece in item.pieces]
    made = iter(mapper(partial(_test_piece, task, out, seed, settings), work))
    cases = []
    files: set[Path] = set()
    for number, item in enumerate(wanted, 1):
        both = _files(out, item.case.test_set, item.case.degradation, None)
        if item.value is None:
            found = [next(made) for _ in item.pieces]
            counts = [sum(taken for _, taken in sources.values()) for sources in found]
            if len(counts) > 1:
                _join(out, item.case, [part for part, count in enumerate(counts) if count])
            for path in both:
                if not sum(counts):
                    path.unlink(missing_ok=True)
                ledger.put(path, json.dumps([{key: value for part in found for key, value in part.items()},
                                             sum(counts)]), item.key)
            ledger.save()
        if sum(counts) if item.value is None else json.loads(item.value)[1]:
            cases.append(str(item.case))
            files |= set(both)
        if progress:
            progress("test cases", number, len(wanted))
    for part in ("inputs", "targets"):
        keep_only(out / part, files)
        ledger.prune(out / part, (path for item in wanted for path in _files(
            out, item.case.test_set, item.case.degradation, None)))
    ledger.save()
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return cases


def degrade_case(task: Task, prepared: Path, out: Path, test_set: str, degradation: str, seed: int,
                 settings: dict[str, Any]) -> int:
    """Write `inputs/<set>/<degradation>.arrow` and `targets/<set>/<degradation>.arrow`, same ids in the same order.

    Returns how many samples there are; where the task accepts no picture of the set, nothing is written.
    """
    found = places(prepared / task.domain / "test" / test_set)
    sources = _test_piece(task, out, seed, settings, _Piece(test_set, degradation, found, None))
    return sum(taken for _, taken in sources.values())


@dataclass(frozen=True)
class _Piece:
    """Some pictures of a test case; `number` of the chunk, or None where they are all of them; `before`: what the
    case's files held of them."""

    test_set: str
    degradation: str
    pictures: list[Place]
    number: int | None
    before: Sources = field(default_factory=dict)


@dataclass(frozen=True)
class _PlannedCase:
    case: Case
    key: str
    value: str | None
    pieces: list[_Piece]


def _planned_cases(task: Task, settings: dict[str, Any], out: Path, name: str, pictures: list[Place], chunk: int,
                   ledger: Ledger) -> Iterator[_PlannedCase]:
    chunks, key = pieces(pictures, chunk), made_from(ledger, pictures)
    for degradation in task.degradations(settings):
        both = _files(out, name, degradation, None)
        inputs, targets = (ledger.get(path, key) for path in both)
        before = held(ledger, both)
        yield _PlannedCase(Case(name, degradation), key, None if targets is None else inputs, [
            _Piece(name, degradation, part, number if len(chunks) > 1 else None,
                   {place[0]: before[place[0]] for place in part if place[0] in before})
            for number, part in enumerate(chunks)])


def _test_piece(task: Task, out: Path, seed: int, settings: dict[str, Any], piece: _Piece) -> Sources:
    """Write the inputs and targets of some pictures; returns which of them the task took."""
    sources: Sources = {}
    samples = _samples(task, out, piece, seed, settings, sources)
    first = next(samples, None)
    if first is not None:
        shards.write_together(_files(out, piece.test_set, piece.degradation, piece.number), chain([first], samples))
    return sources


def _files(out: Path, test_set: str, degradation: str, number: int | None) -> list[Path]:
    if number is None:
        return [out / part / test_set / f"{degradation}.arrow" for part in ("inputs", "targets")]
    return [out / PARTS / part / test_set / degradation / f"{number:08d}.arrow" for part in ("inputs", "targets")]


def _join(out: Path, case: Case, numbers: list[int]) -> None:
    """Put the chunks of a case together, in order, and take them away."""
    if not numbers:
        return
    given = [_files(out, case.test_set, case.degradation, number) for number in numbers]
    rows = (row for paths in given for row in zip(*(Shard(path) for path in paths), strict=True))
    shards.write_together(_files(out, case.test_set, case.degradation, None), rows)
    for path in chain.from_iterable(given):
        path.unlink()


def _samples(task: Task, out: Path, piece: _Piece, seed: int, settings: dict[str, Any],
             sources: Sources) -> Iterator[Sequence[Record]]:
    old = records_of(_files(out, piece.test_set, piece.degradation, None), piece.before)
    for picture in Chosen(piece.pictures):
        facts, taken = facts_of(picture), picture.id in old
        if piece.before.get(picture.id) == (facts, taken):
            sources[picture.id] = facts, taken
            if taken:
                yield old[picture.id]
            continue
        taken = task.accepts(pixels(picture), settings) is None
        sources[picture.id] = facts, taken
        if not taken:
            continue
        sample = task.test_sample(picture, piece.degradation, seed, settings)
        check(task, sample)
        known = {**{key: picture.facts.get(key) for key in FACTS}, **sample.facts}
        yield Record(picture.id, sample.inputs, known), Record(picture.id, sample.target, known)


def check(task: Task, sample: Sample) -> None:
    """That a sample holds exactly the arrays that its task declares, in their dtypes: else a `ValueError`."""
    for part, specs, arrays in (("inputs", task.inputs, sample.inputs), ("target", task.target, sample.target)):
        if set(arrays) != set(specs):
            raise ValueError(f"The {part} of {task.name} are {sorted(arrays)}, not {sorted(specs)}.")
        for name, spec in specs.items():
            if not _fits(spec, arrays[name]):
                raise ValueError(f"{name!r} of {task.name} is {arrays[name].dtype} {arrays[name].shape}, not {spec}.")


def _fits(spec: ArraySpec, value: np.ndarray) -> bool:
    """Dtype and rank; the number of channels of `float` arrays is the scene's own."""
    if value.dtype.name != KINDS[spec.kind] or value.ndim != (0 if spec.kind == "number" else 3):
        return False
    return spec.kind in ("number", "float") or value.shape[2] == spec.channels
