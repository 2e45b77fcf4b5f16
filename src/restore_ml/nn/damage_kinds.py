"""What methods of restoration that learn have in common: they restore the kinds of damage that they have seen."""

from __future__ import annotations

from typing import Any

from restore_ml.method import Method
from restore_ml.tasks.restoration.damages import checked_kind, covered


class LearnsKinds(Method):
    """Its `paper` has the setting `kinds`: the names of damage (`restore_ml.tasks.restoration.damages`) that a run
    learns, each drawn equally often. It restores the test cases among them and refuses the others."""

    task = "restoration"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Raises `UserError` for a kind that there is not."""
        super().__init__(settings)
        for kind in self.settings["kinds"]:
            checked_kind(kind, "kind of damage in a run's setting `kinds`")

    def unsupported(self, degradation: str) -> str | None:
        """It does not know other damage than it has learned from."""
        kinds = self.settings["kinds"]
        return None if covered(degradation, kinds) else f"trained for {_listed(kinds)}"


def _listed(names: list[str]) -> str:
    """`rain`, `rain and haze`, `rain, haze and blur`."""
    *others, last = dict.fromkeys(names)
    return f"{', '.join(others)} and {last}" if others else last
