"""Ways of damaging clips: each is refused with its reason by name, or kept with the right meaning, beside a good one.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from restore_ml.data import collections, domains
from tests.data.domains.collected import clip, film, picture, prepared, save

CLIPS = domains.get("clips")
FLOW = np.zeros((4, 36, 48, 2), np.int16)


def bitten(path: Path, share: float) -> None:
    """Leave only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:int(len(data) * share)])


def frames_of(folder: Path, count: int = 5) -> Path:
    return save(folder / "bad", clip(1, count))


def flow_of(folder: Path, value: np.ndarray) -> None:
    np.save(frames_of(folder) / "flow.npy", value)


def film_without_its_index(folder: Path) -> None:
    bitten(film(folder / "bad.mp4", clip(1, 20)), 0.5)


def film_that_breaks_off(folder: Path) -> None:
    bitten(film(folder / "bad.avi", clip(1, 20), "MJPG"), 0.5)


def empty_film(folder: Path) -> None:
    (folder / "bad.mp4").write_bytes(b"")


def playlist(folder: Path) -> None:
    (folder / "bad.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")


def film_of_another_kind(folder: Path) -> None:
    film(folder / "bad.avi", clip(1), "MJPG").rename(folder / "bad.mkv")


def cut_frame(folder: Path) -> None:
    bitten(frames_of(folder) / "0003.png", 0.5)


def frame_of_another_size(folder: Path) -> None:
    picture(frames_of(folder) / "0003.png", clip(2, 1, (40, 48))[0])


def grey_frame(folder: Path) -> None:
    picture(frames_of(folder) / "0001.png", clip(2, 1, channels=1)[0])


def two_frames(folder: Path) -> None:
    frames_of(folder, 2)


def tiny_frames(folder: Path) -> None:
    save(folder / "bad", clip(1, 5, (8, 48)))


def tiny_film(folder: Path) -> None:
    film(folder / "bad.avi", clip(1, 5, (8, 48)), "MJPG")


def flow_of_another_size(folder: Path) -> None:
    flow_of(folder, FLOW[:, :, :40])


def flow_for_every_frame(folder: Path) -> None:
    flow_of(folder, np.zeros((5, 36, 48, 2), np.int16))


def flow_in_floats(folder: Path) -> None:
    flow_of(folder, FLOW.astype(np.float32))


def flow_of_objects(folder: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"u": 1}], object), allow_pickle=True)
    (frames_of(folder) / "flow.npy").write_bytes(buffer.getvalue())


def cut_flow(folder: Path) -> None:
    flow_of(folder, FLOW)
    bitten(folder / "bad/flow.npy", 0.5)


def flow_in_another_unit(folder: Path) -> None:
    flow_of(folder, FLOW + np.int16(64 * 64))


def flow_of_nothing(folder: Path) -> None:
    (frames_of(folder) / "flow.npy").write_bytes(b"")


def frame_2_and_frame_10(folder: Path) -> None:
    save(folder / "kept", clip(3, 12), [f"frame{number}.png" for number in range(1, 13)])


def numbers_missing(folder: Path) -> None:
    save(folder / "cut", clip(3, 8), [f"{number:03d}.png" for number in (1, 2, 3, 4, 7, 8, 9, 10)])


def two_frames_of_one_number(folder: Path) -> None:
    save(folder / "bad", clip(1), ["0.png", "1.png", "2.png", "02.png", "3.png"])


def two_clips_in_a_folder(folder: Path) -> None:
    save(folder / "bad", clip(1, 6), [f"{name}_{number}.png" for name in "ab" for number in range(3)])


def two_numbered_clips_in_a_folder(folder: Path) -> None:
    save(folder / "bad", clip(1, 6), [f"{shot}_{number}.png" for shot in (1, 2) for number in range(3)])


def cover_among_the_frames(folder: Path) -> None:
    picture(frames_of(folder) / "cover.png", clip(2, 1)[0])


def picture_in_no_folder(folder: Path) -> None:
    picture(folder / "poster.png", clip(2, 1)[0])


def frames_beside_folders_of_frames(folder: Path) -> None:
    save(folder / "film/take 1", clip(3))
    picture(folder / "film/0001.png", clip(4, 1)[0])


def frames_named_by_the_time(folder: Path) -> None:
    save(folder / "kept", clip(3, 4), [f"{time}.png" for time in (98_000, 100_500, 99_250, 400_000)])


SINGLE = "a single picture; put the frames of each clip into a folder of their own"
CONTENT = [
    (film_without_its_index, {"bad.mp4": "no film that can be decoded: truncated or of an unknown coding"}, {}),
    (film_that_breaks_off, {"bad.avi/0007-0019": "the film breaks off at frame 7"}, {"bad.avi/0000-0006": 7}),
    (empty_film, {"bad.mp4": "zero bytes"}, {}),
    (playlist, {"bad.mp4": "not a film of a known format"}, {}),
    (film_of_another_kind, {"bad.mkv": "a kind of film which is not read: save it as MP4 or as a folder of PNG frames"},
     {}),
    (cut_frame, {"bad": "0003.png: truncated: image file is truncated"}, {}),
    (frame_of_another_size, {"bad": "0003.png is 48 x 40 in colour, 0000.png is 48 x 36 in colour"}, {}),
    (grey_frame, {"bad": "0001.png is 48 x 36 in grey, 0000.png is 48 x 36 in colour"}, {}),
    (two_frames, {"bad": "too short: 2 frames, at least 3 are needed"}, {}),
    (tiny_frames, {"bad": "0000.png: too small: 48 x 8, the shorter side must be at least 16"}, {}),
    (tiny_film, {"bad.avi": "too small: 48 x 8, the shorter side must be at least 16"}, {})]
