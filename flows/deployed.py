"""The flows as Prefect knows them: typed parameters that it validates, timeouts, and a note of each failure.

Their work lies in the modules of the same names in `flows.work`. All of them hold the project's lock, so that two never
change it at once; prefect.yaml and `python -m flows.NAME serve` deploy them with a limit of one run at a time.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from flows import guard

HOUR = 3600
HOOKS: dict[str, Any] = {"on_failure": [guard.note_failure], "on_crashed": [guard.note_failure],
                         "persist_result": False}

Profile = Literal["", "quick", "cpu", "gpu", "paper"]
Role = Literal["train", "test"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Runner = Annotated[str, Field(pattern=r"^(|sequential|threads|processes|dask(:.+)?|ray(:.+)?)$")]
Workers = Annotated[int, Field(ge=0, le=10000)]
Seconds = Annotated[float, Field(ge=0)]


@flow(name="rebuild", timeout_seconds=72 * HOUR, **HOOKS)
def rebuild(profile: Profile = "", task: str = "", methods: list[str] = [], runner: Runner = "",  # noqa: B006
            workers: Workers = 0, wait: Seconds = 0.0) -> str | None:
    """Rebuild what is stale, all of it or the runs of a task or some methods, promote what wins, show it."""
    from flows.work.rebuild import work

    return guard.body("rebuild", work, wait, {"profile": profile, "task": task, "methods": methods,
                                              "runner": runner, "workers": workers})


@flow(name="ingest", timeout_seconds=12 * HOUR, **HOOKS)
def ingest(inbox: Path, collection: Name, role: Role = "train", source: str = "", licence: str = "",
           settle: Seconds = 2.0, commit: bool = False, wait: Seconds = 0.0) -> str | None:
    """Take the pictures of an inbox folder into a collection, put what cannot be used into quarantine, `dvc add`."""
    from flows.work.ingest import work

    return guard.body("ingest", work, wait, {"inbox": inbox, "collection": collection, "role": role, "source": source,
                                             "licence": licence, "settle": settle, "commit": commit})


@flow(name="retrain", timeout_seconds=72 * HOUR, **HOOKS)
def retrain(inbox: Path | None = None, collection: Name = "inbox", role: Role = "train", profile: Profile = "",
            runner: Runner = "", workers: Workers = 0, promote: bool = True, commit: bool = False,
            settle: Seconds = 2.0, only_new: bool = False, wait: Seconds = 0.0) -> str | None:
    """Ingest, rebuild what is stale, compare, promote or keep, and report."""
    from flows.work.retrain import work

    return guard.body("retrain", work, wait, {
        "inbox": inbox, "collection": collection, "role": role, "profile": profile, "runner": runner,
        "workers": workers, "promote": promote, "commit": commit, "settle": settle, "only_new": only_new})


@flow(name="promote", timeout_seconds=12 * HOUR, **HOOKS)
def promote(rollback: str = "", wait: Seconds = 0.0) -> str | None:
    """Move each task's champion where the rule says so, or put the previous one of a task back."""
    from flows.work.promote import work

    return guard.body("promote", work, wait, {"rollback": rollback})


@flow(name="prune", timeout_seconds=12 * HOUR, **HOOKS)
def prune(dry_run: bool = True, keep_days: Annotated[int, Field(ge=0)] = 30, all_commits: bool = False,
          wait: Seconds = 0.0) -> str | None:
    """Delete old runs, versions without an alias, leftovers of trainings and DVC's garbage; a dry run only says so."""
    from flows.work.prune import work

    return guard.body("prune", work, wait, {"dry_run": dry_run, "keep_days": keep_days, "all_commits": all_commits})
