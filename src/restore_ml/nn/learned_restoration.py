"""What networks that clear a whole picture share: they restore the kinds of damage that they learned from."""

from __future__ import annotations

from typing import Any

from restore_ml.method import Method
from restore_ml.tasks.restoration.damages import KINDS, covered


class LearnedRestoration(Method):
    """A method whose setting `kinds` names the kinds of damage that training draws from."""

    task = "restoration"

    def __init__(self, settings: dict[str, Any]) -> None:
        """Check the kinds."""
        super().__init__(settings)
        kinds = self.settings["kinds"]
        if not kinds or not set(kinds) <= set(KINDS):
            raise self.wrong("kinds", f"it must name some of {', '.join(KINDS)}")

    def unsupported(self, degradation: str) -> str | None:
        """What it has not learned from."""
        kinds = self.settings["kinds"]
        return None if covered(degradation, kinds) else f"learned from {', '.join(kinds)} alone (its setting kinds)"
