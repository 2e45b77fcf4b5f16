"""The inbox: what is taken, what is left, what is put into quarantine, and that a kill loses nothing."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.data import inbox
from restore_ml.data.collections import describe
from restore_ml.data.inbox import take
from restore_ml.data.inbox_files import QUARANTINE, TAKEN


def picture(path, number, side=32):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def box(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def pictures(root, name="mine"):
    folder = root / "data" / name / "pictures"
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_good_pictures_join_a_new_collection_and_leave_the_inbox_when_it_is_safe(tmp_path, box):
    picture(box / "a.png", 1)
    picture(box / "sub" / "b.png", 2)
    found = take(tmp_path, box, "mine", "train", "a camera", "own", settle=0.05)
    assert found.added == ["a.png", "sub/b.png"] and pictures(tmp_path) == ["a.png", "sub/b.png"]
    about = describe(tmp_path / "data/mine")
    assert (about["role"], about["source"], about["licence"]) == ("train", "a camera", "own")
    assert (box / "a.png").exists()
    found.finish()
    assert not (box / "a.png").exists() and not (box / "sub/b.png").exists()
    assert str(take(tmp_path, box, "mine", settle=0.0)) == "mine: nothing new."


def test_what_cannot_be_used_goes_to_quarantine_with_the_reason(tmp_path, box):
    (box / "text.txt").write_text("hello")
    (box / "broken.png").write_bytes(b"\x89PNG\r\n")
    picture(box / "small.png", 1, 8)
    os.symlink("/etc/hostname", box / "link.png")
    found = take(tmp_path, box, "mine", settle=0.05)
    assert dict(found.refused).keys() == {"text.txt", "broken.png", "small.png", "link.png"} and not found.added
    assert sorted(path.name for path in box.iterdir()) == [QUARANTINE]
    assert "too small: 8 x 8" in (box / QUARANTINE / "small.png.reason.txt").read_text()
    assert "leads out" in (box / QUARANTINE / "link.png.reason.txt").read_text()
    assert not (tmp_path / "data/mine").exists()
    (box / "text.txt").write_text("again")
    take(tmp_path, box, "mine", settle=0.05)
    assert (box / QUARANTINE / "2_text.txt").read_text() == "again"  # nothing there is overwritten


def test_duplicates_are_known_by_their_pixels(tmp_path, box):
    picture(box / "a.png", 1)
    take(tmp_path, box, "mine", settle=0.05).finish()
    picture(box / "again.png", 1)
    picture(box / "b.png", 2)
    picture(box / "b_twin.bmp", 2)
    found = take(tmp_path, box, "mine", settle=0.05)
    assert found.added == ["b.png"]
    assert dict(found.duplicates) == {"b_twin.bmp": "duplicate of mine/pictures/b.png"}
    assert found.already == ["again.png"]  # the same bytes: as after a kill
    picture(box / "c.bmp", 1)
    found = take(tmp_path, box, "other", settle=0.05)
    assert dict(found.duplicates)["c.bmp"] == "duplicate of mine/pictures/a.png"
    picture(box / "c.bmp", 1)
    assert "c.bmp" in take(tmp_path, box, "tests", "test", settle=0.05).added  # a test set may share pictures


def test_two_pictures_of_one_name_both_stay(tmp_path, box):
    picture(box / "a.png", 1)
    take(tmp_path, box, "mine", settle=0.05).finish()
    picture(box / "A.png", 2)
    take(tmp_path, box, "mine", settle=0.05).finish()
    assert pictures(tmp_path) == ["A_2.png", "a.png"]


def test_a_file_that_grows_is_left_for_the_next_round(tmp_path, box):
    picture(tmp_path / "done.png", 2).rename(box / "done.png.part")
    stop = threading.Event()

    def write():
        with open(box / "slow.png", "wb") as file:
            while not stop.wait(0.005):
                file.write(b"x")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not (box / "slow.png").exists():
            time.sleep(0.01)
        found = take(tmp_path, box, "mine", settle=0.3)
    finally:
        stop.set()
        writer.join()
    assert found.growing == ["done.png.part", "slow.png"] and not found.added and not found.refused
    picture(box / "slow.png", 1)
    assert take(tmp_path, box, "mine", settle=0.1).added == ["slow.png"]
    assert (box / "done.png.part").exists()


@pytest.mark.parametrize("place", ["before the rename", "after the rename", "before the end"])
def test_a_kill_loses_no_picture(tmp_path, box, monkeypatch, place):
    originals = {name: picture(box / name, number).read_bytes() for number, name in enumerate(("a.png", "b.png"))}

    class Killed(BaseException):
        pass

    replace = os.replace

    def dying(source, target):
        if str(target).endswith("b.png") and "pictures" in str(target):
            if place == "after the rename":
                replace(source, target)
            raise Killed
        replace(source, target)

    if place == "before the end":
        take(tmp_path, box, "mine", settle=0.05)
    else:
        monkeypatch.setattr(inbox.os, "replace", dying)
        with pytest.raises(Killed):
            take(tmp_path, box, "mine", settle=0.05)
        monkeypatch.setattr(inbox.os, "replace", replace)
    assert all((box / name).read_bytes() == data for name, data in originals.items())
    found = take(tmp_path, box, "mine", settle=0.05)
    found.finish()
    assert sorted(found.added + found.already) == ["a.png", "b.png"] and not found.duplicates
    assert {name: (tmp_path / "data/mine/pictures" / name).read_bytes() for name in pictures(tmp_path)} == originals
    assert not list(box.iterdir())


def test_mistakes_are_sentences(tmp_path, box):
    picture(box / "a.png", 1)
    with pytest.raises(UserError, match="no folder"):
        take(tmp_path, tmp_path / "no", "mine")
    with pytest.raises(UserError, match="small letters"):
        take(tmp_path, box, "My Pictures")
    take(tmp_path, box, "mine", settle=0.05)
    with pytest.raises(UserError, match="has the role 'train'"):
        take(tmp_path, box, "mine", "test")
    with pytest.raises(UserError, match="must lie elsewhere"):
        take(tmp_path, tmp_path / "data/mine/pictures", "mine")


def test_a_picture_saved_again_meanwhile_stays_for_the_next_round(tmp_path, box):
    picture(box / "a.png", 1)
    picture(box / "b.png", 2)
    found = take(tmp_path, box, "mine", settle=0.0)
    newer = picture(box / "a.png", 3).read_bytes()  # while `dvc add` runs
    assert found.finish() == [box / "a.png"]
    assert (box / "a.png").read_bytes() == newer and not (box / "b.png").exists()
    take(tmp_path, box, "mine", settle=0.0).finish()
    assert pictures(tmp_path) == ["a.png", "a_2.png", "b.png"]
    assert (tmp_path / "data/mine/pictures/a_2.png").read_bytes() == newer
    assert [path.name for path in box.iterdir()] == []


def test_a_picture_replaced_meanwhile_by_a_copy_of_equal_size_and_time_stays(tmp_path, box):
    path = picture(box / "a.bmp", 1)
    found = take(tmp_path, box, "mine", settle=0.0)
    facts = path.stat()
    newer = picture(box / "new.bmp", 2).read_bytes()
    os.utime(box / "new.bmp", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    (box / "new.bmp").replace(path)
    assert path.stat().st_size == facts.st_size and found.finish() == [path] and path.read_bytes() == newer


def test_a_picture_saved_again_while_it_is_copied_is_not_taken(tmp_path, box, monkeypatch):
    picture(box / "a.png", 1)
    read = inbox.read_bytes

    def then_save(path, *rest, **more):
        data = read(path, *rest, **more)
        picture(box / "a.png", 2)
        return data

    monkeypatch.setattr(inbox, "read_bytes", then_save)
    found = take(tmp_path, box, "mine", settle=0.0)
    assert found.growing == ["a.png"] and not found.added and not (tmp_path / "data/mine").exists()
    monkeypatch.undo()
    take(tmp_path, box, "mine", settle=0.0).finish()
    kept = np.asarray(Image.open(tmp_path / "data/mine/pictures/a.png"))
    assert np.array_equal(kept, np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def test_a_kill_while_the_inbox_is_emptied_loses_no_newer_picture(tmp_path, box):
    picture(box / f"{TAKEN}a.png", 1)
    picture(box / "a.png", 2)
    picture(box / f"{TAKEN}b.png", 3)
    found = take(tmp_path, box, "mine", settle=0.0)
    assert found.added == ["a.png", "a_2.png", "b.png"]


def test_links_into_the_cache_of_dvc_count_as_there(tmp_path, box):
    """With `cache.type symlink` every picture of a collection is a link."""
    picture(box / "a.png", 1)
    take(tmp_path, box, "mine", settle=0.0).finish()
    kept, home = tmp_path / "data/mine/pictures/a.png", tmp_path / ".dvc/cache/files/md5/ab" / ("0" * 30)
    home.parent.mkdir(parents=True)
    kept.rename(home)
    kept.symlink_to(home)
    picture(box / "twin.bmp", 1)
    assert dict(take(tmp_path, box, "mine", settle=0.0).duplicates) == {"twin.bmp": "duplicate of mine/pictures/a.png"}
