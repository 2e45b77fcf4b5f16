"""The stage `restore`: one model restores every test case of its task, from the inputs alone.

Runs and champions go the same way (`restore_cases`). A picture whose input, model and code are those of before is not
restored again: its earlier output is copied, so that a new test set costs its own pictures alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from restore_ml import layout
from restore_ml.costs import write as write_costs
from restore_ml.data.ledger import Ledger
from restore_ml.data.shards import Record, Shard, hash_of, write
from restore_ml.errors import UserError
from restore_ml.files import read_json, scarce, sha256_of_file, write_json
from restore_ml.method import Method, Model
from restore_ml.restoration import Arrays, load_model, restore
from restore_ml.seeds import derive

Progress = Callable[[str, int, int], None]
"""progress(case, pictures done, pictures of all cases)"""


class Earlier:
    """What an earlier restoring with the same code and model made, for the pictures whose inputs are the same.

    `ledger`: remembers what each file was restored from; its maker must be the code, the settings and the model.
    `files`: the earlier outputs by `<set>/<degradation>.arrow`; they may lie anywhere and are known by their contents.
    """

    def __init__(self, ledger: Ledger | None = None, files: Mapping[str, Path] | None = None) -> None:
        self.ledger, self.files = ledger or Ledger(), files or {}

    def outputs(self, case: str) -> dict[str, Record]:
        """By the hash of the input that it was restored from, each output of a case."""
        path = self.files.get(f"{case}.arrow")
        if path is None or not self.ledger.on:
            return {}
        try:
            value = self.ledger.get(Path(sha256_of_file(path)), case)
            sources = json.loads(value) if value else {}
            return {sources[record.id]: record for record in Shard(path) if record.id in sources} if sources else {}
        except (OSError, UserError):  # it went away or is broken: restored again
            return {}

    def remember(self, case: str, path: Path, sources: dict[str, str]) -> None:
        """Keep in mind which inputs a file was restored from: picture -> hash of its input."""
        if self.ledger.on and path.exists():
            self.ledger.put(Path(sha256_of_file(path)), json.dumps(sources), case)

    def operations(self, source: str) -> int | None:
        """The multiply-adds that were counted on the input with this hash."""
        value = self.ledger.get(Path("multiply_adds"), source)
        return int(value) if value else None

    def remember_operations(self, source: str, count: int) -> None:
        """Keep in mind how many multiply-adds an input took."""
        self.ledger.put(Path("multiply_adds"), str(count), source)


def restore_run(spec: dict[str, Any], root: Path, out: Path, progress: Progress | None = None,
                files: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Restore every test case of a task with one run: the library side of the stage `restore`; returns the status.

    Writes one shard a case and status.json. A run without a model, a case that it does not support and a picture on
    which it fails are written down with their reasons; the others go on. `transient` in status.json says that memory
    was lacking for one of them. `spec`: the content of code/restore/<task>/<run>.json; `files`: the run's earlier
    outputs (see `Earlier`).
    """
    import torch

    torch.set_num_threads(spec["threads"])
    task, run = spec["task"], spec["run"]
    folder, inputs = root / layout.model(task, run), root / layout.inputs(task)
    out.mkdir(parents=True, exist_ok=True)
    try:
        method, model = load_model(folder, root)
    except UserError as error:
        about = read_json(folder / "model.json")
        status = unrestored(run, spec["seed"], inputs, about["status"], about["reason"] or str(error))
        write_json(out / "status.json", status)
        return status
    models = [sha256_of_file(path) for path in (folder / "model.json", *(
        root / layout.slot(other) / "model.json" for other in spec.get("slots", {}).values())) if path.exists()]
    ledger = Ledger.of_stage(root, f"restore-{task}-{run}", {"spec": spec, "models": models})
    costs = Costs()
    status = restore_cases(method, model, inputs, out, run, spec["seed"], progress, Earlier(ledger, files), costs)
    ledger.save()
    write_json(out / "status.json", status)
    costs.write(root, out)
    return status


def unrestored(run: str, seed: int, inputs: Path, status: str, reason: str) -> dict[str, Any]:
    """The status of a run without a usable model."""
    entry = {"status": "failed", "reason": reason, "failed": {}}
    return {"run": run, "seed": seed, "status": status, "reason": reason, "multiply_adds": None,
            "cases": {case: entry for case in cases_of(inputs)}}


def cases_of(inputs: Path) -> list[str]:
    """The test cases (`set/degradation`) in a folder of samples, sorted."""
    return sorted(path.relative_to(inputs).with_suffix("").as_posix() for path in inputs.glob("*/*.arrow"))


