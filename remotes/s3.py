"""A local S3 server (moto's) to try `dvc push` to S3 on, and the environment that DVC needs for S3.

    python -m remotes.s3 install
    python -m remotes.s3 start|stop|status [FOLDER] [--port N]

The packages for S3 pin what the project's own environment pins otherwise, so they live in .venv-s3; its `dvc` works
on the same checkout and cache. What was pushed to the local server is gone when that stops.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

from remotes import service
from restore_ml.base.errors import UserError

VENV = service.PROJECT / ".venv-s3"
REQUIREMENTS = Path(__file__).with_name("requirements-s3.txt")
PYTHON = "RESTORE_ML_S3_PYTHON"
"""The environment variable that names another environment's Python."""
BUCKET, KEY = "restore-ml", "local"


def python() -> Path:
    """The Python of the environment for S3."""
    configured = os.environ.get(PYTHON)
    path = Path(configured) if configured else VENV / "bin" / "python"
    if not path.exists():
        raise UserError(f"There is no {path}; `python -m remotes.s3 install` makes the environment for S3, or name "
                        f"the Python of one in {PYTHON}.")
    return path


def install(folder: Path = VENV) -> str:
    """Make the environment, or bring it up to date."""
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    for arguments in (["install", "-q", "-r", str(REQUIREMENTS)], ["check"]):
        if subprocess.run([*pip, *arguments], check=False).returncode:
            raise UserError(f"The environment for S3 in {folder} is not complete, for the reason above.")
    return f"{folder / 'bin' / 'dvc'} is DVC with S3."


def start(folder: Path, port: int = 0) -> str:
    """Start the server if it does not run, with an empty bucket; returns the lines that make it a DVC remote."""
    running = service.record(folder)
    if running is None or not running.runs():
        service.private_folder(folder)
        port = service.port_for(folder, port)
        command = [str(python()), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        service.start(folder, command, port, word="moto.server")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT"), timeout=30).close()
    return lines(folder)


def lines(folder: Path) -> str:
    """The commands that make the running server the remote `s3-here` of this checkout alone."""
    running = service.record(folder)
    assert running is not None
    dvc = python().with_name("dvc")
    settings = {"endpointurl": f"http://127.0.0.1:{running.port}", "region": "us-east-1", "access_key_id": KEY,
                "secret_access_key": KEY}
    return "\n".join([f"# The S3 server runs on 127.0.0.1:{running.port} (what it holds is gone when it stops); "
                      "in the project:", f"{dvc} remote add --local -f s3-here s3://{BUCKET}/store",
                      *[f"{dvc} remote modify --local s3-here {key} {value}" for key, value in settings.items()],
                      f"{dvc} push -r s3-here"])


if __name__ == "__main__":
    sys.exit(service.main("s3", "A local S3 server, and DVC with S3.", {
        "install": lambda options: install(),
        "start": lambda options: start(options.folder, options.port),
        "stop": lambda options: "stopped" if service.stop(options.folder) else "not running",
        "status": lambda options: service.status(options.folder)}))
