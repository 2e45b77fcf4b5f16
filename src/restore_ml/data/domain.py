"""What a kind of data must say of itself: which files are one record, how they are read, what makes two records alike.

A domain is one file of `restore_ml.data.domains`; nothing else names it. Its records are stored below
prepared/<domain>, and tasks say by name which domain they draw from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.likeness import Likeness
from restore_ml.data.pictures import MAX_BYTES, MIN_SIDE, pixel_hash
from restore_ml.data.public_layouts import Arranged, Arranging, Found, Layout

Maker = Callable[[Path], dict[str, Any]]
"""Fills a folder (which it makes) with the files of an embedded collection; returns collection.json but its name."""


class Domain:
    """A kind of data. The defaults suit one file a record; see `domains/photos.py`, and the clips of the tests for a
    folder a record."""

    name: ClassVar[str]
    """That of its file; collections and tasks name it so."""
    what: ClassVar[str] = "pictures"
    """What its records are called, in sentences."""
    counted: ClassVar[tuple[str, str]] = ("pictures", "sources")
    """What tables call what is tested, and the groups that it comes from; the plural of regular words."""
    suffixes: ClassVar[frozenset[str]]
    """Endings (small letters, with the dot) that promise a record: such a file that cannot be read is named, any other
    is passed over."""
    max_bytes: ClassVar[int | None] = MAX_BYTES
    """The largest file; None: any."""
    min_side: ClassVar[int] = MIN_SIDE
    """The least height and width in pixels."""
    main: ClassVar[str] = "image"
    """The array, ... x height x width x channels, that manifests describe and tasks judge."""
    dtype: ClassVar[str] = "uint8"
    channels: ClassVar[tuple[int, ...] | None] = (1, 3)
    """The numbers of channels that `main` may have; None: any."""
    likeness: ClassVar[Likeness | None] = Likeness()
    """When two records count as near-duplicates; None: only equal values do."""
    parts_are_files: ClassVar[bool] = False
    """Whether the records that a folder holds are files in it, each of which may be taken out alone."""
    layouts: ClassVar[tuple[Layout | Arranging, ...]] = ()
    """Public layouts of folders, the most particular first; `plain` (every record of the folder) is always known."""

    def records(self, files: Sequence[str]) -> dict[str, list[str]]:
        """The files (relative paths with `/`) that make one record each, by the record's path: a file or a folder."""
        return {file: [file] for file in files}

    def parts(self, path: Path, within: Path | None = None) -> Sequence[str]:
        """Where the file or folder at `path` holds several records: their names in it, each of which `read` takes as
        `path / name` (a slice of a volume, a shot of a film). Empty where it is one record itself."""
        return ()

    def own_files(self, part: str, files: Sequence[str]) -> list[str]:
        """Of the `files` of a folder that holds several records (paths in it), those that belong to the record `part`
        alone: they are put aside with it where it cannot be used. The file of that name, if it is one."""
        return [file for file in files if file == part]

    def group(self, record: str) -> str:
        """What must not be on both sides of a split (a person, clip, patient), from the record's path (which ends with
        the name of its part where there is one); "": nothing."""
        return ""

    def read(self, path: Path, within: Path | None = None) -> dict[str, np.ndarray]:
        """The arrays of the record at `path`; `restore_ml.data.pictures.Refused` where it cannot be used.

        `within`: links that lead out of this folder are refused.
        """
        raise NotImplementedError

    def luma(self, arrays: dict[str, np.ndarray]) -> np.ndarray | None:
        """H x W uint8 by which likeness is judged; None where it is not."""
        return None

    def from_rgb(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """A record's arrays drawn from an H x W x 3 uint8 picture: what canaries and measurements of time use."""
        raise NotImplementedError

    def embedded(self) -> dict[str, Maker]:
        """The collections that need no download, by name; `UserError` where their sources are not there."""
        return {}

    def promises(self, record: str) -> bool:
        """Whether the path promises a record."""
        return Path(record).suffix.lower() in self.suffixes

    def select(self, layout: str, files: Sequence[str], role: str) -> tuple[str, list[Found], str]:
        """The layout's name (that of the first one that recognises the files, for `auto`), the records of `files` for a
        role, and a sentence on what was left out."""
        item = self._layout(layout, files)
        if isinstance(item, Layout):
            return item.name, *item.select(files, role)
        plain = [Found(record, group=self.group(record)) for record in self.records(files)]
        return item.name if item else "plain", plain, ""

    def arrange(self, layout: str, source: Path, files: Sequence[str], role: str,
                target: Path) -> tuple[str, Arranged] | None:
        """Where the layout (as for `select`) is one whose lists say what belongs together: its name, and what it has
        copied from the folder `source` into `target`; else None."""
        item = self._layout(layout, files)
        return (item.name, item.arrange(source, files, role, target)) if isinstance(item, Arranging) else None

    def _layout(self, layout: str, files: Sequence[str]) -> Layout | Arranging | None:
        return next((item for item in self.layouts if item.name == layout or (
            layout == "auto" and item.recognises(files))), None)


def identity(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of all values, by which a record is known: equal values have one id, whatever files they come from."""
    return pixel_hash(*(arrays[name] for name in sorted(arrays)))
