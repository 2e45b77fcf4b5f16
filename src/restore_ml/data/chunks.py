"""Work cut into chunks: what the library asks of whoever runs it in parallel.

The library knows no scheduler. Where many pictures are worked on, a function of one chunk is handed to a `Mapper`: the
builtin `map` in one process, a pool or a cluster in the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from restore_ml.data.shards import Record, Shard

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`: called after each chunk, picture or case."""
Place = tuple[str, Path, int]
"""Where a prepared picture lies: its id, the shard, its number in the shard."""

CHUNK = 64
"""Pictures a chunk: enough that handing it over costs little, few enough that many workers have something to do."""


class Mapper(Protocol):
    """`mapper(function, items)` gives `function(item)` of every item, lazily and in the order of the items.

    The function must not depend on what other items give, and both must survive the way to another process; files that
    it reads and writes must lie where all workers see them.
    """

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterator[Any]:
        """The results, in order."""
        ...


def pieces(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in lists of `size`, the last one shorter.

    >>> pieces("abcde", 2)
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    return [list(items[start:start + size]) for start in range(0, len(items), size)]


class Chosen(Sequence[Record]):
    """Some prepared pictures, read when they are asked for. `ids` are theirs, in order."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places
        self._open: dict[Path, Shard] = {}

    def __reduce__(self) -> tuple[type[Chosen], tuple[Sequence[Place]]]:
        """Worker processes map the files again."""
        return Chosen, (self.places,)

    @property
    def ids(self) -> list[str]:
        """The ids in order."""
        return [identity for identity, _, _ in self.places]

    def __len__(self) -> int:
        """How many pictures are chosen."""
        return len(self.places)

    def __getitem__(self, index: int) -> Record:  # type: ignore[override]
        """The chosen picture at `index`."""
        _, path, number = self.places[index]
        if path not in self._open:
            self._open[path] = Shard(path)
        return self._open[path][number]


def places(folder: Path) -> list[Place]:
    """All prepared pictures of a folder in the order of their ids."""
    shards = ((path, Shard(path)) for path in sorted(folder.glob("*.arrow")))
    return sorted((shard.id(number), path, number) for path, shard in shards for number in range(len(shard)))
