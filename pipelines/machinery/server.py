"""The project's one Prefect server: its own home and database in .state/prefect, a recorded loopback port.

`make` and `flows` start it; stages only look whether it is there (standard library only, so that this costs nothing).
RESTORE_ML_PREFECT_DATABASE has it keep its tables in PostgreSQL; RESTORE_ML_PREFECT_API names a server elsewhere that
is used instead. Prefect's own variables are not read for this: a shell set up for another server is left out of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from pipelines.machinery.client import with_parent
from restore_ml.base import layout
from restore_ml.base.errors import UserError

API = "RESTORE_ML_PREFECT_API"
DATABASE = "RESTORE_ML_PREFECT_DATABASE"
HOME = layout.STATE / "prefect"
RECORD = HOME / "server.json"
LOG = HOME / "server.log"
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_CLI_PROMPT": "false"}
TIMEOUT = 10.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def find(root: Path, timeout: float = TIMEOUT) -> str | None:
    """The address of the server's API when it answers and is ours (its home is this project's), else None.

    A server elsewhere, where the environment names one, only has to answer.
    """
    elsewhere = os.environ.get(API, "").strip().rstrip("/")
    try:
        if elsewhere:
            return elsewhere if _get(f"{elsewhere}/health", timeout) is True else None
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        url = f"http://127.0.0.1:{int(record['port'])}/api"
        settings = _get(f"{url}/admin/settings", timeout)
        return url if Path(settings["home"]).resolve() == (root / HOME).resolve() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start(root: Path, seconds: float = 120.0) -> str | None:
    """The address of the server's API, started if need be; None (after a sentence) when it cannot be had."""
    url = find(root) or find_busy(root)
    if os.environ.get(API):
        if url is None:
            print(f"The Prefect server that {API} names does not answer; the rebuild goes on without it.",
                  file=sys.stderr)
        return url
    database = _database()
    if url:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        if record.get("database", "") != _mark(database):
            print(f"The Prefect server that is running keeps its tables elsewhere than {DATABASE} says; end process "
                  f"{record['pid']} to change that.", file=sys.stderr)
        return url
    stop(root)
    if database and not _answers(database):  # else the server would try for a minute
        print(f"The PostgreSQL that {DATABASE} names does not answer; the rebuild goes on without Prefect.",
              file=sys.stderr)
        return None
    home = root / HOME
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with open(root / LOG, "ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port),
             "--log-level", "WARNING"],
            cwd=root, env=environment(root, port), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
    temporary = home / "server.json.new"
    temporary.write_text(json.dumps({"pid": server.pid, "port": port, "database": _mark(database)}), encoding="utf-8")
    os.replace(temporary, root / RECORD)
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        url = find(root)
        if url:
            return url
        time.sleep(0.1)
    print(f"The Prefect server did not start (see {root / LOG}); the rebuild goes on without it.", file=sys.stderr)
    stop(root)
    return None


def make_tables(root: Path) -> subprocess.Popen[bytes] | None:
    """Begin to make the tables of a server that has none yet, so that its first start need not (10 s); None where
    there is nothing to do. Wait for it; whether it fails does not matter, for the server makes what is missing."""
    home = root / HOME
    if os.environ.get(API) or _database() or (home / "prefect.db").exists():
        return None
    home.mkdir(parents=True, exist_ok=True)
    with open(root / LOG, "ab") as log:
        return subprocess.Popen([sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"], cwd=root,
                                env=environment(root, 0), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                preexec_fn=with_parent())  # noqa: PLW1509


def find_busy(root: Path) -> str | None:
    """The address of our own server that lives and takes long to answer: on a busy machine it is no dead one. None at
    once where its process has ended."""
    if os.environ.get(API):
        return None
    for _ in range(3):
        try:
            alive = _is_ours(int(json.loads((root / RECORD).read_text(encoding="utf-8"))["pid"]), root)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not alive:
            return None
        url = find(root, 5 * TIMEOUT)
        if url:
            return url
        time.sleep(1.0)
    return None


def stop(root: Path) -> bool:
    """Stop the recorded server if that process still is one; returns whether there was one to stop."""
    try:
        pid = int(json.loads((root / RECORD).read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    (root / RECORD).unlink(missing_ok=True)
    if not _is_ours(pid, root):
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except OSError:
            return True
        for _ in range(100):
            if not _is_ours(pid, root):
                return True
            time.sleep(0.05)
    return True


def environment(root: Path, port: int) -> dict[str, str]:
    """The environment of the server: its home, where its pages find its API, and no news to anybody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | QUIET | {"PREFECT_HOME": str((root / HOME).resolve()),
                           "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api"} | (_database() or _file(root))


def _database() -> dict[str, str]:
    """Prefect's setting for its tables in PostgreSQL, or nothing: then they are in a file of its home."""
    configured = os.environ.get(DATABASE, "").strip()
    scheme, _, rest = configured.partition("://")
    if configured and (scheme not in ("postgresql", "postgres", "postgresql+asyncpg") or not rest):
        raise UserError(f"{DATABASE} does not begin with postgresql://; give postgresql://user@host:port/database, or "
                        "unset it to use the project's own file.")
    # The server gives up on a connection after 5 s otherwise, which a busy machine exceeds.
    return {"PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{rest}",
            "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60"} if configured else {}


def _file(root: Path) -> dict[str, str]:
    """Prefect's setting for the file of its home where `%` or `?` in the path would mean something: it is quoted then,
    which Prefect does not do itself."""
    path = str((root / HOME).resolve() / "prefect.db")
    address = f"sqlite+aiosqlite:///{urllib.parse.quote(path)}"
    return {"PREFECT_API_DATABASE_CONNECTION_URL": address} if set(path) & set("%?") else {}


def _answers(database: dict[str, str]) -> bool:
    """Whether something listens where the address says; one without a host (a local socket) is left to Prefect."""
    try:
        address = urllib.parse.urlsplit(next(iter(database.values())))
        if address.hostname:
            socket.create_connection((address.hostname, address.port or 5432), timeout=5).close()
    except (OSError, ValueError):
        return False
    return True


def _mark(database: dict[str, str]) -> str:
    """Stands for the database in the record, which is no place for a password."""
    return hashlib.sha256("".join(database.values()).encode()).hexdigest()[:16] if database else ""


def _is_ours(pid: int, root: Path) -> bool:
    """Whether the process lives (and is no zombie) and was started with this project's home."""
    try:
        if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
            return False
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"PREFECT_HOME={(root / HOME).resolve()}".encode() in environment


def _get(url: str, timeout: float) -> Any:
    reach_loopback_directly()
    with urllib.request.build_opener().open(url, timeout=timeout) as answer:
        return json.load(answer)


def reach_loopback_directly() -> None:
    """Add this machine's own addresses to the environment's exceptions from proxies, which Python's and Prefect's
    clients read; what else stands there, and a server elsewhere, keep their way."""
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [part.strip() for part in (os.environ.get(name) or os.environ.get("no_proxy") or
                                           os.environ.get("NO_PROXY") or "").split(",") if part.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join(dict.fromkeys([*hosts, *LOOPBACK]))


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
