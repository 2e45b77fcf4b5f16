"""Twenty ways of damaging labelled pictures: each is refused with its reason or kept with its right meaning, and the
good records beside it survive."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from restore_ml.arrays import words
from restore_ml.data import collections, domains
from restore_ml.data.pictures import Refused
from restore_ml.data.prepare import prepare
from tests.data.domains.test_labelled import idx, mnist, picture, save

KIND = domains.get("labelled")
Damage = Callable[[Path], None]


def lines(count: int = 3, side: int = 9, label: int = 5) -> list[list[int]]:
    return [[*np.random.default_rng(number).integers(0, 200, side * side).tolist(), label] for number in range(count)]


def written(values: list[list[object]]) -> bytes:
    return "".join(",".join(map(str, line)) + "\n" for line in values).encode()


def table(folder: Path, values: list[list[object]], name: str = "digits.csv", packed: bool = False) -> Path:
    data = written(values)
    (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return folder / name


def changed(values: list[list[int]], line: int, column: int, value: object) -> list[list[object]]:
    out: list[list[object]] = [list(row) for row in values]
    out[line][column] = value
    return out


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def batch(folder: Path, label: int = 3, extra: bytes = b"") -> None:
    good = bytes((1,)) + np.random.default_rng(1).integers(0, 256, 3072, dtype=np.uint8).tobytes()
    (folder / "data_batch_1.bin").write_bytes(good + bytes((label,)) + good[:0:-1] + extra)


def idx_folder(folder: Path, images: bytes, labels: bytes) -> None:
    (folder / "set").mkdir()
    (folder / "set/train-images-idx3-ubyte").write_bytes(images)
    (folder / "set/train-labels-idx1-ubyte").write_bytes(labels)


def gone(path: Path) -> None:
    path.unlink()


IDX_FOLDER = "a folder of idx files holds one file of pictures and one of labels"
PIXELS = np.random.default_rng(3).integers(0, 256, (2, 28, 28), dtype=np.uint8)
TWO = np.array([1, 2], np.uint8)

DAMAGES: dict[str, tuple[Damage, dict[str, str], int]] = {
    # content
    "a truncated picture": (lambda f: cut(save(f / "cat/bad.png", picture(1)), 60),
                            {"cat/bad.png": "truncated: image file is truncated"}, 0),
    "a picture of 7 pixels": (lambda f: save(f / "cat/bad.png", picture(1)[:7, :7]),
                              {"cat/bad.png": "too small: 7 x 7, the shorter side must be at least 8"}, 0),
    "an empty table": (lambda f: table(f, []), {"digits.csv": "zero bytes"}, 0),
    "a table of no square pictures": (lambda f: table(f, [[1, 2, 3, 4]] * 3),
                                      {"digits.csv": "no table of square pictures with a class: 4 columns"}, 0),
    "a gzip file cut off": (lambda f: cut(table(f, lines(), "digits.csv.gz", packed=True), 100),
                            {"digits.csv.gz": "truncated: the gzip file ends in the middle"}, 0),
    "a table cut off in its last line": (lambda f: cut(table(f, lines()), len(written(lines(2))) + 3), {
        "digits.csv/00002": "line 3 has 1 values, not 82"}, 2),
    "a batch of CIFAR-10 cut off": (lambda f: batch(f, extra=b"xy"), {
        "data_batch_1.bin": "truncated or no batch of CIFAR-10: 6148 bytes are no multiple of 3073"}, 0),
    "an idx file cut off": (lambda f: idx_folder(f, idx(PIXELS)[:-5], idx(TWO)), {
        "set/train-images-idx3-ubyte": "truncated or too long: train-images-idx3-ubyte has 1579 bytes, its header asks "
                                       "for 1584"}, 0),
    # annotation
    "a class name that is too long": (lambda f: save(f / ("n" * 33) / "1.png", picture(1)), {
        "n" * 33 + "/1.png": "a class name of 33 bytes: at most 32 are kept"}, 0),
    "a class that CIFAR-10 has not": (lambda f: batch(f, label=10), {
        "data_batch_1.bin/00001": "class 10, but CIFAR-10 has 0 to 9"}, 1),
    "labels for another number of pictures": (lambda f: idx_folder(f, idx(PIXELS), idx(TWO[:1])), {
        "set/train-images-idx3-ubyte": "2 pictures but 1 labels"}, 0),
    "labels in the place of pictures": (lambda f: idx_folder(f, idx(TWO), idx(PIXELS)), {
        "set/train-images-idx3-ubyte": "train-images-idx3-ubyte is no idx file of bytes with 3 axes: it begins with "
                                       "00000801"}, 0),
    "a table that names no label": (lambda f: table(f, [["class_id"] + ["p"] * 81, *lines()]), {
        "digits.csv": "a table whose first line names no column label"}, 0),
    "a value that is no number": (lambda f: table(f, changed(lines(), 1, 4, "x")), {
        "digits.csv/00001": "line 2 has a value that is no whole number"}, 2),
    # layout
    "a picture outside any class": (lambda f: save(f / "loose.png", picture(1)), {
        "loose.png": "it lies in no folder of a class"}, 0),
    "pictures without their labels": (lambda f: (mnist(f / "set", "train", 1), gone(
        f / "set/train-labels-idx1-ubyte.gz")), {
            "set/train-images-idx3-ubyte.gz": f"{IDX_FOLDER}, not 1 and 0"}, 0),
    "labels twice, packed and not": (lambda f: (
        mnist(f / "set", "train", 1), mnist(f / "set", "train", 1, packed=False), gone(
            f / "set/train-images-idx3-ubyte")), {
        "set/train-images-idx3-ubyte.gz": f"{IDX_FOLDER}, not 1 and 2"}, 0),
    "a link out of the folder": (lambda f: (f / "cat/out.png").symlink_to(save(f.parent / "o/o.png", picture(1))), {
        "cat/out.png": "a link that leads out of the folder"}, 0),
    "a value above white in a table of 8 x 8": (lambda f: table(f, changed(
        [[value % 17 for value in line] for line in lines(side=8)], 0, 9, 17)), {
            "digits.csv/00000": "line 1 has values outside 0 to 16"}, 2),
    "a missing line in a table": (lambda f: table(f, [*lines(2), [], *lines(3)[2:]]), {
        "digits.csv/00002": "line 3 has 1 values, not 82"}, 3),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage(tmp_path: Path, name: str) -> None:
    damage, refused, survivors = DAMAGES[name]
    source = tmp_path / "in"
    for number, label in enumerate(("cat", "dog")):
        save(source / label / f"{number}.png", picture(90 + number))
    damage(source)
    layout = "mnist" if any("idx" in path for path in refused) else "plain"
    if layout == "mnist":
        mnist(source / "good", "train", 9, count=2)
    report = collections.add(tmp_path, "mine", source, role="train", domain="labelled", layout_name=layout)
    assert dict(report.refused) == refused
    assert report.good == 2 + survivors
    assert collections.describe(tmp_path / "data/mine")["refused"] == refused
    summary = prepare(tmp_path / "data", tmp_path / "prepared", 1)
    assert summary.counts["labelled/train"] + summary.counts["labelled/validation"] == 2 + survivors
    if layout == "plain":
        folder = tmp_path / "data/mine/pictures"
        found = KIND.read(folder / "dog/1.png", folder)
        assert np.array_equal(found["image"], picture(91)) and words(found["label"]) == "dog"


def test_there_are_twenty() -> None:
    assert len(DAMAGES) == 20


def test_a_name_in_a_table_that_is_no_number(tmp_path: Path) -> None:
    """As a collection.json that somebody has edited may have it."""
    table(tmp_path, lines())
    with pytest.raises(Refused, match="its pictures are numbered from 00000, and this is no number"):
        KIND.read(tmp_path / "digits.csv/first", tmp_path)
