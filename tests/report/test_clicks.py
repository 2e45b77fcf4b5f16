"""The pages of a task as a person uses them: clicks in a headless Chromium on pages opened as files."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restore_ml.evaluation.scoring import read_task
from tests import many_runs

TASK = "super_resolution"


@pytest.fixture
def page(browser: Any, clicked_project: Path) -> Any:
    browser.get("about:blank")
    browser.get((clicked_project / f"reports/gallery/{TASK}.html").as_uri())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def soon(seen: Callable[[], Any], expected: Any, seconds: float = 10) -> None:
    """Browsers tell a page of a choice a moment later: wait until what is seen is what is expected."""
    until = time.monotonic() + seconds
    while seen() != expected and time.monotonic() < until:
        time.sleep(0.02)
    assert seen() == expected


def names(page: Any) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.picture')].map((one) => one.dataset.name)")


def runs_shown(page: Any) -> list[str]:
    return page.execute_script("const shown = [...document.querySelectorAll('.tile[data-run]')];"
                               "return [...new Set(shown.map((one) => one.dataset.run))].sort()")


def cases_shown(page: Any) -> list[str]:
    return page.execute_script("const all = [...document.querySelectorAll('[data-case]')];"
                               "return all.filter((one) => !one.hidden).map((one) => one.dataset.case)")


def choose(page: Any, selector: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    box = page.find_element("css selector", selector)
    soon(box.is_displayed, True)
    Select(box).select_by_value(value)


def test_the_worst_pictures_of_a_method_come_first(page: Any, clicked_project: Path) -> None:
    scores = read_task(clicked_project, TASK)
    assert names(page) == sorted(names(page)) and len(names(page)) == 5
    choose(page, "[name=order]", "worst")
    for run in ("vdsr", "bicubic"):
        choose(page, "[name=of]", run)
        rows = scores[(scores["run"] == run) & (scores["case"] == "photos/x2")].sort_values("psnr_y")
        soon(lambda: names(page), list(rows["name"]))
    assert list(rows["name"]) != sorted(rows["name"])
    choose(page, "[name=order]", "best")
    soon(lambda: names(page), list(rows["name"])[::-1])
    page.refresh()
    soon(lambda: names(page), list(rows["name"])[::-1])  # the address keeps the choice


def test_pictures_are_found_by_name_and_methods_are_chosen(page: Any) -> None:
    find = page.find_element("name", "find")
    find.send_keys("ture 3")
    soon(lambda: names(page), ["picture 3.png"])
    find.clear()
    find.send_keys(" ")
    soon(lambda: len(names(page)), 5)
    assert runs_shown(page) == ["bicubic", "broken", "vdsr"]
    page.find_element("css selector", ".menu summary").click()
    page.find_element("css selector", "#methods input[value=vdsr]").click()
    soon(lambda: runs_shown(page), ["bicubic", "broken"])
    assert "2 of 3" in page.find_element("id", "chosen").text
    page.find_element("css selector", ".menu [data-all='']").click()
    soon(lambda: runs_shown(page), [])
    assert len(names(page)) == 5
    page.find_element("css selector", ".menu [data-all=all]").click()
    soon(lambda: len(runs_shown(page)), 3)
    assert "diverged at step 7" in page.find_element("css selector", ".tile[data-run=broken]").text


def test_another_case_brings_its_leaderboard_and_its_pictures(page: Any) -> None:
    assert cases_shown(page) == ["photos/x2"]
    choose(page, "#case", "more/x2")
    soon(lambda: cases_shown(page), ["more/x2"])
    assert "more/x2: 5 pictures" in page.find_element("id", "count").text


def test_the_leaderboard_is_sorted_by_a_heading(page: Any) -> None:
    board = page.find_element("css selector", ".case:not([hidden]) .board")

    def runs() -> list[str]:
        return [row.find_element("css selector", ".run").text.split()[0].rstrip("†")
                for row in board.find_elements("css selector", "tbody tr")]

    first = runs()
    assert first[2] == "broken" and "diverged at step 7" in board.text and "baseline" in board.text
    heading = next(button for button in board.find_elements("css selector", "thead button")
                   if button.text.startswith("psnr_y"))
    heading.click()
    assert heading.find_element("xpath", "..").get_attribute("aria-sort") == "descending" and runs() == first
    heading.click()
    assert runs() == [first[1], first[0], "broken"], "turned round, and what has no figure stays last"


def test_the_slider_moves_by_drag_by_keys_and_between_any_two_pictures(page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.find_element("css selector", ".zoom[data-key=vdsr]").click()
    over, cut = page.find_element("css selector", ".over"), page.find_element("id", "cut")
    def place() -> float:
        """Percent of the width up to which the left picture is seen."""
        return 100 - float(re.findall(r"([\d.]+)%", over.value_of_css_property("clip-path"))[0])

    assert place() == 50 and over.get_attribute("alt").startswith("vdsr")
    pair = page.find_element("css selector", ".pair")
    quarter = pair.size["width"] // 4
    ActionChains(page).move_to_element(pair).click_and_hold().move_by_offset(quarter, 0).release().perform()
    assert place() == pytest.approx(75, abs=1) and float(cut.get_attribute("value")) == pytest.approx(75, abs=1)
    cut.send_keys(Keys.ARROW_LEFT * 5)
    assert place() == pytest.approx(65, abs=1)
    left, right = page.find_element("id", "left"), page.find_element("id", "right")
    options = [option.get_attribute("value") for option in left.find_elements("css selector", "option")]
    assert sorted(options) == ["bicubic", "input", "truth", "vdsr"]
    under = page.find_element("css selector", ".under")
    truth = under.get_attribute("src")
    cut.send_keys(Keys.ARROW_UP)
    assert right.get_attribute("value") == options[-2] and under.get_attribute("src") != truth
    assert "psnr_y" in right.find_element("xpath", "..").text
    ActionChains(page).key_down(Keys.SPACE).perform()
    assert under.get_attribute("src") == truth
    ActionChains(page).key_up(Keys.SPACE).perform()
    assert under.get_attribute("src") != truth
    title = page.find_element("id", "viewer-name").text
    cut.send_keys("n")
    assert page.find_element("id", "viewer-name").text != title and right.get_attribute("value") == options[-2]
    zoom = page.find_element("css selector", "[data-zoom='1']")
    while zoom.is_enabled():
        zoom.click()
    assert page.find_element("id", "zoom").text == "16×" and pair.size["width"] == 48 * 16
    assert over.value_of_css_property("image-rendering") == "pixelated"
    page.find_element("css selector", "[data-close]").click()
    assert not page.find_element("id", "viewer").is_displayed()


def test_a_finger_moves_the_slider_on_a_phone_and_nothing_overflows(page: Any, clicked_project: Path) -> None:
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2,
                                                                "mobile": True})
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        for name in ("index", TASK, "turing", "hints"):
            page.get((clicked_project / f"reports/gallery/{name}.html").as_uri())
            assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), name
        page.get((clicked_project / f"reports/gallery/{TASK}.html").as_uri())
        page.execute_script("document.querySelector('.zoom[data-key=vdsr]').click()")
        box = page.execute_script("const b = document.querySelector('.pair').getBoundingClientRect();"
                                  "return [b.left, b.top, b.width, b.height]")
        across, down = box[0] + 0.5 * box[2], box[1] + 0.3 * box[3]
        for kind, x in (("touchStart", across), ("touchMove", across - 20), ("touchMove", across - 0.25 * box[2])):
            page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": down}]})
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        until = time.monotonic() + 5
        while float(page.find_element("id", "cut").get_attribute("value")) == 50 and time.monotonic() < until:
            time.sleep(0.02)
        assert float(page.find_element("id", "cut").get_attribute("value")) == pytest.approx(25, abs=2)
    finally:
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


SIZES = {"laptop": (1280, 800, False), "phone": (390, 844, True)}


@pytest.fixture(params=list(SIZES))
def sized(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The browser with the screen of a laptop or of a phone."""
    width, height, mobile = SIZES[request.param]
    browser.get("about:blank")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height,
                                                                   "deviceScaleFactor": 1, "mobile": mobile})
    try:
        yield browser
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pages_of_forty_runs_fit_and_keep_names_and_headings_in_sight(sized: Any, many_project: Path) -> None:
    for name in (f"gallery/{TASK}", "gallery/index", "gallery/turing", f"promotion/{TASK}"):
        sized.get((many_project / f"reports/{name}.html").as_uri())
        assert sized.execute_script("return document.documentElement.scrollWidth <= innerWidth"), name
    sized.get((many_project / f"reports/gallery/{TASK}.html").as_uri())
    box = """const box = document.querySelector('.case:not([hidden]) .scroll'); box.scrollTo(400, 300);
        const own = box.getBoundingClientRect(), at = (part) => {
          const place = box.querySelector(part).getBoundingClientRect();
          return [place.left - own.left, place.top - own.top];
        };
        return [box.scrollTop, own.height, innerHeight, at('thead th.run'), at('tbody tr:nth-child(9) .run')]"""
    scrolled, height, screen, heading, name = sized.execute_script(box)
    assert scrolled == 300 and height < screen, "the table scrolls by itself"
    assert max(map(abs, heading)) <= 2, "the heading of the names stays in the corner"
    assert abs(name[0]) <= 2, "and the names stay at the left"
    widest = "return Math.max(...[...document.querySelectorAll('.board .run')].map((one) => one.offsetWidth))"
    assert sized.execute_script(widest) < (160 if sized.execute_script("return innerWidth") < 600 else 420)


