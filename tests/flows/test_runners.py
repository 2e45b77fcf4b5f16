"""Runners: the setting, and mappers that give the same whoever works."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from pipelines.machinery.runners import AHEAD, Runner
from restore_ml import registry
from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256_of_file
from restore_ml.data.prepare import prepare
from restore_ml.degrading.stage import degrade
from tests.embedded_pictures import lay_out_photos_and_scenes

KINDS = ["threads", "processes",
         pytest.param("dask", marks=pytest.mark.skipif(importlib.util.find_spec("prefect_dask") is None,
                                                       reason="prefect-dask is not installed.")),
         pytest.param("ray", marks=pytest.mark.skipif(importlib.util.find_spec("prefect_ray") is None,
                                                      reason="prefect-ray is not installed."))]


def hashes(folder):
    return {str(path.relative_to(folder)): sha256_of_file(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    root = tmp_path_factory.mktemp("plain")
    lay_out_photos_and_scenes(root)
    prepare(root / "data", root / "prepared", 1)
    degrade(registry.parts("colorization"), root / "prepared", root / "samples", 1, {"size": 64})
    return root


@pytest.fixture
def cluster(tmp_path):
    """The address of a Dask cluster that somebody else has started: a scheduler and two workers."""
    found = tmp_path / "scheduler.json"
    parts = [["scheduler", "--port", "0"], ["worker", "--nworkers", "2", "--nthreads", "1"]]
    with contextlib.ExitStack() as stack:
        for name, *options in parts:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{name}", "--scheduler-file", str(found), "--host",
                 "127.0.0.1", "--no-dashboard", *options], stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        end = time.monotonic() + 60
        while not found.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        yield json.loads(found.read_text())["address"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_runner_gives_the_same_bytes(plain, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    check(plain, tmp_path, kind)


@pytest.mark.skipif(importlib.util.find_spec("prefect_dask") is None, reason="prefect-dask is not installed.")
def test_a_cluster_that_is_there_already_gives_the_same_bytes(plain, tmp_path, cluster):
    check(plain, tmp_path, f"dask:{cluster}")


def check(plain, tmp_path, kind):
    with Runner.parse(kind, 2).mapper(patience=0.0) as mapper:
        prepare(plain / "data", tmp_path / "prepared", 1, mapper=mapper, chunk=7)
        degrade(registry.parts("colorization"), tmp_path / "prepared", tmp_path / "samples", 1, {"size": 64},
                mapper=mapper, chunk=7)
    for name in ("prepared", "samples"):
        assert hashes(tmp_path / name) == hashes(plain / name)


def pid(number: int) -> tuple[int, int]:
    time.sleep(0.2)
    return number, os.getpid()


def test_processes_share_the_work_and_the_order_is_kept():
    with Runner.parse("processes", 2).mapper(patience=0.0) as mapper:
        found = list(mapper(pid, range(12)))
    assert [number for number, _ in found] == list(range(12))
    assert os.getpid() not in {process for _, process in found} and len({process for _, process in found}) == 2


def test_a_few_items_start_no_worker_and_nothing_runs_far_ahead():
    with Runner.parse("processes", 2).mapper(patience=60.0) as mapper:
        assert {process for _, process in mapper(pid, range(3))} == {os.getpid()}
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    with Runner.parse("threads", 2).mapper(patience=0.0) as mapper:
        results = mapper(abs, items())
        assert next(results) == 0 and len(taken) <= 2 * AHEAD + 1
        assert list(results) == list(range(1, 100))


def test_an_error_in_a_chunk_is_the_callers():
    with pytest.raises(ZeroDivisionError), Runner.parse("threads", 2).mapper(patience=0.0) as mapper:
        list(mapper(lambda number: 1 // number, [1, 2, 0, 3]))


def test_the_setting():
    assert Runner.parse("").kind == "sequential" and not Runner.parse("sequential", 8).parallel
    assert Runner.parse("threads", 3) == Runner("threads", 3) and Runner.parse("processes").workers == os.cpu_count()
    for text, words in (("proceses", "processes"), ("threads:4", "WORKERS")):
        with pytest.raises(UserError, match=words):
            Runner.parse(text)
    with pytest.raises(UserError, match="at least 1"):
        Runner.parse("threads", -1)


def test_a_stage_finds_the_runner_of_its_rebuild(monkeypatch):
    for name, value in Runner("threads", 3).environment().items():
        monkeypatch.setenv(name, value)
    assert Runner.from_environment() == Runner("threads", 3)
    assert Runner().environment() == {}


def test_more_threads_than_cores_are_a_sentence(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert "`threads: 1`" in Runner("processes", 2).crowded(2)
    assert Runner("processes", 2).crowded(1) == Runner().crowded(2) == Runner("dask", 2, "tcp://a:1").crowded(9) == ""


def test_a_missing_package_is_a_sentence(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="restore-ml\\[ray\\]"):
        Runner.parse("ray", 2)


def test_threads_are_really_two():
    met = threading.Barrier(2, timeout=20)
    with Runner.parse("threads", 2).mapper(patience=0.0) as mapper:
        assert sorted(mapper(lambda _: met.wait(), range(2))) == [0, 1]
