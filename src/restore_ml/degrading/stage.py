"""All of degrading in one call: training material, test cases, pictures left out, the table that contracts check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore_ml.data.chunks import CHUNK, Mapper, Progress
from restore_ml.data.ledger import Ledger
from restore_ml.degrading.cases import degrade_cases
from restore_ml.degrading.contract_table import write_contract
from restore_ml.degrading.keeper import Outcome
from restore_ml.degrading.left_out import write_left_out
from restore_ml.degrading.training import degrade_training
from restore_ml.tasks.base import Parts


def degrade(parts: Parts, prepared: Path, out: Path, seed: int, settings: dict[str, Any],
            progress: Progress | None = None, mapper: Mapper = map, ledger: Ledger | None = None,
            chunk: int = CHUNK) -> Outcome:
    """Fill samples/<task> (`out`) from the folder `prepared`; returns what `degrade_cases` does."""
    training = degrade_training(parts, prepared, out, seed, settings, progress, mapper, ledger)
    cases = degrade_cases(parts, prepared, out, seed, settings, progress, mapper, ledger, chunk)
    write_left_out(parts.task, prepared, out, training, cases)
    write_contract(out, mapper=mapper)
    return cases
