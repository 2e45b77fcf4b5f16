"""What is shown beyond plain pictures: frames, bars, words, annotations, and the groups of the first page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_ml import registry
from restore_ml.data import shards
from restore_ml.data.shards import Record
from restore_ml.kinds import PALETTE
from restore_ml.report import gallery
from restore_ml.report.gallery import Files, build, link
from restore_ml.report.pairs import pairs
from restore_ml.report.pictures import TaskPictures, first_outputs
from restore_ml.report.view import TaskView, guides_of, guides_of_task
from restore_ml.tasks.panels import MOST_FRAMES, Panel, boxed, colours, dotted, enlarged, hinted, outlined, panel
from restore_ml.tasks.super_resolution.evaluation import SuperResolution
from tests.report.shown import SHOWS
from tests.report.test_gallery import TASK, Page
from tests.tracking import small_project

GREY = np.full((20, 30, 1), 90, np.uint8)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project.build(tmp_path_factory.mktemp("shown") / "project", pictures=2)


def built(project: Path, out: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict[str, Any]], str]:
    """The pictures of a gallery whose task shows that kind, and its blind test's page."""
    monkeypatch.setattr(SuperResolution, "show", SHOWS[kind])
    build(project, out)
    return Page(out / f"{TASK}.html").pictures(), (out / "turing.html").read_text()


def read(out: Path, ref: str, small: bool = False) -> np.ndarray:
    with Image.open(out / link(ref, small)) as image:
        return np.asarray(image)


def tile(picture: dict[str, Any], run: int = 0) -> dict[str, Any]:
    return next(one for one in picture["tiles"] if "picture" in one)


def keys(picture: dict[str, Any]) -> list[str]:
    return [shot["key"] for shot in picture["given"]]


