"""The comparison of a task as it lies on disk, with this machine's costs joined for display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from restore_ml.base import layout
from restore_ml.base.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("case", "run", "method", "status", "reason", "baseline", "reading")


def read_table(root: Path, task: str) -> pd.DataFrame:
    """comparison/<task>/table.csv as `evaluation.comparison.build_table` gives it, costs joined.

    `UserError` where there is none yet or it cannot be read.
    """
    import pandas as pd

    from restore_ml.evaluation.comparison import join_costs

    path = root / layout.comparison(task) / "table.csv"
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXTS, "str"))
    except FileNotFoundError:
        raise UserError(f"There is no comparison of {task} yet ({path}); `make repro` makes it.") from None
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path} cannot be read ({error}); delete it and run `dvc repro`.") from None
    texts = [name for name in TEXTS if name in table]
    table[texts] = table[texts].fillna("")
    return join_costs(table, task, root)
