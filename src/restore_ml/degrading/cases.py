"""Test cases of a task, made from the prepared test pictures: inputs and targets, one record a sample.

Records are ordered by picture id, so nothing depends on the order of files or on other pictures. Many pictures are
worked on in chunks over a `Mapper` (restore_ml.data.chunks) and joined in order: the same bytes whoever runs them.
What a `Ledger` knows to be right already is left as it is, whole files and single records of files that change.

A task whose methods take long for a picture declares the setting `most` among its `Cases.defaults`: at most so many
pictures of a test set are tested in a case (0: all), or a mapping that says so of each degradation. Every photograph is
there once before any is there twice, because intervals are over photographs; with each of its classes, where pictures
are labelled.

A case without a truth (`Cases.without_truth`) has inputs and no file of targets. It takes the pictures that are damaged
as they were found, and no other case does.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from restore_ml.arrays import Arrays, ArraySpec, expected_size, words
from restore_ml.data import domains, shards
from restore_ml.data.chunks import CHUNK, Chosen, Mapper, Place, Progress, pieces, places
from restore_ml.data.ledger import Ledger, keep_only
from restore_ml.data.shards import Record, Shard
from restore_ml.degrading.keeper import NOT_MEANT, Contents, Keeper, Outcome, Source, hash_of_facts, records_by_id
from restore_ml.tasks.base import Case, OptionalInputs, Parts, Sample, Task
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.partners import Partners, partners_of_tests

CARRIED = ("name", "collection", "group", "synthetic")
"""The facts of a prepared picture that go with each of its samples."""
MOST = "most"
"""The setting that bounds how many pictures of a test set a case has."""
AS_FOUND = "as_found"
"""The fact of a prepared picture that is damaged itself."""
SIDES = ("inputs", "targets")
CHUNKS = ".parts"
"""Where the chunks of a case wait until all of them are there."""


def test_sets(parts: Parts, prepared: Path) -> list[tuple[str, str]]:
    """The kind of data and the name of each prepared test set: those of the task's own domain come first, then in the
    order of names."""
    kinds = [parts.task.domain, *parts.cases.also_from] if parts.cases else []
    return [(kind, path.name) for kind in kinds
            for path in sorted((prepared / kind / "test").glob("*")) if path.is_dir()]


@dataclass(frozen=True)
class _Chunk:
    """Some pictures of a case, of the domain `kind`. `number` is None where they are all of them; `before`: what the
    case's files hold of them now; `beyond`: those of them that are too many, and why."""

    case: Case
    kind: str
    pictures: list[Place]
    number: int | None
    sides: tuple[str, ...]
    before: Contents
    partners: Partners
    partner_digest: str
    beyond: dict[str, str]


@dataclass(frozen=True)
class _Plan:
    """A case that shall be there; `sides`: `SIDES`, or the inputs alone; `made` is None while its files are not right.
    """

    case: Case
    sides: tuple[str, ...]
    key: str
    made: Contents | None
    chunks: list[_Chunk]


def degrade_cases(parts: Parts, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
                  progress: Progress | None = None, mapper: Mapper = map, ledger: Ledger | None = None,
                  chunk: int = CHUNK) -> Outcome:
    """Write all test cases and delete what else lies there; returns how many samples each case (`set/degradation`) that
    was asked for holds, and which pictures of a test set were left out."""
    keeper, outcome = Keeper(ledger), Outcome()
    shutil.rmtree(out / CHUNKS, ignore_errors=True)
    for side in SIDES:
        (out / side).mkdir(parents=True, exist_ok=True)
    plans = [plan for kind, name in test_sets(parts, prepared)
             for plan in _plans(parts, settings, prepared, out, kind, name, chunk, keeper)]
    missing = [piece for plan in plans if plan.made is None for piece in plan.chunks]
    written = iter(mapper(partial(_write_chunk, parts, out, seed, settings), missing))
    for number, plan in enumerate(plans, 1):
        contents = plan.made or _join(out, plan, [next(written) for _ in plan.chunks], keeper)
        outcome.add(str(plan.case), plan.case.test_set, contents)
        if progress:
            progress("test cases", number, len(plans))
    _keep_only(out, plans, outcome, keeper.ledger)
    return outcome