def test_clips_lie_in_one_file_frame_below_frame(project: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, blind = built(project, tmp_path, "clips", monkeypatch)
    seen, truth = pictures[0]["given"]
    assert (seen["frames"], truth["frames"], tile(pictures[0])["frames"]) == (3, 5, 5)
    assert seen["caption"] == "every second frame" and truth["size"] == [48, 48]
    frames = read(tmp_path, truth["picture"])
    assert frames.shape == (5 * 48, 48, 3) and np.array_equal(frames[:48], small_project.picture(0))
    assert np.array_equal(frames[96:144], np.roll(small_project.picture(0), 8, axis=1))
    assert np.array_equal(read(tmp_path, seen["picture"])[48:96], frames[96:144])
    assert "vdsr" in blind  # with the frame in the middle
    _, still = next(iter(first_outputs(project, TASK, "bicubic", 1)))
    assert still.shape == (48, 48, 3)
    index = (tmp_path / "index.html").read_text()
    assert "--frames:5;--frame:2" in index and "aspect-ratio:48 / 48" in index


def test_a_class_comes_with_its_probabilities(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, blind = built(project, tmp_path, "classification", monkeypatch)
    assert tile(pictures[0])["shares"] == [["bicycle", 0.52, False], ["bridge", 0.3, False], ["bus", 0.1, False],
                                           ["car", 0.05, False], ["stairs", 0.027, False], ["crosswalk", 0.003, True]]
    assert tile(pictures[0])["caption"] == "bicycle" and "frames" not in tile(pictures[0])
    assert '"pictures":[' not in blind  # nobody takes a word for a picture


def test_several_results_lie_beside_the_first(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, blind = built(project, tmp_path, "several", monkeypatch)
    seen = tile(pictures[0])
    first, second, third = (read(tmp_path, ref).astype(int) for ref in (seen["picture"], *seen["others"]))
    assert np.array_equal(second, 255 - first) and np.array_equal(third, first[:, ::-1])
    assert seen["picture"].rstrip("+") in blind and not any(ref.rstrip("+") in blind for ref in seen["others"])
    data = Page(tmp_path / f"{TASK}.html").data
    run = data["runs"][seen["run"]]
    shots = pairs(data)["cases"][0]["pictures"][0]["shots"]
    assert [shot[0] for shot in shots if shot[0].startswith(run)] == [run, f"{run} (2)", f"{run} (3)"]
    names = [name for name, _ in first_outputs(project, TASK, run, 1)]
    assert names[1:] == [f"{names[0]}_drawn2", f"{names[0]}_drawn3"]


@pytest.mark.parametrize(("kind", "given", "blind"), [
    ("segmentation", ["input", "truth"], False), ("detection", ["input", "truth"], False),
    ("contrasts", ["input", "t2", "flair", "pd", "truth"], False), ("style", ["input", "style"], False),
    ("hints", ["input", "scribbles", "truth"], True)])
def test_what_a_sample_has_is_shown_in_its_order(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 kind: str, given: list[str], blind: bool) -> None:
    pictures, page = built(project, tmp_path, kind, monkeypatch)
    assert [keys(picture) for picture in pictures] == [given] * 2
    assert ('"pictures":[' in page) is blind
    for shot in [*pictures[0]["given"], tile(pictures[0])]:
        height, width = read(tmp_path, shot["picture"]).shape[:2]
        assert [width, height] == shot["size"] and (tmp_path / link(shot["picture"], small=True)).exists()
    if kind == "segmentation":  # the pair in the viewer has the size of the larger one
        assert pictures[0]["given"][0]["size"] == [48, 48]
        assert (pictures[0]["width"], pictures[0]["height"]) == (192, 192)
    if kind == "style":
        assert pictures[0]["given"][1]["size"] == [48, 24] and pictures[0]["truth"] is None


TOLD: dict[str, Any] = {"palette": ["#a02020", "#2060a0"], "text": "red ball"}


def give_guides(monkeypatch: pytest.MonkeyPatch, **taken: tuple[str, ...]) -> None:
    """The task of the small project has optional inputs, and its methods take those."""
    monkeypatch.setattr(SuperResolution, "show", SHOWS["guides"])
    monkeypatch.setattr(TaskPictures, "told", lambda *_: TOLD)
    monkeypatch.setattr("restore_ml.report.view.guides_of_task", lambda _: frozenset({"reference", *TOLD}))
    monkeypatch.setattr("restore_ml.report.view.guides_of", lambda _, method: taken.get(method, ()))


def test_what_a_method_was_told_stands_in_front_and_below_its_result(project: Path, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    give_guides(monkeypatch, vdsr=("palette", "reference"), bicubic=("text",))
    build(project, tmp_path)
    page = Page(tmp_path / f"{TASK}.html")
    picture = page.pictures()[0]
    assert keys(picture) == ["input", "reference", "palette", "text", "truth"]
    given = {shot.pop("key"): shot for shot in picture["given"]}
    assert given["palette"] == {"told": ["#a02020", "#2060a0"]} and given["text"] == {"told": ["red ball"]}
    assert given["reference"]["size"] == [48, 24] and picture["truth"] == given["truth"]["picture"]
    told = {page.data["runs"][tile["run"]]: tile.get("guides") for tile in picture["tiles"] if "picture" in tile}
    assert told == {"vdsr": ["palette", "reference"], "bicubic": ["text"]}
    shots = pairs(Page(tmp_path / f"{TASK}.html").data)["cases"][0]["pictures"][0]["shots"]
    assert [shot[0] for shot in shots][:2] == ["input", "reference"] and not {shot[0] for shot in shots} & {*TOLD}
    assert "<figcaption>truth</figcaption>" in (tmp_path / "index.html").read_text()


def test_guides_as_a_reader_sees_them(browser: Any, project: Path, tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours with their codes and words in front; small and with names for who cannot see them below a result."""
    give_guides(monkeypatch, vdsr=("palette", "reference"), bicubic=("text",))
    build(project, tmp_path)
    browser.get((tmp_path / f"{TASK}.html").as_uri())

    def found(selector: str) -> list[Any]:
        return browser.find_elements("css selector", f".picture:first-of-type {selector}")

    assert [one.text for one in found("[data-given=palette] .swatch")] == ["#a02020", "#2060a0"]
    assert found("[data-given=palette] .swatch")[0].value_of_css_property("background-color") == "rgba(160, 32, 32, 1)"
    assert [one.text for one in found("[data-given=text] q")] == ["red ball"] and not found("[data-given=text] button")
    small = found("[data-run=vdsr] .guide")
    assert [one.text for one in small] == ["given reference", "given palette"]
    assert [one.get_attribute("aria-label") for one in found("[data-run=vdsr] .guide .swatch")] == TOLD["palette"]
    picture = found("[data-run=vdsr] .guide img")[0]
    assert picture.get_attribute("alt") == "picture 0.png, reference" and picture.size["width"] < 60
    assert picture.get_attribute("src") == found("[data-given=reference] img")[0].get_attribute("src")
    assert found("[data-run=bicubic] .guide")[0].text.replace("\n", " ") == "given text “red ball”"
    found("[data-run=vdsr] .zoom")[0].click()
    options = [one.text for one in browser.find_elements("css selector", "#left option")]
    assert options == ["input", "reference", "vdsr", "bicubic", "truth"]
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_what_no_method_of_the_case_is_told_is_not_shown(project: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    give_guides(monkeypatch, bicubic=("text",))
    pictures, _ = built(project, tmp_path, "guides", monkeypatch)
    assert keys(pictures[0]) == ["input", "text", "truth"] and "guides" not in tile(pictures[0]) | {}
    view = TaskView(project, TASK, Files(tmp_path), 2)
    case = view.pictures.cases()[0]
    rows = [{"run": "bicubic", "status": "unsupported"}, {"run": "vdsr", "status": "ok"}]
    picture = view._picture(case, *view.pictures.samples(case)[0], rows, {}, view.metrics)
    assert keys(picture) == ["input", "truth"]  # the one that is told it does not stand in this case
    give_guides(monkeypatch)
    pictures, _ = built(project, tmp_path, "guides", monkeypatch)
    assert keys(pictures[0]) == ["input", "truth"]


def test_guides_are_the_optional_inputs_as_people_write_them(tmp_path: Path) -> None:
    parts = registry.parts("guided_colorization")
    assert parts.cases is not None and parts.optional is not None
    picture = Record("a" * 64, {"image": small_project.picture(1, 64)}, {"name": "a"})
    sample = parts.cases.sample(picture, "hints_1", 1, {"size": 64})
    rng = np.random.default_rng(1)
    drawn = {name: parts.optional.draw(name, sample, "hints_1", rng) for name in parts.optional.inputs}
    folder = tmp_path / "samples/guided_colorization/inputs/photos"
    shards.write(folder / "hints_1.arrow", [Record(picture.id, {**sample.inputs, **drawn}, {})])
    shards.write(folder / "hints_0.arrow", [Record(picture.id, sample.inputs, {})])
    pictures = TaskPictures(tmp_path, "guided_colorization")
    found = pictures.told("photos/hints_1", picture.id)
    assert found == registry.sample_files("guided_colorization").told(drawn)
    assert set(found) == {"palette", "text"} and all(len(code) == 7 for code in found["palette"])
    assert pictures.told("photos/hints_0", picture.id) == {}


def test_numbers_and_what_no_method_may_miss_are_no_guides(project: Path, tmp_path: Path) -> None:
    """An azimuth and a mask of scratches are optional inputs too; a factor of every sample is none."""
    assert guides_of_task("guided_colorization") == {"palette", "reference", "text"}
    assert guides_of("guided_colorization", "palette_guided") == ("palette",)
    assert guides_of("guided_colorization", "colorization.gray_ab0") == ()
    assert guides_of("guided_colorization", "outside") == guides_of("guided_colorization", "gone") == ()
    assert guides_of_task(TASK) == frozenset() and guides_of(TASK, "vdsr") == ()
    pictures = TaskPictures(project, TASK)
    case = pictures.cases()[0]
    assert pictures.told(case, pictures.samples(case)[0][0]) == {}
    inputs = Record("b" * 64, {"azimuth": np.float32([30])}, {})
    shards.write(tmp_path / "samples/cloud_detection/inputs/scenes/clouds.arrow", [inputs])
    assert TaskPictures(tmp_path, "cloud_detection").told("scenes/clouds", inputs.id) == {}


def test_large_clips_get_small_frames(tmp_path: Path) -> None:
    files = Files(tmp_path)
    clip = np.stack([np.full((300, 500, 3), 20 * number, np.uint8) for number in range(4)])
    added = files.add(clip)
    files.settle()
    assert (added["width"], added["height"], added["frames"]) == (500, 300, 4) and added["ref"].endswith("+")
    assert read(tmp_path, added["ref"]).shape == (1200, 500, 3)
    small = read(tmp_path, added["ref"], small=True)
    assert small.shape == (4 * 192, 320, 3) and abs(int(small[3 * 192 + 96, 160, 0]) - 60) <= 2


def test_long_clips_are_shown_at_even_times() -> None:
    clip = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    frames = Panel(clip).frames
    assert len(frames) == MOST_FRAMES and (frames[0, 0, 0, 0], frames[-1, 0, 0, 0]) == (0, 99)
    assert Panel(clip).still[0, 0, 0] == 50 and panel(clip[0]).frames.shape == (1, 4, 4, 3)


def test_outlines_are_a_pixel_wide_in_the_colour_of_their_number() -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 5:15], labels[5:15, 15:20] = 1, 10  # numbers beyond the palette begin again without its black
    seen = outlined(GREY, labels, least=20, fill=0)
    assert seen.shape == (20, 30, 3)
    assert (seen[5, 5:14] == PALETTE[1]).all() and (seen[10, 14] == PALETTE[1]).all()
    assert (seen[10, 15] == colours(10)).all() and (colours(10) == PALETTE[2]).all()
    assert (seen[10, 10] == 90).all() and (seen[4] == 90).all() and (seen[10, 20] == 90).all()
    tinted = outlined(GREY, labels, least=20, fill=0.5)
    assert (tinted[10, 10] == np.rint(45 + PALETTE[1] / 2)).all()
    assert outlined(GREY, labels, least=60).shape == (60, 90, 3)


def test_boxes_lie_on_their_edges() -> None:
    seen = boxed(np.repeat(GREY, 3, 2), np.array([[4, 6, 12, 16], [0, 0, 0, 0]]), numbers=(3, 1), least=20)
    paint = PALETTE[3]
    assert (seen[6, 4:12] == paint).all() and (seen[15, 4:12] == paint).all() and (seen[6:16, 11] == paint).all()
    assert (seen[10, 8] == 90).all() and (seen[10, 15] == 90).all() and (seen[0, 0] == 90).all()
    named = boxed(np.repeat(GREY, 3, 2), np.array([[4, 6, 12, 16]]), ("nucleus",), (3,))
    assert named.shape == (200, 300, 3) and (named[40:60, 42] == paint).any()


def test_dots_and_hints_lie_at_their_places() -> None:
    seen = dotted(GREY, np.array([[10, 5]]), np.array([[255, 0, 7]], np.uint8), least=20)
    assert (seen[5, 10] == (255, 0, 7)).all() and (seen[5, 16] == 90).all() and (seen[5, 13] == 255).all()
    large, factor = enlarged(GREY)
    assert factor == 10 and large.shape == (200, 300, 3)
    where = np.zeros((20, 30), np.uint8)
    where[4:6, 4:9] = 1
    paint = np.zeros((20, 30, 3), np.uint8)
    paint[..., 1] = 200
    drawn = hinted(GREY, paint, where, least=20)
    assert (drawn[4:6, 4:9] == (0, 200, 0)).all() and (drawn[3, 4:9] == 255).all() and (drawn[8, 4] == 90).all()


def test_tasks_are_grouped_by_their_word_or_their_data(monkeypatch: pytest.MonkeyPatch) -> None:
    import restore_ml.tasks.inpainting
    from restore_ml.registry import group

    assert group("super_resolution") == "photos" and group("frame_interpolation") == "clips"
    monkeypatch.setattr(restore_ml.tasks.inpainting, "GROUP", "filling", raising=False)
    shown: list[str] = ["super_resolution", "inpainting", "colorization"]
    assert gallery.grouped(shown) == [("photos", ["super_resolution", "colorization"]), ("filling", ["inpainting"])]


def test_methods_know_what_they_are(project: Path, tmp_path: Path) -> None:
    build(project, tmp_path)
    page = (tmp_path / f"{TASK}.html").read_text()
    assert 'data-method="bicubic" data-kind="no training" data-pinned' in page
    data = Page(tmp_path / f"{TASK}.html").data
    assert 'value="kind:network"' in page and dict(zip(data["runs"], data["kinds"], strict=True)) == {
        "bicubic": "no training", "vdsr": "network", "broken": "network"}