ANNOTATION = [
    (flow_of_another_size, {"bad": "flow.npy is 4 x 36 x 40 x 2, not 4 x 36 x 48 x 2"}, {}),
    (flow_for_every_frame, {"bad": "flow.npy is 5 x 36 x 48 x 2, not 4 x 36 x 48 x 2"}, {}),
    (flow_in_floats, {"bad": "flow.npy holds float32, not int16 in 1/64 pixel"}, {}),
    (flow_of_objects, {"bad": "flow.npy: broken: Object arrays cannot be loaded when allow_pickle=False"}, {}),
    (cut_flow, {"bad": "flow.npy: broken"}, {}),
    (flow_in_another_unit, {"bad": "flow.npy leads 64 pixels away, further than the frames are wide: its unit is "
                                   "1/64 pixel"}, {}),
    (flow_of_nothing, {"bad": "zero bytes"}, {})]
LAYOUT = [
    (frame_2_and_frame_10, {}, {"kept": 12}),
    (numbers_missing, {"cut/0005-0006": "a gap: the frames 5 to 6 are missing, so the clip is cut there"},
     {"cut/0001-0004": 4, "cut/0007-0010": 4}),
    (two_frames_of_one_number, {"bad": "two frames of number 2: 02.png and 2.png"}, {}),
    (two_clips_in_a_folder, {"bad": "frames of more than one clip, such as a_0.png and b_0.png: give each a folder of "
                                    "its own"}, {}),
    (two_numbered_clips_in_a_folder, {"bad": "more than one number changes in the frames' names, such as 1_0.png and "
                                             "2_2.png"}, {}),
    (cover_among_the_frames, {"bad": "cover.png has no number as the other frames have"}, {}),
    (picture_in_no_folder, {"poster.png": SINGLE}, {}),
    (frames_beside_folders_of_frames, {"film/0001.png": SINGLE}, {"film/take 1": 5}),
    (frames_named_by_the_time, {}, {"kept": 4})]


@pytest.mark.parametrize(("damage", "refused", "kept"), CONTENT + ANNOTATION + LAYOUT,
                         ids=lambda value: getattr(value, "__name__", ""))
def test_damage(tmp_path: Path, damage: Callable[[Path], None], refused: dict[str, str], kept: dict[str, int]) -> None:
    source = tmp_path / "in"
    good = save(source / "good", clip(9, 6))
    np.save(good / "flow.npy", np.full((5, 36, 48, 2), -64, np.int16))
    damage(source)
    report = collections.add(tmp_path, "mine", source, domain="clips")
    found = dict(report.refused)
    for name, reason in refused.items():  # what a library says at the end of a reason is its own
        assert found.pop(name).startswith(reason)
    assert found == {} and report.good == 1 + len(kept)
    pictures = tmp_path / "data/mine/pictures"
    for name, count in {"good": 6, **kept}.items():
        assert len(CLIPS.read(pictures / name)["frames"]) == count
    assert np.array_equal(CLIPS.read(pictures / "good")["frames"], clip(9, 6))
    assert (CLIPS.read(pictures / "good")["flow"] == -64).all()
    assert "bad" not in {path.name for path in pictures.iterdir()}


def test_frame_10_comes_after_frame_9(tmp_path: Path) -> None:
    frame_2_and_frame_10(tmp_path)
    assert np.array_equal(CLIPS.read(tmp_path / "kept")["frames"], clip(3, 12))


def test_times_are_read_in_their_order_without_gaps(tmp_path: Path) -> None:
    frames_named_by_the_time(tmp_path)
    assert np.array_equal(CLIPS.read(tmp_path / "kept")["frames"], clip(3, 4)[[0, 2, 1, 3]])


def test_damage_after_it_was_added_is_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A frame that vanishes, one that breaks, and a flow that is exchanged, each in a collection."""
    for number, name in enumerate(("a", "b", "c", "good", "other")):
        np.save(save(tmp_path / "in" / name, clip(number)) / "flow.npy", FLOW)
    collections.add(tmp_path, "mine", tmp_path / "in", domain="clips", role="train")
    pictures = tmp_path / "data/mine/pictures"
    (pictures / "a/0002.png").unlink()
    bitten(pictures / "b/0002.png", 0.5)
    np.save(pictures / "c/flow.npy", FLOW[1:])
    rows, refused = prepared(tmp_path)
    assert rows.keys() == {"mine/pictures/good", "mine/pictures/other"}
    assert refused.pop("mine/pictures/b").startswith("0002.png: truncated")
    assert refused == {"mine/pictures/a": "a gap: frame 2 is missing, so the clip is cut there",
                       "mine/pictures/c": "flow.npy is 3 x 36 x 48 x 2, not 4 x 36 x 48 x 2"}


def test_a_flow_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "flow.npy", FLOW)
    (frames_of(tmp_path / "in") / "flow.npy").symlink_to(tmp_path / "flow.npy")
    save(tmp_path / "in/good", clip(2))
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="clips")
    assert report.good == 1 and report.refused == [("bad", "a link that leads out of the folder")]
