"""What scoring needs beside samples and outputs, for rows that are not the pipeline's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from restore_ml.base import layout
from restore_ml.base.files import read_json
from restore_ml.data.ledger import Ledger
from restore_ml.evaluation.perceptual import Distances, load

HOME = layout.STATE / "own"
"""Where `restore-ml best-on` keeps its small projects, one a folder of pictures."""


def distances(root: Path, task: str, primary: str, truths: Ledger | None = None) -> Distances | None:
    """The distances by networks of others that the task's stored scores have; None where they have none.

    `primary`: the case on which those are measured that are on one case alone.
    """
    path = root / layout.code("score", task)
    asked: dict[str, Any] = read_json(path).get("perceptual") if path.exists() else {}
    return load(asked["figures"], primary, truths) if asked else None


def link(source: Path, target: Path) -> None:
    """A link at `target` to a file or folder elsewhere, in place of the one that is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.symlink(source.resolve(), target)
