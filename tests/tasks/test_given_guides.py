"""Guides of guided_colorization as a person gives them: files, texts, points and strokes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from restore_ml import cli, registry
from restore_ml.arrays import words
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_json, write_text
from restore_ml.data.file_kinds import COLOURS, POINTS, WORDS, Points, Read, Stroke
from restore_ml.data.file_kinds.kind import Refused
from restore_ml.degradations.colour import rgb_to_lab, to_rgb8
from restore_ml.method import Method, Model
from restore_ml.restoring import harness
from restore_ml.serving.photos import answer
from restore_ml.serving.restore_command import restore_row
from restore_ml.tasks.guided_colorization.gamut import snapped
from restore_ml.tasks.guided_colorization.photos import palette_array, reference_array, text_array
from restore_ml.tasks.guided_colorization.strokes import PIECE, stroke
from restore_ml.tasks.photos import Asked

OPTIONAL = registry.parts("guided_colorization").optional


def test_files_of_colours_and_words() -> None:
    found = COLOURS.decode(b"\xef\xbb\xbf#a02020, #FA0; navy\nLight Blue\n").value
    assert found.tolist() == [[160, 32, 32], [255, 170, 0], [0, 0, 128], [173, 216, 230]] and found.dtype == np.uint8
    assert WORDS.decode(b" red ball\n").value == "red ball" and WORDS.text and COLOURS.text
    for kind, broken, said in ((COLOURS, b"#a0202", "'#a0202' is no colour; write it as #rrggbb"),
                               (COLOURS, b"nvy", r"nearest is 'navy'"), (COLOURS, b" ", "nothing is said"),
                               (COLOURS, b",", "no colour in it"), (WORDS, b"\xff", "no text in UTF-8"),
                               (WORDS, b"a" * 70_000, "too large a file: 70000 bytes")):
        with pytest.raises(Refused, match=said):
            kind.decode(broken)
    assert POINTS.decode(b'{"points": [{"x": 1, "y": 2, "colour": "#a02020"}]}').value.colours.tolist() == [
        [160, 32, 32]]
    with pytest.raises(Refused, match="the colour of point 0, '#a0' is no colour"):
        POINTS.decode(b'{"points": [{"x": 1, "y": 2, "colour": "#a0"}]}')


class Guided(Method):
    """Takes what `inputs` says; the colour of all pixels is that of the first of the palette."""

    task = "guided_colorization"
    paper: dict[str, Any] = {}


def test_arrays_of_guides() -> None:
    assert OPTIONAL is not None
    two = palette_array(np.array([[160, 32, 32], [32, 96, 160]], np.uint8)).reshape(5, 3)
    np.testing.assert_allclose(two[[0, 1]], rgb_to_lab(np.array([[160, 32, 32], [32, 96, 160]]) / 255), atol=1e-3)
    np.testing.assert_array_equal(two[[2, 3, 4]], two[[0, 1, 0]])
    assert OPTIONAL.inputs["palette"].problem(two.ravel()) is None
    with pytest.raises(UserError, match="The palette has 6 colours; at most 5"):
        palette_array(np.zeros((6, 3), np.uint8))
    large = reference_array(np.ascontiguousarray(data.coffee()))
    assert large.shape[0] == 256 and OPTIONAL.inputs["reference"].problem(large) is None
    with pytest.raises(UserError, match="The reference has no colour"):
        reference_array(np.full((40, 40, 1), 99, np.uint8))
    assert words(text_array("The red ball, on grass")) == "red ball ground"
    for colourless in ("the", "ball", "the sky and the ground"):
        with pytest.raises(UserError, match=f"'{colourless}' says no colour"):
            text_array(colourless)
    assert words(text_array("red")) == "red"
    with pytest.raises(UserError, match="Did you mean 'green'"):
        text_array("gren ground")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """What a model is given of a person's files."""
    seen: list[dict[str, np.ndarray]] = []

    def restore(method: Method, model: Model, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        seen.append(inputs)
        return {"ab": np.zeros((*inputs["L"].shape[:2], 2), np.float32)}

    monkeypatch.setattr("restore_ml.serving.photos.restore", restore)
    return seen


def guided(*inputs: str) -> Method:
    method = Guided({})
    method.inputs = inputs  # type: ignore[misc]
    return method


def test_a_model_gets_the_guide_that_it_takes_and_no_hints(watched: list[dict[str, np.ndarray]]) -> None:
    sepia = np.broadcast_to(np.uint8([150, 120, 80]), (40, 50, 3)).copy()
    given = {"image": Read(sepia), "palette": Read(np.array([[160, 32, 32]], np.uint8))}
    answer(guided("palette"), Model(), given, Asked())
    [seen] = watched
    np.testing.assert_array_equal(seen["palette"], palette_array(np.array([[160, 32, 32]], np.uint8)))
    assert not seen["hinted"].any() and not seen["hint"].any() and "reference" not in seen
    colourful = np.ascontiguousarray(data.coffee()[:100, :120])
    answer(guided("reference", "text"), Model(), {"image": Read(sepia), "reference": Read(colourful),
                                                  "text": Read("red ball")}, Asked())
    np.testing.assert_array_equal(watched[1]["reference"], colourful)
    assert words(watched[1]["text"]) == "red ball"


def test_a_print_in_one_tone_is_grey_to_a_model_with_a_guide(watched: list[dict[str, np.ndarray]]) -> None:
    """0.299 R + 0.587 G + 0.114 B of (150, 120, 80) is 124.41; a picture in colour keeps its Lab lightness, and both
    are told of."""
    sepia = np.broadcast_to(np.uint8([150, 120, 80]), (40, 50, 3)).copy()
    colourful = np.ascontiguousarray(data.astronaut()[:100, 150:290])
    for method, guide in ((guided("palette"), {"palette": Read(np.array([[160, 32, 32]], np.uint8))}),
                          (guided("text"), {"text": Read("red ball")}),
                          (guided("reference"), {"reference": Read(colourful)})):
        answer(method, Model(), {"image": Read(sepia), **guide}, Asked())
        grey = rgb_to_lab(np.full((1, 3), 124.41 / 255))[0, 0]
        np.testing.assert_allclose(watched[-1]["L"], np.full((40, 50, 1), grey), atol=1e-3)
        assert abs(grey - rgb_to_lab(np.array([[150, 120, 80]]) / 255)[0, 0]) > 0.1
        assert not watched[-1]["hinted"].any()
        answer(method, Model(), {"image": Read(colourful), **guide}, Asked())
        np.testing.assert_allclose(watched[-1]["L"], rgb_to_lab(colourful / 255)[..., :1], atol=1e-3)
        photos = registry.photos("guided_colorization")
        assert photos is not None
        said = [photos.remark(method, {"image": Read(picture)}) for picture in (sepia, colourful, sepia[..., :1])]
        assert "one tone" in said[0] and "in colour already" in said[1] and not said[2]


def test_a_faint_tone_is_no_hint_and_no_grey(watched: list[dict[str, np.ndarray]]) -> None:
    """|a| and |b| below 5 each, chroma above 5: a print all the same."""
    faint = to_rgb8(np.full((40, 50, 1), 60.0), np.broadcast_to(np.float64([4.2, 4.2]), (40, 50, 2)))
    hints = registry.method("guided_colorization", "nearest_hint", {})
    with pytest.raises(UserError, match="More than half of the picture is coloured"):
        answer(hints, Model(), {"image": Read(faint)}, Asked())
    photos = registry.photos("guided_colorization")
    assert photos is not None and photos.remark(hints, {"image": Read(faint)}) == ""


def test_a_guide_that_is_not_taken_or_not_given() -> None:
    grey = Read(np.full((40, 50, 3), 120, np.uint8))
    colours, points = Read(np.array([[160, 32, 32]], np.uint8)), Read(Points(np.zeros((1, 2), np.float32)))
    hints = registry.method("guided_colorization", "nearest_hint", {})
    for method, given, said in (
            (hints, {"palette": colours}, "nearest_hint takes no palette; leave it out, or name a run of palette_g"),
            (guided("palette"), {"palette": colours, "points": points}, "takes no points; .*nearest_hint or user_h"),
            (guided("palette"), {}, r"needs a palette: give --palette '#a02020, #2060a0'; over HTTP, a column"),
            (guided("text"), {"palette": colours}, "takes no palette"), (guided("text"), {}, "give --text 'red ball'"),
            (guided("reference"), {}, "give --reference FILE")):
        with pytest.raises(UserError, match=said):
            answer(method, Model(), {"image": grey, **given}, Asked())
    with pytest.raises(UserError, match="needs a palette"):
        from restore_ml.serving.photos import restore_photo

        restore_photo(guided("palette"), Model(), grey.value)


def test_the_colour_of_a_point_is_taken_at_the_lightness_of_its_pixel(watched: list[dict[str, np.ndarray]]) -> None:
    picture = np.full((40, 50, 3), 120, np.uint8)
    picture[:, 25:] = 230
    points = Points(np.array([[3, 5], [40, 7]], np.float32), np.array([[0, 0, 255], [0, 0, 255]], np.uint8))
    answer(registry.method("guided_colorization", "nearest_hint", {}), Model(),
           {"image": Read(picture), "points": Read(points)}, Asked())
    blue = rgb_to_lab(np.array([[0, 0, 255]]) / 255)[:, 1:]
    for x, y, level in ((3, 5, 120), (40, 7, 230)):
        lightness = rgb_to_lab(np.full((1, 3), level / 255))[:, 0]
        np.testing.assert_allclose(watched[0]["hint"][y, x], snapped(lightness, blue)[0], atol=0.05)
    assert watched[0]["hinted"].sum() == 2 and np.hypot(*watched[0]["hint"][7, 40]) < 40


def test_a_point_is_the_pixel_whose_middle_is_nearest(watched: list[dict[str, np.ndarray]]) -> None:
    places = [(3.6, 5.4), (-0.4, 39.4), (20.5, 10.49), (49.49, 0)]
    points = Points(np.array(places, np.float32), np.full((4, 3), (200, 30, 30), np.uint8))
    answer(registry.method("guided_colorization", "nearest_hint", {}), Model(),
           {"image": Read(np.full((40, 50, 3), 120, np.uint8)), "points": Read(points)}, Asked())
    there = np.argwhere(watched[0]["hinted"][..., 0])
    assert sorted(map(tuple, there.tolist())) == [(0, 49), (5, 4), (10, 21), (39, 0)]


def beneath(places: Any, width: float, size: tuple[int, int]) -> np.ndarray:
    """A stroke as a map."""
    found = np.zeros(size, bool)
    for rows, columns in stroke(np.asarray(places, np.float32), width, size):
        found[rows, columns] = True
    return found


COORDINATE = st.one_of(st.integers(-4, 70), st.floats(-4, 70, width=32))


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(places=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5),
       width=st.one_of(st.sampled_from([1, 2, 3, 100]), st.floats(1, 40)), height=st.integers(1, 60),
       broad=st.integers(1, 60))
