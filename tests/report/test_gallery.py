import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data.shards import Shard
from restore_ml.errors import UserError
from restore_ml.files import write_json
from restore_ml.report.gallery import Files, build
from restore_ml.report.pictures import TaskPictures, first_outputs
from restore_ml.report.view import spread
from tests.tracking import small_project

TASK = "super_resolution"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("gallery") / "project", pictures=4)


class Page(HTMLParser):
    """Links, picture sources and text of a page; complains about tags that are not closed."""

    VOID = ("meta", "img", "br", "wbr")

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

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_pages_are_whole_and_ask_for_nothing_outside(project: Path, tmp_path: Path) -> None:
    sentence = build(project, tmp_path)
    assert "1 tasks" in sentence
    for name in ("index.html", f"{TASK}.html"):
        page = Page(tmp_path / name)
        assert page.open == []
        for link in page.links:
            assert link.startswith("#") or (tmp_path / link).is_file(), link
        assert not re.search(r"https?:|//", (tmp_path / name).read_text().replace("</", "").split("<script>")[0])


def test_a_page_shows_every_run_with_its_figures_or_its_reason(project: Path, tmp_path: Path) -> None:
    import pandas as pd

    build(project, tmp_path)
    text = " ".join(Page(tmp_path / f"{TASK}.html").text.split())
    scores = pd.read_parquet(project / f"scores/{TASK}.parquet")
    for row in scores[scores["status"] == "ok"].itertuples():
        assert f"psnr_y {row.psnr_y:.2f} dB" in text
    assert text.count("diverged at step 7: the term mse is NaN") == 1 + 4, "in the table and in place of each picture"
    assert "input" in text and "truth" in text
    reading = "biases in every layer"
    assert reading not in text, "no run of this project has a reading in its model"


def test_the_pictures_are_those_on_disk(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path)
    shown = {np.asarray(Image.open(path)).tobytes() for path in tmp_path.glob("pictures/*/*.png")}
    for record in Shard(project / f"restored/{TASK}/bicubic/photos/x2.arrow"):
        assert record.arrays["sr"].tobytes() in shown
    for record in Shard(project / f"samples/{TASK}/targets/photos/x2.arrow"):
        assert record.arrays["hr"].tobytes() in shown


def test_the_number_of_pictures_is_bounded(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path, pictures=2)
    assert (tmp_path / f"{TASK}.html").read_text().count('<section class="picture">') == 2


def test_building_again_writes_nothing_and_sweeps_what_is_gone(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert "0 of them new" in build(project, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    (tmp_path / "old_task.html").write_text("x")
    build(project, tmp_path, pictures=1)
    assert 0 < len(list(tmp_path.rglob("*.png"))) < len(before)
    assert not (tmp_path / "old_task.html").exists()


def test_names_and_reasons_are_escaped(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    small_project.add_run(copy, "broken", "vdsr", {"layers": 3, "width": 4}, failed="<script>alert(1)</script>")
    small_project.rescore(copy)
    build(copy, tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / f"{TASK}.html").read_text()
    assert "&lt;script&gt;alert" in (tmp_path / "out" / f"{TASK}.html").read_text()


def test_readings_are_marked(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    facts = copy / "models/vdsr/model.json"
    facts.write_text(facts.read_text().replace('"reading": ""', '"reading": "biases in every layer"'))
    small_project.rescore(copy)
    build(copy, tmp_path / "out")
    text = Page(tmp_path / "out" / f"{TASK}.html").text
    assert "†" in text and "biases in every layer" in text


def test_costs_are_joined_where_they_were_measured(project: Path, tmp_path: Path) -> None:
    from restore_ml.files import sha256_of_file

    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    key = sha256_of_file(copy / "models/vdsr/model.json")[:16]
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
    assert "there is no restored picture" in Page(tmp_path / "out" / f"{TASK}.html").text
    shutil.rmtree(copy / "samples")
    build(copy, tmp_path / "out")
    assert "not on this machine" in Page(tmp_path / "out" / f"{TASK}.html").text


def test_nothing_built_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to show"):
        build(tmp_path, tmp_path / "out")


def test_large_pictures_get_a_thumbnail(tmp_path: Path) -> None:
    links = Files(tmp_path).add(np.zeros((400, 600, 3), np.uint8))
    assert Image.open(tmp_path / links["small"]).size == (320, 213)
    assert Image.open(tmp_path / links["full"]).size == (600, 400)


def test_each_photograph_is_shown_before_a_second_tile_of_one() -> None:
    samples = [(str(number), {"name": f"{group}{number}", "group": group}) for number, group in enumerate("aaabbc")]
    assert [identity for identity, _ in spread(samples, 3)] == ["0", "3", "5"]
    assert [identity for identity, _ in spread(samples, 4)] == ["0", "1", "3", "5"]
    assert len(spread(samples, 99)) == 6


def test_first_outputs_are_the_restored_pictures(project: Path) -> None:
    found = list(first_outputs(project, TASK, "bicubic", 2))
    assert [name for name, _ in found] == ["photos_x2_picture_0-00000000", "photos_x2_picture_1-00000000"]
    assert list(first_outputs(project, TASK, "broken", 2)) == []
    assert TaskPictures(project, TASK).cases() == ["photos/x2"]
