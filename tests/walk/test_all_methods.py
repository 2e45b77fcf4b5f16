"""Every method of every task, found and not listed, does what is asked of all: see `tests/walk/checks.py`.

What is exempt stands in one table with its reasons, `tests/walk/exemptions.py`.
"""

from __future__ import annotations

import time

import pytest

from restore_ml import registry
from tests.walk import exemptions
from tests.walk.checks import walk
from tests.walk.entries import methods, runs, templates
from tests.walk.material import Project

SECONDS: dict[str, float] = {}
"""Processor seconds by run, filled as the runs are walked."""


@pytest.fixture(scope="module")
def warm(project: Project) -> None:
    """What the first training of a process loads is no run's own time, and no draw of its own: scipy.stats draws
    examples for its texts while scikit-learn imports it."""
    import sklearn.svm  # noqa: F401

    walk(templates()["espcn"], project, {})


@pytest.mark.parametrize("name", runs())
def test_the_method_of_a_run_does_what_is_asked_of_all(name: str, project: Project, warm: None) -> None:
    entry = runs()[name]
    project.material(entry.task)  # once a task: no run's own time
    started = time.process_time()
    findings = walk(entry, project, runs())
    SECONDS[name] = time.process_time() - started
    assert not findings, f"{name}: " + "; ".join(findings)


def test_every_method_that_is_found_has_a_run() -> None:
    walked = {(entry.task, entry.method) for entry in runs().values()}
    missing = {(task, name) for task, name in methods() if (task, registry.method_class(task, name)) not in walked}
    assert missing == set(exemptions.WITHOUT_RUN)


def test_the_walk_stays_cheap() -> None:
    """Processor seconds, which a busy machine disturbs less than the clock: none above 3, the mean at most 0.5."""
    assert {name: round(seconds, 1) for name, seconds in SECONDS.items() if seconds > 3} == {}
    if len(SECONDS) == len(runs()):  # of a few that were chosen the mean says nothing
        assert sum(SECONDS.values()) / len(SECONDS) <= 0.5
