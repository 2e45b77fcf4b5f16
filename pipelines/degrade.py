"""The stage `degrade`: a task's training material and test samples, made from the prepared pictures."""

from collections.abc import Callable
from typing import Any

from pipelines.machinery.progress import bar
from pipelines.machinery.runners import Runner
from pipelines.machinery.steps import Steps
from restore_ml.base import layout
from restore_ml.base.files import read_json

NAMES = {"super_resolution": "downsample", "inpainting": "generate_masks", "colorization": "to_lab",
         "cloud_removal": "lay_clouds", "cloud_detection": "lay_clouds",
         "representation": "draw_patches"}
"""What degrading is called in each task."""


def stage(step: Steps, key: str) -> None:
    """Degrade the pictures for the task `key`."""
    name = NAMES.get(key, "degrade")
    training = step(f"{name}_for_training", degrade_for_training, key)
    cases = step(f"{name}_for_tests", degrade_for_tests, key)
    step("write_contract", write_contract, key, training, cases)


def degrade_for_training(task: str) -> Any:
    """Training material."""
    from restore_ml.degrading.training import degrade_training

    return _degrade(degrade_training, task)


def degrade_for_tests(task: str) -> Any:
    """Test cases."""
    from restore_ml.degrading.cases import degrade_cases

    return _degrade(degrade_cases, task)


def _degrade(function: Callable[..., Any], task: str) -> Any:
    """Call the function with the task's settings, over the workers that there are."""
    from restore_ml import registry
    from restore_ml.data.ledger import Ledger

    root = layout.root()
    spec = read_json(root / layout.code("degrade", task))
    ledger = Ledger.of_stage(root, f"degrade-{task}", spec)
    with bar(task) as progress, Runner.from_environment().mapper() as mapper:
        return function(registry.parts(task), root / layout.PREPARED, root / layout.samples(task), spec["seed"],
                        spec["settings"], progress, mapper, ledger=ledger)


def write_contract(task: str, training: Any, cases: Any) -> None:
    """Write the table that contracts are checked on, and the one of the pictures that were left out."""
    from restore_ml import registry
    from restore_ml.data.ledger import Ledger
    from restore_ml.degrading import contract_table, left_out

    root = layout.root()
    out = root / layout.samples(task)
    left_out.write_left_out(registry.task(task), root / layout.PREPARED, out, training, cases)
    ledger = Ledger.of_stage(root, f"contract-{task}", read_json(root / layout.code("degrade", task)))
    with Runner.from_environment().mapper() as mapper:
        contract_table.write_contract(out, mapper=mapper, ledger=ledger)
