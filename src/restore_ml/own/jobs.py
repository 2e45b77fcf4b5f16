"""One run at work on a person's pictures in the small project, as the stages `restore` and `score` do it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file, write_json
from restore_ml.data.ledger import Ledger, keep_only, mark
from restore_ml.evaluation.comparison import about_run
from restore_ml.evaluation.scoring import score, write_scores
from restore_ml.own.measuring import distances
from restore_ml.own.plan import of, words
from restore_ml.restoring.loading import load_model
from restore_ml.restoring.stage import Costs, Earlier, restore_cases, restore_run

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What one process does: restore and score the cases of the small project `home` with one run.

    `restore`, `score`: what code/ has for the two stages; `primary`: the case that ranks.
    """

    home: Path
    restore: dict[str, Any]
    score: dict[str, Any]
    primary: str


def restore_and_score(job: Job) -> str:
    """Do it as the stages do; returns a sentence without its full stop. What was restored before from the same inputs
    is taken over, and so are the figures of the same outputs."""
    from restore_ml.evaluation.set_figures import set_figures
    from restore_ml.training.slots import load_slot

    started = time.monotonic()
    home, task, run = job.home, job.restore["task"], job.restore["run"]
    out, samples = home / layout.restored(task, run), home / layout.samples(task)
    files = {path.relative_to(out).as_posix(): path for path in out.glob("*/*.arrow")}
    status = _restored(job.restore, home, out, files)
    keep_only(out, {out / "status.json", *(out / f"{case}.arrow" for case in status["cases"])})
    ledger = Ledger.of_stage(home, f"score-{task}-{run}", job.score)
    truths = Ledger.of_stage(home, f"truths-{task}", [job.score, mark(samples / "targets")])
    rows = score(task, samples, home / layout.restored(task), [{"run": run, "seed": status["seed"]}],
                 distances(home, task, job.primary, truths), ledger, job.primary)
    ledger.save()
    write_scores(home / layout.scores(task, run), rows)
    judge = None if job.score["judge"] == layout.NONE else load_slot(home, job.score["judge"], {})
    write_json(home / layout.about(task, run), about_run(home / layout.model(task, run)) | {
        "figures": set_figures(task, samples, out, judge)})
    good, cases = int((rows["status"] == "ok").sum()), rows.loc[rows["status"] == "ok", "case"].nunique()
    return (f"{run}: {of(good, 'pictures')} of {of(cases, 'cases')} restored and scored in "
            f"{words(time.monotonic() - started)}")


class _Kept(Earlier):
    """What is remembered of each case as soon as it is done, so that Ctrl-C takes no finished case away."""

    def remember(self, case: str, path: Path, sources: dict[str, str]) -> None:
        """As `Earlier`, and beyond this process."""
        super().remember(case, path, sources)
        self.ledger.save()


def _restored(spec: dict[str, Any], home: Path, out: Path, files: Mapping[str, Path]) -> dict[str, Any]:
    """As `restore_run`, which remembers nothing before its last case is done."""
    import torch

    torch.set_num_threads(spec["threads"])
    task, run = spec["task"], spec["run"]
    try:
        method, model = load_model(home / layout.model(task, run), home)
    except UserError:
        return restore_run(spec, home, out)  # which writes down why
    folders = [layout.model(task, run), *map(layout.slot, spec.get("slots", {}).values())]
    models = [sha256_of_file(path) for folder in folders if (path := home / folder / "model.json").exists()]
    ledger, costs = Ledger.of_stage(home, f"restore-{task}-{run}", {"spec": spec, "models": models}), Costs()
    status = restore_cases(method, model, home / layout.inputs(task), out, run, spec["seed"], None,
                           _Kept(ledger, files), costs)
    ledger.save()
    write_json(out / "status.json", status)
    costs.write(home, out)
    return status


def side_by_side(jobs: Sequence[Job], workers: int) -> Iterator[str]:
    """What `restore_and_score` says of each job as it ends, over so many processes; 0: in this one."""
    if not workers:
        yield from map(restore_and_score, jobs)
        return
    os.environ.update(dict.fromkeys(THREADS, str(jobs[0].restore["threads"])))  # they load their libraries after this
    others = {*multiprocessing.active_children()}
    pool = ProcessPoolExecutor(min(workers, len(jobs)), multiprocessing.get_context("spawn"))
    try:
        for future in as_completed([pool.submit(restore_and_score, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise UserError("A process was ended from outside, most likely for want of memory; give --workers 1 or --crop "
                        "N. What was finished is kept.") from None
    except BaseException:
        for process in {*multiprocessing.active_children()} - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
