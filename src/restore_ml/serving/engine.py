"""A loaded model and the one thread that runs it, so that requests wait for each other and never fight for cores."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import canonical_json, read_json, sha256, sha256_of_file
from restore_ml.data import licences
from restore_ml.data.file_kinds import MASK, Picture
from restore_ml.registry import method_class
from restore_ml.serving.limits import Limits, Pixels, Refusal
from restore_ml.serving.payload import Query, Row, signature
from restore_ml.serving.photos import of_task
from restore_ml.serving.restore_command import load_for, restore_row, run_name
from restore_ml.tasks.photos import Asked


class Worker:
    """One thread that does jobs in their order. It is a daemon: an ending process does not wait for a long job."""

    def __init__(self, start: Callable[[], object]) -> None:
        """`start` runs first, in the thread."""
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(start,), name="restore-ml worker", daemon=True).start()

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        """Queue a job; a future that is cancelled before its turn is passed over."""
        future: Future[Any] = Future()
        self._jobs.put((future, job))
        return future

    def _run(self, start: Callable[[], object]) -> None:
        start()
        while True:
            future, job = self._jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
            del future, job  # an idle worker holds nobody's pictures


class Engine:
    """Restores what requests ask for with one model."""

    def __init__(self, root: Path, task: str, model: str = "champion", limits: Limits | None = None,
                 threads: int | None = None, precision: str = "auto") -> None:
        """Load the champion of `task`, or the run `model`; `UserError` where that cannot be or takes no photographs.

        `threads`: for torch, None for its own choice. `precision`: see `restore_ml.serving.restore_command.load_for`.
        """
        self.photos = of_task(task)
        self.limits = limits or Limits()
        self.folder, self.method, self.model = load_for(root, task, model, precision)
        self.task, self.run = task, run_name(self.folder)
        self.model_sha256 = model_hash(self.folder, root)
        self.licences = licences.of_model(root, self.folder)
        """Of what it learned from: see `restore_ml.data.licences`."""
        self.seconds = 1.0
        """The mean duration of a request, over about the last ten."""
        self._worker = Worker(lambda: set_threads(threads))

    def submit(self, query: Query, stop: threading.Event) -> Future[list[dict[str, str]]]:
        """Queue a request; the future gives the results of each row by name, as texts, or raises `Refusal`. Between two
        rows a set `stop` ends it."""
        return self._worker.submit(lambda: self._restore(query, stop))

    def check(self, query: Query) -> None:
        """Refuse by the files' headers what would be too large, is of another kind or lacks its mask."""
        scale = self.photos.factor(self.method, query.scale)
        pixels, known = Pixels(self.limits, scale * scale if 1 <= scale <= 16 else 1), self.photos.names()
        for number, row in enumerate(query.rows):
            size = (0, 0)
            kinds = {name: known[name].kind if name in known else MASK for name in row.files}
            for name, kind in kinds.items():
                if isinstance(kind, Picture):
                    size = pixels.check(row.files[name], name)
                elif kind is not MASK:
                    pixels.add(kind, row.files[name], name)
            self._check_mask(row, size, number)
            for name in (name for name, kind in kinds.items() if kind is MASK):
                if pixels.check(row.files[name], "mask") not in (size, size[::-1]):  # EXIF may turn it
                    raise Refusal(422, f"The {name} of row {number} is not of its picture's size, {size[0]} x "
                                       f"{size[1]}.")
            if not any(way.takes({*row.files}) for way in self.photos.ways):
                raise Refusal(422, f"Row {number} has {' and '.join(row.files)}; {self.task} takes "
                                   f"{', or '.join(map(str, self.photos.ways))}.")

    def _check_mask(self, row: Row, size: tuple[int, int], number: int) -> None:
        needed = self.photos.names().get("mask")
        if needed is not None and needed.required and "mask" not in row.files:
            raise Refusal(422, f"Row {number} has no mask; {self.task} needs one of the picture's size, "
                               f"{size[0]} x {size[1]}, white where to fill.")
        if needed is None and "mask" in row.files:
            raise Refusal(422, f"Row {number} has a mask, but {self.task} takes none; leave it out.")

    def _restore(self, query: Query, stop: threading.Event) -> list[dict[str, str]]:
        started, restored = time.monotonic(), []
        asked = Asked(query.scale, query.seed, query.options)
        for number, row in enumerate(query.rows):
            if stop.is_set():
                break
            try:
                restored.append(restore_row(self.method, self.model, row.files, asked))
            except UserError as error:
                where = f"Row {number}: " if len(query.rows) > 1 else ""
                raise Refusal(422, where + str(error)) from None
        self.seconds += 0.1 * (time.monotonic() - started - self.seconds)
        return restored

    def metadata(self) -> dict[str, Any]:
        """What is served: task, run, hashes, signature, the licences of what trained it, limits and, of a champion, why
        it is one."""
        facts = read_json(self.folder / "model.json")
        decision = self.folder / "decision.json"
        told = read_json(decision) if decision.exists() else {}
        limits = self.limits
        return {
            "task": self.task, "run": self.run, "method": facts["method"], "settings": facts["settings"],
            "weights_sha256": facts.get("weights_sha256", ""), "model_sha256": self.model_sha256,
            "precision": self.model.precision, "signature": signature(self.photos),
            "licences": self.licences, "not_commercial": licences.warning(self.licences),
            "limits": {"megabytes": limits.megabytes, "megapixels": limits.megapixels, "pictures": limits.pictures,
                       "queue": limits.queue, "seconds": limits.seconds, "kinds": list(limits.kinds)},
            "decision": {name: value for name, value in told.items() if name != "pictures"} or None,
        }


def model_hash(folder: Path, root: Path) -> str:
    """One hash of all files that a model folder restores with, what fills its slots in the project included."""
    facts = read_json(folder / "model.json")
    folders = [folder]
    used = method_class(facts["task"], facts["method"]).restoring_slots
    for run in sorted({filled for slot, filled in facts.get("slots", {}).items()
                       if slot in used and layout.is_run(filled)}):
        own = folder / layout.slot(run)  # a champion brings what fills its slots
        folders.append(own if own.is_dir() else root / layout.slot(run))
    files = sorted(path for place in folders for path in place.iterdir()
                   if path.name == "model.json" or path.suffix == ".safetensors")
    return sha256(canonical_json([(path.name, sha256_of_file(path)) for path in files]).encode())


def set_threads(threads: int | None) -> None:
    """Let torch use so many threads, counted for the calling thread."""
    import torch

    if threads:
        torch.set_num_threads(threads)
