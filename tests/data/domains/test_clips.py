"""Clips: what is embedded, how films and folders are cut and read, public layouts, and what leaks."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_ml.base.files import read_json, write_json
from restore_ml.data import collections, domains, films, frame_folders, inbox, likeness
from restore_ml.data.embedded_photos import PHOTOGRAPHS
from restore_ml.data.parts import read_all
from restore_ml.data.pictures import Refused, read_picture
from restore_ml.data.shards import Shards
from restore_ml.data.sources import clips as source
from tests.data.domains.collected import clip, film, hashes, made, picture, prepared, save

CLIPS = domains.get("clips")
MAKERS = CLIPS.embedded()


def add(root: Path, path: Path, name: str = "mine", **options: str) -> collections.Report:
    return collections.add(root, name, path, domain="clips", **options)


@pytest.fixture(scope="module")
def films_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    for name in ("clips", "clips_train"):
        made(root, name, MAKERS[name])
    return root


@pytest.fixture(scope="module")
def moved_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("moved")
    for name in ("clips_moved", "clips_moved_train"):
        made(root, name, MAKERS[name])
    return root


def about(root: Path, name: str) -> dict:
    return collections.describe(root / "data" / name)


def test_films_by_side_and_group(films_root: Path) -> None:
    """11 test records of two films, 15 training ones of two others; each is real and says whose it is."""
    sides = {}
    for name, role in (("clips", "test"), ("clips_train", "train")):
        said = about(films_root, name)
        assert (said["role"], said["domain"], said["synthetic"]) == (role, "clips", False)
        assert all(facts.get("split") == (None if role == "test" else "train") for facts in said["pictures"].values())
        assert all(facts["licence"] and facts["source"] for facts in said["pictures"].values())
        groups = [facts["group"] for facts in said["pictures"].values()]
        sides[role] = {group: groups.count(group) for group in groups}
        assert all(CLIPS.group(record) == facts["group"] for record, facts in said["pictures"].items())
    assert sides == {"test": {"carphone_pristine.mp4": 4, "cityCC0.mpg": 7},
                     "train": {"bikes.mp4": 10, "bigbuckbunny.mp4": 5}}
    licences = {facts["group"]: facts["licence"] for facts in about(films_root, "clips_train")["pictures"].values()}
    assert licences["bigbuckbunny.mp4"] == "CC BY 3.0"
    assert about(films_root, "clips")["pictures"]["cityCC0.mpg/0116-0140_by3"]["licence"] == "CC0"


@pytest.mark.parametrize("stated", source.TEST + source.TRAIN, ids=lambda item: item.name)
def test_a_film_has_the_frames_and_cuts_that_the_table_states(films_root: Path, stated: source.Film) -> None:
    folder = next(films_root.glob(f"data/*/pictures/{stated.name}"))
    count, promised, _, cuts = films.scan(folder)
    assert (count, promised, tuple(cuts)) == (stated.frames, stated.frames, stated.cuts)
    said = about(films_root, folder.parent.parent.name)["pictures"]
    assert [name.removeprefix(f"{stated.name}/") for name in said if name.startswith(stated.name)] == stated.parts
    first = [int(name[:4]) for name in stated.parts]
    assert set(stated.cuts) <= set(first) and first[0] == 0 and len(stated.parts) >= len(stated.cuts) + 1


def test_parts_are_the_frames_that_opencv_decodes_reduced_by_area(films_root: Path) -> None:
    """Against a plain loop over the film, and OpenCV's own reduction by area."""
    import cv2

    path = films_root / "data/clips/pictures/cityCC0.mpg"
    capture, plain = cv2.VideoCapture(str(path)), []
    for _ in range(30):
        frame = capture.read()[1][:, :, ::-1]
        plain.append(cv2.resize(np.ascontiguousarray(frame), (240, 135), interpolation=cv2.INTER_AREA))
    second = CLIPS.read(path / "0029-0057_by3")["frames"]  # out of order: the film is opened again for the first
    first = CLIPS.read(path / "0000-0028_by3")["frames"]
    assert first.shape == (29, 135, 240, 3) and first.dtype == np.uint8 and first.flags.c_contiguous
    assert np.abs(first.astype(int) - np.stack(plain[:29])).max() <= 1
    assert np.abs(second[0].astype(int) - plain[29]).max() <= 1


