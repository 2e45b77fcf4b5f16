"""What layouts share whose lists say which files are one person's: reading such lists, and copying pictures into a
folder for each person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from restore_ml.data.pictures import Refused, read_bytes
from restore_ml.data.public_layouts import Arranged, Found

SPLITS_OF_ROLE = {"train": ("", "train", "validation"), "test": ("", "test")}
"""The splits that a set's own lists state and that a role takes; any other role takes all."""


@dataclass
class Folders:
    """Copies files of the folder `source` into `target`, a folder for each person, and keeps the account."""

    source: Path
    target: Path
    role: str
    arranged: Arranged = field(default_factory=Arranged)
    _splits: dict[str, str] = field(default_factory=dict)

    def takes(self, split: str) -> bool:
        """Whether the role takes what the set's own lists put on this side ("" where they say nothing)."""
        return split in SPLITS_OF_ROLE.get(self.role, ("", "train", "validation", "test"))

    def put(self, person: str, files: dict[str, str], split: str = "") -> bool:
        """Copy a picture and what belongs to it, `files` of the set by their names in the person's folder, all or none;
        the first is named where one cannot be read, or where the person is on another side already."""
        folder = folder_name(person)
        first = next(iter(files.values()))
        if self._splits.setdefault(folder, split) != split:
            self.refuse(first, f"the person {person} is on the other side ({self._splits[folder]}) as well")
            return False
        try:
            taken = next((name for name in files if (self.target / folder / name).exists()), None)
            if taken:
                raise Refused(f"the person {person} has a {taken} already")
            data = {name: read_bytes(self.source / file, self.source) for name, file in files.items()}
        except Refused as error:
            self.refuse(first, error.reason)
            return False
        (self.target / folder).mkdir(parents=True, exist_ok=True)
        for name, content in data.items():
            (self.target / folder / name).write_bytes(content)
            self.arranged.names[f"{folder}/{name}"] = files[name]
        return True

    def refuse(self, file: str, reason: str) -> None:
        """Note why a file of the set is not taken."""
        self.arranged.refused.append((file, reason))

    def done(self, note: str) -> Arranged:
        """The account, one record holder for each person; `train` is left open, so that a share of it becomes
        validation where the set states none."""
        self.target.mkdir(parents=True, exist_ok=True)
        self.arranged.found = [Found(folder.name, "" if self._splits[folder.name] == "train" else
                                     self._splits[folder.name], folder.name)
                               for folder in sorted(self.target.iterdir())]
        self.arranged.note = note
        return self.arranged


def folder_name(person: str) -> str:
    """A person's name as that of one folder, wherever the name comes from.

    >>> folder_name("../a b"), folder_name("2880")
    ('_a_b', '2880')
    """
    return re.sub(r"[^\w.-]+", "_", person).strip(".") or "_"


@dataclass
class Table:
    """A list by picture: the names of its columns where it has a head, and the cells of each picture.

    `twice`: pictures that it names more than once.
    """

    columns: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)


def read_table(source: Path, file: str) -> Table:
    """A list of CelebA, as published (a count, a head, values between blanks) or as a CSV file.

    Raises:
        Refused: not readable, no text.
    """
    table = Table()
    for number, line in read_lines(source, file).items():
        cells = [cell.strip() for cell in line.split(",")] if file.lower().endswith(".csv") else line.split()
        name = PurePosixPath(cells[0]).name if cells else ""
        if re.fullmatch(r".+\.(?:jpg|jpeg|png)", name, re.IGNORECASE):
            if name in table.rows:
                table.twice.add(name)
            table.rows[name] = cells[1:]
        elif len(cells) > 1 and number <= 2:
            table.columns = cells[1:] if file.lower().endswith(".csv") else cells
    return table


def read_lines(source: Path, file: str) -> dict[int, str]:
    """The lines of a text file that have something in them, by their numbers from 1; `Refused` where it is no text."""
    try:
        text = read_bytes(source / file, source).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("no text in UTF-8") from None
    return {number: line.strip() for number, line in enumerate(text.splitlines(), 1) if line.strip()}


def named(files: Sequence[str], *names: str) -> str | None:
    """The first of the files with one of these names, in any folder."""
    wanted = {name.casefold() for name in names}
    return next((file for file in files if PurePosixPath(file).name.casefold() in wanted), None)
