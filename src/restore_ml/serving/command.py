"""`restore-ml serve`: loads a model, opens the port, says where it is, and ends on Ctrl-C when its work is done."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path

from restore_ml.base.errors import UserError
from restore_ml.data import licences
from restore_ml.serving.limits import Limits

GRACE = 30
"""Seconds that requests have to end after Ctrl-C."""


def serve(root: Path, task: str, model: str = "champion", *, host: str = "127.0.0.1", port: int = 5005,
          limits: Limits | None = None, threads: int | None = None, allowed_hosts: tuple[str, ...] = (),
          precision: str = "auto") -> str:
    """Serve until Ctrl-C; returns a last sentence. `UserError` for a port that is taken, an unknown model and limits
    that make no sense."""
    import uvicorn

    from restore_ml.serving.engine import Engine
    from restore_ml.serving.server import HINTS, LOOPBACK, create_app, takes_hints

    limits = limits or Limits()
    check(limits, threads)
    listener = listen(host, port)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    engine = Engine(root, task, model, limits, threads, precision)
    names = (*LOOPBACK, *allowed_hosts, *(() if host in ("0.0.0.0", "::") else (host,)))
    config = uvicorn.Config(create_app(engine, names), log_level="warning", access_log=False, lifespan="off", ws="none",
                            timeout_graceful_shutdown=GRACE, server_header=False)
    address = f"[{host}]" if ":" in host else host
    print(f"Serving {engine.run} ({task}, {engine.model.precision}) on http://{address}:{listener.getsockname()[1]}; "
          "Ctrl-C ends it.", flush=True)
    if takes_hints(engine):
        print(f"Hints are placed on http://{address}:{listener.getsockname()[1]}{HINTS}.", flush=True)
    if warning := licences.warning(engine.licences):
        print(warning, flush=True)
    if host not in LOOPBACK:
        print("Other machines can reach it; it asks for no password.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended its work and passes the signal on
        uvicorn.Server(config).run(sockets=[listener])
    return "The server has ended."


def check(limits: Limits, threads: int | None) -> None:
    """`UserError` for a limit below what any request needs."""
    for option, value in (("--max-megabytes", limits.megabytes), ("--max-megapixels", limits.megapixels),
                          ("--max-pictures", limits.pictures), ("--queue", limits.queue)):
        if not 0 < value < float("inf"):
            raise UserError(f"{option} is {value:g}; give a number above 0.")
    if threads is not None and threads < 1:
        raise UserError(f"--threads is {threads}; give a whole number of at least 1.")


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; `UserError` for an address that is taken or not of this machine."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port is {port}; give a number from 0 (any free port) to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        raise UserError(f"Cannot listen on {host}:{port}: {error.strerror or error}; choose another --port or "
                        "--host.") from None