def test_the_test_film_is_prepared_whole(tmp_path: Path) -> None:
    root = tmp_path
    made(root, "clips", MAKERS["clips"])
    (root / "data/clips/pictures/cityCC0.mpg").unlink()
    said = read_json(root / "data/clips/collection.json")
    said["pictures"] = {name: facts for name, facts in said["pictures"].items() if name.startswith("carphone")}
    write_json(root / "data/clips/collection.json", said)
    rows, refused = prepared(root)
    assert refused == {} and len(rows) == 4
    assert {(row["width"], row["height"], row["channels"], row["group"]) for row in rows.values()} == {
        (176, 144, 3, "carphone_pristine.mp4")}
    assert collections.check(root)[0].good == 4


def test_no_training_film_shows_what_a_test_film_shows(films_root: Path) -> None:
    looks: dict[str, dict[str, likeness.Look]] = {"clips": {}, "clips_train": {}}
    for name, found in looks.items():
        for record in about(films_root, name)["pictures"]:
            held, _, part = record.rpartition("/")
            first = films.frames(films_root / "data" / name / "pictures" / held, int(part[:4]), int(part[:4]))
            found[record] = likeness.look(CLIPS.luma({"frames": first}))
    assert [len(found) for found in looks.values()] == [11, 15]
    tested = likeness.Looks(looks["clips"], CLIPS.likeness)
    assert not any(tested.nearest(list(looks["clips_train"].values())))


def test_moved_photographs_are_prepared_whole_and_no_group_is_on_two_sides(moved_root: Path) -> None:
    rows, refused = prepared(moved_root)
    assert refused == {}
    sides: dict[str, set[str]] = {}
    for row in rows.values():
        assert row["synthetic"] and row["licence"]
        sides.setdefault(row["group"], set()).add(row["split"])
    expected = {photo.group or photo.name: {photo.split} for photo in PHOTOGRAPHS}
    assert sides == expected
    record = Shards(moved_root / "prepared/clips/test/clips_moved")[0]
    assert record.arrays["frames"].shape[:3] == (10, 96, 96) and record.arrays["flow"].shape == (9, 96, 96, 2)
    assert record.arrays["flow"].dtype == np.int16


def test_what_is_embedded_is_small_and_the_same_bytes_twice(films_root: Path, moved_root: Path,
                                                           tmp_path: Path) -> None:
    for name in ("clips", "clips_train", "clips_moved"):
        made(tmp_path, name, MAKERS[name])
        there = (moved_root if "moved" in name else films_root) / "data" / name
        assert hashes(tmp_path / "data" / name) == hashes(there)
    held = sum(path.stat().st_size for root in (films_root, moved_root) for path in (root / "data").rglob("*.*"))
    assert held < 40e6


def test_moved_frames_are_area_means_and_the_flow_is_exact() -> None:
    """Against integrals over fractions of pixels, from sums along both axes that are interpolated in fractions."""
    photo = np.random.default_rng(3).integers(0, 256, (310, 320, 1), dtype=np.uint8)
    frames, flow = source.moved(photo, "a photograph")
    assert np.ptp(flow.reshape(len(flow), -1, 2), axis=1).max() == 0 and flow.any()
    path = list(source._path("a photograph", np.array([310, 320]) * 32 - 97 * 64))
    for (y, x), (after_y, after_x), step in zip(path, path[1:], flow[:, 0, 0], strict=False):
        assert step.tolist() == [x - after_x, y - after_y]
    sums = np.pad(photo[:, :, 0].astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))

    def integral(y: Fraction, x: Fraction) -> Fraction:
        row, column = int(y), int(x)
        b, a = y - row, x - column
        near = [[int(sums[min(row + i, 310), min(column + j, 320)]) for j in (0, 1)] for i in (0, 1)]
        return (near[0][0] * (1 - a) + near[0][1] * a) * (1 - b) + (near[1][0] * (1 - a) + near[1][1] * a) * b

    for number, row, column in ((0, 0, 0), (4, 95, 95), (9, 40, 13)):
        top, left = (Fraction(int(at), 32) + 2 * place for at, place in zip(path[number], (row, column), strict=True))
        lower, upper = (integral(at, left + 2) - integral(at, left) for at in (top + 2, top))
        assert frames[number, row, column, 0] == int((lower - upper) / 4 + Fraction(1, 2))


