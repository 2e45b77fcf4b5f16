"""How optional inputs (hints, a palette, a reference) come to a test sample: drawn from it, each by its own seed."""

from __future__ import annotations

from restore_ml.seeds import generator
from restore_ml.tasks.base import OptionalInputs, Sample


def add_optional(optional: OptionalInputs | None, sample: Sample, degradation: str, seed: int, identity: str) -> None:
    """Draw every optional input of a test sample and put it among its inputs."""
    for name in optional.inputs if optional else ():
        assert optional is not None
        rng = generator(seed, "optional", name, identity, degradation)
        sample.inputs[name] = optional.draw(name, sample, degradation, rng)
