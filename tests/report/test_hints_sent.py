"""The page of hints without a browser: who gives it out, and what the server makes of what it sends."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from restore_ml.data.file_kinds import POINTS
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.report.gallery import hints_page
from restore_ml.serving.command import serve
from restore_ml.serving.engine import Engine
from restore_ml.serving.restore_command import decode
from restore_ml.tasks.guided_colorization.gamut import snapped
from tests.report.hinted import RUN, SENT, TASK, engine, file_of, grey
from tests.serving.test_server import ask, send, sentence


@pytest.fixture(scope="module")
def guided(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine(tmp_path_factory.mktemp("hinted"))


def sent(tmp_path: Path) -> dict:
    picture = base64.b64encode(file_of(tmp_path, grey()).read_bytes()).decode()
    return json.loads(SENT.read_text().replace("PICTURE", picture))


def test_what_the_page_sends_is_coloured_at_its_dab(guided: Engine, tmp_path: Path) -> None:
    body = sent(tmp_path)
    points = POINTS.decode(body["dataframe_records"][0]["points"].encode()).value
    assert len(points.places) == 9 and (points.places.mean(0) == [40, 10]).all()
    assert (points.colours == [255, 0, 0]).all()
    reply = send(guided, body)
    assert reply.status_code == 200, reply.text
    coloured = decode(base64.b64decode(reply.json()["predictions"][0]["image"]))
    before, after = rgb_to_lab(np.repeat(grey()[..., None], 3, 2)), rgb_to_lab(coloured)
    assert np.abs(before[..., 0] - after[..., 0]).max() < 0.25
    chosen = rgb_to_lab(np.array([[[255, 0, 0]]], np.uint8))[0, :, 1:]
    for x, y in ((40, 10), (39, 9), (41, 11)):
        there = snapped(before[y, x, :1], chosen)[0]  # full red is lighter or darker than the pixel: it gives way
        np.testing.assert_allclose(after[y, x, 1:], there, atol=1.5)
    assert np.linalg.norm(chosen[0] - snapped(before[10, 40, :1], chosen)[0]) > 1


def test_without_dabs_the_picture_alone_is_sent_and_taken(guided: Engine, tmp_path: Path) -> None:
    record = {"image": sent(tmp_path)["dataframe_records"][0]["image"]}
    assert send(guided, {"dataframe_records": [record]}).status_code == 200


def test_a_dab_outside_of_the_picture_is_a_sentence(guided: Engine, tmp_path: Path) -> None:
    body = sent(tmp_path)
    body["dataframe_records"][0]["points"] = '{"points":[{"x":80,"y":5,"colour":[1,2,3]}]}'
    assert "points" in sentence(send(guided, body), 422)


class Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.links += [value for key in ("src", "href") if (value := named.get(key))]
        self.ids |= {value for value in [named.get("id")] if value}
        assert "style" not in named and not any(name.startswith("on") for name in named)  # the policy forbids them


def test_the_server_gives_out_the_page_and_all_of_its_parts(guided: Engine) -> None:
    page = ask(guided, "GET", "/hints.html")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html") and RUN in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    found = Links(page.text)
    assert set(found.links) - {"data:,"} == {"assets/style.css", "assets/hints.css", "assets/hints.js"}
    for link in set(found.links) - {"data:,"}:
        part = ask(guided, "GET", f"/{link}")
        assert part.status_code == 200 and part.headers["content-type"].startswith(
            "text/javascript" if link.endswith("js") else "text/css")
    assert {"go", "coloured", "result", "grey", "dabs", "said", "wrong"} <= found.ids


def test_the_page_and_its_parts_are_nothing_else(guided: Engine, tmp_path: Path) -> None:
    for name in ("turing.js", "..%2fserver.py", "%2e%2e/gallery.py", "base.html.j2", ""):
        assert "There is no such path" in sentence(ask(guided, "GET", f"/assets/{name}"), 404)
    assert "asked with GET" in sentence(ask(guided, "POST", "/hints.html"), 405)
    assert "does not answer for 'evil.example'" in sentence(ask(guided, "GET", "/hints.html", host="evil.example"), 403)
    plain = engine(tmp_path, "colorization", "gray_ab0")
    told = sentence(ask(plain, "GET", "/hints.html"), 404)
    assert told == "colorization takes no hints; `restore-ml serve --task guided_colorization` does."


def test_a_model_with_a_guide_of_its_own_has_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    own = engine(tmp_path)
    monkeypatch.setattr(own.method, "inputs", ("palette",))
    told = sentence(ask(own, "GET", "/hints.html"), 404)
    assert told == ("levin_scribble of guided_colorization takes no hints; `restore-ml serve --task "
                    "guided_colorization --model user_hints` does.")
    monkeypatch.setattr("restore_ml.serving.engine.Engine", lambda *_: own)
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    serve(tmp_path, TASK, RUN, port=0, threads=1)
    assert "Hints" not in capsys.readouterr().out


def test_the_gallery_s_page_says_where_the_result_is_seen() -> None:
    text = hints_page()
    found = Links(text)
    assert "http://127.0.0.1:5005/hints.html" in found.links and "restore-ml serve --task guided_colorization" in text
    assert not {"go", "coloured", "result"} & found.ids and {"grey", "keep", "dabs"} <= found.ids
    assert "turing.html" in found.links
    assert "turing.html" not in Links(hints_page(served="t", run="r")).links
    assert "&lt;b&gt;" in hints_page(served="t", run="<b>")


def test_serve_says_where_hints_are_placed(guided: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    engine(tmp_path)
    serve(tmp_path, TASK, RUN, port=0, threads=1)
    assert "Hints are placed on http://127.0.0.1:" in capsys.readouterr().out
    engine(tmp_path, "colorization", "gray_ab0")
    serve(tmp_path, "colorization", "gray_ab0", port=0, threads=1)
    assert "Hints" not in capsys.readouterr().out
