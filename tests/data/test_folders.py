"""What of a folder counts, and that everything else is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data.collections import add, check, describe
from restore_ml.data.folders import EXCLUDED, excludes, walk
from restore_ml.data.inbox import take
from restore_ml.serving.items import pictures_in

DISKS = ("@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/deleted.jpg", "sub/@Recycle/old.jpg", "$RECYCLE.BIN/x.jpg",
         "System Volume Information/y.jpg", "__MACOSX/._a.jpg", "Catalog Previews.lrdata/1.jpg",
         "My.photoslibrary/resources/derivatives/a.jpeg", ".Trash-1000/b.jpg", ".thumbnails/c.jpg", "#SNAPSHOT/d.jpg")


def picture(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path, "PNG")
    return path


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    """A folder of a network disk: two pictures, and what the disk puts beside them."""
    for number, name in enumerate(("IMG_1.jpg", "sub/IMG_2.jpg", *DISKS)):
        picture(tmp_path / "nas" / name, number)
    return tmp_path / "nas"


def test_every_entrance_leaves_them_out(nas: Path, tmp_path: Path) -> None:
    report = add(tmp_path / "p", "mine", nas)
    folder = tmp_path / "p/data/mine/pictures"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == ["IMG_1.jpg", "sub/IMG_2.jpg"]
    assert report.good == 2 and sum(report.excluded.values()) == len(DISKS)
    assert "Left out: 2 hidden, 1" in str(report) and "1 @eaDir" in str(report)
    picture(folder / "@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_M.jpg")
    (again,) = check(tmp_path / "p")
    assert (again.good, again.refused, dict(again.excluded)) == (2, [], {"@eaDir": 1})
    names, others = pictures_in(nas, [], [])
    assert names == ["IMG_1.jpg", "sub/IMG_2.jpg"] and others == 0
    taken = take(tmp_path / "q", nas, "mine", settle=0.0)
    assert taken.added == ["IMG_1.jpg", "sub/IMG_2.jpg"] and "1 #recycle" in str(taken)


def test_what_a_person_leaves_out(nas: Path, tmp_path: Path) -> None:
    picture(nas / "raw/a_small.png", 30)
    report = add(tmp_path / "p", "mine", nas, exclude=["*_SMALL.png", "sub/*.jpg"])
    assert report.good == 1 and report.excluded["*_SMALL.png"] == report.excluded["sub/*.jpg"] == 1
    assert describe(tmp_path / "p/data/mine")["pictures"] == {}


def test_no_pattern_takes_a_plain_name() -> None:
    for path in ("a.jpg", "recycle/a.jpg", "2019/eaDir", "resources/a.jpg", "thumbnails", "tmp", "lost and found"):
        assert excludes(path) == ""
    assert {excludes(path) for path in ("a/THUMBS.DB", "desktop.ini")} == {"Thumbs.db", "desktop.ini"}
    assert len(set(EXCLUDED)) == len(EXCLUDED)


def test_a_link_is_not_entered_and_folders_apart_do_not_count(nas: Path, tmp_path: Path) -> None:
    (nas / "linked").symlink_to(tmp_path)
    found = walk(nas, without=[nas / "sub"])
    assert found.files == ["IMG_1.jpg"] and found.closed == []


def test_names_that_differ_by_case_are_said_to(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png", 1)
    picture(tmp_path / "in/A.png", 2)
    picture(tmp_path / "in/b\n.png", 3)
    report = add(tmp_path / "p", "mine", tmp_path / "in")
    assert report.renamed == {"a.png": "a_2.png", "b\n.png": "b_.png"}
    said = str(report)
    assert "renamed 'a.png' to 'a_2.png': another name differs from it only by the case of its letters" in said
    assert "renamed 'b_.png' to 'b_.png': it holds characters that cannot be shown" in said


def test_kinds_that_are_not_read_are_listed_and_not_passed_over(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/b.heic").write_bytes(bytes(4) + b"ftypheic" + bytes(20))
    (tmp_path / "in/c.CR2").write_bytes(b"II*\0" + bytes(60))
    (tmp_path / "in/film.mp4").write_bytes(bytes(4) + b"ftypisom" + bytes(20))
    report = add(tmp_path / "p", "mine", tmp_path / "in")
    assert report.good == 1 and report.skipped == 1
    refused = dict(report.refused)
    assert refused.keys() == {"b.heic", "c.CR2"} and "HEIC" in refused["b.heic"] and "raw file" in refused["c.CR2"]


def test_a_file_that_changes_while_it_is_added_is_kept_as_it_was_checked(tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The original is broken as soon as it has been copied: the copy is what is read and kept."""
    from restore_ml.data import copying

    source = picture(tmp_path / "in/a.png")
    before, read = source.read_bytes(), copying.read_bytes

    def then_break(path: Path, *rest: object, **more: object) -> bytes:
        data = read(path, *rest, **more)
        source.write_bytes(b"broken")
        return data

    monkeypatch.setattr(copying, "read_bytes", then_break)
    assert add(tmp_path / "p", "mine", tmp_path / "in").good == 1
    assert (tmp_path / "p/data/mine/pictures/a.png").read_bytes() == before
