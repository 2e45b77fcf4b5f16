"""A person's folder as its kind of data reads it: in place, nothing is copied that need not be.

The same files are taken, refused and named as by `restore-ml data add` and the stage `prepare`, and a picture has the
same id, name and group, so that it is degraded in the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.base.files import sha256
from restore_ml.data import folders
from restore_ml.data.copying import Report, printable
from restore_ml.data.domain import Domain, identity
from restore_ml.data.ledger import keep_only
from restore_ml.data.pictures import Refused
from restore_ml.data.public_layouts import Found
from restore_ml.data.shards import Record, write
from restore_ml.own.learned import Learned


@dataclass(frozen=True)
class Picture:
    """A record that was read: its name in the folder, its group, its arrays."""

    name: str
    group: str
    arrays: dict[str, np.ndarray]


class Folder:
    """What lies in a person's folder. `report`: what was refused or left out so far, with reasons."""

    def __init__(self, path: Path, kind: Domain, exclude: Sequence[str], arranged: Path) -> None:
        """List it. `arranged`: where a public layout whose lists say what belongs together is copied to."""
        if not path.is_dir():
            raise UserError(f"{str(path)!r} is not a folder; give a folder with {kind.what}.")
        listing = folders.walk(path, exclude)
        self.kind, self.source = kind, path
        self.report = Report(str(path), refused=listing.closed, excluded=listing.excluded, what=kind.what)
        shutil.rmtree(arranged, ignore_errors=True)
        copied = kind.arrange("auto", path, listing.files, "test", arranged)
        if copied is None:
            _, self.found, self.report.note = kind.select("auto", listing.files, "test")
        else:
            self.source, self.found, self.report.note = arranged, copied[1].found, copied[1].note
            self.report.refused += copied[1].refused
        promising = [item for item in self.found if kind.promises(item.path)]
        self.report.skipped += len(self.found) - len(promising)
        self.found = promising

    def choose(self, most: int) -> None:
        """Keep at most so many of the records, drawn by their names: the same ones on every call."""
        if most and len(self.found) > most:
            left = len(self.found) - most
            drawn = sorted(self.found, key=lambda item: sha256(item.path.encode(errors="surrogateescape")))[:most]
            self.found = sorted(drawn, key=lambda item: item.path)
            self.report.note = " ".join(filter(None, [self.report.note, f"{left} more were not drawn (--pictures)."]))

    def read(self, item: Found) -> Iterator[Picture]:
        """The records at one place of the folder; what cannot be used goes to the report."""
        try:
            parts = self.kind.parts(self.source / item.path, self.source)
        except Refused as error:
            self.report.refused.append((item.path, error.reason))
            return
        for part in parts or [""]:
            path = f"{item.path}/{part}" if part else item.path
            try:
                arrays = self.kind.read(self.source / path, self.source)
            except Refused as error:
                self.report.refused.append((path, error.reason))
                continue
            stem = printable(path)
            above, slash, last = stem.rpartition("/")
            name = above + slash + (last.rpartition(".")[0] or last)
            yield Picture(name, item.group or (self.kind.group(path) if part else "") or name, arrays)


def take_in(folder: Folder, name: str, out: Path, learned: Learned, crop: int = 0,
            progress: Callable[[int], object] = lambda count: None) -> int:
    """Write every usable record as the prepared test set `name` into `out`, one file each (whatever else is there
    goes); returns how many there are.

    Left out, with a line in the report: what is there twice, and what models may have learned from. `crop`: the side of
    the middle square that is kept of larger pictures; 0: all.
    """
    written: dict[Path, str] = {}
    if not learned.names:
        folder.report.note = " ".join(filter(None, [
            folder.report.note, "Whether models learned from any of them cannot be told: prepared/ has no training "
            f"{folder.kind.what}."]))
    for item in folder.found:
        for picture in folder.read(item):
            arrays = cropped(picture.arrays, folder.kind, crop)
            key = identity(arrays)
            path = out / f"{key}.arrow"
            reason = f"the same pixels as {written[path]!r}" if path in written else learned.same(key, arrays)
            if reason:
                folder.report.refused.append((picture.name, reason))
                continue
            facts = {"name": picture.name, "collection": name, "group": picture.group, "synthetic": False}
            write(path, [Record(key, arrays, facts)])
            written[path] = picture.name
        progress(1)
    out.mkdir(parents=True, exist_ok=True)
    keep_only(out, written)
    folder.report.good = len(written)
    return len(written)


def cropped(arrays: dict[str, np.ndarray], kind: Domain, side: int) -> dict[str, np.ndarray]:
    """The middle `side` x `side` pixels of a picture; a side that is shorter stays whole."""
    if not side:
        return arrays
    main = arrays[kind.main]
    if set(arrays) != {kind.main} or main.ndim != 3:
        raise UserError(f"--crop cuts single pictures; {kind.what} are more than that.")
    rows, columns = (slice(start := max(0, (length - side) // 2), start + side) for length in main.shape[:2])
    return {kind.main: np.ascontiguousarray(main[rows, columns])}
