"""Runs one stage of dvc.yaml: its steps as a Prefect flow where the server answers, as plain functions elsewhere."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import traceback

from pipelines.machinery.children import Child
from pipelines.machinery.steps import Broken, Steps
from restore_ml.errors import UserError
from restore_ml.files import lack


def run(name: str, key: str = "") -> int:
    """Run the stage `name` (a module of `pipelines` with `stage(step, key)`); returns its exit status.

    A user's mistake, a full disk and a lack of permission are printed as a sentence (exit status 2), anything else
    with its stack trace (1).
    A stage that needs processes of its own names in `CHILDREN` how many and what they do: `work(key)`.
    """
    module = None
    if name.isidentifier() and importlib.util.find_spec(f"pipelines.{name}") is not None:
        module = importlib.import_module(f"pipelines.{name}")
    if module is None or not callable(getattr(module, "stage", None)):
        print(f"There is no stage {name!r}; `dvc stage list` shows them.", file=sys.stderr)
        return 2
    count = getattr(module, "CHILDREN", 0)
    steps = Steps([Child(functools.partial(module.work, key)) for _ in range(count)])  # before there are threads
    try:
        from pipelines.machinery import link

        link.run(name, key, module.stage, steps)
    except Broken as broken:
        return _explain(broken.__cause__)
    except UserError as error:
        return _explain(error)
    finally:
        for child in steps.children:
            child.close()
    return 0


def _explain(error: BaseException | None) -> int:
    sentence = str(error) if isinstance(error, UserError) else lack(error) if error else None
    if sentence:
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    traceback.print_exception(error)
    return 1
