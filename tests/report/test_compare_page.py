"""The page that compares two rows: its arithmetic against numpy, and the page itself opened as a file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from restore_ml.evaluation.scoring import read_task
from restore_ml.report.comparison import read_table
from restore_ml.report.gallery import Files, build
from restore_ml.report.pairs import first_pair, pairs, refs
from restore_ml.report.pictures import TaskPictures
from tests.report.test_clicks import choose, soon

TASK = "super_resolution"
RNG = np.random.default_rng(5)


@pytest.fixture
def address(clicked_project: Path) -> str:
    return (clicked_project / f"reports/gallery/compare_{TASK}.html").as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    browser.get(f"{address}#a=vdsr&b=truth&case=photos/x2")
    soon(lambda: drawn(browser), True)
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def drawn(page: Any) -> bool:
    return bool(page.find_element("id", "told-spectrum").text)


def canvas(page: Any, pane: str) -> np.ndarray:
    """What a pane shows, H x W x 4: pages that are opened as files may read it only where pixels came as scripts."""
    width, height, values = page.execute_script("""
        const one = document.querySelector(`[data-pane=${arguments[0]}] canvas`);
        return [one.width, one.height, [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]];
        """, pane)
    return np.array(values, np.uint8).reshape(height, width, 4)


def label(page: Any) -> str:
    return str(page.find_element("id", "zoom").text)


def told(page: Any) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.current_url).fragment).items()}


def keys(page: Any, *pressed: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.execute_script("document.activeElement.blur()")
    ActionChains(page).send_keys(*pressed).perform()


def picture(values: np.ndarray) -> dict[str, Any]:
    """H x W x 3 as the scripts have it."""
    height, width = values.shape[:2]
    data = np.dstack([values, np.full((height, width), 255, values.dtype)])
    return {"width": width, "height": height, "data": data.ravel().tolist()}


def some(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    one, two = RNG.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return one, two


def test_the_transform_of_any_length_is_numpys(page: Any) -> None:
    for length in (1, 2, 3, 5, 8, 12, 31, 64, 97, 100):
        values = RNG.normal(size=length) + 1j * RNG.normal(size=length)
        re_, im = page.execute_script("""
            const [re, im] = [Float64Array.from(arguments[0]), Float64Array.from(arguments[1])];
            Pixels.plan(re.length)(re, im);
            return [[...re], [...im]];""", values.real.tolist(), values.imag.tolist())
        np.testing.assert_allclose(np.array(re_) + 1j * np.array(im), np.fft.fft(values), atol=1e-10)


@pytest.mark.parametrize("size", [(8, 8), (12, 10), (7, 13), (1, 5), (9, 16)])
def test_the_spectrum_is_that_of_numpy(page: Any, size: tuple[int, int]) -> None:
    one, two = some(*size)
    found = page.execute_script("const found = Pixels.spectrum(arguments[0], arguments[1]);"
                                "const grey = Pixels.shown(found).data;"
                                "return [[...found.values], [...grey], found.part]", picture(one), picture(two))
    residual = one.astype(float) - two
    transformed = np.fft.fftshift(np.fft.fft2(residual, axes=(0, 1)), axes=(0, 1))
    expected = np.sqrt((np.abs(transformed) ** 2).mean(axis=2) / residual[..., 0].size)
    np.testing.assert_allclose(np.reshape(found[0], size), expected, rtol=1e-9, atol=1e-9)
    levels = np.clip(255 * (20 * np.log10(np.maximum(expected, 1e-9)) + 20) / 80, 0, 255)
    grey = np.reshape(found[1], (*size, 4))
    assert np.abs(grey[..., 0] - levels).max() <= 0.51 and (grey[..., 3] == 255).all() and found[2] is False


def test_white_noise_has_its_own_level_in_every_place(page: Any) -> None:
    base = np.full((64, 64, 3), 128, np.uint8)
    noisy = (base + RNG.integers(0, 2, base.shape) * 8 - 4).astype(np.uint8)  # 4 grey levels
    values = page.execute_script("return [...Pixels.spectrum(arguments[0], arguments[1]).values]", picture(noisy),
                                 picture(base))
    assert np.sqrt(np.mean(np.square(values))) == pytest.approx(4, rel=1e-9), "Parseval"


def test_of_a_large_picture_the_middle_is_transformed(page: Any) -> None:
    found = page.execute_script("""
        const bytes = 4 * 2048 * 1025;
        const make = (level) => ({ width: 2048, height: 1025, data: new Uint8ClampedArray(bytes).fill(level) });
        const [a, b] = [make(9), make(7)];
        for (let row = 0; row < 1025; row += 1) a.data[4 * row * 2048] = 255;  // far from the middle
        const found = Pixels.spectrum(a, b);
        const others = found.values.slice(0, 512 * 1024).reduce((most, value) => Math.max(most, value), 0);
        return [found.part, found.width, found.height, found.values[512 * 1024 + 512], others]""")
    assert found[:3] == [True, 1024, 1024]
    assert found[3] == pytest.approx(2 * 1024) and found[4] == pytest.approx(0, abs=1e-6)


def test_differences_are_those_of_numpy(page: Any) -> None:
    one, two = some(6, 9)
    residual = one.astype(int) - two
    for times in (1, 2, 32):
        for signed in (False, True):
            got = page.execute_script("return [...Pixels.difference(...arguments).data]", picture(one), picture(two),
                                      times, signed)
            expected = np.clip(128 + times * residual if signed else times * np.abs(residual), 0, 255)
            shown = np.reshape(got, (6, 9, 4))
            np.testing.assert_array_equal(shown[..., :3], expected)
            assert (shown[..., 3] == 255).all()
    apart = page.execute_script("return Pixels.apart(...arguments)", picture(one), picture(two))
    assert apart["most"] == np.abs(residual).max() and apart["rms"] == pytest.approx(np.sqrt((residual ** 2).mean()))


def test_zooming_keeps_the_point_that_it_is_about(page: Any) -> None:
    view, about = {"scale": 2.0, "x": 30.0, "y": 20.0}, {"x": 41.0, "y": 11.5}
    script = "const [view, about, w, h, scale] = arguments;"
    before = page.execute_script(script + "return Pixels.toPane(view, w, h, about.x, about.y)", view, about, 200, 100)
    assert before == {"x": 100 + 11 * 2, "y": 50 - 8.5 * 2}
    after = page.execute_script(script + "const after = Pixels.zoomed(view, scale, about);"
                                "return Pixels.toPane(after, w, h, about.x, about.y)", view, about, 200, 100, 16)
    assert after == before
    back = page.execute_script(script + "return Pixels.toPicture(view, w, h, 122, 33)", view, about, 200, 100)
    assert back == about
    held = "return Pixels.held({scale: 4, x: arguments[0], y: arguments[1]}, 200, 100, {width: 96, height: 20})"
    assert page.execute_script(held, 0, 50) == {"scale": 4, "x": 25, "y": 10}, "at the edge, and in the middle"
    assert page.execute_script(held, 500, 3)["x"] == 71 and page.execute_script(held, 40, 3)["x"] == 40


def test_a_frame_of_a_clip_is_cut_out(page: Any) -> None:
    frames = RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    got = page.execute_script("const one = arguments[0]; one.data = Uint8ClampedArray.from(one.data);"
                              "const cut = Pixels.frame(one, 3, 1); return [cut.width, cut.height, [...cut.data]]",
                              picture(frames.reshape(12, 5, 3)))
    assert got[:2] == [5, 4]
    np.testing.assert_array_equal(np.reshape(got[2], (4, 5, 4))[..., :3], frames[1])


def shown(root: Path, place: int, run: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Output, truth and id of a picture of photos/x2, in the order of names."""
    pictures = TaskPictures(root, TASK)
    identity = sorted(pictures.samples("photos/x2"), key=lambda sample: str(sample[1]["name"]))[place][0]
    panels = pictures.show("photos/x2", identity, run)
    return panels["output"].still, panels["truth"].still, identity


