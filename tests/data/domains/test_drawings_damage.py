"""Twenty ways of damaging a folder of drawings: each is refused with its reason, by file name, or kept with the right
meaning, and the good pairs beside it stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data import collections, domains
from restore_ml.data.prepare import prepare
from tests.data.domains.test_drawings import cufs, pair
from tests.data.domains.test_faces import portrait, reasons, rows, save

GOOD = {"anna/1.png", "anna/2.png", "ben/1.png"}


def people(folder: Path) -> Path:
    """Three good pairs of two persons; anna/1 has a paper-cut and a parsing map."""
    for number, name in enumerate(sorted(GOOD)):
        pair(folder, name.removesuffix(".png"), number)
    save(folder / "anna/1.papercut.png", portrait(9))
    save(folder / "anna/1.parsing.png", np.full((48, 48, 1), 2, np.uint8))
    return folder


def with_(tag: str, content: np.ndarray | bytes, ending: str = "png") -> Callable[[Path], object]:
    """A good pair ben/x, one part of which is replaced ("": the photo)."""
    def damage(box: Path) -> None:
        pair(box / "ben", "x", 40)
        part = box / f"ben/x{tag}.{ending}"
        for old in (box / "ben").glob(f"x{tag}.png"):
            old.unlink()
        if isinstance(content, bytes):
            part.write_bytes(content)
        else:
            save(part, content)

    return damage


def cut(tag: str) -> Callable[[Path], object]:
    def damage(box: Path) -> None:
        pair(box / "ben", "x", 40)
        part = box / f"ben/x{tag}.png"
        Image.open(part).save(part, compress_level=0)
        part.write_bytes(part.read_bytes()[:1500])

    return damage


def lone(box: Path, *tags: str) -> None:
    pair(box / "ben", "x", 40)
    for tag in tags:
        (box / f"ben/x{tag}.png").unlink()


def link_out(box: Path) -> None:
    pair(box / "ben", "x", 40)
    outside = save(box.parent / "elsewhere.png", portrait(41))
    (box / "ben/x.sketch.png").unlink()
    (box / "ben/x.sketch.png").symlink_to(outside)


def floats(box: Path) -> None:
    pair(box / "ben", "x", 40)
    (box / "ben/x.png").unlink()
    Image.fromarray(np.zeros((48, 48), np.float32)).save(box / "ben/x.tif")


SMALL = np.zeros((48, 40, 1), np.uint8)
SAME = "x.jpg and x.png share their annotations: give one of them another name"
CONTENT: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "truncated photo": (cut(""), {"ben/x.png": "truncated: image file is truncated"}),
    "truncated sketch": (cut(".sketch"), {"ben/x.png": "its sketch: truncated: image file is truncated"}),
    "no bytes in the photo": (with_("", b""), {"ben/x.png": "zero bytes", "ben/x.sketch.png":
                                               "an annotation without its picture"}),
    "no bytes in the sketch": (with_(".sketch", b""), {"ben/x.sketch.png": "zero bytes",
                                                       "ben/x.png": "a photo without its sketch"}),
    "a sketch of another size": (with_(".sketch", SMALL), {"ben/x.png": "its sketch is 40 x 48, the photo 48 x 48"}),
    "a text for a sketch": (with_(".sketch", b"text"), {"ben/x.png": "its sketch: not an image of a known format"}),
    "floating-point levels": (floats, {"ben/x.tif": "floating-point pixels, whose range is not known"}),
    "a link out of the folder": (link_out, {"ben/x.sketch.png": "a link that leads out of the folder",
                                            "ben/x.png": "a photo without its sketch"}),
}
ANNOTATIONS: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "a parsing map of another size": (with_(".parsing", SMALL),
                                      {"ben/x.png": "labels of 40 x 48 for a picture of 48 x 48"}),
    "an unknown class": (with_(".parsing", np.full((48, 48, 1), 11, np.uint8)),
                         {"ben/x.png": "the label 11 is no class: there are 0 to 8"}),
    "a parsing map in colour": (with_(".parsing", portrait(3)), {
        "ben/x.png": "labels of the kind RGB: save them as grey levels or with a palette, in 8 bits"}),
    "a parsing map in a JPEG file": (with_(".parsing", np.full((48, 48, 1), 2, np.uint8), "jpg"), {
        "ben/x.png": "labels in a JPEG file, which changes them: save them as PNG"}),
    "a paper-cut of another size": (with_(".papercut", SMALL), {
        "ben/x.png": "its papercut is 40 x 48, the photo 48 x 48"}),
    "a broken paper-cut": (with_(".papercut", b"\x89PNG"), {
        "ben/x.png": "its papercut: not an image of a known format"}),
}
LAYOUT: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "a photo without its sketch": (lambda box: lone(box, ".sketch"), {"ben/x.png": "a photo without its sketch"}),
    "a sketch without its photo": (lambda box: lone(box, ""), {
        "ben/x.sketch.png": "an annotation without its picture"}),
    "two sketches of a photo": (lambda box: (pair(box / "ben", "x", 40), save(box / "ben/x.sketch.jpg", portrait(2))), {
        "ben/x.png": "two files for one annotation: x.sketch.jpg and x.sketch.png"}),
    "two photos for one sketch": (lambda box: (pair(box / "ben", "x", 40), save(box / "ben/x.jpg", portrait(2))), {
        "ben/x.jpg": SAME, "ben/x.png": "x.png and x.jpg share their annotations: give one of them another name"}),
    "a sketch outside any folder": (lambda box: save(box / "x.sketch.png", portrait(2)), {
        "x.sketch.png": "an annotation outside a person's folder: put it and its picture into one"}),
    "a folder inside a person's": (lambda box: pair(box / "ben/old", "x", 40), {
        "ben/old/x.png": "a folder inside that of the person 'ben': move its pictures up, or each person's into a "
                         "folder of its own"}),
}
DAMAGES = CONTENT | ANNOTATIONS | LAYOUT


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_pair_is_named_and_the_others_stay(tmp_path: Path, name: str) -> None:
    damage, expected = DAMAGES[name]
    box = people(tmp_path / "in")
    damage(box)
    report = collections.add(tmp_path, "mine", box, role="train", domain="drawings")
    assert {path: text.partition(" (")[0] if "truncated" in text else text
            for path, text in report.refused} == expected
    assert set(collections.describe(tmp_path / "data/mine")["pictures"]) == GOOD
    arrays = domains.get("drawings").read(tmp_path / "data/mine/pictures/anna/1.png")
    assert sorted(arrays) == ["papercut", "parsing", "photo", "sketch"]
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert len(rows(tmp_path / "prepared")) == 3
    assert {f"mine/pictures/{path}" for path in expected} <= reasons(tmp_path / "prepared").keys()


def test_numbers_that_are_missing_on_one_side_are_named_and_pairs_do_not_shift(tmp_path: Path) -> None:
    box = cufs(tmp_path / "in", ("AR",))
    (box / "AR/train_sketches/2.jpg").unlink()
    (box / "AR/test_photos/1.jpg").unlink()
    save(box / "AR/train_photos/3.png", portrait(77))
    report = collections.add(tmp_path, "cufs", box, role="mixed", domain="drawings")
    assert dict(report.refused) == {"AR/train_photos/2.jpg": "AR/train_sketches has no 2",
                                    "AR/test_sketches/1.jpg": "AR/test_photos has no 1",
                                    "AR/train_photos/3.png": "the same number as AR/train_photos/3.jpg"}
    pictures = tmp_path / "data/cufs/pictures"
    assert sorted(path.name for path in pictures.iterdir()) == ["AR_test_2", "AR_train_1", "AR_train_3"]
    kept = domains.get("drawings").read(pictures / "AR_train_3/3.jpg")["sketch"][:, :, 0]
    assert np.array_equal(kept, np.asarray(Image.open(box / "AR/train_sketches/3.jpg")))


def test_lists_with_mistakes(tmp_path: Path) -> None:
    """The lines are named; a person of the training list who is in the test list too is kept out of it."""
    box = tmp_path / "in"
    for number in range(1, 6):
        save(box / f"p/{number}.png", portrait(number))
        save(box / f"s/{number}.png", portrait(number + 50))
    (box / "test_list.txt").write_text("p/1.png||s/1.png||||anna\np/2.png\n\np/3.png||s/9.png\n")
    (box / "train_list.txt").write_text("p/4.png||s/4.png||||anna\n../p/5.png||s/5.png\np/5.png||s/5.png||||ben\n")
    (box / "other_list.txt").write_bytes(b"\xff\xfe\x00")
    report = collections.add(tmp_path, "mine", box, role="mixed", domain="drawings")
    assert dict(report.refused) == {
        "other_list.txt": "no text in UTF-8",
        "test_list.txt, line 2": "1 parts between ||, where photo||sketch||parsing||id are meant",
        "test_list.txt, line 4": "'s/9.png' is not there",
        "train_list.txt, line 2": "'../p/5.png' is not there",
        "p/4.png": "the person anna is on the other side (test) as well"}
    assert report.good == 2


def test_one_pair_for_two_persons_counts_once(tmp_path: Path) -> None:
    box = people(tmp_path / "in")
    pair(box / "cleo", "7", 2)  # that of ben
    collections.add(tmp_path, "mine", box, domain="drawings")
    prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert reasons(tmp_path / "prepared") == {"mine/pictures/cleo/7.png": "duplicate of mine/pictures/ben/1.png"}