def test_beneath_a_stroke_are_the_pixels_within_half_its_width(places: list[tuple[float, float]], width: float,
                                                               height: int, broad: int) -> None:
    """Distances by another way: across a segment where a pixel lies beside it, else from the nearer end."""
    rows, columns = np.mgrid[:height, :broad]
    pixels = np.stack([columns, rows], 2).astype(np.float64)
    points, distance = np.array(places, np.float32).astype(np.float64), np.full((height, broad), np.inf)
    for point in points:
        distance = np.minimum(distance, np.linalg.norm(pixels - point, axis=2))
    for start, end in pairwise(points):
        length = np.linalg.norm(end - start)
        if length > 1e-5:
            along = (end - start) / length
            place = (pixels - start) @ along
            across = np.abs((pixels - start) @ np.array([-along[1], along[0]]))
            distance = np.where((place >= 0) & (place <= length), np.minimum(distance, across), distance)
    own = np.zeros((height, broad), bool)
    for x, y in np.floor(points + 0.5).astype(int):
        if 0 <= x < broad and 0 <= y < height:
            own[y, x] = True
    found = beneath(places, width, (height, broad))
    sure = np.abs(distance - width / 2) > 1e-4
    np.testing.assert_array_equal(found[sure], (own | (distance < width / 2))[sure])


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(places=st.lists(st.tuples(st.floats(0, 59, width=32), st.floats(0, 49, width=32)), min_size=2,
                                  max_size=4), width=st.floats(1, 3))
