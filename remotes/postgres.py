"""A PostgreSQL cluster of one's own with the databases `mlflow` and `prefect`, on 127.0.0.1 with a password.

    python -m remotes.postgres start|stop|status [FOLDER] [--port N]

The password is drawn once and lies in FOLDER/pgpass alone; the addresses that are printed name that file. PostgreSQL
refuses to run as root: root's cluster belongs to the user `postgres` that its package makes.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.machinery.server import free_port
from remotes import service
from restore_ml.base.errors import UserError

USER = "restore"
OWNER = "postgres"  # the system's user, when root starts it
DATABASES = ("mlflow", "prefect")


def start(folder: Path, port: int = 0) -> str:
    """Make the cluster where there is none, start it if it does not run; returns the lines for the environment."""
    if not runs(folder):
        port = port or port_of(folder) or free_port()
        if service.listens(port):
            raise UserError(f"Something listens on port {port} of 127.0.0.1 already; name another with --port.")
        if not (folder / "cluster" / "PG_VERSION").exists():
            _initialise(folder)
        _write_pgpass(folder, port)
        log = folder / "cluster" / "server.log"
        options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {port}"
        _run("pg_ctl", "-D", folder / "cluster", "-l", log, "-w", "-t", "60", "-o", options, "start", log=log)
    _databases(folder)
    return lines(folder)


def stop(folder: Path) -> bool:
    """Stop the server, ending its connections; returns whether it ran."""
    if not runs(folder):
        return False
    _run("pg_ctl", "-D", folder / "cluster", "-w", "-m", "fast", "stop")
    return True


def runs(folder: Path) -> bool:
    """Whether the folder's cluster has a server."""
    return (folder / "cluster").exists() and _as_owner("pg_ctl", "-D", folder / "cluster", "status").returncode == 0


def status(folder: Path) -> str:
    """A sentence: whether it runs, and where."""
    return f"running on 127.0.0.1:{port_of(folder)}" if runs(folder) else "not running"


def lines(folder: Path) -> str:
    """What to put into the environment so that MLflow and Prefect use it."""
    return (f"# PostgreSQL runs on 127.0.0.1:{port_of(folder)}\n"
            f"export RESTORE_ML_MLFLOW_URI='{address(folder, 'mlflow')}'\n"
            f"export RESTORE_ML_PREFECT_DATABASE='{address(folder, 'prefect')}'")


def address(folder: Path, database: str) -> str:
    """The URI of a database; it names the file with the password, not the password."""
    return f"postgresql://{USER}@127.0.0.1:{port_of(folder)}/{database}?passfile={folder / 'pgpass'}"


def port_of(folder: Path) -> int:
    """The port that the password file was written for; 0 where there is none."""
    try:
        return int((folder / "pgpass").read_text(encoding="utf-8").split(":")[1])
    except (OSError, IndexError, ValueError):
        return 0


def program(name: str) -> Path:
    """One of PostgreSQL's programs: from the PATH, else the newest that Debian's packages put beside it."""
    executable = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    if executable is None and not places:
        raise UserError(f"There is no {name} here; install PostgreSQL's server (`apt-get install postgresql`).")
    return Path(executable) if executable else places[-1]


def _initialise(folder: Path) -> None:
    """A cluster whose one role logs in with a drawn password."""
    initdb = program("initdb")
    folder.mkdir(parents=True, exist_ok=True)
    cluster, drawn = folder / "cluster", folder / "cluster.password"
    cluster.mkdir(mode=0o700, exist_ok=True)
    password = secrets.token_urlsafe(24)
    try:
        drawn.touch(mode=0o600)
        drawn.write_text(password, encoding="utf-8")
        if os.geteuid() == 0:
            owner = _owner()
            for path in (cluster, drawn):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            if _as_owner("pg_ctl", "--version").returncode or _owner_command("test", "-r", drawn):
                raise UserError(f"The user {OWNER} cannot read {folder}; give a folder that others may enter, such as "
                                "/var/lib/restore-ml.")
        _run(initdb.name, "-D", cluster, "-U", USER, f"--pwfile={drawn}", "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C")
    finally:
        drawn.unlink(missing_ok=True)
    (folder / "pgpass").touch(mode=0o600)
    (folder / "pgpass").write_text(f"127.0.0.1:0:*:{USER}:{password}\n", encoding="utf-8")


def _write_pgpass(folder: Path, port: int) -> None:
    path = folder / "pgpass"
    parts = path.read_text(encoding="utf-8").split(":")
    path.write_text(":".join([parts[0], str(port), *parts[2:]]), encoding="utf-8")


def _databases(folder: Path) -> None:
    """Make the databases that are missing."""
    where = ["-h", "127.0.0.1", "-p", str(port_of(folder)), "-U", USER, "-w"]
    environment = {**os.environ, "PGPASSFILE": str(folder / "pgpass")}

    def ask(name: str, *arguments: str) -> str:
        done = subprocess.run([program(name), *where, *arguments], env=environment, capture_output=True, text=True,
                              check=False)
        if done.returncode:
            raise UserError(f"{name} says: {done.stderr.strip()}")
        return done.stdout

    there = ask("psql", "-d", "postgres", "-Atc", "SELECT datname FROM pg_database").split()
    for database in DATABASES:
        if database not in there:
            ask("createdb", database)


def _run(name: str, *arguments: str | Path, log: Path | None = None) -> None:
    done = _as_owner(name, *arguments)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        where = f"; see {log}" if log else ""
        raise UserError(f"{name} failed: {said[-1]}{where}.")


def _as_owner(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_prefix(), program(name), *arguments], cwd="/", capture_output=True, text=True, check=False)


def _owner_command(*command: str | Path) -> int:
    return subprocess.run([*_prefix(), *command], cwd="/", capture_output=True, check=False).returncode


def _prefix() -> list[str]:
    return ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []


def _owner() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(OWNER)
    except KeyError:
        raise UserError(f"PostgreSQL does not run as root, and there is no user {OWNER}; make one (`adduser --system "
                        f"{OWNER}`) or start this as yourself.") from None


if __name__ == "__main__":
    sys.exit(service.main("postgres", "PostgreSQL for MLflow and Prefect.", {
        "start": lambda options: start(options.folder, options.port),
        "stop": lambda options: "stopped" if stop(options.folder) else "not running",
        "status": lambda options: status(options.folder)}))
