import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml.base import addresses
from restore_ml.base.errors import UserError
from restore_ml.base.files import read_json, write_json
from restore_ml.data.shards import Shard
from restore_ml.evaluation.scoring import read_task
from restore_ml.report.gallery import ASSETS, Files, build, build_page, link
from restore_ml.report.pictures import TaskPictures, first_outputs
from restore_ml.report.view import choose, spread
from restore_ml.tasks.protocol import protocol
from tests.tracking import small_project

TASK = "super_resolution"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("gallery") / "project", pictures=4)


def test_the_page_of_one_task_stands_alone_and_leaves_the_others(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "inpainting.html"
    other.write_text("from before")
    page = build_page(project, tmp_path, TASK)
    assert page == tmp_path / f"{TASK}.html" and other.read_text() == "from before"
    alone = Page(page)
    assert not (tmp_path / "index.html").exists() and "inpainting.html" in alone.links
    shown = [ref for picture in alone.pictures() for ref in (picture["input"], picture["truth"])]
    assert shown and all((tmp_path / link(ref)).is_file() for ref in shown)
    build(project, tmp_path)
    assert Page(page).data == alone.data and not other.exists()


class Page(HTMLParser):
    """Links, picture sources, text and data of a page; complains about tags that are not closed."""

    VOID = ("meta", "img", "br", "wbr", "link", "input")
    DRAWN = ("line", "path", "circle", "rect", "polyline")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if key in ("href", "src") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.DRAWN, tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data = json.loads(data)
        else:
            self.text += data

    def pictures(self) -> list[dict[str, Any]]:
        """The shown pictures of all cases."""
        return [picture for case in self.data["cases"] for picture in case["pictures"]]


def test_the_pages_are_whole_and_ask_for_nothing_outside(project: Path, tmp_path: Path) -> None:
    sentence = build(project, tmp_path)
    assert "1 tasks" in sentence
    for name in ("index.html", f"{TASK}.html", f"compare_{TASK}.html", "turing.html", "hints.html"):
        page = Page(tmp_path / name)
        assert page.open == []
        for target in page.links:
            assert target.startswith(("#", addresses.UI, addresses.SERVE, "data:,")) or (
                tmp_path / target.partition("#")[0]).is_file(), target
        text = (tmp_path / name).read_text().replace("</", "").replace(addresses.UI, "").replace(addresses.SERVE, "")
        assert not re.search(r"https?:|//", text)
    for picture in Page(tmp_path / f"{TASK}.html").pictures():
        refs = [picture["input"], picture["truth"]]
        refs += [tile["picture"] for tile in picture["tiles"] if "picture" in tile]
        assert all((tmp_path / link(ref)).is_file() for ref in refs)
    for name in ASSETS:
        text = (tmp_path / "assets" / name).read_text()
        if name == "hints.js":  # asks the server that it came from, when a person wants the result
            text = text.replace('fetch("invocations"', "")
        assert not re.search(r"https?:|fetch\(|XMLHttpRequest|@import|url\(", text)


def test_a_page_shows_every_run_with_its_figures_or_its_reason(project: Path, tmp_path: Path) -> None:

    build(project, tmp_path)
    page = Page(tmp_path / f"{TASK}.html")
    scores = read_task(project, TASK)
    shown = {(picture["name"], page.data["runs"][tile["run"]]): tile for picture in page.pictures()
             for tile in picture["tiles"]}
    assert len(shown) == len(scores)
    for row in scores.itertuples():
        tile = shown[row.name, row.run]
        if row.status == "ok":
            assert tile["values"][0] == pytest.approx(row.psnr_y, abs=1e-5)
        else:
            assert tile["status"] == "failed" and tile["reason"] == "diverged at step 7: the term mse is NaN"
    assert page.text.count("diverged at step 7: the term mse is NaN") == 1, "in the leaderboard"
    assert "train" in page.text and "mse" in page.text, "the curves of vdsr"
    assert "biases in every layer" not in page.text, "no run of this project has a reading in its model"


def test_the_pictures_are_those_on_disk(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path)
    shown = {np.asarray(Image.open(path)).tobytes() for path in tmp_path.glob("pictures/*/*.png")}
    for record in Shard(project / f"restored/{TASK}/bicubic/photos/x2.arrow"):
        assert record.arrays["sr"].tobytes() in shown
    for record in Shard(project / f"samples/{TASK}/targets/photos/x2.arrow"):
        assert record.arrays["hr"].tobytes() in shown


def test_the_number_of_pictures_is_bounded(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path, pictures=2)
    assert len(Page(tmp_path / f"{TASK}.html").pictures()) == 2


def test_building_again_writes_nothing_and_sweeps_what_is_gone(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert "0 of them new" in build(project, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    (tmp_path / "old_task.html").write_text("x")
    stale = tmp_path / "pictures/00/0123456789.png"
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"")
    build(project, tmp_path, pictures=1)
    assert 0 < len(list(tmp_path.rglob("*.png"))) <= len(before), "the blind test keeps its own"
    assert not (tmp_path / "old_task.html").exists() and not stale.exists()


def test_names_and_reasons_are_escaped(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    small_project.add_run(copy, "broken", "vdsr", {"layers": 3, "width": 4}, failed="<script>alert(1)</script>")
    small_project.rescore(copy)
    build(copy, tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / f"{TASK}.html").read_text()
    page = Page(tmp_path / "out" / f"{TASK}.html")
    assert "<script>alert(1)</script>" in page.text
    assert any("<script>alert(1)" in tile.get("reason", "") for tile in page.pictures()[0]["tiles"])


def test_readings_are_marked(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    facts = copy / f"models/{TASK}/vdsr/model.json"
    facts.write_text(facts.read_text().replace('"reading": ""', '"reading": "biases in every layer"'))
    small_project.rescore(copy)
    build(copy, tmp_path / "out")
    text = Page(tmp_path / "out" / f"{TASK}.html").text
    assert "†" in text and "biases in every layer" in text


def test_what_is_stored_in_another_form_is_said(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    build(copy, tmp_path / "before")
    assert "What is stored" not in Page(tmp_path / "before" / f"{TASK}.html").text
    facts = copy / f"models/{TASK}/vdsr/model.json"
    write_json(facts, {**read_json(facts), "method": "vdsr_bnn", "settings": {"layers": 4, "width": 8}})
    build(copy, tmp_path / "out")
    text = Page(tmp_path / "out" / f"{TASK}.html").text
    assert "What is stored" in text and "multiply-adds of bits with bits" in text


def test_what_a_task_says_of_its_figures_stands_under_its_leaderboards(project: Path, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    words = "measured by <nobody>"
    monkeypatch.setattr(type(protocol(TASK)), "reading", words)
    build(project, tmp_path / "out")
    assert tmp_path.joinpath("out", f"{TASK}.html").read_text().count("measured by &lt;nobody&gt;") == 1


def test_costs_are_joined_where_they_were_measured(project: Path, tmp_path: Path) -> None:
    from restore_ml.base.files import sha256_of_file

    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    key = sha256_of_file(copy / f"models/{TASK}/vdsr/model.json")[:16]
    write_json(copy / f".state/costs/train-{key}.json",
               {"seconds": 4321.0, "peak_memory_mb": 777.0, "machine": "m"})
    build(copy, tmp_path / "out")
    text = Page(tmp_path / "out" / f"{TASK}.html").text
    assert "4321" in text and "were measured on: " in text
    build(project, tmp_path / "other")
    assert "4321" not in Page(tmp_path / "other" / f"{TASK}.html").text


def test_without_restored_pictures_the_page_says_so(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    shutil.rmtree(copy / "restored")
    build(copy, tmp_path / "out")
    tiles = Page(tmp_path / "out" / f"{TASK}.html").pictures()[0]["tiles"]
    assert {"there is no restored picture"} == {tile["reason"] for tile in tiles if tile["run"] < 2}
    shutil.rmtree(copy / "samples")
    build(copy, tmp_path / "out")
    assert Page(tmp_path / "out" / f"{TASK}.html").pictures() == []
    assert "no restored pictures on this machine" in " ".join(Page(tmp_path / "out" / "turing.html").text.split())


def test_nothing_built_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to show"):
        build(tmp_path, tmp_path / "out")


def test_large_pictures_get_a_thumbnail(tmp_path: Path) -> None:
    files = Files(tmp_path)
    links = files.add(np.zeros((400, 600, 3), np.uint8))
    assert not (tmp_path / links["full"]).exists()
    files.settle()
    assert Image.open(tmp_path / links["small"]).size == (320, 213)
    assert Image.open(tmp_path / links["full"]).size == (600, 400)


def test_each_photograph_is_shown_before_a_second_tile_of_one() -> None:
    samples = [(str(number), {"name": f"{group}{number}", "group": group}) for number, group in enumerate("aaabbc")]
    assert [identity for identity, _ in spread(samples, 3)] == ["0", "3", "5"]
    assert [identity for identity, _ in spread(samples, 4)] == ["0", "1", "3", "5"]
    assert len(spread(samples, 99)) == 6


def test_the_worst_pictures_of_each_run_are_among_those_shown() -> None:
    samples = [(str(number), {"name": f"{number:02d}", "group": str(number)}) for number in range(20)]
    worst = [[str(number) for number in range(19, -1, -1)], ["7", "18", "5"]]
    shown = [identity for identity, _ in choose(samples, worst, 8)]
    assert shown == ["0", "1", "2", "3", "7", "17", "18", "19"]
    assert len(choose(samples, [["gone"], []], 8)) == 8, "what is no sample any more is left out and made up for"


def test_first_outputs_are_the_restored_pictures(project: Path) -> None:
    found = list(first_outputs(project, TASK, "bicubic", 2))
    assert [name for name, _ in found] == ["photos_x2_picture_0-00000000", "photos_x2_picture_1-00000000"]
    assert list(first_outputs(project, TASK, "broken", 2)) == []
    assert TaskPictures(project, TASK).cases() == ["photos/x2"]
