"""What other tools made for a run, as it lies in brought/outputs/<task>/<run>: which cases, and a hash of each."""

from __future__ import annotations

from pathlib import Path

from restore_ml.base import layout
from restore_ml.base.files import canonical_json, sha256, sha256_of_file

KEPT = "outputs.json"
"""Beside the files of each case: which sample each belongs to, and the hashes of the inputs that the tool was given."""


def outputs_by_case(root: Path, task: str, run: str) -> dict[str, str]:
    """By case (`set/degradation`), a hash of all its files; empty where they are not on this machine."""
    folder = root / layout.outputs(task, run)
    cases = sorted(path.parent for path in folder.glob(f"*/*/{KEPT}"))
    return {case.relative_to(folder).as_posix(): _hash(case) for case in cases}


def _hash(case: Path) -> str:
    files = sorted(path for path in case.rglob("*") if path.is_file())
    return sha256(canonical_json({path.relative_to(case).as_posix(): sha256_of_file(path) for path in files}).encode())