def _plans(parts: Parts, settings: dict[str, Any], prepared: Path, out: Path, kind: str, test_set: str, chunk: int,
           keeper: Keeper) -> Iterator[_Plan]:
    assert parts.cases is not None
    pictures = places(prepared / kind / "test" / test_set)
    partners = partners_of_tests(parts.task, prepared, test_set)
    digest = partners.digest(keeper.ledger)
    cut = pieces(pictures, chunk)
    for degradation in (*parts.cases.degradations(settings), *parts.cases.without_truth):
        case, sides = Case(test_set, degradation), SIDES[:1] if degradation in parts.cases.without_truth else SIDES
        beyond = _beyond(parts, settings, case, kind, pictures)
        key = keeper.key(pictures, digest + "".join(sorted(beyond)))
        before = keeper.recall(_files(out, case, sides), None) or Contents()
        yield _Plan(case, sides, key, keeper.recall(_files(out, case, sides), key), [
            _Chunk(case, kind, piece, number if len(cut) > 1 else None, sides, before.of([entry[0] for entry in piece]),
                   partners, digest, {entry[0]: beyond[entry[0]] for entry in piece if entry[0] in beyond})
            for number, piece in enumerate(cut)])


def _beyond(parts: Parts, settings: dict[str, Any], case: Case, kind: str, pictures: list[Place]) -> dict[str, str]:
    """The pictures that the setting `most` leaves out of a case, and why: of those that the task takes, in the order of
    ids, the first of every group (and class) come first, then the second ones."""
    assert parts.cases is not None
    most = parts.cases.resolve(settings).get(MOST, 0)
    most = most.get(case.degradation, 0) if isinstance(most, Mapping) else most
    if not most:
        return {}
    seen: Counter[tuple[str, str]] = Counter()
    turns = []
    for picture in Chosen(pictures):
        if not _refusal(parts, settings, case, kind, picture):
            group = (str(picture.facts.get("group") or picture.id),
                     words(picture.arrays["label"]) if "label" in picture.arrays else "")
            turns.append((seen[group], picture.id))
            seen[group] += 1
    return {identity: f"not among the {most} pictures of a test set that the setting `{MOST}` asks for"
            for _, identity in sorted(turns)[most:]}


def _refusal(parts: Parts, settings: dict[str, Any], case: Case, kind: str, picture: Record) -> str:
    """Why a picture of a domain is no sample of a case, or nothing."""
    assert parts.cases is not None
    if bool(picture.facts.get(AS_FOUND)) != (case.degradation in parts.cases.without_truth):
        return NOT_MEANT
    return (parts.task.accepts(picture.arrays[domains.get(kind).main], settings)
            or parts.cases.leaves_out(picture, case.degradation, settings) or "")


def _files(out: Path, case: Case, sides: Sequence[str], number: int | None = None) -> list[Path]:
    """The inputs and, where there are any, the targets of a case, or of one of its chunks."""
    if number is None:
        return [out / side / case.test_set / f"{case.degradation}.arrow" for side in sides]
    return [out / CHUNKS / side / case.test_set / case.degradation / f"{number:08d}.arrow" for side in sides]


def _write_chunk(parts: Parts, out: Path, seed: int, settings: dict[str, Any], chunk: _Chunk) -> Contents:
    """Write the inputs and targets of some pictures."""
    contents = Contents()
    rows = _samples(parts, out, seed, settings, chunk, contents)
    first = next(rows, None)
    if first is not None:
        files = _files(out, chunk.case, chunk.sides, chunk.number)
        contents.count = shards.write_together(files, chain([first], rows))
    return contents


