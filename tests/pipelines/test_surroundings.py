"""What a person's environment must not change: proxies, the way threads are written, stages that are none."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.__main__ import THREADS, set_threads
from pipelines.machinery import lock, server
from restore_ml.base.errors import UserError
from tests.pipelines import toy


@pytest.mark.parametrize(("text", "threads"), [
    ("threads: 1\n", "1"), ("threads : 1\n", "1"), ("threads:    3   # three\n", "3"), ('"threads": 1\n', "1"),
    ("\ufeffthreads: 1\n", "1"), ("{profile: cpu, threads: 1}\n", "1"), ("profile: cpu\n", "2"),
    ("threads:\n  1\n", "1"), ("runs: {a: {threads: 7}}\n", "2"), ("# threads: 5\nthreads: 1\n", "1"),
    ("threads: 0x4\n", "4"), ("threads: many\n", "2"), ("threads: [\n", "2"), ("profile: cpu\r\nthreads: 1\r\n", "1")])
def test_the_libraries_get_the_threads_that_are_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str,
                                                       threads: str) -> None:
    (tmp_path / "params.yaml").write_bytes(text.encode())
    monkeypatch.chdir(tmp_path)
    for name in THREADS:
        monkeypatch.setenv(name, "9")
    set_threads()
    assert {os.environ[name] for name in THREADS} == {threads}


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers as itself what it is asked for others."""

    def do_GET(self) -> None:
        body = json.dumps({"asked": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{service.server_port}"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield address
    service.shutdown()
    service.server_close()


def test_loopback_is_never_asked_through_a_proxy(proxy: str) -> None:
    assert server._get(f"{proxy}/health", 10)["asked"] == "/health"


def test_prefects_client_does_not_ask_a_proxy_either(proxy: str) -> None:
    import httpx

    from pipelines.machinery.link import settings

    settings(f"{proxy}/api")
    assert httpx.get(f"{proxy}/health").json()["asked"] == "/health"


def test_a_server_elsewhere_is_asked_as_the_environment_says(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    monkeypatch.setenv(server.API, "http://prefect.example.invalid/api")
    assert server._get("http://prefect.example.invalid/api/health", 10)["asked"].endswith("example.invalid/api/health")


@pytest.mark.parametrize(("given", "wanted"), [
    ({}, "127.0.0.1,localhost,::1"), ({"no_proxy": "a.example, b"}, "a.example,b,127.0.0.1,localhost,::1"),
    ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost,::1"), ({"no_proxy": "*", "NO_PROXY": "*"}, "*"),
    ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1")])
def test_exceptions_from_proxies_are_added_to(monkeypatch: pytest.MonkeyPatch, given: dict[str, str],
                                              wanted: str) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, given[name]) if name in given else monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        server.reach_loopback_directly()
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == wanted


@pytest.mark.parametrize("name", ["per%cent", "a%20b", "que?ry=1", "ha#sh", "two words", "plain"])
def test_prefects_tables_lie_in_the_project_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              name: str) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.delenv(server.DATABASE, raising=False)
    given = server.environment(tmp_path / name, 4200)
    own = f"sqlite+aiosqlite:///{given['PREFECT_HOME']}/prefect.db"  # what Prefect makes of its home
    address = make_url(given.get("PREFECT_API_DATABASE_CONNECTION_URL", own))
    assert address.database == f"{tmp_path.resolve()}/{name}/.state/prefect/prefect.db" and not address.query


@pytest.mark.parametrize("name", ["server", "lock", "link", "__main__", "stage", "nonsense", "../x"])
def test_what_is_no_stage_is_a_sentence(tmp_path: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pipelines", name], cwd=toy.make(tmp_path), check=False, text=True,
                          env=toy.environment(tmp_path), capture_output=True)
    assert done.returncode == 2 and done.stderr == f"error: There is no stage {name!r}; `dvc stage list` shows them.\n"


def test_a_bug_in_a_stage_is_kept(tmp_path: Path) -> None:
    root = toy.make(tmp_path)
    done = subprocess.run(toy.command("bug"), cwd=root, env=toy.environment(root), capture_output=True, text=True,
                          check=False)
    kept, = (root / ".state/bugs").iterdir()
    assert done.returncode == 1 and f"What led to it is kept in {kept}" in done.stderr
    assert "the stage toy bug" in kept.read_text() and "ValueError: a bug in the toy" in kept.read_text()


def test_a_merge_conflict_in_the_lock_is_no_cut(tmp_path: Path) -> None:
    text = ("schema: '2.0'\nstages:\n  a:\n    cmd: a\n<<<<<<< HEAD\n    outs: []\n=======\n    outs: [b]\n"
            ">>>>>>> mine\n")
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(UserError, match=r"dvc\.lock holds a merge conflict .* `git checkout --ours dvc\.lock"):
        lock.mend(tmp_path)
    assert (tmp_path / "dvc.lock").read_text() == text