def test_a_bright_spot_moves_as_the_flow_says() -> None:
    photo = np.zeros((400, 400, 1), np.uint8)
    y, x = (int(at) // 32 + 90 for at in next(iter(source._path("spot", np.array([400, 400]) * 32 - 97 * 64))))
    photo[y:y + 8, x:x + 8] = 255
    frames, flow = source.moved(photo, "spot")
    grid = np.stack(np.meshgrid(np.arange(96), np.arange(96)), -1)
    centres = [(grid * frame).sum((0, 1)) / frame.sum() for frame in frames.astype(float)]
    assert np.allclose(np.diff(centres, axis=0), flow[:, 0, 0] / 64, atol=0.02)


def test_one_moved_clip_is_pinned() -> None:
    """Whole numbers throughout, so these bytes come out everywhere."""
    photo = (np.indices((310, 330)).sum(0) * 7 % 256).astype(np.uint8)[..., None]
    frames, flow = source.moved(photo, "pinned")
    assert hashlib.sha256(frames.tobytes() + flow.astype("<i2").tobytes()).hexdigest() == (
        "41056224447cdb680c3f07814a366e9b37f28f83dc2c16fccf2ba67309ff9b8a")


@given(st.integers(0, 500), st.integers(1, 300), st.integers(3, 40))
def test_pieces_cover_all_and_differ_by_one_at_most(first: int, count: int, longest: int) -> None:
    found = films.pieces(first, first + count - 1, longest)
    assert [number for start, end in found for number in range(start, end + 1)] == list(range(first, first + count))
    sizes = [end - start + 1 for start, end in found]
    assert max(sizes) <= longest and max(sizes) - min(sizes) <= 1 and len(sizes) == -(-count // longest)


@given(st.sets(st.integers(0, 60), min_size=2))
def test_runs_and_gaps_are_all_numbers(numbers: set[int]) -> None:
    runs, gaps = frame_folders.runs(numbers)
    assert sorted(number for run in runs for number in run) == sorted(numbers) and len(gaps) == len(runs) - 1
    assert all(before[-1] < first <= last < after[0]
               for before, (first, last), after in zip(runs, gaps, runs[1:], strict=False))


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=20, unique=True), st.randoms())
def test_frames_are_in_the_order_of_their_numbers(numbers: list[int], random) -> None:
    names = [f"frame{number}.png" for number in numbers]
    random.shuffle(names)
    assert list(frame_folders.numbered(names).values()) == [f"frame{number}.png" for number in sorted(numbers)]


def test_reduction_is_the_rounded_mean() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    for by in (1, 2, 3, 7):
        rows, columns = 37 // by, 50 // by
        blocks = frame[:rows * by, :columns * by].reshape(rows, by, columns, by, 3).mean(axis=(1, 3))
        assert np.array_equal(films.reduced(frame, by), np.floor(blocks + 0.5 + 1e-9).astype(np.uint8))


def test_a_film_is_cut_where_its_scenes_change_not_at_a_flash(tmp_path: Path) -> None:
    dark, bright = clip(1, 40) // 3, clip(2, 12) // 3 + 150
    flash = dark.copy()
    flash[20] = 255
    path = film(tmp_path / "in/two.avi", np.concatenate([flash, bright]), "MJPG")
    assert films.scan(path)[3] == [40]
    assert CLIPS.parts(path) == ["0000-0019", "0020-0039", "0040-0051"]
    report = add(tmp_path, tmp_path / "in", role="train")
    assert (report.good, report.refused) == (3, [])
    assert about(tmp_path, "mine")["pictures"] == {f"two.avi/{part}": {"group": "two.avi"}
                                                   for part in ("0000-0019", "0020-0039", "0040-0051")}
    frames = CLIPS.read(tmp_path / "data/mine/pictures/two.avi/0040-0051")["frames"]
    assert frames.shape == bright.shape and np.abs(frames.astype(int) - bright).mean() < 6


@pytest.mark.parametrize(("name", "coding"), [("a.mp4", "mp4v"), ("a.mov", "mp4v"), ("a.avi", "MJPG"),
                                              ("a.mpg", "PIM1")])
