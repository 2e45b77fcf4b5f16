"""Who does the work of a parallel rebuild: threads, local processes, a Dask cluster or Ray, chosen by one setting.

`Runner.parse("threads" | "processes" | "dask" | "dask:tcp://host:8786" | "ray" | "ray:address")` says which;
`task_runner` is the Prefect task runner that trainings go over, `mapper` what chunks of pictures go over (one Prefect
task a chunk would drown its pages), both with the same workers. A cluster's workers must see the project's folder under
the same path and have the same environment.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing.connection
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipelines.__main__ import THREADS
from restore_ml.base.errors import UserError
from restore_ml.data.chunks import Mapper
from restore_ml.registry import nearest

RUNNER, WORKERS = "RESTORE_ML_RUNNER", "RESTORE_ML_WORKERS"
"""The environment variables with the setting and the number of workers."""
KINDS = ("sequential", "threads", "processes", "dask", "ray")
PACKAGES = {"dask": (("distributed", "prefect_dask"), "pip install 'restore-ml[dask]'"),
            "ray": (("ray", "prefect_ray"), "pip install 'restore-ml[ray]'")}
PATIENCE = 2.0
"""Seconds of chunks that are worked off in the calling process: what is over by then needs no workers."""
AHEAD = 4
"""Chunks handed over for each worker before the first result is taken: nobody waits, and memory stays flat."""


@dataclass(frozen=True)
class Runner:
    """The setting: a kind, how many workers, and the address of a cluster that is there already."""

    kind: str = "sequential"
    workers: int = 1
    address: str = ""

    @classmethod
    def parse(cls, text: str, workers: int = 0) -> Runner:
        """Read the setting; `workers` 0 stands for the number of cores. A mistake is a `UserError`."""
        kind, _, address = (text or "sequential").partition(":")
        if kind not in KINDS:
            raise UserError(f"The runner is {text!r}; it must be one of {', '.join(KINDS)}, with an address after "
                            f"dask: or ray: where a cluster is there already.{nearest(kind, KINDS)}")
        if address and kind not in PACKAGES:
            raise UserError(f"The runner {kind!r} takes no address; give WORKERS for the number of workers.")
        if workers < 0:
            raise UserError(f"The number of workers is {workers}; it must be at least 1.")
        modules, remedy = PACKAGES.get(kind, ((), ""))
        if any(importlib.util.find_spec(name) is None for name in modules):
            raise UserError(f"The runner {kind!r} needs a package that is not installed: {remedy}. The runners threads "
                            "and processes need nothing more.")
        return cls(kind, 1 if kind == "sequential" else workers or os.cpu_count() or 1, address)

    @classmethod
    def from_environment(cls) -> Runner:
        """What the rebuild has set for its stages; sequential where nothing is set."""
        count = os.environ.get(WORKERS, "")
        return cls.parse(os.environ.get(RUNNER, ""), int(count) if count.isdigit() else 0)

    @property
    def parallel(self) -> bool:
        """Whether anything runs side by side."""
        return self.kind != "sequential"

    def environment(self) -> dict[str, str]:
        """What a stage must have in its environment to use the same workers."""
        text = f"{self.kind}:{self.address}" if self.address else self.kind
        return {RUNNER: text, WORKERS: str(self.workers)} if self.parallel else {}

    def crowded(self, threads: int) -> str:
        """A sentence when the local workers and the threads of each are more than the cores, else nothing."""
        cores = os.cpu_count() or 1
        if self.address or self.workers * threads <= cores or not self.parallel:
            return ""
        return (f"{self.workers} workers with {threads} threads each are more than the {cores} cores of this machine; "
                f"set `threads: {max(1, cores // self.workers)}` in params.yaml (a tracked setting: the runs are "
                "trained anew) or take fewer workers.")

    def task_runner(self) -> Any:
        """The Prefect task runner."""
        if self.kind == "processes":
            from prefect.task_runners import ProcessPoolTaskRunner

            return ProcessPoolTaskRunner(max_workers=self.workers, initializer=_begin, initargs=(_threads(),))
        if self.kind == "dask":
            from prefect_dask import DaskTaskRunner

            return DaskTaskRunner(address=self.address)
        if self.kind == "ray":
            from prefect_ray import RayTaskRunner

            return RayTaskRunner(address=self.address or None, init_kwargs=self._ray())
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=self.workers)

    def _ray(self) -> dict[str, Any]:
        """What `ray.init` is told; a Ray of its own shows no dashboard."""
        own = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
        return {"log_to_driver": False, "runtime_env": {"env_vars": _threads()}, **own}

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Runner]:
        """The runner with a cluster to talk to: `dask` without an address starts a local one while the block runs."""
        if self.kind != "dask" or self.address:
            yield self
            return
        import logging

        from distributed import LocalCluster

        logging.getLogger("distributed").setLevel(logging.ERROR)
        # One thread a worker: a training has threads of its own. No dashboard: nothing may listen unasked.
        with LocalCluster(n_workers=self.workers, threads_per_worker=1, processes=True, dashboard_address=None,
                          host="127.0.0.1", silence_logs=logging.ERROR, env=_threads()) as cluster:
            yield Runner("dask", self.workers, cluster.scheduler_address)

    @contextlib.contextmanager
    def executor(self) -> Iterator[Executor]:
        """The workers without Prefect, as an executor of the standard library."""
        if self.kind == "processes":
            from concurrent.futures import ProcessPoolExecutor

            # Spawned, not forked: the parent may have threads.
            with ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), _begin, (_threads(),)) as pool:
                yield pool
        elif self.kind == "dask":
            from distributed import Client

            with self.cluster() as runner, Client(runner.address, set_as_default=False) as client:
                yield client.get_executor()
        elif self.kind == "ray":
            with _RayExecutor(self) as rays:
                yield rays
        else:
            with ThreadPoolExecutor(self.workers) as threads:
                yield threads

    @contextlib.contextmanager
    def mapper(self, patience: float = PATIENCE) -> Iterator[Mapper]:
        """What chunks go over: `mapper(function, items)`, lazy, in order, with a bounded number under way.

        Workers are started after `patience` seconds: a handful of pictures is done before a process is up.
        """
        if not self.parallel:
            yield map
            return
        with contextlib.ExitStack() as stack:
            started: list[Executor] = []

            def executor() -> Executor:
                if not started:
                    started.append(stack.enter_context(self.executor()))
                return started[0]

            yield lambda function, items: _ordered(executor, function, items, AHEAD * self.workers, patience)


def _ordered(executor: Callable[[], Executor], function: Callable[[Any], Any], items: Iterable[Any], ahead: int,
             patience: float) -> Iterator[Any]:
    source = iter(items)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            item = next(source)
        except StopIteration:
            return
        yield function(item)
    under_way: deque[Future[Any]] = deque()
    try:
        for item in source:
            under_way.append(executor().submit(function, item))
            if len(under_way) >= ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


class _RayExecutor(Executor):
    """Ray behind the interface of the standard library."""

    def __init__(self, runner: Runner) -> None:
        import ray

        self.ray = ray
        ray.init(address=runner.address or "local", ignore_reinit_error=True, **runner._ray())

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Hand a call to a worker."""
        return self.ray.remote(_call).remote(function, *arguments, **options).future()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster."""
        self.ray.shutdown()


def _call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Ray takes plain functions alone, chunks come as `functools.partial`."""
    return function(*arguments, **options)


def _threads() -> dict[str, str]:
    return {name: os.environ.get(name, "1") for name in THREADS}


def _begin(environment: dict[str, str]) -> None:
    """In a new worker process: the threads that the project tracks, and an end when its parent ends.

    The pool starts workers from whichever thread hands over a job, and `die_with_parent` would end them with that
    thread, so the worker watches the process.
    """
    os.environ.update(environment)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