def _join(out: Path, plan: _Plan, chunks: Sequence[Contents], keeper: Keeper) -> Contents:
    """Put the chunks of a case together, in order, and remember what they hold."""
    contents = Contents({name: source for part in chunks for name, source in part.sources.items()},
                sum(part.count for part in chunks))
    files = _files(out, plan.case, plan.sides)
    if len(chunks) > 1 and contents.count:
        chunk_files = [_files(out, plan.case, plan.sides, number) for number, part in enumerate(chunks) if part.count]
        shards.write_together(files, (row for paths in chunk_files for row in zip(*map(Shard, paths), strict=True)))
        for path in chain.from_iterable(chunk_files):
            path.unlink()
    if not contents.count:
        for path in files:
            path.unlink(missing_ok=True)
    keeper.put(files, contents, plan.key)
    return contents


def _keep_only(out: Path, plans: Sequence[_Plan], outcome: Outcome, ledger: Ledger) -> None:
    files = {str(plan.case): _files(out, plan.case, plan.sides) for plan in plans}
    written = [path for case, paths in files.items() if outcome.counts[case] for path in paths]
    for side in SIDES:
        keep_only(out / side, written)
        ledger.prune(out / side, chain.from_iterable(files.values()))
    ledger.save()
    shutil.rmtree(out / CHUNKS, ignore_errors=True)


def _samples(parts: Parts, out: Path, seed: int, settings: dict[str, Any], chunk: _Chunk,
             contents: Contents) -> Iterator[Sequence[Record]]:
    """The samples of a chunk, those taken over from the case's files and new ones; fills `contents.sources`."""
    assert parts.cases is not None
    case = chunk.case
    old = records_by_id(_files(out, case, chunk.sides), chunk.before.sources)
    for picture in Chosen(chunk.pictures):
        too_many = chunk.beyond.get(picture.id, "")
        facts_hash = hash_of_facts(picture, chunk.partner_digest + too_many)
        source = chunk.before.sources.get(picture.id)
        if source is not None and source.facts == facts_hash and bool(source.left_out) != (picture.id in old):
            contents.sources[picture.id] = source
            if picture.id in old:
                yield old[picture.id]
            continue
        reason = too_many or _refusal(parts, settings, case, chunk.kind, picture)
        if reason and chunk.kind != parts.task.domain:
            reason = NOT_MEANT
        contents.sources[picture.id] = Source(facts_hash, reason)
        if not reason:
            partner = chunk.partners.of(seed, picture.id, case.degradation)
            sample = parts.cases.sample(picture, case.degradation, seed, settings, partner)
            add_optional(parts.optional, sample, case.degradation, seed, picture.id)
            check(parts.task, sample, parts.optional, has_truth=len(chunk.sides) > 1)
            carried = {**{key: picture.facts.get(key) for key in CARRIED}, **sample.facts}
            yield tuple(Record(picture.id, arrays, carried) for _, arrays in
                        zip(chunk.sides, (sample.inputs, sample.target), strict=False))


def check(task: Task, sample: Sample, optional: OptionalInputs | None = None, has_truth: bool = True) -> None:
    """That a sample holds exactly the arrays that its task declares, in their kinds and sizes, and no target where
    nobody knows a truth: else a `ValueError`."""
    inputs, target = {**task.inputs, **(optional.inputs if optional else {})}, task.target if has_truth else {}
    for side, specs, arrays in (("inputs", inputs, sample.inputs), ("target", target, sample.target)):
        if set(arrays) != set(specs):
            raise ValueError(f"The {side} of {task.name} are {sorted(arrays)}, not {sorted(specs)}.")
        for name, spec in specs.items():
            problem = spec.problem(arrays[name]) or _wrong_size(spec, arrays[name], sample, {**task.target, **inputs})
            if problem:
                raise ValueError(f"{name!r} of {task.name} cannot be: {problem}.")


def _wrong_size(spec: ArraySpec, value: Any, sample: Sample, specs: dict[str, ArraySpec]) -> str | None:
    arrays: Arrays = {**sample.target, **sample.inputs}
    size, expected = spec.kind.size(value), expected_size(spec, arrays, specs)
    return None if expected in (None, size) else f"it is {size}, but {spec.size_of!r} asks for {expected}"