def whole_block(seen: np.ndarray, scale: int) -> tuple[np.ndarray, int, int]:
    """The pixels of a picture that a zoomed pane shows, from the middle of their squares, with the place of the first
    whole square. The view is centred, so that squares meet the middle line."""
    height, width = seen.shape[:2]
    top, left = (height // 2) % scale, (width // 2) % scale
    return seen[top + scale // 2::scale, left + scale // 2::scale, :3], top, left


def test_the_panes_show_the_pixels_and_their_difference(page: Any, clicked_project: Path) -> None:
    output, truth, _ = shown(clicked_project, 0, "vdsr")
    residual = output.astype(int) - truth
    assert f"rms {np.sqrt((residual ** 2).mean()):.2f} · at most {np.abs(residual).max()}" in page.find_element(
        "id", "told-difference").text
    scores = read_task(clicked_project, TASK)
    row = scores[(scores["run"] == "vdsr") & (scores["case"] == "photos/x2")].sort_values("name").iloc[0]
    assert page.find_element("id", "told-a").text.startswith(f"psnr_y {row['psnr_y']:.2f} dB · ssim_y ")
    keys(page, *"+" * 12)
    soon(lambda: label(page), "6400 %")
    for pane, expected in (("a", output), ("b", truth), ("difference", np.clip(4 * np.abs(residual), 0, 255))):
        seen = canvas(page, pane)
        blocks, top, left = whole_block(seen, 64)
        rows, columns = blocks.shape[:2]
        y, x = 24 - (seen.shape[0] // 2) // 64, 24 - (seen.shape[1] // 2) // 64
        np.testing.assert_array_equal(blocks, expected[y:y + rows, x:x + columns], err_msg=pane)
        inside = seen[top + 1:top + 63, left + 1:left + 63, :3]  # a pane of odd width has its middle on a pixel
        assert (inside == inside[0, 0]).all(), "one pixel is one square, never smoothed"
    keys(page, "d", "]")
    soon(lambda: (told(page).get("signed"), told(page).get("times")), ("1", "8"))
    seen, _, _ = whole_block(canvas(page, "difference"), 64)
    np.testing.assert_array_equal(seen, np.clip(128 + 8 * residual, 0, 255)[y:y + rows, x:x + columns])


def test_panes_keep_step_when_one_is_dragged(page: Any, clicked_project: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    output, truth, _ = shown(clicked_project, 0, "vdsr")
    page.execute_script("document.querySelector('[data-pane=b] canvas').scrollIntoView()")
    keys(page, "+", "+", "+", "+")
    zoomed = label(page)
    pane = page.find_element("css selector", "[data-pane=b] canvas")
    drag = ActionChains(page).move_to_element_with_offset(pane, 6, 5)  # from the middle, where four squares meet
    drag.click_and_hold().move_by_offset(-37, 21).release().perform()
    found = re.fullmatch(r"column (\d+), row (\d+)   A (\d+ \d+ \d+)   B (\d+ \d+ \d+)   A − B (.+)",
                         page.execute_script("return document.getElementById('readout').textContent"))
    assert found and label(page) == zoomed
    x, y = int(found[1]), int(found[2])
    assert found[3] == " ".join(map(str, output[y, x])) and found[4] == " ".join(map(str, truth[y, x]))
    signed = [int(text.replace("−", "-")) for text in found[5].split()]
    assert signed == (output[y, x].astype(int) - truth[y, x]).tolist()
    row, column = pane.size["height"] // 2 + 26, pane.size["width"] // 2 - 31
    middle = [canvas(page, name)[row, column, :3].tolist() for name in "ab"]
    assert middle == [output[y, x].tolist(), truth[y, x].tolist()], "both at the place that is pointed at"


def test_the_choices_stand_in_the_address(page: Any, address: str, clicked_project: Path) -> None:
    _, _, identity = shown(clicked_project, 2, "vdsr")
    page.get("about:blank")
    page.get(f"{address}#a=bicubic&b=input&case=more/x2&picture={identity[:16]}&view=swipe&times=32&of=a-truth")
    soon(lambda: drawn(page), True)
    state = ("return ['case', 'picture', 'a', 'b', 'times', 'of']"
             ".map((name) => document.querySelector(`[name=${name}]`).value)")
    assert page.execute_script(state) == ["more/x2", identity[:16], "bicubic", "input", "32", "a-truth"]
    assert page.find_element("name", "swipe").is_selected()
    page.find_element("id", "swap").click()
    keys(page, "n")
    choose(page, "[name=case]", "photos/x2")
    _, _, following = shown(clicked_project, 3, "vdsr")
    soon(lambda: told(page), {"a": "input", "b": "bicubic", "case": "photos/x2", "picture": following[:16],
                              "view": "swipe", "times": "32", "of": "a-truth"})
    page.get(f"{address}#a=broken&b=nobody&case=nowhere&picture=none&times=3")
    soon(lambda: page.find_element("id", "fault").text, "broken has no picture here. nobody has no picture here.")
    assert page.execute_script(state)[0] == "photos/x2"
    choose(page, "[name=a]", "vdsr")
    soon(lambda: page.find_element("id", "fault").is_displayed(), False)


def test_the_swipe_shows_a_up_to_the_line(page: Any, clicked_project: Path) -> None:
    output, truth, _ = shown(clicked_project, 0, "vdsr")
    keys(page, "s", "1")
    soon(lambda: page.find_element("id", "cut-row").is_displayed(), True)
    keys(page, *"+" * 3)
    line = page.find_element("name", "cut")
    assert line.get_attribute("value") == "50"
    seen, scale = canvas(page, "a"), int(label(page).removesuffix(" %")) // 100
    row, half = seen.shape[0] // 2 + scale // 2, seen.shape[1] // 2
    near = [seen[row, half + by * scale + scale // 2, :3].tolist() for by in (-3, 2)]
    assert near == [output[24, 21].tolist(), truth[24, 26].tolist()]
    assert not page.find_element("css selector", "[data-pane=b] canvas").is_displayed()


def test_pages_lead_to_it(browser: Any, clicked_project: Path) -> None:
    browser.get((clicked_project / f"reports/gallery/{TASK}.html").as_uri())
    link = browser.find_element("link text", "compare two").get_attribute("href")
    best, second = read_table(clicked_project, TASK)["run"][:2]
    assert link.partition("/compare_")[2] == f"{TASK}.html#a={best}&b={second}&case=photos%2Fx2"
    browser.find_element("css selector", ".zoom[data-key=bicubic]").click()
    browser.find_element("id", "two").click()
    soon(lambda: "compare_" in browser.current_url and drawn(browser), True)
    assert [told(browser)[key] for key in ("a", "b", "case")] == ["bicubic", "truth", "photos/x2"]


def test_two_fingers_zoom_on_a_phone_and_nothing_overflows(browser: Any, address: str) -> None:
    browser.get("about:blank")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 2,
                                                                   "mobile": True})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    try:
        for end in ("", "&view=swipe"):
            browser.get(f"{address}#a=vdsr&b=truth{end}")
            browser.refresh()
            soon(lambda: drawn(browser), True)
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        browser.get(f"{address}#a=vdsr&b=truth")
        soon(lambda: drawn(browser), True)
        box = browser.execute_script("""
            const pane = document.querySelector('[data-pane=a] canvas');
            pane.scrollIntoView({ block: 'center' });
            const b = pane.getBoundingClientRect();
            return [b.left, b.top, b.width, b.height]""")
        middle = box[0] + box[2] / 2, box[1] + box[3] / 2
        fitted = float(re.findall(r"[\d.]+", label(browser))[0])
        for kind, far in (("touchStart", 12), ("touchMove", 24), ("touchMove", 36), ("touchMove", 48)):
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
                {"x": middle[0] + side * far, "y": middle[1], "id": place} for place, side in enumerate((-1, 1))]})
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        soon(lambda: float(re.findall(r"[\d.]+", label(browser))[0]) > 2.5 * fitted, True)
        assert "fit" not in label(browser)
        before = canvas(browser, "b")
        for kind, by in (("touchStart", 0), ("touchMove", 10), ("touchMove", 40)):
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
                {"x": middle[0] - by, "y": middle[1], "id": 0}]})
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        soon(lambda: bool((canvas(browser, "b") != before).any()), True)
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pixels_that_are_gone_are_named(browser: Any, clicked_project: Path, tmp_path: Path) -> None:
    build(clicked_project, tmp_path)
    for path in tmp_path.glob("pictures/*/*.js"):
        path.unlink()
    browser.get((tmp_path / f"compare_{TASK}.html").as_uri())
    soon(lambda: "cannot be read" in browser.find_element("id", "fault").text, True)