def test_a_stroke_has_no_gap(places: list[tuple[float, float]], width: float) -> None:
    found = beneath(places, width, (50, 60)).astype(np.uint8)
    assert cv2.connectedComponents(found, connectivity=8)[0] == 2
    assert all(found[int(np.floor(y + 0.5)), int(np.floor(x + 0.5))] for x, y in places)


def test_strokes_by_hand() -> None:
    def shown(*of: Any) -> list[str]:
        return ["".join(".#"[there] for there in row) for row in beneath(*of).astype(int)]

    assert shown([(2, 1)], 1, (3, 5)) == [".....", "..#..", "....."]
    assert shown([(2, 1), (2, 1)], 2, (3, 5)) == ["..#..", ".###.", "..#.."]
    assert shown([(1, 1), (3, 1)], 1, (3, 5)) == [".....", ".###.", "....."]
    assert shown([(1, 1), (3, 1)], 3, (4, 6)) == ["#####.", "#####.", "#####.", "......"]
    assert shown([(0, 0), (3, 3)], 1, (4, 4)) == ["#...", ".#..", "..#.", "...#"]
    assert shown([(1, 0.5), (3, 0.5)], 1, (3, 5)) == [".###.", ".###.", "....."]  # on the line between two rows
    assert shown([(0.5, 0.5)], 1, (2, 3)) == ["...", ".#."]  # too far from every centre: the pixel that it lies in
    assert shown([(4.4, 2)], 2, (3, 5)) == [".....", ".....", "....#"]  # cut off at the edge
    long = beneath([(0, 2), (10 * PIECE, 2)], 3, (5, 10 * PIECE + 1))
    assert long[1:4].all() and not long[[0, 4]].any()


