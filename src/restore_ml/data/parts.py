"""Files and folders that hold several records: the slices of a volume, the shots of a film, the rows of a table.

Such a record's path goes on inside the file, `film.mp4/0030-0069`. collection.json names each of them under `pictures`,
as they were found when the file was added: no later step has to open a file to know what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from restore_ml.base.files import sha256
from restore_ml.data.domain import Domain, identity
from restore_ml.data.pictures import Refused

Ids = tuple[dict[str, str], list[tuple[str, str]]]
"""What `read_all` says of a file or folder."""


def read_all(domain: Domain, path: Path, within: Path) -> Ids:
    """Read what is at `path`: the ids of its records by their names in it (`""`: it is one record itself), and the
    names of those that cannot be used, each with the reason.

    Raises:
        Refused: nothing in it can be used.
    """
    names = domain.parts(path, within)
    if not names:
        return {"": identity(domain.read(path, within))}, []
    good, refused = {}, []
    for name in names:
        try:
            good[name] = identity(domain.read(path / name, within))
        except Refused as error:
            refused.append((name, error.reason))
    if not good:
        raise Refused(f"none of its {len(names)} {domain.what} can be used, such as {refused[0][0]}: {refused[0][1]}")
    return good, refused


def read_without(closed: list[tuple[str, str]], read: Callable[[], Ids]) -> Ids:
    """What `read` (see `read_all`) says of a folder's copy that lacks the files of `closed`, each with the reason: a
    folder of many records goes on without them and they are named, a record of several files is refused for the first
    of them."""
    if not closed:
        return read()
    with suppress(Refused):
        ids, bad = read()
        if set(ids) != {""}:
            return ids, sorted(bad + closed)
    raise Refused(closed[0][1])


def identity_of(ids: Mapping[str, str]) -> str:
    """One id for a file or folder with these records: that of the record where it is one itself."""
    return ids[""] if set(ids) == {""} else sha256("\n".join(f"{name} {ids[name]}" for name in sorted(ids)).encode())


def expand(records: Iterable[str], stated: Collection[str]) -> dict[str, str]:
    """The paths of all records, each with the path of the file or folder that holds it: the `records` that a folder's
    files make, or what collection.json has `stated` of them.

    >>> expand(["a.png", "b.mp4"], ["b.mp4/0000-0029", "a.png", "gone.png"])
    {'a.png': 'a.png', 'b.mp4/0000-0029': 'b.mp4'}
    """
    there = set(records)
    holding = {name: parent for name in stated if name not in there
               for parent in _parents(name) if parent in there}
    full = set(holding.values())
    return {name: name for name in sorted(there - full)} | dict(sorted(holding.items()))


def place_in(record: str, file: str) -> str:
    """Where a file of a record lies in it: nowhere deeper for the record itself, and by its name for one that lies
    elsewhere, such as a picture and the label map beside it, which become one folder.

    >>> place_in("a.png", "a.png"), place_in("film", "film/cut/1.png"), place_in("field/a", "field/a.instances.png")
    ('', 'cut/1.png', 'a.instances.png')
    """
    if file == record:
        return ""
    return file.removeprefix(f"{record}/") if file.startswith(f"{record}/") else PurePosixPath(file).name


def _parents(name: str) -> Iterator[str]:
    return (parent.as_posix() for parent in PurePosixPath(name).parents)
