"""How far a stage is: a bar on standard error, and a small file for a rebuild that watches many stages."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FILE = "RESTORE_ML_PROGRESS"
"""In the environment of a stage that a rebuild watches: the file that says how far it is."""
PAUSE = 0.5
"""Seconds between two notes in it."""


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar; yields `progress(what, done, total, loss)`, as the library's stages call it (loss may be absent).

    Drawn at most twice a second on a terminal, every ten seconds elsewhere.
    """
    import sys

    from tqdm import tqdm

    note = _note(os.environ.get(FILE, ""))
    with tqdm(desc=title, leave=False, mininterval=0.5 if sys.stderr.isatty() else 10.0, delay=1.0) as line:
        def progress(what: str, done: int, total: int, loss: float | None = None) -> None:
            note(what, done, total, loss)
            line.total = total
            line.set_description(f"{title} {what}", refresh=False)
            if loss is not None:
                line.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            line.update(done - line.n)

        yield progress


def _note(name: str) -> Callable[..., None]:
    """What keeps the file up to date; nothing where there is none to keep."""
    if not name:
        return lambda *said: None
    path, last = Path(name), [0.0]

    def note(what: str, done: int, total: int, loss: float | None) -> None:
        now = time.monotonic()
        if now - last[0] < PAUSE:
            return
        last[0] = now
        with contextlib.suppress(OSError):  # it is only a view
            temporary = path.with_name(f"{path.name}.new")
            temporary.write_text(json.dumps({"what": what, "done": done, "total": total, "loss": loss}), "utf-8")
            os.replace(temporary, path)

    return note
