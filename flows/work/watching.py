"""What a rebuild shows while it runs: one line a worker on a terminal, now and then one line for all elsewhere."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from flows.work.estimate import words
from pipelines.machinery import jobs

REDRAWN, SPOKEN = 0.5, 30.0
"""Seconds between two looks: on a terminal, elsewhere."""


class Watch:
    """Units under way, and lines about them. All of its methods may be called from several threads."""

    def __init__(self, root: Path, total: int, left: float, stream: TextIO | None = None) -> None:
        """`total`: how many units there are; `left`: how many seconds they should take, 0 where nobody knows."""
        self.root, self.total, self.left = root, total, left
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty()
        self.began, self.ended, self.drawn = time.monotonic(), 0, 0
        self.under_way: dict[str, float] = {}
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Show the units while the block runs."""
        over = threading.Event()
        thread = threading.Thread(target=self._loop, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with self.lock:
                self._clear()

    def start(self, name: str) -> None:
        """A unit begins."""
        with self.lock:
            self.under_way[name] = time.monotonic()

    def end(self, name: str, how: str) -> None:
        """A unit has ended; `how`: `done` or `failed`."""
        with self.lock:
            began = self.under_way.pop(name)
            self.ended += 1
            self._clear()
            self._write(f"[{self.ended}/{self.total}] {name} {how} after {words(time.monotonic() - began)}")

    def say(self, text: str) -> None:
        """Print something between the lines."""
        with self.lock:
            self._clear()
            self._write(text)

    def _loop(self, over: threading.Event) -> None:
        while not over.wait(REDRAWN if self.terminal else SPOKEN):
            with self.lock:
                if self.under_way:
                    self._clear()
                    self._draw(self.lines())

    def lines(self) -> list[str]:
        """One line with the whole, one for each unit that is under way."""
        passed = time.monotonic() - self.began
        left = f", about {words(max(0.0, self.left - passed))} left" if self.left else ""
        lines = [f"{self.ended} of {self.total} done after {words(passed)}{left}"]
        now = time.monotonic()
        for name, began in self.under_way.items():
            stage, state = progress_of(self.root, name)
            lines.append(f"  {' '.join(filter(None, (stage, name, state)))}, {words(now - began)}")
        return lines

    def _draw(self, lines: list[str]) -> None:
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("".join(f"{line[:width]}\n" for line in lines))
            self.stream.flush()
            self.drawn = len(lines)
        else:
            self._write("; ".join(line.strip() for line in lines))

    def _clear(self) -> None:
        """Take the lines back that `_draw` has drawn on a terminal."""
        if self.drawn:
            self.stream.write(f"\x1b[{self.drawn}F\x1b[J")
            self.drawn = 0

    def _write(self, line: str) -> None:
        self.stream.write(f"{line}\n")
        self.stream.flush()


def progress_of(root: Path, unit: str) -> tuple[str, str]:
    """Which stage of a unit runs, and how far it is: `("train", "54 %, loss 0.0123")`; empty texts where none says, and
    no stage where the unit's name begins with it."""
    lines = []
    kind, _, key = unit.rpartition(" ")
    for path in (root / jobs.FOLDER).glob(f"{kind or '*'}@{key.replace('/', '.')}.progress"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(path.read_text(encoding="utf-8"))
            share = f"{100 * said['done'] // max(1, said['total'])} %"
            loss = f", loss {said['loss']:.4g}" if said.get("loss") is not None else ""
            lines.append((path.stat().st_mtime, "" if kind else path.name.partition("@")[0], f"{share}{loss}"))
    return max(lines)[1:] if lines else ("", "")
