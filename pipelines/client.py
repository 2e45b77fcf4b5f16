"""Hands a stage to the fork server; standard library only."""

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

SOCKET = Path(".state") / "forkserver.sock"
"""Relative to the project, where stages run: the names of sockets may not be long."""
PR_SET_PDEATHSIG = 1
PLAIN = "RESTORE_ML_PLAIN"
"""When this is in the environment, stages do not look for the fork server."""
DISPATCH = "RESTORE_ML_DISPATCH"
"""In the environment of a parallel rebuild's stages: the socket of its dispatcher, which has a worker run the stage."""


def die_with_parent() -> None:
    """Have the system kill this process when the process that forked it ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_elsewhere(arguments: list[str]) -> int | None:
    """The exit status of the stage run by the fork server; None when this process must run it itself.

    The stage gets this process's folder, environment and standard streams, and ends when this process does.
    """
    path = os.environ.get(DISPATCH) or str(SOCKET)
    if os.environ.get(PLAIN) or not os.path.exists(path):
        return None
    job = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [len(job).to_bytes(4, "big")], [0, 1, 2])
            connection.sendall(job)
            answer = connection.makefile("rb").readline()
        except OSError:
            answer = b""
    if answer.strip() in (b"", b"refused"):
        if not answer:
            print("The fork server is gone; this stage runs without it.", file=sys.stderr)
        return None
    return int(answer)
