"""Under which licences stands what a model learned from, and which of them allow no commercial use.

A champion carries its own list (`licences` of its decision.json), made when it was promoted. Of any other model the
list is that of what lies in the training splits now: of its task's kinds of data, of those that what fills its slots
learned from, and of weights of others. A model whose weights others trained has theirs, as its entry says it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from restore_ml import registry
from restore_ml.base import layout
from restore_ml.base.files import read_json

Licences = dict[str, int]
"""Licence -> how many pictures stand under it; 0 for weights of others."""
NO_COMMERCE = re.compile(r"non-?\s?commercial|\bNC\b|\bresearch\b|\bacademic\b|\beducational\b|\bscientific use\b",
                         re.IGNORECASE)
"""What a licence's words say where it allows research alone. reading: too much rather than too little."""


def of_model(root: Path, folder: Path) -> Licences:
    """Of the model in a folder (models/<task>/<run>, champions/<task>/champion) of the project `root`; empty where it
    has learned nothing, or nothing is prepared."""
    decision = folder / "decision.json"
    told = read_json(decision).get("licences") if decision.exists() else None
    return dict(told) if told is not None else found(root, read_json(folder / "model.json"), folder)


def found(root: Path, facts: Mapping[str, Any], folder: Path | None = None) -> Licences:
    """Of the model that `facts` (its model.json) describe; `folder`: where it lies, as a champion brings what fills
    its slots."""
    from restore_ml.data.manifest import MANIFEST, read_table

    counts: Counter[str] = Counter()
    for domain in sorted(_domains(root, facts, folder)):
        path = root / layout.PREPARED / domain / "train" / MANIFEST
        if path.exists():
            counts.update(read_table(path)["licence"].to_pylist())
    weights = {_of_weights(filler) for filler in facts.get("slots", {}).values() if not layout.is_run(filler)}
    if facts.get("kind") == "imported":
        weights |= {f"{facts['weights_licence']}: weights of {name}" for name in _files(facts)}
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))) | dict.fromkeys(sorted(weights), 0)


def _domains(root: Path, facts: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
    """The kinds of data that a model and what fills its slots learned from."""
    domains: set[str] = set()
    if facts.get("parameters_total") and facts.get("kind") != "imported":
        domains.update(registry.task(facts["task"]).roles.values())
    for filler in facts.get("slots", {}).values():
        places = [place / layout.slot(filler) / "model.json" for place in (folder, root) if place is not None]
        path = next((path for path in places if path.is_file()), None) if layout.is_run(filler) else None
        if path is not None:
            domains.update(_domains(root, read_json(path), None))
    yield from domains


def _files(facts: Mapping[str, Any]) -> set[str]:
    """The names of the files whose weights a run took."""
    return {Path(file["file"]).name for file in facts["imported"].values()}


def _of_weights(source: str) -> str:
    """The licence of a feature network of others (`vgg16-0c84596c`), as the table of the shelf has it."""
    from restore_ml.data import shelf
    from restore_ml.nn.foreign_weights import WEIGHTS

    name = source.partition("-")[0]
    return f"{shelf.package(WEIGHTS[name].package).licence}: weights of {name.upper()}"


def described(licences: Licences) -> str:
    """`14 pictures under CC0-1.0, 3 under MIT`; weights of others come last, without a number."""
    pictures = [(count, licence) for licence, count in licences.items() if count]
    parts = [f"{count} {'pictures ' * (place == 0)}under {licence}" for place, (count, licence) in enumerate(pictures)]
    return ", ".join(parts + [licence for licence, count in licences.items() if not count])


def not_commercial(licences: Licences) -> Licences:
    """Those that allow research alone, by their words."""
    return {licence: count for licence, count in licences.items() if NO_COMMERCE.search(licence)}


def warning(licences: Licences) -> str:
    """The sentence for who promotes, exports or serves a model; empty where no licence asks for one."""
    refused = described(not_commercial(licences))
    return refused and f"For research only, as it learned from {refused}."
