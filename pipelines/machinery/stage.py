"""Runs one stage of dvc.yaml: its steps as a Prefect flow where the server answers, as plain functions elsewhere."""

from __future__ import annotations

import functools
import importlib
import importlib.util

from pipelines.machinery import outside
from pipelines.machinery.children import Child
from pipelines.machinery.steps import Broken, Steps
from restore_ml.base.errors import UserError, prepare_screen, report


def run(name: str, key: str = "") -> int:
    """Run the stage `name` (a module of `pipelines` with `stage(step, key)`); returns its exit status.

    What ends it is told by `restore_ml.base.errors.report`: a sentence (exit status 2), or a bug's stack trace (1).
    A stage that needs processes of its own names in `CHILDREN` how many and what they do: `work(key)`.
    """
    prepare_screen()
    steps = Steps()
    try:
        module = importlib.import_module(f"pipelines.{name}") if _is_module(name) else None
        if module is None or not hasattr(module, "stage"):
            raise UserError(f"There is no stage {name!r}; `dvc stage list` shows them.")
        stage, count = module.stage, getattr(module, "CHILDREN", 0)
        if outside.is_outside(name, key):  # another tool's outputs: neither a method nor a child is needed
            stage, count = outside.stage_of(name), 0
        steps = Steps([Child(functools.partial(module.work, key)) for _ in range(count)])  # before there are threads
        from pipelines.machinery import link

        link.run(name, key, stage, steps)
    except Broken as broken:
        return report(broken.__cause__ or broken, f"the stage {name} {key}".strip())
    except (Exception, KeyboardInterrupt) as error:
        return report(error, f"the stage {name} {key}".strip())
    finally:
        for child in steps.children:
            child.close()
    return 0


def _is_module(name: str) -> bool:
    """Whether `pipelines` has a module, not a package, of that name."""
    spec = importlib.util.find_spec(f"pipelines.{name}") if name.isidentifier() else None
    return spec is not None and spec.submodule_search_locations is None
