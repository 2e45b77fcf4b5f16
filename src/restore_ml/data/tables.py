"""Files that hold many small pictures with their classes: tables of numbers, idx files (MNIST) and batches of CIFAR-10.

Each is read whole once a process and kept while it stays the same file, since its pictures are asked for one by one.
A table is text, gzipped or not: a line a picture, the pixels row by row and the class last, or, with a line of names
first, in the column `label`. idx: the format of the MNIST files (LeCun, Cortes and Burges), big-endian, a file of
pictures and one of labels in one folder. CIFAR-10: records of 3,073 bytes, the class, then 32 x 32 red, green, blue.
"""

from __future__ import annotations

import codecs
import gzip
import io
import math
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from restore_ml.data.ledger import Mark, mark
from restore_ml.data.pictures import MAX_BYTES, Refused, read_bytes

TABLES = (".csv", ".csv.gz")
IDX = re.compile(r"(?P<set>.+?)[-_.](?P<what>images|labels)[-_.]idx[13][-_.]ubyte(?P<gz>\.gz)?", re.IGNORECASE)
CIFAR = re.compile(r"(?P<set>data|test)_batch(_[1-9])?\.bin", re.IGNORECASE)
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""In the order of CIFAR-10's numbers."""
LEVELS = {8: 16}
"""The value of white in tables of pictures of this side (the 8 x 8 digits of UCI have 17 levels); others: 255."""
_CIFAR_BYTES = 1 + 3 * 32 * 32


@dataclass(frozen=True)
class Table:
    """`pictures`: N x H x W x C uint8; `labels`: the N names of their classes; `faults`: why some cannot be used, by
    number."""

    pictures: np.ndarray
    labels: tuple[str, ...]
    faults: dict[int, str]

    def picture(self, number: int) -> tuple[np.ndarray, str]:
        """The numbered picture and its class; `Refused` where it cannot be used."""
        if not 0 <= number < len(self.labels):
            raise Refused(f"there is no picture {number}: the file holds {len(self.labels)}")
        if number in self.faults:
            raise Refused(self.faults[number])
        return self.pictures[number], self.labels[number]


def kind_of(name: str) -> str:
    """`table`, `idx` or `cifar` by a file's name; an empty text for any other."""
    if name.lower().endswith(TABLES):
        return "table"
    if IDX.fullmatch(name):
        return "idx"
    return "cifar" if CIFAR.fullmatch(name) else ""


def open_table(path: Path, within: Path | None = None) -> Table:
    """The pictures of a table, of a batch of CIFAR-10, or of a folder with two idx files.

    Raises:
        Refused: it cannot be read, or is none of these.
    """
    table = _kept(path, within, mark(path))
    if isinstance(table, Refused):
        raise Refused(table.reason)
    return table


def parse(data: bytes, name: str) -> Table:
    """The pictures in the bytes of a table or batch of that name; `Refused` as above."""
    data = _unpacked(data, name)
    return _read_cifar(data) if kind_of(Path(name).name) == "cifar" else _read_table(data)


@lru_cache(maxsize=4)
def _kept(path: Path, within: Path | None, state: Mark | None) -> Table | Refused:
    """The table, or why there is none; `state` tells one version of the file from the next."""
    try:
        if path.is_dir():
            return _read_idx(path, within)
        return parse(read_bytes(path, within), path.name)
    except Refused as error:
        return error


def _unpacked(data: bytes, name: str) -> bytes:
    """The bytes, unpacked where the name ends with .gz."""
    if not name.lower().endswith(".gz"):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            plain = file.read(MAX_BYTES + 1)
    except EOFError:
        raise Refused("truncated: the gzip file ends in the middle") from None
    except (OSError, zlib.error) as error:
        raise Refused(f"no whole gzip file: {error}") from None
    if len(plain) > MAX_BYTES:
        raise Refused(f"decompression bomb: more than {MAX_BYTES} bytes")
    return plain


