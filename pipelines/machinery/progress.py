"""Progress bars of stages, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar; yields `progress(what, done, total, loss)`, as the library's stages call it (loss may be absent).

    Drawn at most twice a second on a terminal, every ten seconds elsewhere.
    """
    import sys

    from tqdm import tqdm

    with tqdm(desc=title, leave=False, mininterval=0.5 if sys.stderr.isatty() else 10.0, delay=1.0) as line:
        def progress(what: str, done: int, total: int, loss: float | None = None) -> None:
            line.total = total
            line.set_description(f"{title} {what}", refresh=False)
            if loss is not None:
                line.set_postfix_str(f"loss {loss:.4g}", refresh=False)
            line.update(done - line.n)

        yield progress
