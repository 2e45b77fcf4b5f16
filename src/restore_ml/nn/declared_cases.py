"""The cases that a run of a dear method is shown on, as its setting `cases` declares them."""

from __future__ import annotations

from collections.abc import Sequence


def left_out(cases: Sequence[str], degradation: str) -> str | None:
    """None where `cases` names the degradation or nothing at all, else in a few words why it is left out."""
    return None if not cases or degradation in cases else "left out by the run's setting cases"
