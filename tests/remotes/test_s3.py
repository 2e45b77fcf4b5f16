"""`dvc push` and `dvc pull` through a local S3 server, with the DVC of the environment for S3."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from remotes import s3, service
from restore_ml.base.errors import UserError
from tests.remotes.repository import Repository, addresses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A running server's folder."""
    try:
        s3.python()
    except UserError as error:
        pytest.skip(str(error))
    made = tmp_path_factory.mktemp("s3") / "server"
    s3.start(made)
    yield made
    service.stop(made)


@pytest.fixture
def repository(tmp_path, template):
    return Repository.copy(template, tmp_path / "repository", str(s3.python().with_name("dvc")))


def test_pushed_data_come_back_on_another_machine(folder, repository):
    repository.follow(s3.start(folder))
    before = repository.files()
    repository.dvc("push", "-r", "s3-here")
    port = service.record(folder).port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{s3.BUCKET}?list-type=2", timeout=30) as answer:
        assert answer.read().count(b"<Key>") == len(before) + 1
    repository.forget()
    repository.dvc("pull", "-r", "s3-here")
    assert repository.files() == before


def test_a_bucket_that_is_not_there_and_a_server_that_is_away_are_sentences(folder, repository):
    settings = {"endpointurl": f"http://127.0.0.1:{service.record(folder).port}", "region": "us-east-1",
                "access_key_id": s3.KEY, "secret_access_key": s3.KEY}
    repository.configure("s3-here", url="s3://nowhere/store", **settings)
    assert "bucket does not exist" in repository.refused("push", "-r", "s3-here")
    repository.configure("s3-here", url=f"s3://{s3.BUCKET}/store", **settings)
    service.stop(folder)
    try:
        assert "Could not connect to the endpoint URL" in repository.refused("push", "-r", "s3-here")
    finally:
        s3.start(folder)


def test_a_second_start_changes_nothing_and_a_restart_keeps_the_address(folder):
    first, lines = service.record(folder), s3.lines(folder)
    assert s3.start(folder) == lines and service.record(folder) == first
    assert addresses(first.pid) == {"127.0.0.1"}
    assert service.stop(folder) and service.status(folder) == "not running"
    assert s3.start(folder) == lines


def test_without_its_environment_it_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setenv(s3.PYTHON, str(tmp_path / "python"))
    with pytest.raises(UserError, match=r"python -m remotes\.s3 install"):
        s3.start(tmp_path / "server")
    assert Path(s3.REQUIREMENTS).exists()
