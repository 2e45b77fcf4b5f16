"""What a stored model brings of this package: enough to restore, and no other methods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from restore_ml import registry
from restore_ml.runs.sources import Sources
from restore_ml.tracking import package

ENTRIES = ("restore_ml.restoring.loading", "restore_ml.restoring.arithmetic", "restore_ml.restoring.harness",
           "restore_ml.serving.restore_command", "restore_ml.serving.photos")


@pytest.mark.parametrize("task", registry.tables())
def test_all_that_restoring_imports_is_there_and_other_methods_are_not(task: str, tmp_path: Path) -> None:
    tree = package.lay_out(tmp_path, {task})
    there = {path.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
             for path in tree.rglob("*.py")}
    methods = [registry.method_module(task, name) for name in registry.method_names(task)]
    parts = [f"restore_ml.tasks.{task}.{path.stem}" for path in (package.HERE / "tasks" / task).glob("[!_]*.py")]
    used = Sources([package.HERE.parent]).hashes([*ENTRIES, *methods, *parts])
    assert len(used) > 20 and not set(used) - there
    homes = {match[1] for name in there if (match := re.match(r"restore_ml\.methods\.(\w+)\.", name))}
    assert homes <= package.tasks_needed({task}) and "restore_ml.report.gallery" not in there


def test_tasks_that_others_import_come_along() -> None:
    assert package.tasks_needed({"guided_colorization"}) == {"guided_colorization", "colorization", "classification"}
    assert package.tasks_needed({"super_resolution"}) == {"super_resolution"}
