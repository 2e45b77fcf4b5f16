"""Every kind of a person's files: what is written is read again, and what is wrong is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data import nifti
from restore_ml.data.file_kinds import (
    BOXES,
    CLASSES,
    CLIP,
    KINDS,
    LABELS,
    MASK,
    NUMBERS,
    PICTURE,
    POINTS,
    VOLUME,
    Boxes,
    FileKind,
    Form,
    Picture,
    Points,
    Read,
)
from restore_ml.data.file_kinds.clips import Film, faster
from restore_ml.data.nifti import Volume
from restore_ml.data.pictures import Refused

RNG = np.random.default_rng(11)
LYING = np.array([[0, 0, 2.0, -9], [-1.5, 0, 0, 20], [0, 1.0, 0, 5], [0, 0, 0, 1]])
"""The first axis runs to the back, the second upwards, the third to the right."""


def frames(count: int = 6, height: int = 32, width: int = 48) -> np.ndarray:
    """A bright square that moves to the right."""
    clip = np.full((count, height, width, 3), 40, np.uint8)
    for number in range(count):
        clip[number, 8:20, 4 + 4 * number:16 + 4 * number] = (200, 150, 90)
    return clip


def reason(kind: FileKind, data: bytes | Path) -> str:
    with pytest.raises(Refused) as refused:
        kind.read(data) if isinstance(data, Path) else kind.decode(data)
    return refused.value.reason


def test_a_picture_keeps_values_profile_and_resolution(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=profile, dpi=(100, 100))
    read = PICTURE.read(tmp_path / "a.png")
    assert np.array_equal(read.value, values)
    large = PICTURE.encode(np.repeat(np.repeat(values, 2, 0), 2, 1), Form(".png", read.origin, 2.0))
    (tmp_path / "b.png").write_bytes(large)
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == profile and image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    assert PICTURE.remarks(Form(".webp", read.origin)).startswith(" Of the original, its resolution is left out")
    assert PICTURE.pixels(large) == (2400, "60 x 40 pixels") and PICTURE.told(values) == "30 x 20 pixels"
    assert "too small" in reason(PICTURE, PICTURE.encode(values[:8], Form(".png")))
    assert Picture(least=8).decode(PICTURE.encode(values[:8], Form(".png"))).value.shape == (8, 30, 3)
    assert PICTURE.misfit(Read(values), Read(values[:9])) == (
        "it is 30 x 20, the picture 30 x 9; they must be of the same size")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_label_maps_keep_their_numbers(dtype: type, tmp_path: Path) -> None:
    numbers = RNG.integers(0, 12, (24, 30, 1)).astype(dtype)
    numbers[0, 0] = 255 if dtype is np.uint8 else 1000
    data = LABELS.encode(numbers, Form(".png"))
    found = LABELS.decode(data).value
    assert found.dtype == dtype and np.array_equal(found, numbers) and "12 labels" in LABELS.told(numbers)
    if dtype is np.uint8:  # a palette: people see colours, programs numbers
        (tmp_path / "labels.png").write_bytes(data)
        with Image.open(tmp_path / "labels.png") as image:
            assert image.mode == "P" and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) == 9


def test_label_maps_that_are_none() -> None:
    colour = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert "lossy" in reason(LABELS, PICTURE.encode(colour[..., :1], Form(".jpg")))
    assert "labels in colours" in reason(LABELS, PICTURE.encode(colour, Form(".png")))
    with pytest.raises(ValueError, match="0 to 65535"):
        LABELS.encode(np.full((20, 20, 1), 70_000, np.int32), Form(".png"))


@pytest.mark.parametrize(("suffix", "exact"), [(".avi", True), (".mp4", False)])
def test_a_film_goes_round(suffix: str, exact: bool, tmp_path: Path) -> None:
    clip = frames()
    data = CLIP.encode(clip, Form(suffix, Film(12.5)))
    (tmp_path / f"film{suffix}").write_bytes(data)
    for read in (CLIP.read(tmp_path / f"film{suffix}"), CLIP.decode(data)):
        assert read.value.shape == clip.shape and read.origin == Film(12.5)
        gap = np.abs(read.value.astype(int) - clip)
        assert gap.max() == 0 if exact else gap.mean() < 4
    assert CLIP.pixels(data) == (6 * 32 * 48, "6 frames of 48 x 32 pixels")
    assert faster(read, 2) == Film(25.0) and bool(CLIP.remarks(Form(suffix))) is not exact


def test_films_have_even_sides() -> None:
    clip = frames(4, 33, 47)
    read = CLIP.decode(CLIP.encode(clip, Form(".avi"))).value
    assert read.shape == (4, 34, 48, 3) and np.array_equal(read[:, :33, :47], clip)
    assert np.array_equal(read[:, 33], read[:, 32]) and np.array_equal(read[:, :, 47], read[:, :, 46])


def test_a_folder_of_frames_goes_round(tmp_path: Path) -> None:
    clip = frames(12)
    for name, data in CLIP.frames(clip, Form("")):
        (tmp_path / name).write_bytes(data)
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "0011.png"
    assert np.array_equal(CLIP.read(tmp_path).value, clip)
    (tmp_path / "0005.png").unlink()
    assert reason(CLIP, tmp_path) == "a gap: frame 5 is missing"
    (tmp_path / "empty").mkdir()
    assert "a folder without frames" in reason(CLIP, tmp_path / "empty")


def test_films_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = CLIP.encode(frames(40, 64, 96), Form(".mp4"))
    assert "truncated" in reason(CLIP, film[:len(film) // 2])
    assert reason(CLIP, b"#EXTM3U\n/etc/passwd\n") == "not a film of a known format"
    whole = CLIP.encode(frames(40, 64, 96), Form(".avi"))
    assert "breaks off at frame" in reason(CLIP, whole[:len(whole) * 2 // 3])
    (tmp_path / "a.mkv").write_bytes(film)
    assert "save it as MP4" in reason(CLIP, tmp_path / "a.mkv")
    (tmp_path / "link.mp4").symlink_to("/etc/hosts")
    with pytest.raises(Refused, match="leads out"):
        CLIP.read(tmp_path / "link.mp4", tmp_path)
    monkeypatch.setattr("restore_ml.data.file_kinds.clips.MAX_PIXELS", 39 * 64 * 96)
    assert reason(CLIP, film).startswith("too large: 40 frames of 96 x 64")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_goes_back_in_its_own_orientation(suffix: str, tmp_path: Path) -> None:
    values = RNG.integers(0, 900, (20, 6, 17)).astype(np.int16)
    nifti.write(tmp_path / f"t1{suffix}", Volume(values, LYING))
    read = VOLUME.read(tmp_path / f"t1{suffix}")
    assert read.value.shape == (6, 20, 17)  # upwards, front to back, left to right
    assert read.value[2, 0, 5] == values[0 if LYING[1, 0] < 0 else -1, 2, 5]
    back = nifti.decode(VOLUME.encode(read.value, Form(suffix, read.origin)))
    assert np.array_equal(back.values, values) and np.allclose(back.affine, LYING)
    eight = nifti.decode(VOLUME.encode((read.value // 4).astype(np.uint8), Form(suffix, read.origin)))
    assert eight.values.dtype == np.uint8 and np.array_equal(eight.values, values // 4)
    assert VOLUME.pixels((tmp_path / f"t1{suffix}").read_bytes()) == (20 * 6 * 17, "20 x 6 x 17 voxels")


def test_volumes_of_two_grids_do_not_belong_together() -> None:
    def volume(shape: tuple[int, int, int], shift: float = 0) -> Read:
        affine = LYING.copy()
        affine[0, 3] += shift
        return VOLUME.decode(nifti.encode(Volume(np.ones(shape, np.uint8), affine)))

    assert VOLUME.misfit(volume((20, 6, 17)), volume((20, 6, 17))) is None
    assert "another grid" in str(VOLUME.misfit(volume((20, 6, 16)), volume((20, 6, 17))))
    assert "another grid" in str(VOLUME.misfit(volume((20, 6, 17), 3), volume((20, 6, 17))))
    with pytest.raises(ValueError, match="like another one"):
        VOLUME.encode(np.zeros((2, 3, 4), np.uint8), Form(".nii"))
    data = nifti.encode(Volume(np.ones((20, 6, 17), np.uint8), LYING))
    assert "truncated" in reason(VOLUME, data[:-5]) and "truncated" in reason(VOLUME, data[:100])
    with pytest.raises(Refused, match="truncated"):
        VOLUME.pixels(data[:20])


def test_notes_go_round() -> None:
    edges = np.array([[1, 2, 10.5, 12], [0, 0, 5, 5]], np.float32)
    boxes = Boxes(edges, ("cat", "dog"), np.array([0.75, 1], np.float32))
    found = BOXES.decode(BOXES.encode(boxes, Form(".json"))).value
    assert np.array_equal(found.edges, boxes.edges) and found.classes == boxes.classes
    assert found.scores.tolist() == [0.75, 1] and BOXES.told(boxes) == "2 boxes"
    chances = {"three": 0.2, "eight": 0.8}
    data = CLASSES.encode(chances, Form(".json"))
    assert json.loads(data) == {"class": "eight", "probabilities": {"three": 0.2, "eight": 0.8}}
    assert list(CLASSES.decode(data).value.items()) == [("eight", 0.8), ("three", 0.2)]
    assert CLASSES.decode(b'{"class": "x"}').value == {"x": 1.0} and CLASSES.told(chances) == "eight (80.0%)"
    points = Points(np.array([[3, 5], [0.5, 1]], np.float32), np.array([[255, 0, 1], [9, 8, 7]], np.uint8))
    again = POINTS.decode(POINTS.encode(points, Form(".json"))).value
    assert np.array_equal(again.places, points.places) and np.array_equal(again.colours, points.colours)
    assert POINTS.decode(b'{"points": [{"x": 1, "y": 2}]}').value.colours is None and not again.strokes
    assert POINTS.told(points) == "2 points"
    numbers = {"smiling": 1, "age": -0.5}
    assert NUMBERS.decode(NUMBERS.encode(numbers, Form(".json"))).value == numbers
    shown = Read(np.zeros((10, 12, 3), np.uint8))
    assert BOXES.misfit(Read(boxes), shown) == "box 0 lies outside of the picture of 12 x 10"
    assert POINTS.misfit(Read(points), shown) is None
    assert POINTS.misfit(Read(Points(np.array([[12, 1]], np.float32))), shown) == (
        "point 0 at 12, 1 lies outside of the picture of 12 x 10")


def test_strokes_go_round_beside_points_and_alone() -> None:
    line = {"points": [[3, 5], [9.25, 7]], "width": 3, "colour": "#a02020"}
    found = POINTS.decode(json.dumps({"points": [{"x": 1, "y": 2}], "strokes": [line]}).encode()).value
    [stroke] = found.strokes
    assert stroke.places.tolist() == [[3, 5], [9.25, 7]] and stroke.places.dtype == np.float32
    assert stroke.width == 3 and stroke.colour.tolist() == [160, 32, 32] and stroke.colour.dtype == np.uint8
    assert POINTS.told(found) == "1 points and 1 strokes" and found.places.tolist() == [[1, 2]]
    written = json.loads(POINTS.encode(found, Form(".json")))
    assert written == {"points": [{"x": 1, "y": 2}], "strokes": [{**line, "colour": [160, 32, 32]}]}
    again = POINTS.decode(json.dumps(written).encode()).value
    assert np.array_equal(again.strokes[0].places, stroke.places)
    alone = POINTS.decode(json.dumps({"strokes": [line, {**line, "points": [[0, 0]]}]}).encode()).value
    assert alone.places.shape == (0, 2) and alone.colours is None and len(alone.strokes) == 2
    picture = Read(np.zeros((8, 12, 3), np.uint8))
    assert POINTS.misfit(Read(alone), picture) is None
    for place, said in (([11.5, 3], "11.5, 3"), ([3, 7.5], "3, 7.5"), ([-0.6, 3], "-0.6, 3")):
        outside = POINTS.decode(json.dumps({"strokes": [line, {**line, "points": [[0, 0], place]}]}).encode())
        assert POINTS.misfit(outside, picture) == (f"point 1 of stroke 1 at {said} lies outside of the picture of 12 "
                                                   "x 8")


@pytest.mark.parametrize(("change", "said"), [
    ({"colour": None}, "the colour of stroke 1 is None, where three levels from 0 to 255"),
    ({"colour": "#a0"}, "the colour of stroke 1, '#a0' is no colour"),
    ({"colour": [1, 2, 256]}, "the colour of stroke 1 is [1, 2, 256]"),
    ({"width": None}, "the width of stroke 1 is None, where a number is needed"),
    ({"width": True}, "the width of stroke 1 is True"), ({"width": 0.9}, "is 0.9, where 1 to 1024 pixels are taken"),
    ({"width": 1025}, "the width of stroke 1 is 1025, where 1 to 1024"),
    ({"points": []}, "stroke 1 needs `points`, a list of [x, y] with at least one"),
    ({"points": {"x": 1, "y": 2}}, "stroke 1 needs `points`"),
    ({"points": [[1, 2], [3]]}, "point 1 of stroke 1 needs 2 numbers, x and y; it has 1 numbers"),
    ({"points": [[1, 2], {"x": 3, "y": 4}]}, "point 1 of stroke 1 needs 2 numbers, x and y; it has none"),
    ({"points": [[1, "2"]]}, "point 0 of stroke 1 is '2'"),
    ({"color": "red"}, "stroke 1 has the unknown key 'color'; the keys are points, width, colour")])
def test_strokes_that_are_none(change: dict[str, object], said: str) -> None:
    line = {"points": [[3, 5], [9, 7]], "width": 3, "colour": "red"}
    assert said in reason(POINTS, json.dumps({"strokes": [line, {**line, **change}]}).encode())


@pytest.mark.parametrize(("text", "said"), [
    ("{}", "it needs `points`, a list of objects"), ('{"strokes": 3}', "it needs `strokes`, a list of objects"),
    ('{"strokes": [], "points": 3}', "it needs `points`, a list of objects"),
    ('{"points": [], "lines": []}', "it has the unknown key 'lines'; the keys are points, strokes"),
    ('{"points": [{"x": 1, "y": 2}, {"x": 1, "y": 2, "width": 3}]}',
     "point 1 has the unknown key 'width'; the keys are x, y, colour")])
def test_files_of_hints_that_are_none(text: str, said: str) -> None:
    assert said in reason(POINTS, text.encode())


@pytest.mark.parametrize(("kind", "text", "said"), [
    (BOXES, '{"boxes": [', "no readable JSON: Expecting value in line 1, column 12"),
    (BOXES, "\xff", "no readable JSON"), (BOXES, "[1]", "a JSON list, where an object is needed"),
    (BOXES, "{}", "it needs `boxes`, a list of objects"), (BOXES, '{"boxes": [3]}', "a list of objects"),
    (BOXES, '{"boxes": [{"box": [1, 2, 3]}]}', "box 0 needs 4 numbers, left, top, right and bottom; it has 3 numbers"),
    (BOXES, '{"boxes": [{"box": [5, 2, 3, 9]}]}', "box 0 ends before it begins"),
    (BOXES, '{"boxes": [{"box": [1, 2, 3, NaN]}]}', "box 0 is nan, where a number is needed"),
    (BOXES, '{"boxes": [{"class": 3, "box": [1, 2, 3, 4]}]}', "the class of box 0 is 3"),
    (BOXES, '{"boxes": ' + "[" * 100_000, "no readable JSON"),
    (CLASSES, "{}", "no class in it"), (CLASSES, '{"probabilities": {"a": 1.5}}', "not between 0 and 1"),
    (CLASSES, '{"probabilities": {"a": "x"}}', "the probability of 'a' is 'x'"),
    (POINTS, '{"points": [{"x": 1}]}', "point 0 is None"),
    (POINTS, '{"points": [{"x": 1, "y": 1, "colour": [1, 2, 256]}]}', "the colour of point 0"),
    (POINTS, '{"points": [{"x": 1, "y": 1, "colour": [1, 2, 3]}, {"x": 1, "y": 2}]}', "1 of 2 points have a colour"),
    (NUMBERS, '{"a": true}', "'a' is True, where a number is needed"),
    (NUMBERS, '{"a": 1e999}', "'a' is inf"),
])
def test_notes_that_are_none(kind: FileKind, text: str, said: str) -> None:
    assert said in reason(kind, text.encode("latin-1"))


@pytest.mark.parametrize(("places", "width", "most"), [
    ([[0, 0]], 1024, 38), ([[0, 0], [249_996, 0]], 4, 5), ([[0, 0], [3000, 4000], [0, 0]], 100, 39)])
def test_strokes_that_would_take_minutes(places: list[list[float]], width: float, most: int) -> None:
    """1024 x 1024; 250,000 x 32, as narrow ones count; 10,100 x 100."""
    line = {"points": places, "width": width, "colour": "red"}
    assert len(POINTS.decode(json.dumps({"strokes": [line] * most}).encode()).value.strokes) == most
    assert "million pixels, length times width, at most 40 are read" in reason(
        POINTS, json.dumps({"strokes": [line] * (most + 1)}).encode())


def test_too_many_entries_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore_ml.data.file_kinds.notes.MOST", 2)
    assert reason(NUMBERS, b'{"a": 1, "b": 1, "c": 1}') == "3 numbers, at most 2 are read"
    assert reason(POINTS, b'{"points": [{}, {}, {}]}') == "3 points, at most 2 are read"
    line = {"points": [[1, 1], [2, 2]], "width": 1, "colour": "red"}
    assert POINTS.decode(json.dumps({"points": [{"x": 1, "y": 1}], "strokes": [line]}).encode()).value.strokes
    assert reason(POINTS, json.dumps({"strokes": [line, line]}).encode()) == (
        "4 points in its strokes, at most 2 are read")
    assert reason(POINTS, json.dumps({"strokes": [{**line, "points": [[1, 1]] * 3}]}).encode()) == (
        "3 points in stroke 0, at most 2 are read")
    monkeypatch.setattr("restore_ml.data.file_kinds.notes.LARGEST", 5)
    assert "too large a file" in reason(NUMBERS, b'{"a": 1}')


def test_a_mask_says_how_it_was_understood() -> None:
    hole = np.zeros((20, 20), np.uint8)
    hole[5:9, 5:9] = 255
    read = MASK.decode(PICTURE.encode(hole[:, :, None], Form(".png")))
    assert read.value.sum() == 16 and "marks 4.0%" in str(read.origin)
    assert MASK.misfit(read, Read(np.zeros((21, 20, 3)))) is not None


def test_every_kind_is_in_the_table_of_the_docs() -> None:
    table = (Path(__file__).parents[2] / "docs/serving.md").read_text().split("## Files of every kind")[1]
    for kind in KINDS:
        row = next(line for line in table.splitlines() if line.startswith(f"| {kind.name} |"))
        assert all(suffix in row for suffix in kind.writes if suffix), kind.name
