"""The link to a real Prefect server: stages are children of the rebuild, and do not need it to finish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from pipelines.machinery import server
from pipelines.machinery.link import PARENT
from tests.pipelines import toy
from tests.pipelines.test_stage import alive, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = toy.make(tmp_path_factory.mktemp("toy"))
    yield made
    server.stop(made)


@pytest.fixture
def url(project):
    for name in ("log.txt", "go"):
        (project / name).unlink(missing_ok=True)
    found = server.start(project)
    assert found and found.startswith("http://127.0.0.1:")
    return found


def api(url, path, body=None):
    """What the server answers, once it is ready: while its database is busy it says 503 and has done nothing."""
    request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode() if body is not None else None,
                                     {"Content-Type": "application/json"})
    answers = []

    def ready():
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answers.append(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        return answers

    wait_until(ready, 120)
    return answers[0]


def start(project, key, **changes):
    return subprocess.Popen(toy.command(key), cwd=project, env=toy.environment(project) | changes,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def named(url, name):
    runs = api(url, "/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    return runs[-1] if runs else None


def test_there_is_one_server_and_it_is_recognised(project, url, tmp_path):
    assert server.start(project) == url == server.find(project)
    other = tmp_path / "other"
    (other / server.HOME).mkdir(parents=True)
    (other / server.RECORD).write_text((project / server.RECORD).read_text())
    assert server.find(other) is None  # it answers there, but it is not that project's
    server.stop(other)
    assert server.find(project) == url  # and is not stopped by it


def test_the_pages_of_the_server_find_its_api(url):
    """A page that asks Prefect's usual port shows nothing."""
    with urllib.request.urlopen(url.removesuffix("/api") + "/ui-settings", timeout=10) as answer:
        assert json.load(answer)["api_url"] == url


def test_a_stage_is_a_child_of_the_rebuild_and_its_steps_are_tasks(project, url):
    flow = api(url, "/flows/", {"name": "rebuild"})["id"]
    parent = api(url, "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}})["id"]
    for _ in range(2):  # the same stage twice: two children
        stage = start(project, "fine", **{PARENT: parent})
        _, errors = stage.communicate(timeout=120)
        assert stage.returncode == 0 and errors == ""
    children = api(url, "/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [parent]}}})
    assert [child["name"] for child in children] == ["toy fine"] * 2
    assert {child["state_type"] for child in children} == {"COMPLETED"}
    for child in children:
        query = {"flow_runs": {"id": {"any_": [child["id"]]}}}
        wait_until(lambda query=query: {task["name"] for task in api(url, "/task_runs/filter", query)
                                        if task["state_type"] == "COMPLETED"} == {"first", "last"})
    assert toy.log(project) == ["first", "last"] * 2


def test_a_failed_stage_shows_its_sentence_and_no_trace(project, url):
    stage = start(project, "mistake")
    _, errors = stage.communicate(timeout=120)
    assert stage.returncode == 2 and errors == "error: The toy is broken; mend it.\n"
    shown = named(url, "toy mistake")
    assert shown["state_type"] == "FAILED" and "mend it" in shown["state"]["message"]


def test_a_busy_step_is_tried_again(project, url):
    stage = start(project, "busy")
    stage.communicate(timeout=120)
    assert stage.returncode == 0
    assert toy.log(project) == ["first", "busy", "busy", "busy", "last"]


def test_a_server_killed_in_the_middle_costs_a_sentence_and_nothing_is_done_twice(project, url):
    stage = start(project, "slow")
    wait_until(lambda: any(line.startswith("slow ") for line in toy.log(project)), 120)
    pid = json.loads((project / server.RECORD).read_text())["pid"]
    os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    (project / "go").touch()
    _, errors = stage.communicate(timeout=120)
    assert stage.returncode == 0, errors
    assert [line.split()[0] for line in toy.log(project)] == ["first", "slow", "slow", "last"]
    assert "The Prefect server went away" in errors and "Traceback" not in errors