@pytest.fixture
def many(browser: Any, many_project: Path) -> Any:
    browser.get("about:blank")
    browser.get((many_project / f"reports/gallery/{TASK}.html").as_uri())
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def rows_shown(page: Any) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.case:not([hidden]) .board tbody tr')]"
                               ".filter((row) => !row.hidden).map((row) => row.dataset.run)")


def test_forty_runs_are_found_and_grouped_in_the_leaderboard(many: Any) -> None:
    assert len(rows_shown(many)) == 40
    find = many.find_element("id", "find-run")
    find.send_keys("RECURSIVE")
    names = [many_runs.run_name(number) for number in range(many_runs.RUNS)]
    soon(lambda: sorted(rows_shown(many)), sorted(name for name in names if "recursive" in name))
    assert f"{len(rows_shown(many))} of 40 runs" in many.find_element("id", "rows").text
    find.clear()
    find.send_keys("bicub")
    soon(lambda: rows_shown(many), ["bicubic"])
    find.clear()
    find.send_keys(" ")
    choose(many, "#group", "best")
    soon(lambda: rows_shown(many), ["vdsr_00", "bicubic"])


def test_the_pictures_of_forty_runs_start_with_the_best_and_the_baseline(many: Any) -> None:
    ranked = rows_shown(many)
    soon(lambda: runs_shown(many), sorted([*ranked[:8], "bicubic"]))
    assert many.find_element("id", "chosen").text == "9 of 39"
    more = many.find_element("id", "more")
    assert more.text == "show all 39 runs"
    more.click()
    soon(lambda: len(runs_shown(many)), 39)
    assert not more.is_displayed()
    many.refresh()
    soon(lambda: len(runs_shown(many)), 39)  # the address keeps the choice
    many.find_element("css selector", ".menu summary").click()
    many.find_element("css selector", "#methods [data-method=vdsr]").click()
    soon(lambda: runs_shown(many), ["bicubic"])  # all runs of a method with one click
    many.find_element("id", "find-method").send_keys("unet_18")
    labels = ("return [...document.querySelectorAll('#methods [data-words]:not([hidden])')]"
              ".map((one) => one.textContent.trim())")
    soon(lambda: many.execute_script(labels), ["unet_18"])
    many.find_element("css selector", "[data-all=first]").click()
    soon(lambda: len(runs_shown(many)), 9)


def test_a_link_to_a_run_shows_its_row(many: Any, many_project: Path) -> None:
    many.get("about:blank")
    many.get((many_project / f"reports/gallery/{TASK}.html").as_uri() + "#run-unet_32")
    seen = ("const row = document.getElementById('run-unet_32').getBoundingClientRect();"
            "return row.top >= 0 && row.bottom <= innerHeight")
    soon(lambda: many.execute_script(seen), True)
    curves = "return [...document.querySelectorAll('#curves .charts')].map((one) => one.checkVisibility())"
    assert many.execute_script(curves) == [True, False], "the curves of the first runs, the others on demand"