def test_no_pane_keeps_an_old_picture_under_new_names(browser: Any, clicked_project: Path, tmp_path: Path) -> None:
    build(clicked_project, tmp_path)
    browser.get((tmp_path / f"compare_{TASK}.html").as_uri())
    soon(lambda: bool(canvas(browser, "a").any()), True)
    for path in tmp_path.glob("pictures/*/*.js"):
        path.unlink()
    browser.execute_script("const one = document.getElementById('choices').elements.a;"
                           "one.value = [...one.options].find((option) => option.value !== one.value).value;"
                           "one.dispatchEvent(new Event('change', { bubbles: true }));")
    soon(lambda: "cannot be read" in browser.find_element("id", "fault").text, True)
    assert not browser.find_element("id", "told-a").text
    assert not canvas(browser, "difference").any() and (canvas(browser, "a") == canvas(browser, "a")[0, 0]).all()


def test_scripts_hold_the_same_pictures_and_go_with_them(clicked_project: Path, tmp_path: Path) -> None:
    build(clicked_project, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("pictures/*/*.js")}
    assert before and build(clicked_project, tmp_path).endswith(" 0 of them new.")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("pictures/*/*.js")} == before
    facts = json.loads(re.findall(r'id="data">(.*?)</script>', (tmp_path / f"compare_{TASK}.html").read_text())[0])
    assert {path.stem for path in before} == refs(facts)
    assert (tmp_path / f"compare_{TASK}.html").stat().st_size < 20_000 < sum(path.stat().st_size for path in before)
    next(iter(before)).with_name("00.js").write_text("x")
    build(clicked_project, tmp_path, pictures=1)
    left = set(tmp_path.glob("pictures/*/*.js"))
    assert left and left < set(before), "what no page shows is deleted"
    files = Files(tmp_path / "new")
    ref = files.add(np.zeros((2, 2, 3), np.uint8))["ref"]
    files.embed(ref)
    files.settle()
    script = next((tmp_path / "new").rglob("*.js"))
    assert script.with_suffix(".png").exists() and Image.open(script.with_suffix(".png")).size == (2, 2)
    assert re.fullmatch(rf'Pixels\.take\("{ref}","[A-Za-z0-9+/=]+"\);\n', script.read_text())


def test_the_facts_name_every_shot_once() -> None:
    given = [{"key": "truth", "picture": "t+", "size": [4, 3]},
             {"key": "input", "picture": "i", "size": [2, 3], "frames": 5}]
    tiles = [{"run": 1, "picture": "b", "size": [4, 3], "values": [1.5, None]}, {"run": 0, "status": "failed"}]
    facts = pairs({"task": TASK, "runs": ["one", "two"], "metrics": [], "cases": [{"name": "s/x2", "pictures": [
        {"id": "0f", "name": "n", "width": 4, "height": 3, "given": given, "tiles": tiles}]}]})
    assert facts["cases"][0]["pictures"][0]["shots"] == [
        ["input", "i", 2, 3, 5], ["two", "b", 4, 3, 1, 1.5, None], ["truth", "t", 4, 3, 1]]
    assert refs(facts) == {"t", "i", "b"} and first_pair(facts) == "a=two&b=truth&case=s%2Fx2"
    assert first_pair({"cases": [{"name": "s/x2", "pictures": []}]}) == ""
