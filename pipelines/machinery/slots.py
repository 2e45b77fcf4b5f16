"""One computation per GPU: a file lock for each card of this machine, and Prefect's concurrency limit beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pipelines.machinery import server
from restore_ml.base import layout
from restore_ml.base.errors import UserError

LIMIT = "restore-ml-gpu"
"""The global concurrency limit, shown in Prefect's pages; the file locks hold whether its server is up or not."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name here: what it names already, else a number for each card of nvidia-smi."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip() not in ("", "-1")]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, _ in enumerate(line for line in done.stdout.splitlines() if line.startswith("GPU"))]


@contextlib.contextmanager
def held(root: Path, count: int = 1, cards: list[str] | None = None, pause: float = 0.5) -> Iterator[dict[str, str]]:
    """Hold `count` cards while the block runs; yields what they put into the environment.

    Waits until so many are free. Where the machine has no card there is nothing to hold and nothing to wait for.
    The locks go with the process that holds them, however it ends.

    Raises:
        UserError: the machine has fewer cards than `count`.
    """
    from filelock import FileLock, Timeout

    cards = devices() if cards is None else cards
    if not cards:
        yield {}
        return
    if count > len(cards):
        raise UserError(f"{count} GPUs are wanted, and this machine has {len(cards)}; lower `processes` in "
                        "params.yaml.")
    folder = root / layout.STATE / "gpu"
    folder.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    while True:
        with contextlib.ExitStack() as stack:
            taken = []
            for card in cards:
                lock = FileLock(folder / f"{host}-{card.replace('/', '_')}.lock", timeout=0)
                with contextlib.suppress(Timeout):
                    stack.enter_context(lock)
                    taken.append(card)
                if len(taken) == count:
                    with _shown(root, count, len(cards)):
                        yield {VISIBLE: ",".join(taken)}
                    return
        time.sleep(pause)  # all or nothing: two that hold half of what they want would wait for ever


@contextlib.contextmanager
def _shown(root: Path, count: int, total: int) -> Iterator[None]:
    """Take the slots of Prefect's limit as well, where its server answers; it shows what the locks have decided."""
    url = server.find(root)
    if url is None:
        yield
        return
    from prefect.client.orchestration import get_client
    from prefect.concurrency.sync import concurrency
    from prefect.settings import temporary_settings

    from pipelines.machinery.link import settings

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(temporary_settings(settings(url)))
            with get_client(sync_client=True) as client:
                client.upsert_global_concurrency_limit_by_name(LIMIT, total)
            stack.enter_context(concurrency(LIMIT, occupy=count, timeout_seconds=10))
        except Exception as error:  # the limit is a view: the cards are held already
            print(f"Prefect's limit {LIMIT} was not taken ({type(error).__name__}).", file=sys.stderr)
        yield