def restore_cases(method: Method, model: Model, inputs: Path, out: Path, run: str, seed: int,
                  progress: Progress | None = None, earlier: Earlier | None = None,
                  costs: Costs | None = None) -> dict[str, Any]:
    """Restore every case in the folder `inputs` into `out`, one shard a case; returns what status.json says."""
    work = _Restoring(method, model, run, seed, progress, earlier or Earlier(), costs or Costs())
    cases = [case for case in cases_of(inputs) if work.supports(case)]
    samples = {case: Shard(inputs / f"{case}.arrow") for case in cases}
    work.total = sum(map(len, samples.values()))
    for case, shard in samples.items():
        work.restore_case(case, shard, out / f"{case}.arrow")
    return work.status


class Costs:
    """Seconds and megapixels restored: what is shown beside the tables and never tracked."""

    def __init__(self) -> None:
        self.started, self.seconds, self.megapixels, self.pictures, self.copied = time.monotonic(), 0.0, 0.0, 0, 0

    def write(self, root: Path, out: Path) -> None:
        """Write what was measured beside status.json in `out`; of outputs that were all copied there is nothing new."""
        if self.copied and not self.pictures:
            return
        rate = 1000 * self.seconds / self.megapixels if self.megapixels else None
        write_costs(root, "restore", out / "status.json", {
            "seconds": round(time.monotonic() - self.started, 3), "pictures": self.pictures, "copied": self.copied,
            "ms_per_megapixel": None if rate is None else round(rate, 1)})


class _Restoring:
    """One model at work on all cases: its status so far."""

    def __init__(self, method: Method, model: Model, run: str, seed: int, progress: Progress | None, earlier: Earlier,
                 costs: Costs) -> None:
        self.method, self.model, self.seed, self.progress = method, model, seed, progress
        self.earlier, self.costs, self.total = earlier, costs, 0
        self.status: dict[str, Any] = {"run": run, "seed": seed, "status": "ok", "reason": "", "cases": {},
                                       "multiply_adds": None}

    def supports(self, case: str) -> bool:
        """Whether the method can do the case; the status says it."""
        reason = self.method.unsupported(case.split("/")[1])
        self.status["cases"][case] = {"status": "unsupported" if reason else "ok", "reason": reason or "", "failed": {}}
        return not reason

    def restore_case(self, case: str, samples: Shard, out: Path) -> None:
        """Write the case's shard."""
        entry = self.status["cases"][case]
        sources: dict[str, str] = {}
        if not write(out, self._outputs(case, samples, sources)) and entry["failed"]:
            entry |= {"status": "failed", "reason": next(iter(entry["failed"].values()))}
        self.earlier.remember(case, out, sources)

    def _outputs(self, case: str, samples: Shard, sources: dict[str, str]) -> Iterator[Record]:
        copies = self.earlier.outputs(case)
        for record in samples:
            source = hash_of(record)
            output = copies.get(source)
            try:
                self._count(record, source, case)  # this also warms up, so only what comes later is timed
                if output is None:
                    output = self._restore(record, case)
            except Exception as error:  # one picture must not take the others with it
                self.status["cases"][case]["failed"][record.id] = " ".join(f"{type(error).__name__}: {error}".split())
                if scarce(error):
                    self.status["transient"] = True  # the next rebuild restores once more
                continue
            self.costs.copied += source in copies
            if self.progress:
                self.progress(case, self.costs.pictures + self.costs.copied, self.total)
            sources[record.id] = source
            yield output

    def _restore(self, record: Record, case: str) -> Record:
        started = time.monotonic()
        output = restore(self.method, self.model, record.arrays, derive(self.seed, "restore", record.id, case))
        self.costs.seconds += time.monotonic() - started
        self.costs.megapixels += _megapixels(output, record.arrays)
        self.costs.pictures += 1
        return Record(record.id, output, record.facts)

    def _count(self, record: Record, source: str, case: str) -> None:
        """The multiply-adds for each megapixel of output, counted on the first picture that can be restored."""
        if self.status["multiply_adds"] is None:
            count = self.earlier.operations(source)
            if count is None:
                count = _multiply_adds(self.method, self.model, record.arrays,
                                       derive(self.seed, "restore", record.id, case))
                self.earlier.remember_operations(source, count)
            self.status["multiply_adds"] = count


def _megapixels(output: Arrays, inputs: Arrays) -> float:
    """Of the first picture among the outputs; of the inputs where a method answers with something else."""
    sides = [value.shape[:2] for value in (*output.values(), *inputs.values()) if value.ndim == 3]
    return sides[0][0] * sides[0][1] / 1e6 if sides else 0.0


def _multiply_adds(method: Method, model: Model, inputs: Arrays, seed: int) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        output = restore(method, model, inputs, seed)
    return round(counter.get_total_flops() / 2 / max(_megapixels(output, inputs), 1e-9))
