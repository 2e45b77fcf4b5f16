"""The blind test as a person takes it: clicks in a headless Chromium on pages opened as files, up to the report."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml.cli import main
from restore_ml.tracking import store

TASK, NAME = "super_resolution", "restore-super-resolution"
PLAN = """
const test = JSON.parse(document.getElementById("data").textContent)[0];
return Plan.make(test, arguments[0]);
"""
BUTTON = """
const named = [...document.querySelectorAll("button")].filter((button) => button.innerText.startsWith(arguments[0]));
return named.find((button) => button.checkVisibility() && !button.disabled) || null;
"""


def open_page(browser: Any, root: Path) -> None:
    browser.get((root / "reports/gallery/turing.html").as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()


def fill(browser: Any, **fields: Any) -> None:
    for name, value in fields.items():
        box = browser.find_element("name", name)
        box.clear()
        box.send_keys(str(value))


def press(browser: Any, label: str, seconds: float = 20) -> None:
    """Wait for a button of that label to be there, and click it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        button = browser.execute_script(BUTTON, label)
        if button is not None:
            button.click()
            return
        time.sleep(0.02)
    raise AssertionError(f"There is no button {label!r}.")


def test_a_session_from_the_first_click_to_the_report(browser: Any, clicked_project: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    open_page(browser, clicked_project)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    fill(browser, trials=6, practice=1, seconds=0.3, seed=42, rater="Ada")
    plan = browser.execute_script(PLAN, {"mode": "truth", "runs": runs(browser), "trials": 6, "practice": 1,
                                         "seed": 42})
    browser.find_element("id", "start").click()
    press(browser, "Begin")
    for place, pair in enumerate(plan):
        right = "First" if pair["first"] == "truth" else "Second"
        wrong = "Second" if right == "First" else "First"
        run = pair["second"] if pair["first"] == "truth" else pair["first"]
        deceived = pair["kind"] == "test" and run == "vdsr"  # this person takes vdsr's pictures for real, always
        press(browser, wrong if deceived else right)
        if pair["kind"] == "practice":
            assert browser.find_element("id", "question").text == "Right"
            press(browser, "Next")
        if place == 3:  # closing the tab loses nothing
            browser.refresh()
            press(browser, "Continue it")
            press(browser, "Begin")
    press(browser, "Save the answers")
    path = waited(tmp_path)
    facts = json.loads(path.read_text())
    assert [(trial["first"], trial["second"], trial["picture"]) for trial in facts["trials"]] == [
        (pair["first"], pair["second"], pair["picture"]) for pair in plan]
    assert facts["complete"] and facts["seed"] == 42 and facts["rater"] == "Ada"
    assert all(ms >= 280 for trial in facts["trials"] for ms in trial["shown_ms"])

    monkeypatch.setenv("RESTORE_ML_ROOT", str(clicked_project))
    assert main(["turing", "report", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 sessions counted" in said and "Written to MLflow" in said
    client = store.client(clicked_project)
    experiment = client.get_experiment_by_name(NAME).experiment_id
    run = client.search_runs([experiment], "tags.entry = 'turing'")[0]
    counted = [trial for trial in facts["trials"] if trial["kind"] == "test" and max(trial["shown_ms"]) <= 600]
    asked = {name: sum(name in (pair["first"], pair["second"]) for pair in counted) for name in ("vdsr", "bicubic")}
    assert run.info.run_name == "turing" and asked["vdsr"] and asked["bicubic"] and len(plan) == 7
    assert run.data.metrics["turing_fool_rate/vdsr"] == 1 and run.data.metrics["turing_fool_rate/bicubic"] == 0
    assert run.data.metrics["turing_fool_rate/vdsr_pairs"] == asked["vdsr"]


def runs(browser: Any) -> list[str]:
    """The runs that the page offers, in its order."""
    return [box.get_attribute("value") for box in browser.find_elements("css selector", "#methods input")]


def waited(folder: Path) -> Path:
    until = time.monotonic() + 8
    while time.monotonic() < until:
        found = list(folder.glob("turing-*.json"))
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"Nothing was saved in {folder}.")


def test_what_is_shown_is_the_picture_and_nothing_names_it(browser: Any, clicked_project: Path) -> None:
    open_page(browser, clicked_project)
    fill(browser, trials=5, practice=0, seconds=4, seed=7)
    first = browser.execute_script(PLAN, {"mode": "truth", "runs": runs(browser), "trials": 5, "practice": 0,
                                          "seed": 7})[0]
    browser.find_element("id", "start").click()
    press(browser, "Begin")
    canvas = browser.find_element("id", "canvas")
    until = time.monotonic() + 8
    while not canvas.is_displayed() and time.monotonic() < until:
        time.sleep(0.02)
    seen = np.asarray(Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB").resize((48, 48)), np.float64)
    markup = browser.execute_script("return document.querySelector('main').outerHTML")
    press(browser, "Pause")
    assert "<img" not in markup and "pictures/" not in markup and first["picture"] not in markup
    data = json.loads(browser.execute_script("return document.getElementById('data').textContent"))[0]
    pictures = {picture["id"]: picture for picture in data["pictures"]}

    def distance(ref: str) -> float:
        path = clicked_project / f"reports/gallery/pictures/{ref[:2]}/{ref.rstrip('+')}.png"
        return float(np.abs(np.asarray(Image.open(path).convert("RGB"), np.float64) - seen).mean())

    names = {"truth": "truth", "control": "control"}
    own = pictures[first["picture"]]
    ref = own[names[first["first"]]] if first["first"] in names else own["runs"][
        [run["name"] for run in data["runs"]].index(first["first"])]
    others = [picture["truth"] for identity, picture in pictures.items() if identity != first["picture"]]
    assert distance(ref) < 6 and distance(ref) < 0.3 * min(map(distance, others))


def test_plans_are_fair(browser: Any, clicked_project: Path) -> None:
    open_page(browser, clicked_project)
    plans = [browser.execute_script(PLAN, {"mode": "truth", "runs": ["bicubic", "vdsr"], "trials": 10, "practice": 3,
                                           "seed": seed}) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    for plan in plans:
        assert [pair["kind"] for pair in plan[:3]] == ["practice"] * 3
        asked = [pair for pair in plan if pair["kind"] == "test"]
        assert len(asked) == 9 and sum(pair["kind"] == "catch" for pair in plan) == 1
        assert len({tuple(sorted((pair["picture"], pair["first"], pair["second"]))) for pair in asked}) == 9
        assert abs(2 * sum(pair["first"] == "truth" for pair in plan) - len(plan)) <= 1
        assert len({pair["picture"] for pair in asked[:5]}) == 5, "each picture comes once before any comes again"
    versus = browser.execute_script(PLAN, {"mode": "methods", "runs": ["vdsr", "bicubic"], "trials": 5, "practice": 1,
                                           "seed": 1})
    assert all({pair["first"], pair["second"]} == {"vdsr", "bicubic"} for pair in versus if pair["kind"] == "test")


def test_the_form_offers_what_can_be_asked(browser: Any, clicked_project: Path) -> None:
    open_page(browser, clicked_project)
    start = browser.find_element("id", "start")
    boxes = browser.find_elements("css selector", "#methods input")
    assert [box.get_attribute("value") for box in boxes] in (["vdsr", "bicubic"], ["bicubic", "vdsr"])
    assert "10 different pairs of 5 pictures" in browser.find_element("id", "available").text
    for box in boxes:
        box.click()
    assert not start.is_enabled() and "at least one" in browser.find_element("id", "available").text
    browser.find_element("css selector", "input[value=methods]").click()
    assert start.is_enabled() and "5 different pairs" in browser.find_element("id", "available").text
    assert browser.find_element("name", "one").is_displayed() and not boxes[0].is_displayed()
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
