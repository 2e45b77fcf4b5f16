"""Clips, and methods by their kind, as a person uses them: clicks in a headless Chromium on pages opened as files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from restore_ml.report.gallery import build
from tests.report.shown import SHOWS
from tests.report.test_clicks import choose, many, rows_shown, soon
from tests.tracking import small_project

__all__ = ["many"]


@pytest.fixture
def clips(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A page of clips of three and five frames."""
    from restore_ml.tasks.super_resolution.evaluation import SuperResolution

    root = small_project.build(tmp_path / "project", pictures=2)
    monkeypatch.setattr(SuperResolution, "show", SHOWS["clips"])
    build(root, tmp_path / "pages")
    browser.get((tmp_path / "pages/super_resolution.html").as_uri())
    return browser


RIGHT = "\ue014"
"""The key, as WebDriver writes it."""
FRAMES = ("return [...document.querySelectorAll('.picture:first-child .film')].map("
          "(film) => [film.dataset.frames, film.style.getPropertyValue('--frame')])")


def test_clips_of_a_sample_run_in_step(clips: Any) -> None:
    three, five = ["3", "1"], ["5", "2"]
    assert clips.execute_script(FRAMES) == [three, five, five, five]
    clips.find_element("css selector", ".picture .frames input").send_keys(RIGHT, RIGHT)
    soon(lambda: clips.execute_script(FRAMES), [["3", "2"], ["5", "4"], ["5", "4"], ["5", "4"]])
    assert clips.find_element("css selector", ".picture .frames output").text == "5 / 5"
    image = "const f = document.querySelectorAll('.picture .film')[1], b = f.getBoundingClientRect(), " \
            "i = f.firstChild.getBoundingClientRect(); return [(b.top - i.top) / b.height, i.height / b.height]"
    assert clips.execute_script(image) == pytest.approx([4, 5], abs=0.02)  # the fifth of five frames
    clips.find_element("css selector", ".picture .frames button").click()
    soon(lambda: clips.execute_script(FRAMES)[1] != ["5", "4"], True)
    button = clips.find_element("css selector", ".picture .frames button")
    assert button.get_attribute("aria-label") == "Pause"
    button.click()
    now = clips.execute_script(FRAMES)
    time.sleep(0.3)
    assert clips.execute_script(FRAMES) == now  # and nothing plays by itself


def test_the_viewer_shows_the_frame_that_is_chosen(clips: Any) -> None:
    clips.find_element("css selector", ".picture .zoom[data-key=bicubic]").click()
    shown = "return [...document.querySelectorAll('#stage .film')].map((f) => f.style.getPropertyValue('--frame'))"
    assert clips.execute_script(shown) == ["2", "2"]
    clips.find_element("id", "cut").send_keys(".")
    soon(lambda: clips.execute_script(shown), ["3", "3"])
    clips.find_element("id", "left").send_keys("input")
    soon(lambda: clips.execute_script(shown), ["3", "2"])  # the right one lies below; frame 4 of 5 is the last of 3
    box = clips.execute_script("const b = document.querySelector('.pair').getBoundingClientRect();"
                               "return b.width / b.height")
    assert box == pytest.approx(1, abs=0.01)
    assert clips.find_element("css selector", "dialog .frames").is_displayed()


def test_runs_of_a_kind_are_chosen_with_the_baseline(many: Any) -> None:
    choose(many, "#group", "kind:no training")
    soon(lambda: rows_shown(many), ["bicubic"])
    choose(many, "#group", "kind:network")
    soon(lambda: len(rows_shown(many)), 40)  # the baseline is pinned
    many.find_element("css selector", ".menu summary").click()
    many.find_element("css selector", ".menu [data-kind='no training']").click()
    tiles = "return document.querySelectorAll('.picture:first-child .tile[data-run]').length"
    soon(lambda: many.execute_script(tiles) <= 2, True)  # the baseline and the champion


def test_without_a_truth_a_result_lies_beside_the_input(browser: Any, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    from restore_ml.tasks.super_resolution.evaluation import SuperResolution

    root = small_project.build(tmp_path / "project", pictures=1)
    monkeypatch.setattr(SuperResolution, "show", SHOWS["style"])
    build(root, tmp_path / "pages")
    browser.get((tmp_path / "pages/super_resolution.html").as_uri())
    sides = "return ['left', 'right'].map((side) => document.getElementById(side).value)"
    browser.find_element("css selector", ".zoom[data-key=vdsr]").click()
    assert browser.execute_script(sides) == ["input", "vdsr"]
    browser.find_element("css selector", "[data-close]").click()
    browser.find_element("css selector", ".zoom[data-key=style]").click()
    assert browser.execute_script(sides) == ["input", "style"]
    assert not browser.find_element("css selector", "dialog .frames").is_displayed()


def test_a_link_to_two_compared_keeps_the_frame(clips: Any, tmp_path: Path) -> None:
    address = (tmp_path / "pages/compare_super_resolution.html").as_uri()
    clips.get(f"{address}#frame=0")
    soon(lambda: clips.find_element("css selector", "#frames output").text, "1 / 5")
    clips.find_element("css selector", "#frames input").send_keys(RIGHT)
    soon(lambda: "frame=1" in clips.current_url, True)
    clips.refresh()
    soon(lambda: clips.find_element("css selector", "#frames output").text, "2 / 5")
