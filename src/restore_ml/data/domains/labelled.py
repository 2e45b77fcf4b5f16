"""Labelled pictures: one small picture a record with the name of its class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from restore_ml.arrays import text
from restore_ml.data import likeness, tables
from restore_ml.data.domain import Domain, Maker
from restore_ml.data.likeness import Likeness
from restore_ml.data.pictures import PROMISING, Refused, read_picture
from restore_ml.data.public_layouts import Arranged, Arranging, Found, Layout

LABEL_BYTES = 32
"""Bytes of a class name in UTF-8."""
_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
           "validation": "validation", "test": "test", "testing": "test"}
_OF_ROLE = {"train": ("train", "validation"), "test": ("test",)}


def _splits_of(role: str) -> tuple[str, ...]:
    return _OF_ROLE.get(role, ("train", "validation", "test"))


def _tops(paths: Sequence[str]) -> set[str]:
    return {PurePosixPath(path).parts[0].lower() for path in paths if len(PurePosixPath(path).parts) > 2}


def _classes(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The pictures of the folders of classes in `train` and `val` for the role `train`, in `test` for `test`."""
    chosen = []
    for path in paths:
        parts = PurePosixPath(path).parts
        split = _SPLITS.get(parts[0].lower(), "") if len(parts) > 2 else ""
        if split in _splits_of(role):
            # `train` is left open, so that a share of it becomes validation where the set has no folder for it
            chosen.append(Found(path, "" if split == "train" else split))
    return chosen, (f"Read as a folder for each class in a folder for each split: {len(chosen)} files of "
                   f"{', '.join(_splits_of(role))} are taken, {len(paths) - len(chosen)} other files are not.")


def _cifar(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """The batches of data for the role `train`, that of tests for `test`."""
    chosen = []
    for path in paths:
        match = tables.CIFAR.fullmatch(PurePosixPath(path).name)
        split = match and {"data": "train", "test": "test"}[match["set"].lower()]
        if split in _splits_of(role):
            chosen.append(Found(path))
    return chosen, (f"Read as the binary CIFAR-10: {len(chosen)} batches are taken, {len(paths) - len(chosen)} other "
                   "files are not.")


def _mnist(source: Path, files: Sequence[str], role: str, target: Path) -> Arranged:
    """Each set of two idx files copied into a folder of its name: `t10k` and `test` for the role `test`, the others for
    `train`."""
    sets: dict[str, list[str]] = {}
    for file in files:
        match = tables.IDX.fullmatch(PurePosixPath(file).name)
        if match:
            split = "test" if re.search(r"t10k|test", match["set"], re.IGNORECASE) else "train"
            if split in _splits_of(role):
                sets.setdefault((PurePosixPath(file).parent / match["set"]).as_posix(), []).append(file)
    out = Arranged()
    for record, members in sorted(sets.items()):
        try:
            for file in members:
                copy = target / record / PurePosixPath(file).name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(tables.read_bytes(source / file, source))
        except Refused as error:
            out.refused.append((members[0], error.reason))
            continue
        out.found.append(Found(record))
        out.names[record] = members[0]
    taken = sum(map(len, sets.values()))
    out.note = (f"Read as MNIST's idx files: {len(sets)} sets of pictures and labels are taken, {len(files) - taken} "
                "other files are not.")
    return out


CLASSES = Layout("classes", lambda paths: bool(_tops(paths) & _SPLITS.keys()), _classes)
CIFAR10 = Layout("cifar10", lambda paths: any(tables.CIFAR.fullmatch(PurePosixPath(path).name) for path in paths),
                 _cifar)
MNIST = Arranging("mnist", lambda paths: any(tables.IDX.fullmatch(PurePosixPath(path).name) for path in paths), _mnist)


class Labelled(Domain):
    """`image`: H x W x C uint8, C = 1 or 3; `label`: the name of its class, a text of 32 bytes.

    A picture's class is the folder that holds it (`cat/1.png`); tables, folders of two idx files and batches of
    CIFAR-10 hold many pictures and say the class of each (`restore_ml.data.tables`). Digits are `0` to `9` in all of
    them. A class is known by its name, so that collections with other classes stand side by side.
    """

    name = "labelled"
    what = "labelled pictures"
    suffixes = PROMISING | {".csv"}
    min_side = 8
    likeness = Likeness(distance=4, correlation=0.995)
    """Digits look alike by nature: of 5,000 of MNIST the nearest two correlate at 0.990, and at the thresholds of
    photographs ten pairs would count as copies. Copies as JPEG of quality 75 correlate at 0.998 and differ in at most 2
    bits, so these thresholds tell both apart. A copy under another class counts too, though its values differ."""
    layouts = (MNIST, CIFAR10, CLASSES)

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """A folder of idx files, else every file."""
        records: dict[str, list[str]] = {}
        for file in files:
            parent = PurePosixPath(file).parent.as_posix()
            apart = parent != "." and tables.kind_of(PurePosixPath(file).name) == "idx"
            records.setdefault(parent if apart else file, []).append(file)
        return records

    def promises(self, record: str) -> bool:
        """Pictures, tables, batches of CIFAR-10 and idx files, or a folder of these."""
        name = PurePosixPath(record).name
        return bool(tables.kind_of(name)) or not Path(name).suffix or Path(name).suffix.lower() in self.suffixes

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """`00000`, `00001` ... of a file or folder that holds many."""
        if not (path.is_dir() or tables.kind_of(path.name)):
            return ()
        return [f"{number:05d}" for number in range(len(tables.open_table(path, within).labels))]

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """See the class."""
        if tables.kind_of(path.parent.name) or (path.parent.is_dir() and path.name.isdecimal()
                                                and not path.exists()):
            if not path.name.isdecimal():
                raise Refused("its pictures are numbered from 00000, and this is no number")
            picture, label = tables.open_table(path.parent, within).picture(int(path.name))
        elif path.is_dir() or tables.kind_of(path.name):
            raise Refused("it holds many pictures, of which nothing is known: `restore-ml data add` takes it")
        else:
            picture, label = read_picture(path, within, self.min_side), _class_of(path, within)
        if min(picture.shape[:2]) < self.min_side:
            raise Refused(f"too small: {picture.shape[1]} x {picture.shape[0]}, the shorter side must be at least "
                          f"{self.min_side}")
        try:
            return {"image": np.ascontiguousarray(picture), "label": text(label, LABEL_BYTES)}
        except ValueError:
            raise Refused(f"a class name of {len(label.encode())} bytes: at most {LABEL_BYTES} are kept") from None

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """The picture's own."""
        return likeness.luma(arrays["image"])

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The picture itself, of the class `picture`."""
        return {"image": picture, "label": text("picture", LABEL_BYTES)}

    def embedded(self) -> dict[str, Maker]:
        """Digits in two sizes, and crops of twelve classes: tests, and material to train and validate on."""
        from restore_ml.data.sources import class_crops, digits

        return {**digits.makers(), **class_crops.makers()}


def _class_of(path: Path, within: Path | None) -> str:
    """The name of the folder that holds a picture, composed (NFC), so that one name is one class on every system."""
    name = path.parent.name
    if path.parent == within or name.lower() in _SPLITS:
        raise Refused("it lies in no folder of a class")
    return unicodedata.normalize("NFC", name)


DOMAIN = Labelled()
