"""The address that stays: the gallery's pages, and the way from them to the runs of a task in MLflow.

MLflow's own address changes with its port and with the numbers of its experiments, and its first page is about another
product; so links lead here (`addresses.UI`): `/gallery/...` are files of reports/gallery, `/mlflow/<task>` goes on to
the shared view of the task's experiment, `/` to the gallery where there is one. Loopback only, nothing is written.
"""

from __future__ import annotations

import threading
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from restore_ml import registry
from restore_ml.base import addresses, layout
from restore_ml.base.errors import UserError
from restore_ml.tracking import shared_view, store, writing


class Door(SimpleHTTPRequestHandler):
    """Serves the gallery's folder and goes on to MLflow; only names of this machine are answered."""

    def __init__(self, *arguments: object, root: Path, mlflow: str) -> None:
        self.root, self.mlflow = root, mlflow
        super().__init__(*arguments, directory=str(root / layout.REPORTS / "gallery"))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """A file below /gallery/, or the way to a task's runs."""
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in ("127.0.0.1", "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN, "Only this machine is answered")
            return
        parts = [part for part in urlsplit(self.path).path.split("/") if part]
        if parts[:1] == ["gallery"]:
            self.path = self.path.partition("gallery")[2] or "/"
            self._file()
        elif not parts:
            there = (self.root / layout.REPORTS / "gallery" / "index.html").exists()
            self._go_on("/gallery/index.html" if there else f"{self.mlflow}/#/experiments")
        elif len(parts) == 2 and parts[0] == "mlflow" and parts[1] in registry.task_names():
            self._go_on(runs_address(self.root, self.mlflow, parts[1]))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _file(self) -> None:
        """A file of the gallery; the base class keeps every path inside its folder."""
        if self.command == "HEAD":
            super().do_HEAD()
        else:
            super().do_GET()

    def list_directory(self, path: object) -> None:
        """Folders are not listed."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, *arguments: object) -> None:
        """Nothing is said of what is asked for."""

    def _go_on(self, address: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", address)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()


def runs_address(root: Path, mlflow: str, task: str) -> str:
    """The address of a task's shared view on the MLflow server at `mlflow`, or of the list of experiments before the
    task has one."""
    experiment = store.client(root).get_experiment_by_name(writing.registry_name(task))
    return mlflow + (shared_view.address(experiment.experiment_id) if experiment else "/#/experiments")


def serve(root: Path, mlflow: str) -> ThreadingHTTPServer:
    """Answer at `addresses.UI` in a thread; `UserError` where somebody else does. `mlflow`: the server's address."""
    address = urlsplit(addresses.UI)
    handler = partial(Door, root=root.resolve(), mlflow=mlflow)
    try:
        server = ThreadingHTTPServer((str(address.hostname), address.port or 80), handler)
    except OSError as error:
        raise UserError(f"{addresses.UI} cannot be opened ({error.strerror}); another `make ui` may be running: end it "
                        "with Ctrl-C, or use the one that runs.") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
