"""A stage as named steps that are never done twice, whether Prefect watches them or not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    from pipelines.machinery.children import Child

T = TypeVar("T")
PAUSE = 1.0
"""Seconds before a step that reads or writes over a network or a busy disk is tried again."""


class Broken(Exception):
    """A step of the stage failed; the cause is the error to show."""


class Steps:
    """Runs a stage's steps in their order and remembers what the finished ones gave.

    When the link to Prefect breaks in the middle, the stage function is simply called again without it: a step that has
    finished gives what it gave, and the others run. So the functions between steps must be quick and change nothing.
    """

    def __init__(self, children: list[Child] | None = None) -> None:
        """`children`: processes forked beforehand, for the steps that need one."""
        self.children = children or []
        self.watched = False
        self._results: list[Any] = []
        self._position = 0

    def start(self, watched: bool) -> None:
        """Begin (again) at the first step; `watched`: as tasks of the Prefect flow that is running."""
        self.watched, self._position = watched, 0

    def __call__(self, name: str, function: Callable[..., T], *arguments: Any, retries: int = 0) -> T:
        """The result of `function(*arguments)` as the step `name`; `retries` for input and output only."""
        position, self._position = self._position, self._position + 1
        if position == len(self._results):
            if self.watched:
                self._watch(name, function, arguments, retries)
            else:
                self._plain(function, arguments, retries)
        return self._results[position]

    def table(self, key: str, markdown: str) -> None:
        """Show a Markdown table beside the run, where Prefect watches."""
        if self.watched:
            from prefect.artifacts import create_markdown_artifact

            create_markdown_artifact(markdown, key=key)

    def _plain(self, function: Callable[..., Any], arguments: tuple[Any, ...], retries: int) -> None:
        for left in range(retries, -1, -1):
            try:
                self._results.append(function(*arguments))
                return
            except Exception as error:
                if not left or isinstance(error, UserError):
                    raise Broken from error
                time.sleep(PAUSE)

    def _watch(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], retries: int) -> None:
        """As a Prefect task. An error becomes a failed state with its sentence, so that Prefect prints no trace."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Completed, Failed

        before, errors = len(self._results), []

        def body() -> Any:
            try:
                self._results.append(function(*arguments))
            except Exception as error:
                errors.append(error)
                if len(errors) <= retries and not isinstance(error, UserError):
                    raise
                return Failed(message=f"{type(error).__name__}: {error}")
            return Completed(message="done")

        watched = task(name=name, task_run_name=name, retries=retries, retry_delay_seconds=PAUSE,
                       cache_policy=NO_CACHE, persist_result=False)(body)
        watched(return_state=True)
        if len(self._results) == before:
            if not errors:
                raise RuntimeError(f"Prefect did not run the step {name}.")
            raise Broken from errors[-1]
