"""`dvc push` and `dvc pull` through a real sshd that the start script started."""

from __future__ import annotations

import getpass
import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from remotes import service, ssh
from restore_ml.base.errors import UserError
from tests.remotes.repository import Repository, addresses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A running server's folder."""
    try:
        ssh.program("sshd")
    except UserError as error:
        pytest.skip(str(error))
    if importlib.util.find_spec("dvc_ssh") is None:
        pytest.skip("DVC's part for ssh is not installed; run `pip install -c constraints.txt -e '.[ssh]'`.")
    made = tmp_path_factory.mktemp("ssh") / "server"
    ssh.start(made)
    yield made
    service.stop(made)


@pytest.fixture
def repository(tmp_path, template):
    return Repository.copy(template, tmp_path / "repository", str(Path(sys.executable).with_name("dvc")))


def configure(repository, folder, store, key="client_key"):
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{service.record(folder).port}{folder}/{store}"
    repository.configure("ssh-here", url=url, keyfile=folder / key)


def test_pushed_data_come_back_on_another_machine(folder, repository):
    repository.follow(ssh.start(folder))
    before = repository.files()
    repository.dvc("push", "-r", "ssh-here")
    assert not list((folder / "store").rglob("*.tmp"))
    repository.forget()
    repository.dvc("pull", "-r", "ssh-here")
    assert repository.files() == before


def test_a_second_start_changes_nothing_and_a_restart_keeps_the_address(folder):
    first, lines = service.record(folder), ssh.lines(folder)
    assert ssh.start(folder) == lines and service.record(folder) == first
    assert addresses(first.pid) == {"127.0.0.1"}
    assert service.stop(folder) and not service.stop(folder)
    assert service.status(folder) == "not running"
    assert ssh.start(folder) == lines
    assert service.status(folder) == f"running on 127.0.0.1:{first.port}"


def test_it_lets_in_one_key_and_only_files_through(folder):
    port = str(service.record(folder).port)
    assert (folder.stat().st_mode & 0o777, (folder / "client_key").stat().st_mode & 0o777) == (0o700, 0o600)

    def login(*options):
        return subprocess.run(["ssh", "-F", "none", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                               "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", *options,
                               f"{getpass.getuser()}@127.0.0.1", "echo", "a shell"], capture_output=True, text=True,
                              check=False, timeout=30, stdin=subprocess.DEVNULL)

    stranger = login("-i", str(folder / "host_key"))
    assert "Permission denied (publickey)" in stranger.stderr
    ours = login("-i", str(folder / "client_key"))
    assert "Permission denied" not in ours.stderr and "a shell" not in ours.stdout


def test_a_wrong_key_is_a_sentence(folder, repository):
    configure(repository, folder, "store/other", "host_key")
    assert f"Permission denied for user {getpass.getuser()} on host 127.0.0.1" in repository.refused(
        "push", "-r", "ssh-here")
    assert not (folder / "store" / "other").exists()


def test_a_push_that_was_killed_is_finished_by_the_next_one(folder, repository):
    configure(repository, folder, "store/killed")
    store = folder / "store" / "killed"
    push = subprocess.Popen([repository.program, "push", "-r", "ssh-here", "-j", "1"], cwd=repository.root,
                            env=repository.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while push.poll() is None and not any(path.is_file() for path in store.rglob("*")):
        time.sleep(0.005)
    push.kill()
    push.wait()
    half = [path for path in store.rglob("*") if path.is_file()]
    assert half and not any(path.name.endswith(".dir") for path in half), "a listing would promise what is not there"
    before = repository.files()
    repository.dvc("push", "-r", "ssh-here")
    repository.forget()
    repository.dvc("pull", "-r", "ssh-here")
    assert repository.files() == before


def test_a_server_that_is_away_is_a_sentence(folder, repository):
    configure(repository, folder, "store")
    service.stop(folder)
    try:
        assert "Connect call failed ('127.0.0.1'" in repository.refused("push", "-r", "ssh-here")
    finally:
        ssh.start(folder)


def test_a_taken_port_and_a_missing_program_are_sentences(tmp_path, monkeypatch, folder):
    with pytest.raises(UserError, match=r"listens on port .* name another with --port"):
        ssh.start(tmp_path / "second", service.record(folder).port)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match="There is no sshd here; install OpenSSH's server"):
        ssh.start(tmp_path / "third")
