"""What lies in a person's folder: the files that count, what disks and programs put beside them, what cannot be read.

Network disks, operating systems and photo programs keep thumbnails, bins and snapshots among the pictures; taken for
photographs they would count twice, or bring back what a person deleted.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

EXCLUDED = (
    "@eaDir", "#recycle", "#snapshot", "@tmp", "@Recycle", "@Recently-Snapshot", "@Transcode", ".@__thumb", "@__thumb",
    "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found", "__MACOSX", "Network Trash Folder",
    "Temporary Items", "TheVolumeSettingsFolder", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Picasa.ini",
    "*.lrdata", "*.photoslibrary/resources", "*.photoslibrary/database", "*.aplibrary/Thumbnails",
    "*.aplibrary/Previews", "_vti_cnf", "SYNOPHOTO_*", "SYNOVIDEO_*")
"""What is always left out: thumbnails, bins, snapshots and catalogues of network disks (Synology, QNAP), systems and
photo programs. Patterns as for `excludes`."""


@dataclass
class Listing:
    """Files of a folder by their relative paths with `/`, sorted; folders that cannot be read, each with the reason;
    and how many files (or folders, each counted once) were left out, by pattern or as `hidden`."""

    files: list[str] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)


def walk(folder: Path, exclude: Sequence[str] = (), without: Iterable[Path] = ()) -> Listing:
    """List all files below `folder` but those that `EXCLUDED` or `exclude` name, hidden ones and the folders `without`.

    Linked folders are not entered.
    """
    listing = Listing()
    apart = {os.path.realpath(path) for path in without}
    patterns = (*EXCLUDED, *exclude)

    def note(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder)
        listing.closed.append((name, f"a folder that cannot be read: {error.strerror}"))

    def kept(directory: str, name: str) -> bool:
        path = Path(directory, name).relative_to(folder).as_posix()
        reason = excludes(path, patterns)
        if apart and os.path.realpath(os.path.join(directory, name)) in apart:
            return False
        if reason:
            listing.excluded[reason] += 1
        return not reason

    for directory, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if kept(directory, name)]
        listing.files += [Path(directory, name).relative_to(folder).as_posix() for name in files
                          if kept(directory, name)]
    listing.files.sort()
    return listing


def excludes(path: str, patterns: Sequence[str] = EXCLUDED) -> str:
    """The pattern that leaves out the file or folder `path` (relative, with `/`), `hidden`, or an empty text.

    A pattern without `/` means the last part of a path, one with `/` its last parts; `*` and `?` stand for any
    characters, and letters' case does not count.

    >>> excludes("2019/@eaDir")
    '@eaDir'
    >>> excludes("2019/raw/IMG_1.jpg", ("raw", "raw/*.jpg"))
    'raw/*.jpg'
    >>> excludes("2019/.thumbnails"), excludes("2019/IMG_1.jpg")
    ('hidden', '')
    """
    parts = path.casefold().split("/")
    for pattern in patterns if _may_exclude(tuple(patterns)).search(path.casefold()) else ():
        wanted = pattern.strip("/").casefold()
        tail = "/".join(parts[-(wanted.count("/") + 1):])
        if fnmatch.fnmatchcase(tail, wanted):
            return pattern
    return "hidden" if parts[-1].startswith(".") else ""


def excludes_within(path: str, patterns: Sequence[str] = EXCLUDED) -> str:
    """The pattern that leaves out the path or a folder on the way to it, or an empty text; `hidden` does not count.

    >>> excludes_within("a/@eaDir/b.jpg/thumb.jpg"), excludes_within("a/.hidden/b.jpg")
    ('@eaDir', '')
    """
    if not _may_exclude(tuple(patterns)).search(path.casefold()):
        return ""
    parts = path.split("/")
    excluded = (excludes("/".join(parts[:count]), patterns) for count in range(1, len(parts) + 1))
    return next((pattern for pattern in excluded if pattern not in ("", "hidden")), "")


@lru_cache(maxsize=16)
def _may_exclude(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression that finds every path which any of the patterns means, and few others: most paths need no more."""
    bodies = (fnmatch.translate(pattern.strip("/").casefold()).removesuffix(r"\Z") for pattern in patterns)
    return re.compile(f"(?:^|/)(?:{'|'.join(bodies)})(?:/|$)")


def in_words(excluded: Counter[str]) -> str:
    """What was left out, in a sentence, or an empty text.

    >>> in_words(Counter({"@eaDir": 2, "hidden": 1}))
    'Left out: 2 @eaDir, 1 hidden.'
    """
    return f"Left out: {', '.join(f'{count} {what}' for what, count in excluded.most_common())}." if excluded else ""
