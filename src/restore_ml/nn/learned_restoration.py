"""What networks that clear a whole picture share: they restore the kinds of damage that they learned from."""

from __future__ import annotations

from restore_ml.method import Method


class LearnedRestoration(Method):
    """A method whose setting `kinds` names the kinds of damage that training draws from; a case is one of a kind, or a
    variant of it (`noise_25` of `noise`)."""

    task = "restoration"

    def unsupported(self, degradation: str) -> str | None:
        """What it has not learned from."""
        kinds = self.settings["kinds"]
        learned = any(degradation == kind or degradation.startswith(f"{kind}_") for kind in kinds)
        return None if learned else f"learned from {', '.join(kinds)} alone"
