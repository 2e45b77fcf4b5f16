"""How fields of nuclei are damaged: each is refused with its reason by file name, or kept with the right meaning."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_ml.data import collections
from restore_ml.data.domains.nuclei import DOMAIN
from tests.data.domains.making import prepared
from tests.data.domains.test_nuclei import outlines, picture, save_bowl, save_pair


def write(place: Path, name: str, values: np.ndarray) -> None:
    Image.fromarray(values).save(place / name)


def cut(name: str) -> Callable[[Path], None]:
    def harm(place: Path) -> None:
        data = (place / name).read_bytes()
        (place / name).write_bytes(data[:len(data) // 2])
    return harm


def saved(name: str, values: np.ndarray) -> Callable[[Path], None]:
    return lambda place: write(place, name, values)


def floats(place: Path) -> None:
    Image.fromarray(outlines(7).astype(np.float32)).save(place / "f.tif")
    (place / "f.png").unlink()


def lossy_labels(place: Path) -> None:
    (place / "f.instances.png").unlink()
    Image.fromarray(outlines(7).astype(np.uint8)).save(place / "f.instances.jpg")


def signed_labels(place: Path) -> None:
    (place / "f.instances.png").unlink()
    Image.fromarray(outlines(7).astype(np.int32) - 1).save(place / "f.instances.tif")


def link_out(place: Path) -> None:
    outside = place.parents[1] / "outside.png"
    write(place.parents[1], "outside.png", picture(9))
    (place / "f.png").unlink()
    os.symlink(outside, place / "f.png")


PAIR: dict[str, tuple[Callable[[Path], None], str]] = {
    # content
    "truncated picture": (cut("f.png"), "f.png: truncated: image file is truncated"),
    "a text with the ending of a picture": (lambda place: (place / "f.png").write_text("no picture") and None,
                                            "f.png: not an image of a known format"),
    "an empty file": (lambda place: (place / "f.png").write_bytes(b"") and None, "zero bytes"),
    "a picture of another size": (saved("f.png", picture(7)[:32]),
                                  "f.instances.png: 48 x 40 pixels, but the picture has 48 x 32"),
    "too small a picture": (saved("f.png", picture(7)[:15]),
                            "f.png: too small: 48 x 15, the shorter side must be at least 16"),
    "a picture that is transparent everywhere": (saved("f.png", np.zeros((40, 48, 4), np.uint8)),
                                                 "f.png: transparent everywhere: there is nothing to see"),
    "levels of no known range": (floats, "f.tif: floating-point pixels, whose range is not known"),
    "a link out of the folder": (link_out, "a link that leads out of the folder"),
    # annotation
    "labels of another size": (saved("f.instances.png", outlines(7)[:, :-1]),
                               "f.instances.png: 47 x 40 pixels, but the picture has 48 x 40"),
    "labels in colour": (saved("f.instances.png", np.repeat(picture(7)[:, :, None], 3, 2)),
                         "f.instances.png: labels in colour: save them as grey levels, a number a nucleus"),
    "labels in a lossy file": (lossy_labels, "f.instances.jpg: labels in a lossy file, whose numbers are not what they "
                                             "were"),
    "labels below zero": (signed_labels, "f.instances.tif: labels below zero"),
    "broken labels": (cut("f.instances.png"), "f.instances.png: truncated: image file is truncated"),
    # layout
    "two label maps for one picture": (lambda place: write(place, "f.instances.tif", outlines(8)),
                                       "1 pictures and 2 label maps in a folder of one field: f.instances.png, "
                                       "f.instances.tif, f.png"),
    "two pictures for one label map": (lambda place: write(place, "f.tif", picture(8)),
                                       "2 pictures and 1 label maps in a folder of one field: f.instances.png, f.png, "
                                       "f.tif"),
}


@pytest.mark.parametrize("name", PAIR)
def test_a_damaged_pair_is_refused_and_the_others_stay(tmp_path: Path, name: str) -> None:
    harm, reason = PAIR[name]
    source = tmp_path / "in"
    save_pair(source / "good", "a", 1)
    save_pair(source / "good", "b", 2)
    save_pair(source / "f", "f", 7)
    harm(source / "f")
    report = collections.add(tmp_path, "mine", source, role="train", domain="nuclei")
    assert [refused for _, refused in report.refused] == [reason] and report.good == 2
    assert report.refused[0][0] in ("f", "f/f")
    assert {path.name for path in (tmp_path / "data/mine/pictures").rglob("*.*")} == {
        "a.png", "a.instances.png", "b.png", "b.instances.png"}


def second_picture(place: Path) -> None:
    write(place / "images", "other.png", picture(8))


def labels_as_mask(place: Path) -> None:
    write(place / "masks", "01.png", (outlines(7) // 300).astype(np.uint8))


BOWL: dict[str, tuple[Callable[[Path], None], str]] = {
    "a truncated mask": (cut("masks/01.png"), "01.png: truncated: image file is truncated"),
    "a mask of another size": (saved("masks/01.png", np.eye(30, dtype=np.uint8)),
                               "01.png: 30 x 30 pixels, but the picture has 48 x 40"),
    "a mask of several nuclei": (labels_as_mask,
                                 "01.png: 4 levels, where the mask of one nucleus has zero and another one"),
    "a mask of everything": (saved("masks/01.png", np.full((40, 48), 255, np.uint8)),
                             "01.png: it covers the whole picture"),
    "one folder for two fields": (second_picture, "2 pictures in images, where a field has one"),
    "masks without a picture": (lambda place: (place / f"images/{place.name}.png").unlink(),
                                "0 pictures in images, where a field has one"),
}


@pytest.mark.parametrize("name", BOWL)
def test_a_damaged_field_of_dsb2018_is_refused_and_the_others_stay(tmp_path: Path, name: str) -> None:
    harm, reason = BOWL[name]
    for number in (1, 2):
        save_bowl(tmp_path / f"in/good{number}", number)
    harm(save_bowl(tmp_path / "in/bad", 7))
    report = collections.add(tmp_path, "mine", tmp_path / "in", role="train", domain="nuclei")
    assert report.refused == [("bad", reason)] and report.good == 2
    assert not (tmp_path / "data/mine/pictures/bad").exists()


def test_a_label_map_without_its_picture_is_named(tmp_path: Path) -> None:
    save_pair(tmp_path / "in", "a", 1)
    write(tmp_path / "in", "b.instances.png", outlines(2))
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="nuclei")
    assert report.refused == [("b.instances.png", "a label map without its picture")] and report.good == 1


def test_a_pair_put_beside_each_other_into_a_collection_is_named(tmp_path: Path) -> None:
    save_pair(tmp_path / "in", "a", 1)
    save_pair(tmp_path / "in", "b", 2)
    collections.add(tmp_path, "mine", tmp_path / "in", domain="nuclei")
    save_pair(tmp_path / "data/mine/pictures", "c", 3)
    counts, reasons = prepared(tmp_path)
    assert counts == {"nuclei/test/mine": 2} and reasons == {
        "mine/pictures/c": "a picture and a label map that lie beside each other belong into a folder of their name"}


def test_a_field_in_both_roots_is_on_one_side(tmp_path: Path) -> None:
    """The same field in a folder to train on and in one to test on: the copy to train on is kept out."""
    for root, number in (("train", 1), ("train", 2), ("test", 2)):
        save_bowl(tmp_path / f"in/{root}/{root}/field{number}", number)
    collections.add(tmp_path, "mine", tmp_path / "in/train", role="train", domain="nuclei")
    collections.add(tmp_path, "tested", tmp_path / "in/test", role="test", domain="nuclei")
    counts, reasons = prepared(tmp_path)
    assert counts["nuclei/test/tested"] == 1
    assert reasons == {"mine/pictures/train/field2":
                       "duplicate of the test picture tested/pictures/test/field2"}


def test_a_palette_and_numbers_with_gaps_are_read_as_numbers(tmp_path: Path) -> None:
    """A label map that a program has coloured by a palette holds indices; black and white ones hold one nucleus."""
    save_pair(tmp_path / "f", "f", 7)
    indices = (outlines(7) // 300 * 40).astype(np.uint8)
    image = Image.fromarray(indices).convert("P")
    image = Image.frombytes("P", image.size, indices.tobytes())
    image.putpalette([value * 7 % 256 for value in range(768)])
    image.save(tmp_path / "f/f.instances.png")
    assert np.array_equal(DOMAIN.read(tmp_path / "f")["instances"][:, :, 0], indices // 40)
    Image.fromarray(outlines(7) > 0).save(tmp_path / "f/f.instances.png")
    assert np.array_equal(DOMAIN.read(tmp_path / "f")["instances"][:, :, 0], outlines(7) > 0)


def test_an_empty_field_and_field_ten_after_field_two(tmp_path: Path) -> None:
    """No nucleus is a meaning too; a field's own number says nothing of another's."""
    for number in (2, 10):
        save_pair(tmp_path / "in", f"field{number}", number)
    save_pair(tmp_path / "in", "field3", 3)
    write(tmp_path / "in", "field3.instances.png", outlines(3) * 0)
    report = collections.add(tmp_path, "mine", tmp_path / "in", domain="nuclei")
    assert report.good == 3 and report.refused == []
    home = tmp_path / "data/mine/pictures"
    assert not DOMAIN.read(home / "field3")["instances"].any()
    for number in (2, 10):
        assert np.array_equal(DOMAIN.read(home / f"field{number}")["image"][:, :, 0], picture(number))