def test_a_stroke_is_the_hints_of_the_pixels_beneath_it(watched: list[dict[str, np.ndarray]]) -> None:
    """Its colour at the lightness of each; a later stroke lies over an earlier one, points over both."""
    picture = np.full((40, 50, 3), 120, np.uint8)
    picture[:, 25:] = 230
    blue, red = np.array([0, 0, 255], np.uint8), np.array([200, 30, 30], np.uint8)
    first = Stroke(np.array([[5, 20], [45, 20]], np.float32), 5, blue)
    second = Stroke(np.array([[10, 5], [10, 35]], np.float32), 3, red)
    points = Points(np.array([[10, 20]], np.float32), np.array([[128, 128, 128]], np.uint8), (first, second))
    for method in ("nearest_hint", "user_hints"):
        answer(registry.method("guided_colorization", method, {}), Model(),
               {"image": Read(picture), "points": Read(points)}, Asked())
        seen = watched[-1]
        one, other = (beneath(line.places, line.width, (40, 50)) for line in (first, second))
        np.testing.assert_array_equal(seen["hinted"][..., 0] > 0, one | other)
        assert seen["hint"].dtype == seen["hinted"].dtype == np.float32 and not seen["hint"][~(one | other)].any()
        chosen = rgb_to_lab(np.stack([blue, red, [128, 128, 128]]) / 255)[:, 1:]
        for x, y, colour, level in ((7, 20, 0, 120), (45, 21, 0, 230), (9, 20, 1, 120), (11, 6, 1, 120),
                                    (10, 20, 2, 120)):
            lightness = rgb_to_lab(np.full((1, 3), level / 255))[:, 0]
            np.testing.assert_allclose(seen["hint"][y, x], snapped(lightness, chosen[colour:colour + 1])[0], atol=0.05)
    alone = Points(np.zeros((0, 2), np.float32), None, (first,))
    answer(registry.method("guided_colorization", "nearest_hint", {}), Model(),
           {"image": Read(picture), "points": Read(alone)}, Asked())
    np.testing.assert_array_equal(watched[-1]["hinted"][..., 0] > 0, one)
    with pytest.raises(UserError, match="points have no colours"):
        answer(registry.method("guided_colorization", "nearest_hint", {}), Model(),
               {"image": Read(picture), "points": Read(Points(np.zeros((1, 2), np.float32), None, (first,)))}, Asked())


