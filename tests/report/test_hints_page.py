"""The page of hints as a person uses it: clicks and keys in a headless Chromium, on the server and as a file."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.report.gallery import asset, hints_page
from restore_ml.tasks.guided_colorization.gamut import snapped
from tests.report.hinted import SENT, engine, file_of, grey, serving

LISTEN = """
window.bodies = [];
const ask = window.fetch;
window.fetch = (address, options) => { window.bodies.push(options.body); return ask(address, options); };
"""
PIXELS = """
const image = document.getElementById("coloured"), sheet = document.createElement("canvas");
Object.assign(sheet, { width: image.naturalWidth, height: image.naturalHeight });
sheet.getContext("2d").drawImage(image, 0, 0);
return sheet.toDataURL("image/png");
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(engine(tmp_path_factory.mktemp("hinted"))) as found:
        yield found


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    browser.get(f"{address}/hints.html")
    browser.execute_script(LISTEN)
    return browser


def text(page: Any, name: str) -> str:
    return page.find_element("id", name).text


def soon(seen: Callable[[], Any], expected: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while seen() != expected and time.monotonic() < until:
        time.sleep(0.03)
    assert seen() == expected


def choose(page: Any, path: Path, colour: str = "#ff0000") -> None:
    page.find_element("name", "picture").send_keys(str(path))
    soon(lambda: text(page, "said").startswith("80 x 60 pixels."), True)
    page.execute_script("document.getElementById('setup').elements.colour.value = arguments[0]", colour)


def click(page: Any, x: int, y: int) -> None:
    """On the middle of that pixel of the picture, whatever its size on the screen is."""
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = page.find_element("id", "grey")
    page.execute_script("arguments[0].scrollIntoView({ block: 'center' })", canvas)
    width, height = (canvas.rect[side] for side in ("width", "height"))
    ActionChains(page).move_to_element_with_offset(canvas, round((x + 0.5) / 80 * width - width / 2),
                                                   round((y + 0.5) / 60 * height - height / 2)).click().perform()


def dabs(page: Any) -> list[str]:
    return [item.text.partition("\n")[0].removesuffix("Take back").strip() for item in page.find_elements(
        "css selector", "#dabs li")]


def bodies(page: Any) -> list[dict[str, Any]]:
    return [json.loads(body) for body in page.execute_script("return window.bodies")]


def coloured(page: Any) -> np.ndarray:
    data = base64.b64decode(page.execute_script(PIXELS).partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def no_errors(page: Any) -> None:
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_click_colours_the_picture(page: Any, tmp_path: Path) -> None:
    path = file_of(tmp_path, grey())
    assert not page.find_element("id", "go").is_enabled()
    choose(page, path)
    click(page, 40, 10)
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points.")
    assert dabs(page) == ["#ff0000 at 40, 10"] and not page.find_element("id", "wrong").is_displayed()
    expected = json.loads(SENT.read_text())
    expected["dataframe_records"][0]["image"] = base64.b64encode(path.read_bytes()).decode()
    assert bodies(page) == [expected]  # what the test without a browser sends, and the file's own bytes
    lab = rgb_to_lab(coloured(page))
    assert lab.shape == (60, 80, 3) and lab[10, 40, 1] > 20
    assert np.abs(lab[..., 0] - rgb_to_lab(np.repeat(grey()[..., None], 3, 2))[..., 0]).max() < 0.25
    saved = page.find_element("id", "result")
    assert saved.is_displayed() and saved.get_attribute("download") == "coloured.png"
    no_errors(page)


def test_two_dabs_and_back_again(page: Any, tmp_path: Path) -> None:
    choose(page, file_of(tmp_path, grey()))
    click(page, 10, 10)
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points.")
    page.execute_script("document.getElementById('setup').elements.colour.value = '#0000ff'")
    click(page, 70, 50)
    soon(lambda: text(page, "said"), "Coloured with 2 dabs, 18 points.")
    assert dabs(page) == ["#ff0000 at 10, 10", "#0000ff at 70, 50"]
    lab = rgb_to_lab(coloured(page))
    assert lab[10, 10, 1] > 20 and lab[50, 70, 2] < -20
    page.find_element("css selector", "#dabs li:first-child button").click()
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points.")
    assert dabs(page) == ["#0000ff at 70, 50"]
    page.find_element("id", "clear").click()
    soon(lambda: text(page, "said"), "Coloured without hints.")
    assert dabs(page) == [] and "points" not in bodies(page)[-1]["dataframe_records"][0]
    no_errors(page)


def drag(page: Any, *places: tuple[int, int], press: bool = True, end: bool = True) -> None:
    """From the middle of the first of these pixels over the others, with a mouse that is pressed before and let go
    after."""
    left, top, width, height = page.execute_script(
        "const canvas = document.getElementById('grey'); canvas.scrollIntoView({ block: 'center' });"
        "const box = canvas.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]")
    steps = [("mousePressed", places[0])] * press + [("mouseMoved", place) for place in places]
    for kind, (x, y) in steps + [("mouseReleased", places[-1])] * end:
        page.execute_cdp_cmd("Input.dispatchMouseEvent", {
            "type": kind, "x": left + (x + 0.5) / 80 * width, "y": top + (y + 0.5) / 60 * height, "button": "left",
            "buttons": int(kind != "mouseReleased"), "clickCount": 1})


def test_a_drag_is_a_stroke(page: Any, tmp_path: Path) -> None:
    choose(page, file_of(tmp_path, grey()))
    drag(page, (10, 30), (30, 20), (60, 40))
    soon(lambda: text(page, "said"), "Coloured with 1 stroke.")
    assert dabs(page) == ["#ff0000 from 10, 30 to 60, 40"]
    sent = json.loads(bodies(page)[-1]["dataframe_records"][0]["points"])
    [line] = sent["strokes"]
    assert sent["points"] == [] and line["width"] == 3 and line["colour"] == [255, 0, 0]
    assert line["points"][0] == [10, 30] and line["points"][-1] == [60, 40] and [30, 20] in line["points"]
    lab = rgb_to_lab(coloured(page))
    before, red = rgb_to_lab(np.repeat(grey()[..., None], 3, 2)), rgb_to_lab(np.array([[[255, 0, 0]]]) / 255)[0, :, 1:]
    for x, y in ((10, 30), (20, 25), (30, 20), (45, 30), (60, 40)):
        np.testing.assert_allclose(lab[y, x, 1:], snapped(before[y, x, :1], red)[0], atol=1.5)
    page.execute_script("document.getElementById('setup').elements.colour.value = '#0000ff'")
    click(page, 70, 10)
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points, and 1 stroke.")
    assert dabs(page)[1:] == ["#0000ff at 70, 10"] and rgb_to_lab(coloured(page))[10, 70, 2] < -20
    page.find_element("css selector", "#dabs li:first-child button").click()
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points.")
    assert dabs(page) == ["#0000ff at 70, 10"]
    no_errors(page)


def test_a_stroke_is_seen_while_it_is_drawn_and_ends_at_the_edge(page: Any, tmp_path: Path) -> None:
    choose(page, file_of(tmp_path, grey()))
    page.find_element("name", "live").click()

    def shown() -> list[int]:
        return page.execute_script("return [...document.getElementById('grey').getContext('2d')"
                                   ".getImageData(30, 30, 1, 1).data].slice(0, 3)")

    drag(page, (20, 30), (40, 30), end=False)
    soon(shown, [255, 0, 0])
    assert dabs(page) == [] and bodies(page) == []
    drag(page, (60, 30), (85, 30), press=False)
    soon(lambda: dabs(page), ["#ff0000 from 20, 30 to 79, 30"])
    assert shown() == [255, 0, 0]
    drag(page, (20, 10), (20, 10))  # a press that stays is a dab
    soon(lambda: dabs(page)[1:], ["#ff0000 at 20, 10"])
    side = page.find_element("name", "side")
    side.clear()
    drag(page, (20, 50), (60, 50))
    soon(lambda: text(page, "wrong"), "The width must be a whole number from 1 to 15.")
    assert len(dabs(page)) == 2
    page.find_element("id", "undo").click()
    page.find_element("id", "undo").click()
    soon(lambda: dabs(page), [])
    soon(lambda: len(set(shown())), 1)  # grey again
    no_errors(page)


def test_the_strokes_of_a_file(page: Any) -> None:
    def file(width: int, height: int) -> Any:
        return page.execute_script("return Hints.file([{ line: [[1, 2], [3, 4]], side: 3, colour: '#0a1bff' }, { x: 1, "
                                   "y: 1, side: 1, colour: '#00ff00' }], arguments[0], arguments[1])", width, height)

    line = {"points": [[1, 2], [3, 4]], "width": 3, "colour": [10, 27, 255]}
    assert file(9, 9) == {"points": [{"x": 1, "y": 1, "colour": [0, 255, 0]}], "strokes": [line]}
    assert file(1100, 1030)["strokes"] == [{**line, "width": 12}]  # as wide on the smaller picture
    many = "return Hints.tooMany({ points: [], strokes: [{ points: Array(arguments[0]) }, { points: [[1, 2]] }] })"
    assert [page.execute_script(many, count) for count in (9999, 10000)] == [False, True]


def test_by_keys_alone(page: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    choose(page, file_of(tmp_path, grey()))
    page.find_element("name", "live").send_keys(Keys.SPACE)  # no longer after every dab
    for _ in range(10):  # on to the picture, past the buttons
        ActionChains(page).send_keys(Keys.TAB).perform()
        if page.switch_to.active_element.get_attribute("id") == "grey":
            break
    assert page.switch_to.active_element.get_attribute("id") == "grey"
    ActionChains(page).send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_UP).perform()
    soon(lambda: text(page, "said"), "The cross is at 38, 29.")  # from the middle, (40, 30)
    ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN).key_up(Keys.SHIFT).perform()
    soon(lambda: text(page, "said"), "The cross is at 48, 39.")
    ActionChains(page).send_keys(Keys.ENTER).perform()
    soon(lambda: dabs(page), ["#ff0000 at 48, 39"])
    ActionChains(page).key_down(Keys.SHIFT).send_keys(*[Keys.ARROW_DOWN] * 9).key_up(Keys.SHIFT).perform()
    ActionChains(page).send_keys(Keys.SPACE).perform()
    soon(lambda: dabs(page), ["#ff0000 at 48, 39", "#ff0000 at 48, 59"])  # the cross stays inside
    ActionChains(page).send_keys(Keys.BACKSPACE).perform()
    soon(lambda: dabs(page), ["#ff0000 at 48, 39"])
    assert bodies(page) == []
    page.find_element("id", "go").send_keys(Keys.ENTER)
    soon(lambda: text(page, "said"), "Coloured with 1 dab, 9 points.")
    no_errors(page)


def test_a_picture_in_colour_is_turned_to_grey_and_said_so(page: Any, tmp_path: Path) -> None:
    picture = np.repeat(grey()[..., None], 3, 2) // 2
    picture[..., 0] += 40
    choose(page, file_of(tmp_path, picture))
    assert "turned to grey first" in text(page, "said")
    page.find_element("id", "go").click()
    soon(lambda: text(page, "said"), "Coloured without hints.")
    sent = base64.b64decode(bodies(page)[0]["dataframe_records"][0]["image"])
    there = np.asarray(Image.open(io.BytesIO(sent)).convert("RGB"))
    expected = np.floor(picture @ [0.299, 0.587, 0.114] + 0.5)
    assert np.abs(there - expected[..., None]).max() <= 1
    assert (there[..., 0] == there[..., 2]).all()


def test_what_cannot_be_is_a_sentence(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.find_element("name", "picture").send_keys(str(tmp_path / "notes.png"))
    soon(lambda: text(page, "wrong"), "notes.png is no picture that this browser can show; choose a PNG, JPEG, WebP or "
                                      "BMP file.")
    choose(page, file_of(tmp_path, grey()))
    assert not page.find_element("id", "wrong").is_displayed()
    side = page.find_element("name", "side")
    side.clear()
    side.send_keys("99")
    click(page, 40, 10)
    soon(lambda: text(page, "wrong"), "The width must be a whole number from 1 to 15.")
    assert dabs(page) == [] and bodies(page) == []
    page.find_element("name", "picture").send_keys(str(file_of(tmp_path, np.zeros((200, 300), np.uint8), "large.png")))
    soon(lambda: text(page, "said").startswith("300 x 200"), True)
    side.clear()
    side.send_keys("1")
    page.find_element("id", "go").click()
    soon(lambda: "megapixels in this request; at most 0.02 are taken." in text(page, "wrong"), True)


def test_a_server_that_has_ended_is_a_sentence(browser: Any, tmp_path: Path) -> None:
    with serving(engine(tmp_path / "hinted")) as address:
        browser.get(f"{address}/hints.html")
        choose(browser, file_of(tmp_path, grey()))
    browser.find_element("id", "go").click()
    soon(lambda: text(browser, "wrong").startswith("The server does not answer; is `restore-ml serve` still running?"),
         True)


def test_the_points_of_a_dab(page: Any) -> None:
    def points(*dab: Any) -> list[tuple[int, int, list[int]]]:
        x, y, side, width, height = dab
        found = page.execute_script("return Hints.points({ x: arguments[0], y: arguments[1], side: arguments[2], "
                                    "colour: '#0a1bff' }, arguments[3], arguments[4])", x, y, side, width, height)
        return [(point["x"], point["y"], point["colour"]) for point in found]

    assert points(5, 6, 1, 20, 20) == [(5, 6, [10, 27, 255])]
    assert [place[:2] for place in points(5, 6, 2, 20, 20)] == [(4, 5), (5, 5), (4, 6), (5, 6)]
    assert [place[:2] for place in points(0, 19, 3, 20, 20)] == [(0, 18), (1, 18), (0, 19), (1, 19)]  # cut off
    # a picture that is made smaller has a point for each pixel of the smaller one
    assert [place[:2] for place in points(500, 500, 2, 1100, 1030)] == [(496, 496), (500, 496), (496, 500), (500, 500)]
    later = page.execute_script("return Hints.file([{ x: 1, y: 1, side: 1, colour: '#ff0000' }, "
                                "{ x: 1, y: 1, side: 1, colour: '#00ff00' }], 9, 9)")
    assert later == {"points": [{"x": 1, "y": 1, "colour": [0, 255, 0]}]}


def test_as_a_file_hints_are_placed_and_saved(browser: Any, tmp_path: Path) -> None:
    out = tmp_path / "gallery"
    (out / "assets").mkdir(parents=True)
    (out / "hints.html").write_text(hints_page())
    for name in ("style.css", "hints.css", "hints.js"):
        (out / "assets" / name).write_text(asset(name))
    browser.get((out / "hints.html").as_uri())
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    choose(browser, file_of(tmp_path, grey()))
    click(browser, 40, 10)
    soon(lambda: dabs(browser), ["#ff0000 at 40, 10"])
    assert "restore-ml serve --task guided_colorization" in text(browser, "where")
    browser.find_element("id", "keep").click()
    soon((tmp_path / "hints.json").is_file, True)
    points = json.loads(SENT.read_text())["dataframe_records"][0]["points"]
    soon((tmp_path / "hints.json").read_text, points)
    no_errors(browser)
