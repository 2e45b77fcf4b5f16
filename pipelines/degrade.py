"""The stage `degrade`: a task's training material and test samples, made from the prepared pictures."""

from pipelines.machinery.progress import bar
from pipelines.machinery.runners import Runner
from pipelines.machinery.steps import Steps
from restore_ml import layout
from restore_ml.files import read_json

NAMES = {"super_resolution": "downsample", "inpainting": "generate_masks", "colorization": "to_lab",
         "cloud_removal": "lay_clouds", "representation": "draw_patches"}
"""What degrading is called in each task."""


def stage(step: Steps, key: str) -> None:
    """Degrade the pictures for the task `key`."""
    name = NAMES.get(key, "degrade")
    step(f"{name}_for_training", degrade, key, "degrade_training")
    step(f"{name}_for_tests", degrade, key, "degrade_tests")
    step("write_contract", write_contract, key)


def degrade(task: str, function: str) -> None:
    """Call the named function of `restore_ml.degrading` with the task's settings, over the workers that there are."""
    from restore_ml import degrading, registry
    from restore_ml.data.ledger import Ledger

    root = layout.root()
    spec = read_json(root / layout.code("degrade", task))
    ledger = Ledger.of_stage(root, f"degrade-{task}", spec)
    with bar(task) as progress, Runner.from_environment().mapper() as mapper:
        getattr(degrading, function)(registry.task(task), root / layout.PREPARED, root / layout.samples(task),
                                     spec["seed"], spec["settings"], progress, mapper, ledger=ledger)


def write_contract(task: str) -> None:
    """Write the table that contracts are checked on."""
    from restore_ml.data import contract_table
    from restore_ml.data.ledger import Ledger

    root = layout.root()
    ledger = Ledger.of_stage(root, f"contract-{task}", read_json(root / layout.code("degrade", task)))
    with Runner.from_environment().mapper() as mapper:
        contract_table.write_contract(root / layout.samples(task), mapper=mapper, ledger=ledger)