def test_hints_of_a_large_picture_are_snapped_strip_by_strip(watched: list[dict[str, np.ndarray]],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(3).integers(20, 236, (40, 50, 1)).astype(np.uint8).repeat(3, 2)
    line = Stroke(np.array([[3, 3], [45, 36]], np.float32), 9, np.array([0, 0, 255], np.uint8))
    given = {"image": Read(picture), "points": Read(Points(np.zeros((0, 2), np.float32), None, (line,)))}
    for strip in (2**19, 150):
        monkeypatch.setattr("restore_ml.tasks.guided_colorization.photos.STRIP", strip)
        answer(registry.method("guided_colorization", "nearest_hint", {}), Model(), given, Asked())
    np.testing.assert_array_equal(watched[0]["hint"], watched[1]["hint"])
    assert watched[0]["hinted"].sum() > 300


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """`restore-ml restore` in a project with a model of nearest_hint."""
    folder = tmp_path / "project/models/guided_colorization/run"
    folder.mkdir(parents=True)
    write_json(folder / "model.json", {
        "run": "run", "task": "guided_colorization", "method": "nearest_hint", "settings": {}, "seed": 1, "slots": {},
        "status": "ok", "reason": "", "weights_sha256": ""})
    write_text(tmp_path / "project/params.yaml", "profile: quick\n")
    monkeypatch.setenv("RESTORE_ML_ROOT", str(tmp_path / "project"))
    yield lambda *rest, task="guided_colorization": cli.main(["restore", "--task", task, "--model", "run",
                                                              *map(str, rest)])


def test_guides_on_the_command_line(run: Callable[..., int], tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run of points; what the other guides become is tested above."""
    grey, out = tmp_path / "in/a.png", tmp_path / "new.png"
    grey.parent.mkdir()
    Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(grey)
    hints = tmp_path / "hints.json"
    hints.write_text(json.dumps({"points": [{"x": 5, "y": 5, "colour": "#d03030"}]}))
    assert run(grey, "--hints", hints, "-o", out) == 0
    assert rgb_to_lab(np.asarray(Image.open(out)) / 255)[..., 1].min() > 20
    strokes = tmp_path / "strokes.json"
    strokes.write_text(json.dumps({"strokes": [{"points": [[5, 5], [50, 30]], "width": 3, "colour": "#3030d0"}]}))
    assert run(grey, "--hints", strokes, "-o", out) == 0
    assert rgb_to_lab(np.asarray(Image.open(out)) / 255)[..., 2].max() < -20
    broken = tmp_path / "broken.json"
    broken.write_text(strokes.read_text().replace("width", "wide"))
    capsys.readouterr()
    for more, said in ((("--hints", broken), "stroke 0 has the unknown key 'wide'; the keys are points, width, colour"),
                       (("--hints", tmp_path / "no.json"), "There is no points"),
                       (("--hints", hints, "--with", f"points={hints}"), "--hints and --with points="),
                       (("--palette", "#a0202"), "The palette cannot be used: '#a0202' is no colour"),
                       (("--palette", "navy"), "takes no palette; leave it out"),
                       (("--reference", tmp_path / "no.jpg"), "There is no reference"),
                       (("--reference", grey), "takes no reference"), (("--text", "red ball"), "takes no text")):
        assert run(grey, *more, "-o", out) == 2
        assert said in capsys.readouterr().err
        hidden = tmp_path / "out"
        if said[:3] in ("The", "--h"):
            assert run(grey.parent, *more, "-o", hidden) == 2
            capsys.readouterr()
    assert run(grey.parent, "--palette", "navy", "-o", tmp_path / "out") == 1
    assert "takes no palette" in (tmp_path / "out/report.csv").read_text()
    assert run(grey.parent, "--palette", "navy", "-o", tmp_path / "out", task="colorization") == 2
    assert "colorization takes no 'palette'; it takes image" in capsys.readouterr().err


def test_words_go_to_every_picture_of_a_folder(run: Callable[..., int], tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    def restore(method: Method, model: Model, inputs: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        seen.append(inputs["palette"])
        return {"ab": np.zeros((*inputs["L"].shape[:2], 2), np.float32)}

    monkeypatch.setattr("restore_ml.serving.photos.restore", restore)
    monkeypatch.setattr("restore_ml.serving.batch.load_for", lambda root, task, model, precision: (
        tmp_path / "project/models/guided_colorization/run", guided("palette"), Model()))
    monkeypatch.setattr("restore_ml.serving.batch.model_hash", lambda folder, root: "0")
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(tmp_path / "in" / name)
    assert run(tmp_path / "in", "--palette", "navy, tan", "-o", tmp_path / "out") == 0
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[0], palette_array(np.array([[0, 0, 128], [210, 180, 140]], np.uint8)))
    assert run(tmp_path / "in", "--palette", "navy, tan", "-o", tmp_path / "out") == 0 and len(seen) == 2  # kept
    assert run(tmp_path / "in", "--palette", "tan", "-o", tmp_path / "out") == 0 and len(seen) == 4


def test_guides_over_http_are_texts(watched: list[dict[str, np.ndarray]]) -> None:
    buffer = tmp_png(np.full((40, 50, 3), 120, np.uint8))
    restore_row(guided("palette"), Model(), {"image": buffer, "palette": b"navy"}, Asked())
    np.testing.assert_array_equal(watched[0]["palette"], palette_array(np.array([[0, 0, 128]], np.uint8)))
    restore_row(guided("text"), Model(), {"image": buffer, "text": b"blue sky"}, Asked())
    assert words(watched[1]["text"]) == "blue sky"


def tmp_png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture[..., ::-1])[1].tobytes()


def test_the_harness_gives_guides_whole_to_every_tile() -> None:
    method, got = guided("palette"), []

    def restore(model: Model, inputs: dict[str, Any], seed: int) -> dict[str, Any]:
        got.append(inputs["palette"].numpy())
        return {"ab": inputs["hint"]}

    method.restore, method.tile, method.overlap = restore, 32, 8  # type: ignore[method-assign]
    inputs = {"L": np.zeros((40, 48, 1), np.float32), "hint": np.zeros((40, 48, 2), np.float32),
              "hinted": np.zeros((40, 48, 1), np.float32), "palette": np.arange(15, dtype=np.float32)}
    harness.restore(method, Model(), inputs, 1)
    assert len(got) > 1 and all(np.array_equal(one, inputs["palette"][None]) for one in got)


@pytest.mark.parametrize("name", ["palette_guided", "reference_guided", "text_guided", "text_film"])
def test_methods_told_more_than_points_say_stand_where_there_are_none(name: str) -> None:
    method = registry.method("guided_colorization", name, {})
    cases = registry.parts("guided_colorization").cases
    assert cases is not None
    told = {case: method.unsupported(case) for case in cases.degradations({})}
    assert told.pop("hints_0") is None and len(told) == 4
    assert all(reason == "takes no points; it stands in the case without them" for reason in told.values())
    assert registry.photos("guided_colorization").probes(method) == ("hints_0",)
