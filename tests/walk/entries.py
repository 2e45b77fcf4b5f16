"""What is walked: every run that params.yaml names, with its method and its settings under a profile."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from restore_ml import registry
from restore_ml.method import Method
from restore_ml.runs import settings

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "docs" / "templates"


@dataclass(frozen=True)
class Entry:
    """One run: a method's class with settings (those that differ from its paper's), and what fills its slots."""

    name: str
    task: str
    method: type[Method]
    slots: dict[str, str] = field(default_factory=dict, hash=False)
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    seed: int = 1


@lru_cache
def params(profile: str) -> settings.Params:
    """The project's params.yaml under another profile."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(ROOT / "params.yaml", folder))
        for file in (ROOT / "graph").glob("*/runs.yaml"):
            (path.parent / "graph" / file.parent.name).mkdir(parents=True)
            shutil.copy(file, path.parent / "graph" / file.parent.name)
        settings.set_profile(profile, path)
        return settings.load(path)


@lru_cache
def runs(profile: str = "quick") -> dict[str, Entry]:
    """All runs by `task/run`; replicates under another seed are left out, they would be walked twice."""
    return {run.key: Entry(run.name, run.task, registry.method_class(run.task, run.method), run.slots, run.settings,
                            run.seed)
            for run in params(profile).runs.values() if not run.of}


def methods() -> list[tuple[str, str]]:
    """(task, name) of every method that the registry finds."""
    return [(task, name) for task in registry.task_names() for name in registry.method_names(task)]


@lru_cache
def templates(profile: str = "quick") -> dict[str, Entry]:
    """The files in docs/templates, with the entries that stand for them in docs/templates/runs.yaml."""
    import importlib.util

    found = {}
    listed = yaml.safe_load((TEMPLATES / "runs.yaml").read_text(encoding="utf-8"))["runs"]
    for path in sorted(TEMPLATES.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"template_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        entry = listed[path.stem]
        found[path.stem] = Entry(path.stem, entry["task"], module.METHOD, entry.get("slots", {}),
                                 {**entry.get("settings", {}), **entry.get(profile, {})})
    return found