def _read_table(data: bytes) -> Table:
    lines = data.removeprefix(codecs.BOM_UTF8).replace(b"\r", b"").split(b"\n")  # spreadsheets write the mark
    lines = lines[:-1] if not lines[-1] else lines
    if not lines or not data.strip():
        raise Refused("an empty table")
    names = [] if lines[0][:1].isdigit() else lines[0].decode("utf-8", "replace").replace('"', "").split(",")
    lines = lines[1:] if names else lines
    if names and names.count("label") != 1:
        raise Refused("a table whose first line names no column label")
    counts = [line.count(b",") + 1 for line in lines]
    columns = len(names) or (Counter(counts).most_common(1)[0][0] if counts else 0)
    side = math.isqrt(max(0, columns - 1))
    if side < 1 or side * side != columns - 1:
        raise Refused(f"no table of square pictures with a class: {columns} columns")
    column = names.index("label") if names else columns - 1
    white = LEVELS.get(side, 255)
    faults = {number: f"line {number + 1 + bool(names)} has {count} values, not {columns}"
              for number, count in enumerate(counts) if count != columns}
    values = _numbers(lines, columns, faults, bool(names))
    for number in np.flatnonzero(((values < 0) | (np.delete(values, column, 1).max(axis=1, initial=0) > white)[:, None]
                                  ).any(axis=1)).tolist():
        faults.setdefault(number, f"line {number + 1 + bool(names)} has values outside 0 to {white}")
    pixels = np.clip(np.delete(values, column, 1), 0, white)
    pictures = ((pixels * 510 + white) // (2 * white)).astype(np.uint8)  # rounded share of white, in whole numbers
    return Table(pictures.reshape(-1, side, side, 1), tuple(str(value) for value in values[:, column].tolist()), faults)


def _numbers(lines: list[bytes], columns: int, faults: dict[int, str], named: bool) -> np.ndarray:
    """The values of all lines, N x columns int64, zeros where a line cannot be used (then it is among `faults`)."""
    values = np.zeros((len(lines), columns), np.int64)
    good = [number for number in range(len(lines)) if number not in faults]
    try:
        if good:
            values[good] = np.loadtxt([lines[number].decode("ascii") for number in good], np.int64, delimiter=",",
                                      ndmin=2, comments=None)
    except (ValueError, OverflowError):  # rarely: line by line, to name the one that is wrong
        for number in good:
            try:
                values[number] = [int(value) for value in lines[number].split(b",")]
            except (ValueError, OverflowError):
                faults[number] = f"line {number + 1 + named} has a value that is no whole number"
    return values


def _read_idx(folder: Path, within: Path | None) -> Table:
    """The two idx files of a folder."""
    files: dict[str, list[Path]] = {"images": [], "labels": []}
    for file in sorted(folder.iterdir()):
        if match := IDX.fullmatch(file.name):
            files[match["what"].lower()].append(file)
    if [len(counts) for counts in files.values()] != [1, 1]:
        raise Refused("a folder of idx files holds one file of pictures and one of labels, not "
                      f"{len(files['images'])} and {len(files['labels'])}")
    pictures, labels = (_array(files[what][0], within, axes) for what, axes in (("images", 3), ("labels", 1)))
    if len(pictures) != len(labels):
        raise Refused(f"{len(pictures)} pictures but {len(labels)} labels")
    return Table(pictures[..., None], tuple(str(value) for value in labels.tolist()), {})


def _array(file: Path, within: Path | None, axes: int) -> np.ndarray:
    """The bytes of one idx file with that many axes."""
    data = _unpacked(read_bytes(file, within), file.name)
    if data[:4] != bytes((0, 0, 8, axes)):
        raise Refused(f"{file.name} is no idx file of bytes with {axes} axes: it begins with {data[:4].hex()}")
    shape = np.frombuffer(data, ">i4", axes, 4).tolist() if len(data) >= 4 + 4 * axes else []
    if not shape or min(shape) < 0 or math.prod(shape) != len(data) - 4 - 4 * axes:
        raise Refused(f"truncated or too long: {file.name} has {len(data)} bytes, its header asks for "
                      f"{math.prod(shape) + 4 + 4 * axes if shape else 'more'}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _read_cifar(data: bytes) -> Table:
    if len(data) % _CIFAR_BYTES:
        raise Refused(f"truncated or no batch of CIFAR-10: {len(data)} bytes are no multiple of {_CIFAR_BYTES}")
    values = np.frombuffer(data, np.uint8).reshape(-1, _CIFAR_BYTES)
    numbers = values[:, 0].tolist()
    faults = {index: f"class {number}, but CIFAR-10 has 0 to 9" for index, number in enumerate(numbers) if number > 9}
    labels = tuple(CIFAR_CLASSES[number] if number < 10 else "" for number in numbers)
    return Table(values[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, faults)