def test_a_short_film_is_one_record(tmp_path: Path, name: str, coding: str) -> None:
    frames = clip(4, 9, (64, 80))
    path = film(tmp_path / name, frames, coding)
    assert list(read_all(CLIPS, path, tmp_path)[0]) == [""] and CLIPS.parts(path) == ()
    found = CLIPS.read(path)["frames"]
    assert found.shape == frames.shape and np.abs(found.astype(int) - frames).mean() < 12


def test_a_long_folder_is_cut_and_its_flow_with_it(tmp_path: Path) -> None:
    frames = clip(5, 40)
    folder = save(tmp_path / "in/walk", frames, [f"f{number}.png" for number in range(1, 41)])
    flow = np.zeros((39, 36, 48, 2), np.int16)
    flow[..., 0] = -64 + np.arange(39)[:, None, None]
    np.save(folder / "flow.npy", flow)
    assert add(tmp_path, tmp_path / "in").good == 2
    arrays = CLIPS.read(tmp_path / "data/mine/pictures/walk/0021-0040")
    assert np.array_equal(arrays["frames"], frames[20:]) and np.array_equal(arrays["flow"], flow[20:])
    whole = CLIPS.read(tmp_path / "data/mine/pictures/walk/0001-0020")
    assert np.array_equal(whole["flow"], flow[:19])
    with pytest.raises(Refused, match="too long: 40 frames, at most 32 are read"):
        CLIPS.read(tmp_path / "data/mine/pictures/walk")


def test_large_frames_make_short_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("restore_ml.data.domains.clips.MAX_PIXELS", 5 * 36 * 48 + 7)
    assert CLIPS.parts(save(tmp_path / "a", clip(1, 10))) == ["0000-0004", "0005-0009"]


def test_reds(tmp_path: Path) -> None:
    for split, numbers in (("train", (0, 1)), ("val", (0,))):
        for number in numbers:
            for kind in ("sharp", "sharp_bicubic", "blur"):
                save(tmp_path / f"in/{split}/{split}_{kind}/{number:03d}", clip(10 * number + len(split), 4),
                     [f"{frame:08d}.png" for frame in range(4)])
    report = add(tmp_path, tmp_path / "in", role="train")
    assert report.note == "Read as REDS: the 3 sharp clips are taken, 24 other files are not." and report.good == 3
    assert about(tmp_path, "mine")["pictures"] == {
        "train/train_sharp/000": {"split": "train", "group": "train 000"},
        "train/train_sharp/001": {"split": "train", "group": "train 001"},
        "val/val_sharp/000": {"split": "validation", "group": "val 000"}}
    tested = add(tmp_path, tmp_path / "in", "tested")
    assert about(tmp_path, "tested")["layout"] == "reds" and tested.good == 1
    assert list(about(tmp_path, "tested")["pictures"]) == ["val/val_sharp/000"]


def test_vid4(tmp_path: Path) -> None:
    for name in ("calendar", "walk"):
        for kind in ("GT", "BIx4"):
            save(tmp_path / f"in/{kind}/{name}", clip(len(name), 4), [f"{frame:03d}.png" for frame in range(1, 5)])
    report = add(tmp_path, tmp_path / "in")
    assert report.note == "Read as Vid4: the 2 clips of true frames are taken, 8 other files are not."
    assert about(tmp_path, "mine")["pictures"] == {"GT/calendar": {"group": "calendar"}, "GT/walk": {"group": "walk"}}
    for name in ("calendar", "city"):
        save(tmp_path / f"plain/{name}", clip(len(name), 4), [f"{frame:03d}.png" for frame in range(1, 5)])
    assert add(tmp_path, tmp_path / "plain", "plain").good == 2 and about(tmp_path, "plain")["layout"] == "vid4"


@pytest.mark.parametrize(("role", "there", "taken"), [("train", "test", [1, 3]), ("test", "train", [2, 3])])
def test_vimeo_with_one_of_its_lists(tmp_path: Path, role: str, there: str, taken: list[int]) -> None:
    """What the list that is there says of the other side stays out: a set's published tests are never trained on."""
    for number in (1, 2, 3):
        save(tmp_path / f"in/sequences/00001/{number:04d}", clip(number, 7), [f"im{n}.png" for n in range(1, 8)])
    (tmp_path / f"in/sep_{there}list.txt").write_text("00001/0002\n" if there == "test" else "00001/0001\n")
    report = add(tmp_path, tmp_path / "in", role=role)
    assert sorted(about(tmp_path, "mine")["pictures"]) == [f"00001/{number:04d}" for number in taken]
    assert report.note == ("Read as Vimeo: 2 clips are taken, 1 others are not; there is no list that says which of "
                           "them are for training.")


