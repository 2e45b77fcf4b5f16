"""The plain history of a training: one CSV line a term and logged step, appended while it runs."""

from __future__ import annotations

import os
from pathlib import Path

HEADER = "phase,step,term,value\n"
POINTS = 100
"""About how many steps of a phase are logged."""


class History:
    """Appends `phase,step,term,value` lines; a checkpoint remembers the length, and a resumed run cuts back to it."""

    def __init__(self, path: Path, writes: bool = True) -> None:
        """Open the history at `path`; `cut` says how much of it holds. Of several processes only one `writes`."""
        self.path, self.writes = path, writes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path if writes else os.devnull, "a+", encoding="utf-8")  # noqa: SIM115 - open while it trains

    @property
    def length(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def add(self, phase: str, step: int, steps: int, terms: dict[str, float]) -> None:
        """Log the terms of a step, if it is one of the about POINTS steps that are kept of a phase."""
        if not self.writes or (step % max(1, steps // POINTS) and step != steps - 1):
            return
        for name, value in terms.items():
            self._file.write(f"{phase},{step},{name},{value:.6g}\n")
        self._file.flush()

    def flush(self) -> None:
        """Hand all lines to the system."""
        self._file.flush()

    def cut(self, length: int) -> None:
        """Forget what was logged after a checkpoint of that length; 0 starts anew."""
        if not self.writes:
            return
        self._file.flush()
        self._file.truncate(length)
        self._file.seek(length)
        if length == 0:
            self._file.write(HEADER)
            self._file.flush()
