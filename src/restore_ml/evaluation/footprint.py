"""What a model takes that is deployed in another form than it is trained in (`Method.footprint`), and how that is said.

    stored_bits, stored_bits_as_float        bits of the model on disk, and of the same network of float32
    binary_multiply_adds, multiply_adds      of bits with bits, and of numbers, for a picture of 1280 x 720
    multiply_adds_as_float                   of the same network of float32
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json
from restore_ml.method import Method


def footprint(model: dict[str, Any]) -> dict[str, int]:
    """That of the run which a model.json describes; empty for most, and where its method is not there any more."""
    if model["method"] == layout.OUTSIDE:
        return {}
    try:
        if registry.method_class(model["task"], model["method"]).footprint is Method.footprint:
            return {}
        return registry.method(model["task"], model["method"], model["settings"]).footprint()
    except (UserError, ImportError):
        return {}


def sentence(facts: dict[str, int]) -> str:
    """`Stored in 107.5 kB, 24.8 times less than ...`; empty without facts."""
    if not facts:
        return ""
    ratio = facts["stored_bits_as_float"] / facts["stored_bits"]
    bits, numbers, as_float = (f"{facts[name] / 1e9:,.2f} G" for name in (
        "binary_multiply_adds", "multiply_adds", "multiply_adds_as_float"))
    return (f"Stored in {facts['stored_bits'] / 8000:,.1f} kB, {ratio:.1f} times less than the same network of float32 "
            f"({facts['stored_bits_as_float'] / 8000:,.1f} kB). A picture of 1280 x 720 takes {bits} multiply-adds of "
            f"bits with bits and {numbers} of numbers, where float32 takes {as_float}.")


def sentences(root: Path, task: str, runs: list[str]) -> list[tuple[str, str]]:
    """(run, sentence) of the runs that have one."""
    paths = {run: root / layout.model(task, run) / "model.json" for run in runs}
    said = {run: sentence(footprint(read_json(path))) for run, path in paths.items() if path.exists()}
    return [(run, text) for run, text in said.items() if text]
