"""The application in this process: every form of request, every mistake a sentence, never a 500."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_ml.serving.engine import Engine
from restore_ml.serving.restore_command import decode, restore_picture
from restore_ml.serving.server import LOOPBACK, PATHS, create_app, host_name
from tests.serving.conftest import as_text, mask, picture

JSON = {"content-type": "application/json"}


def ask(engine: Engine, method: str = "POST", path: str = "/invocations", *, host: str = "localhost",
        hosts: tuple[str, ...] = LOOPBACK, **given: Any) -> httpx.Response:
    """One request to a fresh application."""
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(engine, hosts))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, **given)

    return asyncio.run(send())


def send(engine: Engine, body: Any, **given: Any) -> httpx.Response:
    return ask(engine, content=body if isinstance(body, bytes) else json.dumps(body), headers=JSON | given)


def sentence(reply: httpx.Response, status: int) -> str:
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"] and "Traceback" not in reply.text
    text = reply.json()["error"]
    assert text.endswith((".", "?")) and "\n" not in text
    return text


def pictures(reply: httpx.Response) -> list[np.ndarray]:
    assert reply.status_code == 200, reply.text
    return [decode(base64.b64decode(row["image"])) for row in reply.json()["predictions"]]


def forms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    columns = list(rows[0])
    return {"dataframe_records": rows, "instances": rows,
            "dataframe_split": {"columns": columns, "data": [[row[name] for name in columns] for row in rows]},
            "inputs": {name: [row[name] for row in rows] for name in columns}}


@pytest.mark.parametrize("form", ["dataframe_records", "instances", "dataframe_split", "inputs"])
def test_every_form_gives_the_pictures_that_the_command_makes(enlarging: Engine, form: str) -> None:
    shown = [picture(1), picture(2, 33, 47)]
    body = {form: forms([{"image": as_text(one)} for one in shown])[form], "params": {"scale": 3, "seed": 5}}
    found = pictures(send(enlarging, body, **{"content-type": "application/json; charset=UTF-8"}))
    assert [one.shape for one in found] == [(120, 168, 3), (99, 141, 3)]
    for one, before in zip(found, shown, strict=True):
        assert np.array_equal(one, restore_picture(enlarging.method, enlarging.model, before, None, 3, 5))


def test_masks_and_csv(filling: Engine) -> None:
    row = {"image": as_text(picture()), "mask": as_text(mask())}
    wanted = restore_picture(filling.method, filling.model, picture(), mask()[:, :, 0] > 0)
    assert np.array_equal(pictures(send(filling, {"dataframe_records": [row]}))[0], wanted)
    table = f"image,mask\r\n{row['image']},{row['mask']}\r\n"
    for body in (table, f"\ufeff{table}"):  # with a byte order mark, as spreadsheets write it
        sent = ask(filling, content=body.encode(), headers={"content-type": "text/csv"})
        assert np.array_equal(pictures(sent)[0], wanted)
    marked = "\ufeff" + json.dumps({"dataframe_records": [row]})
    sent = ask(filling, content=marked.encode(), headers={"content-type": "application/json"})
    assert np.array_equal(pictures(sent)[0], wanted)
    assert np.array_equal(pictures(send(filling, {"inputs": {"image": row["image"], "mask": row["mask"]}}))[0], wanted)


def test_what_is_said_of_the_model(enlarging: Engine) -> None:
    from importlib.metadata import version

    assert ask(enlarging, "GET", "/ping").text == "\n"
    assert ask(enlarging, "GET", "/version").text == version("mlflow")
    assert ask(enlarging, "GET", "/health").json() == {"status": "ok", "busy": 0, "queue": 3}
    told = ask(enlarging, "GET", "/metadata").json()
    assert told["run"] == "vdsr" and told["task"] == "super_resolution" and len(told["weights_sha256"]) == 64
    assert told["decision"] == {"sentence": "vdsr wins"} and told["limits"]["megapixels"] == 0.05
    assert told["precision"] == enlarging.model.precision in ("fp32", "bf16")


def test_what_it_learned_from_is_said_with_the_model(served: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    """At the start, where it is for research alone, and in /metadata."""
    import uvicorn

    from restore_ml.data.sources.orl import LICENCE
    from restore_ml.serving import command

    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    monkeypatch.setattr("restore_ml.data.licences.of_model", lambda root, folder: {"CC0": 3})
    command.serve(served, "super_resolution", port=0)
    assert "research" not in capsys.readouterr().out
    monkeypatch.setattr("restore_ml.data.licences.of_model", lambda root, folder: {"CC0": 3, LICENCE: 2})
    command.serve(served, "super_resolution", port=0)
    sentence = f"For research only, as it learned from 2 pictures under {LICENCE}."
    assert sentence in capsys.readouterr().out
    told = Engine(served, "super_resolution").metadata()
    assert told["licences"] == {"CC0": 3, LICENCE: 2} and told["not_commercial"] == sentence


@pytest.mark.parametrize("task", ["super_resolution", "inpainting", "frame_interpolation"])
def test_the_signature_is_the_one_that_mlflow_stores(task: str) -> None:
    from restore_ml.serving.payload import signature
    from restore_ml.serving.photos import of_task
    from restore_ml.tracking.writing import _signature

    told = signature(of_task(task))
    stored = {name: json.loads(value) for name, value in _signature(task).to_dict().items() if value}
    assert stored["inputs"] == told["inputs"] and stored["outputs"] == told["outputs"]
    assert [(one["name"], one["type"], one["default"]) for one in stored["params"]] == [
        (one["name"], one["type"], one["default"]) for one in told["params"]]


GOOD = as_text(picture())


@pytest.mark.parametrize(("status", "body", "said"), [
    (400, b"{", "not readable JSON"), (400, b"\xff", "not readable JSON"), (400, b"[1]", "JSON object"),
    (400, b"[" * 100_000, "not readable JSON"), (400, b'{"a": ' + b"9" * 5000 + b"}", "not readable JSON"),
    (400, {}, "exactly one"), (400, {"instances": [], "inputs": {}}, "it has 2"),
    (400, {"instances": [], "parms": {}}, "Did you mean 'params'?"), (400, {"instances": [3]}, "lists of objects"),
    (400, {"dataframe_split": {"columns": ["image"], "data": [["a", "b"]]}}, "rows of 1 values"),
    (400, {"dataframe_split": {"data": []}}, "columns and data"),
    (400, {"dataframe_split": {"columns": ["image", "image"], "data": []}}, "named twice"),
    (400, {"inputs": {"image": [GOOD, GOOD], "mask": [""]}}, "same length"),
    (422, {"instances": []}, "no picture"), (422, {"instances": [{"imge": GOOD}]}, "Did you mean 'image'?"),
    (422, {"instances": [{"im\ud800": GOOD}]}, "no column"),
    (422, {"instances": [{"image": "@@"}]}, "base64"), (422, {"instances": [{"image": 7}]}, "texts"),
    (422, {"instances": [{"image": "aGVsbG8="}]}, "not a picture"), (422, {"instances": [{"image": None}]}, "no image"),
    (422, {"instances": [{"image": as_text(picture(1, 9, 30))}]}, "too small"),
    (422, {"instances": [{"image": base64.b64encode(base64.b64decode(GOOD)[:900]).decode()}]}, "cannot be used"),
    (422, {"instances": [{"image": GOOD, "mask": GOOD}]}, "takes none"),
    (415, {"instances": [{"image": as_text(picture(), "GIF")}]}, "GIF file"),
    (413, {"instances": [{"image": GOOD}] * 5}, "5 pictures"),
    (413, {"instances": [{"image": as_text(picture(1, 120, 120))}]}, "megapixels"),
    (413, {"instances": [{"image": GOOD}], "params": {"scale": 8}}, "64 times"),
    (422, {"instances": [{"image": GOOD}], "params": {"scale": 99}}, "scale is 99"),
    (422, {"instances": [{"image": GOOD}], "params": {"scale": 2.5}}, "whole number"),
    (422, {"instances": [{"image": GOOD}], "params": {"scale": True}}, "whole number"),
    (422, {"instances": [{"image": GOOD}], "params": {"sale": 2}}, "Did you mean 'scale'?"),
    (400, {"instances": [{"image": GOOD}], "params": [2]}, "must be an object"),
])
def test_a_mistake_is_a_sentence(enlarging: Engine, status: int, body: Any, said: str) -> None:
    assert said in sentence(send(enlarging, body), status)


@pytest.mark.parametrize(("status", "row", "said"), [
    (422, {"image": GOOD}, "has no mask"), (422, {"image": GOOD, "mask": as_text(mask(41))}, "size, 56 x 40"),
    (422, {"image": GOOD, "mask": as_text(np.full((40, 56, 1), 255, np.uint8))}, "whole picture"),
    (422, {"image": GOOD, "mask": "aGVsbG8="}, "The mask is not a picture"),
])
def test_a_wrong_mask_is_a_sentence(filling: Engine, status: int, row: dict[str, str], said: str) -> None:
    assert said in sentence(send(filling, {"instances": [row]}), status)


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin-1", "application/json; a=b", ""])
def test_other_content_types_are_415(enlarging: Engine, kind: str) -> None:
    sentence(ask(enlarging, content=b"{}", headers={"content-type": kind} if kind else {}), 415)
    sentence(ask(enlarging, content=b"{}", headers=JSON | {"content-encoding": "gzip"}), 415)


def test_paths_methods_and_hosts(enlarging: Engine) -> None:
    assert "/metadata" in sentence(ask(enlarging, "GET", "/admin"), 404)
    sentence(ask(enlarging, "POST", "/invocations/"), 404)
    for path in PATHS:
        wrong = "GET" if path == "/invocations" else "POST"
        reply = ask(enlarging, wrong, path)
        assert sentence(reply, 405) and reply.headers["allow"]
    sentence(ask(enlarging, "GET", "/ping", host="evil.example"), 403)
    assert ask(enlarging, "GET", "/ping", host="Pictures.example:80", hosts=("pictures.example",)).status_code == 200
    assert ask(enlarging, "GET", "/ping", host="[::1]:5005").status_code == 200
    assert [host_name(host) for host in ("A:1", "[::1]:9", "::1", "b", "c:d:e")] == ["a", "::1", "::1", "b", "c:d:e"]


def test_bytes_are_counted_while_they_arrive(enlarging: Engine) -> None:
    sent = 0

    async def body(parts: int, pause: float = 0.0) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(parts):
            await asyncio.sleep(pause)
            sent += 100_000
            yield b" " * 100_000

    assert "1 megabytes" in sentence(ask(enlarging, content=body(11), headers=JSON), 413)
    sent = 0
    sentence(ask(enlarging, content=body(500), headers=JSON), 413)
    sentence(ask(enlarging, content=b"", headers=JSON | {"content-length": "99999999999"}), 413)
    assert "2 s" in sentence(ask(enlarging, content=body(5, 0.7), headers=JSON), 408)


def test_a_full_queue_is_503_and_the_server_still_answers(enlarging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from restore_ml.serving import engine as module

    go = threading.Event()

    def slow(*_: Any) -> dict[str, str]:
        go.wait(10)
        return {"image": "png"}

    monkeypatch.setattr(module, "restore_row", slow)

    async def crowd() -> tuple[list[httpx.Response], httpx.Response]:
        app = create_app(enlarging)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            body = json.dumps({"instances": [{"image": GOOD}]})
            asked = [asyncio.create_task(client.post("/invocations", content=body, headers=JSON)) for _ in range(5)]
            while (await client.get("/health")).json()["busy"] < 3:
                await asyncio.sleep(0.01)
            health = await client.get("/health")
            await asyncio.sleep(0.05)
            go.set()
            return list(await asyncio.gather(*asked)), health

    replies, health = asyncio.run(crowd())
    assert sorted(reply.status_code for reply in replies) == [200, 200, 200, 503, 503] and health.json()["busy"] == 3
    full = next(reply for reply in replies if reply.status_code == 503)
    assert "try again" in sentence(full, 503) and int(full.headers["retry-after"]) >= 1


def test_a_fault_of_ours_is_an_id_that_the_log_explains(enlarging: Engine, monkeypatch: pytest.MonkeyPatch,
                                                        caplog: pytest.LogCaptureFixture) -> None:
    from restore_ml.serving import engine as module

    def broken(*_: Any) -> bytes:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(module, "restore_row", broken)
    text = sentence(send(enlarging, {"instances": [{"image": GOOD}]}), 500)
    assert "secret" not in text and text.split()[-1].rstrip(".") in caplog.text and "secret detail" in caplog.text


def test_a_request_that_is_given_up_frees_the_worker(enlarging: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from restore_ml.serving import engine as module
    from restore_ml.serving.payload import Query, Row

    done: list[int] = []

    def slow(*_: Any) -> dict[str, str]:
        done.append(1)
        time.sleep(0.05)
        return {"image": "png"}

    monkeypatch.setattr(module, "restore_row", slow)
    stop = threading.Event()
    first = enlarging.submit(Query([Row({"image": b"a"})] * 50), stop)
    second = enlarging.submit(Query([Row({"image": b"b"})]), threading.Event())
    assert second.cancel()
    stop.set()
    assert len(first.result(5)) <= 2 and len(done) <= 2


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
                           | st.sampled_from([GOOD, "aGVsbG8=", "image", "mask", ""]),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                               st.sampled_from(["image", "mask", "columns", "data", "index", "scale", "x"]), inner,
                               max_size=3), max_leaves=12)
bodies = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records", "params"]),
                    json_values, max_size=2).map(lambda value: json.dumps(value).encode()),
    st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=8)).map(lambda cut: json.dumps({"instances": [{
        "image": base64.b64encode(_spoiled(*cut)).decode()}]}).encode()))


def _spoiled(place: int, change: bytes) -> bytes:
    data = base64.b64decode(GOOD)
    return data[:place] + change + data[place + len(change):]


@pytest.fixture(scope="module")
def client(enlarging: Engine) -> Iterator[Any]:
    app = create_app(enlarging)

    async def once(method: str, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as there:
            return await there.request(method, path, content=content, headers=headers)

    yield lambda *given: asyncio.run(once(*given))


@settings(deadline=None, max_examples=100)
@given(bodies, st.sampled_from(["application/json", "text/csv", "application/json;charset=utf-8", "text/html", ""]),
       st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "OPTIONS", "HEAD"]),
       st.sampled_from(["/invocations"] * 6 + ["/ping", "/metadata", "/%00", "/a/../b"]))
def test_nothing_that_is_sent_makes_a_500(client: Any, body: bytes, kind: str, method: str, path: str) -> None:
    reply = client(method, path, body, {"content-type": kind})
    assert reply.status_code < 500
    if reply.status_code >= 400 and method != "HEAD":
        assert list(reply.json()) == ["error"] and "Traceback" not in reply.text
