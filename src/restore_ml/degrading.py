"""The degrade stage: prepared pictures become training material and test samples, one record at a time.

Every function streams: a picture is read by memory map, degraded, written and forgotten, so memory stays flat however
many pictures there are. The work goes through a `Mapper` in pieces: a shard of the training material, a chunk of a
case's pictures; the bytes do not depend on the pieces. `prepared` is the folder with all domains (`prepared/`), `out`
the task's own folder (`samples/<task>/`). The steps can be called one by one (as named tasks of a flow) or all together
by `degrade`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data import shards
from restore_ml.data.chunks import CHUNK, Chosen, Mapper, Place, pieces, places
from restore_ml.data.contract_table import write_contract
from restore_ml.data.shards import Record, Shard
from restore_ml.errors import UserError
from restore_ml.tasks.base import ArraySpec, Case, Sample, Task

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`: called after each picture or case."""

PREFIX = 2
"""Training shards are cut by the first hexadecimal digits of the picture's hash: at most 16 ** PREFIX files."""
FACTS = ("name", "collection", "group", "synthetic")
"""The facts of a prepared picture that go with each of its samples."""
KINDS = {"picture": "uint8", "mask": "uint8", "float": "float32", "number": "int32"}
"""The dtype on disk of each `ArraySpec.kind`."""
PARTS = ".parts"
"""Where the chunks of a case wait until all of them are there."""


def pixels(picture: Record) -> np.ndarray:
    """What of a prepared picture a task judges: the photo's `image`, or a scene's `target` date."""
    return picture.arrays["image"] if "image" in picture.arrays else picture.arrays["target"]


def test_sets(task: Task, prepared: Path) -> list[str]:
    """The names of the prepared test sets of the task's domain, sorted."""
    folder = prepared / task.domain / "test"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _accepted(task: Task, settings: dict[str, Any], group: Sequence[Place]) -> list[Place]:
    """Those of the pictures that the task takes."""
    pictures = Chosen(group)
    return [place for place, picture in zip(group, pictures, strict=True)
            if task.accepts(pixels(picture), settings) is None]


def degrade(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
            progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK) -> list[str]:
    """The whole stage: training material, all test cases, and the table that contracts check. Returns the cases."""
    degrade_training(task, prepared, out, seed, settings, progress, mapper)
    cases = degrade_tests(task, prepared, out, seed, settings, progress, mapper, chunk)
    write_contract(out, mapper=mapper)
    return cases


def degrade_training(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                     progress: Progress | None = None, mapper: Mapper = map) -> int:
    """Write `train/<prefix>.arrow` and `train/pools/<pool>/pool.arrow` below `out`; returns the number of records.

    A picture that the task does not accept is left out. Shards are cut by the picture's hash, so that adding pictures
    changes only the shards they fall in; each is one piece of work.
    """
    folder = prepared / task.domain / "train"
    if not folder.is_dir():
        raise UserError(f"There are no training pictures in {folder}; `dvc repro prepare` makes them.")
    shutil.rmtree(out / "train", ignore_errors=True)
    (out / "train").mkdir(parents=True)
    found = places(folder)
    groups = (list(group) for _, group in groupby(found, key=lambda place: place[0][:PREFIX]))
    taken: list[Place] = []
    done = count = 0
    for members, written, seen in mapper(partial(_training_shard, task, out, seed, settings), groups):
        taken += members
        count += written
        done += seen
        if progress:
            progress("training pictures", done, len(found))
    for name, pool in sorted(task.training_pools(Chosen(taken), seed, settings).items()):
        shards.write(out / "train" / "pools" / name / "pool.arrow", pool)
    return count


def _training_shard(task: Task, out: Path, seed: int, settings: dict[str, Any],
                    group: list[Place]) -> tuple[list[Place], int, int]:
    """Write the shard of some pictures of one prefix: those the task takes, records written, pictures seen."""
    taken = _accepted(task, settings, group)
    records = iter(task.training_records(Chosen(taken), seed, settings))
    first = next(records, None)
    path = out / "train" / f"{group[0][0][:PREFIX]}.arrow"
    return taken, 0 if first is None else shards.write(path, chain([first], records)), len(group)


def degrade_tests(task: Task, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                  progress: Progress | None = None, mapper: Mapper = map, chunk: int = CHUNK) -> list[str]:
    """Write all test cases; returns those that hold a picture, as `set/degradation`."""
    for part in ("inputs", "targets", PARTS):
        shutil.rmtree(out / part, ignore_errors=True)
    for part in ("inputs", "targets"):
        (out / part).mkdir(parents=True)
    wanted: list[tuple[Case, int]] = []
    work: list[_Piece] = []
    for name in test_sets(task, prepared):
        chunks = pieces(places(prepared / task.domain / "test" / name), chunk)
        for degradation in task.degradations(settings):
            wanted.append((Case(name, degradation), len(chunks)))
            work += [_Piece(name, degradation, part, number if len(chunks) > 1 else None)
                     for number, part in enumerate(chunks)]
    counts = iter(mapper(partial(_test_piece, task, out, seed, settings), work))
    cases = []
    for number, (case, parts) in enumerate(wanted, 1):
        written = [next(counts) for _ in range(parts)]
        if parts > 1:
            _join(out, case, [part for part, count in enumerate(written) if count])
        if sum(written):
            cases.append(str(case))
        if progress:
            progress("test cases", number, len(wanted))
    shutil.rmtree(out / PARTS, ignore_errors=True)
    return cases


def degrade_case(task: Task, prepared: Path, out: Path, test_set: str, degradation: str, seed: int,
                 settings: dict[str, Any]) -> int:
    """Write `inputs/<set>/<degradation>.arrow` and `targets/<set>/<degradation>.arrow`, same ids in the same order.

    Returns how many samples there are; where the task accepts no picture of the set, nothing is written.
    """
    found = places(prepared / task.domain / "test" / test_set)
    return _test_piece(task, out, seed, settings, _Piece(test_set, degradation, found, None))


@dataclass(frozen=True)
class _Piece:
    """Some pictures of a test case; `number` of the chunk, or None where they are all of them."""

    test_set: str
    degradation: str
    pictures: list[Place]
    number: int | None


def _test_piece(task: Task, out: Path, seed: int, settings: dict[str, Any], piece: _Piece) -> int:
    """Write the inputs and targets of some pictures; returns how many the task took."""
    samples = _samples(task, Chosen(piece.pictures), piece.degradation, seed, settings)
    first = next(samples, None)
    if first is None:
        return 0
    return shards.write_together(_files(out, piece.test_set, piece.degradation, piece.number), chain([first], samples))


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


def _samples(task: Task, pictures: Iterable[Record], degradation: str, seed: int,
             settings: dict[str, Any]) -> Iterator[tuple[Record, Record]]:
    for picture in pictures:
        if task.accepts(pixels(picture), settings) is not None:
            continue
        sample = task.test_sample(picture, degradation, seed, settings)
        check(task, sample)
        facts = {**{key: picture.facts.get(key) for key in FACTS}, **sample.facts}
        yield Record(picture.id, sample.inputs, facts), Record(picture.id, sample.target, facts)


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