@pytest.mark.parametrize(("role", "good"), [("train", 2), ("test", 1), ("mixed", 3)])
def test_vimeo(tmp_path: Path, role: str, good: int) -> None:
    for number in range(1, 5):
        save(tmp_path / f"in/vimeo/sequences/00001/{number:04d}", clip(number, 7), [f"im{n}.png" for n in range(1, 8)])
    (tmp_path / "in/vimeo/sep_trainlist.txt").write_text(
        "\ufeff00001/0001\n00001/0003\n00009/0001\n", encoding="utf-8")  # a byte order mark, as some editors write
    (tmp_path / "in/vimeo/sep_testlist.txt").write_text("00001/0002\n")
    report = add(tmp_path, tmp_path / "in", role=role)
    assert report.good == good and about(tmp_path, "mine")["layout"] == "vimeo"
    assert report.note == f"Read as Vimeo: {good} clips are taken, {4 - good} others are not."
    assert report.refused == ([] if role == "test" else [("sequences/00009/0001",
                                                          "in the list of train clips but not there")])
    said = about(tmp_path, "mine")["pictures"]
    assert {facts["group"] for facts in said.values()} == set(said)
    assert said.get("00001/0002", {}).get("split") == ("test" if role == "mixed" else None)
    frames = CLIPS.read(tmp_path / "data/mine/pictures" / next(iter(said)))["frames"]
    assert frames.shape == (7, 36, 48, 3)


def test_a_folder_a_film(tmp_path: Path) -> None:
    for name in ("holiday/take 1", "holiday/take 2", "party/take 1"):
        save(tmp_path / "in" / name, clip(sum(map(ord, name))))
    film(tmp_path / "in/party/late.avi", clip(7), "MJPG")
    assert add(tmp_path, tmp_path / "in").good == 4
    assert {facts["group"] for facts in about(tmp_path, "mine")["pictures"].values()} == {
        "holiday/take 1", "holiday/take 2", "party/take 1", "party/late.avi"}
    report = add(tmp_path, tmp_path / "in", "grouped", layout_name="folders")
    assert report.note == "Read as a folder for each of 2 groups, none of which is split." and report.good == 4
    assert {facts["group"] for facts in about(tmp_path, "grouped")["pictures"].values()} == {"holiday", "party"}


@pytest.mark.benchmark_data
def test_vid4_and_spmc_of_the_benchmarks(tmp_path: Path, benchmark_data: Path) -> None:
    report = add(tmp_path, benchmark_data / "video_vid4", "vid4")
    pictures = about(tmp_path, "vid4")["pictures"]
    assert report.refused == [] and {facts["group"] for facts in pictures.values()} <= {
        "calendar", "city", "foliage", "walk"} and about(tmp_path, "vid4")["layout"] == "vid4"
    assert sorted(pictures) == ["GT/calendar", "GT/walk"]
    assert CLIPS.read(tmp_path / "data/vid4/pictures/GT/walk")["frames"].shape == (11, 480, 720, 3)
    assert add(tmp_path, benchmark_data / "video_spmc", "spmc").refused == []
    one = CLIPS.read(tmp_path / "data/spmc/pictures/test/city/input4")["frames"]
    path = benchmark_data / "video_spmc/test/city/input4/Frame 031.png"
    assert one.shape == (31, 144, 177, 3) and np.array_equal(one[30], read_picture(path))


def test_an_inbox_takes_films_and_waits_for_whole_folders(tmp_path: Path) -> None:
    film(tmp_path / "box/a.avi", clip(1, 40), "MJPG")
    save(tmp_path / "box/b", clip(2))
    (tmp_path / "box/b/0003.png").rename(tmp_path / "box/b/0003.png.part")
    save(tmp_path / "box/c", np.delete(clip(3, 9), 4, axis=0), [f"{n}.png" for n in range(9) if n != 4])
    found = inbox.take(tmp_path, tmp_path / "box", "mine", settle=0.0, domain="clips")
    assert found.added == ["a.avi", "c"] and found.growing == ["b/0003.png.part"]
    said = read_json(tmp_path / "data/mine/collection.json")
    assert sorted(said["pictures"]) == ["a.avi/0000-0019", "a.avi/0020-0039", "c/0000-0003", "c/0005-0008"]
    gap = "a gap: frame 4 is missing, so the clip is cut there"
    assert said["refused"] == {"c/0004-0004": gap} and found.refused == [("c/0004-0004", gap)]


