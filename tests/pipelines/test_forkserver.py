"""The fork server: exit statuses and streams pass, a killed client or server ends the stage, none of it is needed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import subprocess
import sys

import pytest

from pipelines.machinery import client, forkserver
from tests.pipelines import toy
from tests.pipelines.test_stage import alive, wait_until


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return toy.make(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def server(project):
    """A running fork server (which preloads nothing here: that is only speed)."""
    for name in ("log.txt", "go"):
        (project / name).unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-c", "import sys\nfrom pipelines.machinery import forkserver as f\n"
                                "f.PRELOADED = ()\nsys.exit(f.main())"], cwd=project, env=toy.environment(project))
    wait_until((project / client.SOCKET).exists)
    yield process
    process.kill()
    process.wait()
    (project / client.SOCKET).unlink(missing_ok=True)


def start(project, *arguments, **changes):
    return subprocess.Popen(toy.command(*arguments), cwd=project, env=toy.environment(project) | changes,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_statuses_and_messages_pass_and_the_server_goes_on(project, server):
    for key, status, sentence in (("fine", 0, ""), ("mistake", 2, "error: The toy is broken"),
                                  ("bug", 1, "ValueError"), ("child", 0, "")):
        stage = start(project, key)
        _, errors = stage.communicate(timeout=60)
        assert stage.returncode == status and sentence in errors
    assert server.poll() is None
    assert "child gave 7" in toy.log(project)


def test_two_stages_run_at_once(project, server):
    slow = start(project, "slow")
    wait_until(lambda: any(line.startswith("slow") for line in toy.log(project)))
    assert start(project, "fine").wait(timeout=60) == 0
    (project / "go").touch()
    assert slow.wait(timeout=60) == 0


def slow_pid(project):
    wait_until(lambda: any(line.startswith("slow ") for line in toy.log(project)))
    return int(next(line for line in toy.log(project) if line.startswith("slow ")).split()[1])


def test_a_killed_client_ends_its_stage(project, server):
    stage = start(project, "slow")
    pid = slow_pid(project)
    assert pid != stage.pid and alive(pid)
    stage.kill()
    stage.wait()
    wait_until(lambda: not alive(pid))
    assert "slow ended" not in toy.log(project)
    assert server.poll() is None


def test_a_killed_stage_gives_its_signal(project, server):
    stage = start(project, "slow")
    os.kill(slow_pid(project), signal.SIGKILL)
    assert stage.wait(timeout=60) == 128 + signal.SIGKILL


def test_when_the_server_is_killed_the_client_runs_the_stage_itself(project, server):
    stage = start(project, "slow")
    pid = slow_pid(project)
    server.kill()
    wait_until(lambda: not alive(pid))
    (project / "go").touch()
    _, errors = stage.communicate(timeout=60)
    assert stage.returncode == 0 and "The fork server is gone" in errors
    assert toy.log(project)[-1] == "last"


def test_another_number_of_threads_is_refused_and_runs_plainly(project, server):
    (project / "params.yaml").write_text("profile: quick\nthreads: 3\n")
    try:
        stage = start(project, "slow")
        assert slow_pid(project) == stage.pid
        (project / "go").touch()
        assert stage.wait(timeout=60) == 0
    finally:
        (project / "params.yaml").write_text("profile: quick\nthreads: 1\n")


def test_a_socket_that_is_there_can_be_connected_to(tmp_path, monkeypatch):
    import socket

    monkeypatch.chdir(tmp_path)
    there, real = [], socket.socket.listen
    monkeypatch.setattr(socket.socket, "listen", lambda self, waiting: (there.append(client.SOCKET.exists()),
                                                                        real(self, waiting)))
    for _ in range(2):  # the second one takes the place of what a dead server left
        with forkserver.listen(client.SOCKET, 1), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(client.SOCKET))
        assert client.SOCKET.stat().st_mode & 0o077 == 0 and len(list(client.SOCKET.parent.iterdir())) == 1
    assert there[0] is False


def test_rubbish_on_the_socket_does_not_end_the_server(project, server):
    import socket

    here = os.getcwd()
    os.chdir(project)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(client.SOCKET))
            connection.sendall(b"\xff\xff\xff\xff and more")
    finally:
        os.chdir(here)
    assert (project / client.SOCKET).stat().st_mode & 0o077 == 0
    assert start(project, "fine").wait(timeout=60) == 0
    assert server.poll() is None


def test_only_packages_of_others_are_preloaded_and_one_that_is_not_there_is_left_to_its_stage():
    names = [*forkserver.PRELOADED, *(name for names in forkserver.PRELOADED_FOR.values() for name in names)]
    assert not [name for name in names if name.startswith(("restore_ml", "pipelines", "flows"))]
    for kind, wanted in forkserver.PRELOADED_FOR.items():
        assert importlib.util.find_spec(f"pipelines.{kind}") and all(map(importlib.util.find_spec, wanted))
    sys.modules.pop("this", None)
    with contextlib.redirect_stdout(io.StringIO()):
        forkserver.load(["this", "no_such_package_anywhere"])
    assert "this" in sys.modules