def test_an_empty_frame_cuts_the_clip_and_is_quarantined_alone(tmp_path: Path) -> None:
    save(tmp_path / "box/c", clip(3, 9))
    (tmp_path / "box/c/0004.png").write_bytes(b"")
    found = inbox.take(tmp_path, tmp_path / "box", "mine", settle=0.0, domain="clips")
    assert found.added == ["c"] and ("c/0004.png", "zero bytes") in found.refused
    assert (tmp_path / "box/.quarantine/c__0004.png.reason.txt").read_text() == "c/0004.png: zero bytes\n"
    said = read_json(tmp_path / "data/mine/collection.json")
    assert sorted(said["pictures"]) == ["c/0000-0003", "c/0005-0008"]
    assert len(list((tmp_path / "data/mine/pictures/c").iterdir())) == 8


def test_a_part_of_a_tested_clip_trains_nothing(tmp_path: Path) -> None:
    save(tmp_path / "in/long", clip(1, 40))
    save(tmp_path / "in/other", clip(2))
    add(tmp_path, tmp_path / "in", role="mixed")
    said = read_json(tmp_path / "data/mine/collection.json")
    said["pictures"]["long/0020-0039"]["split"] = "test"
    write_json(tmp_path / "data/mine/collection.json", said)
    rows, refused = prepared(tmp_path)
    assert refused == {"mine/pictures/long/0000-0019":
                       "same group as the test picture mine/pictures/long/0020-0039"}
    assert rows["mine/pictures/other"]["split"] != "test"


def test_equal_pixels_under_another_name_are_kept_out(tmp_path: Path) -> None:
    save(tmp_path / "test/walk", clip(1))
    save(tmp_path / "train/copy", clip(1), [f"x{number}.bmp" for number in range(5)])
    save(tmp_path / "train/fair", clip(2))
    add(tmp_path, tmp_path / "test", "tested")
    add(tmp_path, tmp_path / "train", role="train")
    rows, refused = prepared(tmp_path)
    assert refused == {"mine/pictures/copy": "duplicate of the test picture tested/pictures/walk"}
    assert rows["mine/pictures/fair"]["split"] == "train"


def test_a_film_encoded_again_and_brightened_frames_are_kept_out(tmp_path: Path) -> None:
    frames = clip(1, 5, (72, 96)) // 2 + 40
    save(tmp_path / "test/walk", frames)
    film(tmp_path / "train/again.mp4", frames)
    save(tmp_path / "train/brighter", frames + 6)
    save(tmp_path / "train/fair", clip(2, 5, (72, 96)))
    add(tmp_path, tmp_path / "test", "tested")
    add(tmp_path, tmp_path / "train", role="train")
    rows, refused = prepared(tmp_path)
    assert refused == {f"mine/pictures/{name}": "near-duplicate of the test picture tested/pictures/walk"
                       for name in ("again.mp4", "brighter")}
    assert rows["mine/pictures/fair"]["split"] == "train"


def test_a_folder_put_there_by_hand_is_quarantined_not_guessed(tmp_path: Path) -> None:
    save(tmp_path / "in/fair", clip(2))
    add(tmp_path, tmp_path / "in", role="train")
    save(tmp_path / "data/mine/pictures/long", clip(3, 33))
    film(tmp_path / "data/mine/pictures/two.avi", np.concatenate([clip(1, 6) // 3, clip(2, 6) // 3 + 150]), "MJPG")
    picture(tmp_path / "data/mine/pictures/one.png", clip(4)[0])
    _, refused = prepared(tmp_path)
    assert refused == {
        "mine/pictures/long": "too long: 33 frames, at most 32 are read",
        "mine/pictures/one.png": "a single picture; put the frames of each clip into a folder of their own",
        "mine/pictures/two.avi": "a film of 12 frames, 12 of them whole, and 2 scenes, and nothing says how it is "
                                 "cut: take it in with `restore-ml data add`"}
