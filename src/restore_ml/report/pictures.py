"""The pictures that a person looks at: samples as the task's protocol shows them, and their files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.base import layout
from restore_ml.base.errors import UserError
from restore_ml.base.files import write_whole
from restore_ml.data.shards import Record, Shard
from restore_ml.tasks.panels import Panel, panel

if TYPE_CHECKING:
    from PIL import Image

Arrays = dict[str, np.ndarray]


class TaskPictures:
    """The test samples of a task on disk and what its runs made of them. Shards are mapped once and read by index."""

    def __init__(self, root: Path, task: str) -> None:
        """`task` must have a protocol; nothing is read yet."""
        from restore_ml.tasks.protocol import protocol

        self.root, self.task, self.protocol = root, task, protocol(task)
        self._shard = lru_cache(maxsize=512)(_shard)

    def cases(self) -> list[str]:
        """All cases that have inputs and targets (`photos/x2`), the primary one first, then by name. Those whose truth
        nobody knows have no targets: `cases_without_truth`."""
        folder = self.root / layout.samples(self.task)
        found = sorted(path.relative_to(folder / "inputs").with_suffix("").as_posix()
                       for path in folder.glob("inputs/*/*.arrow"))
        found = [case for case in found if (folder / "targets" / f"{case}.arrow").exists()]
        if not found:
            return []
        from restore_ml.evaluation.comparison import first_case, named_case

        first = first_case(self.protocol, found, named_case(self.root, self.task))
        return [first, *(case for case in found if case != first)]

    def cases_without_truth(self) -> list[str]:
        """All cases that have inputs alone, by name."""
        from restore_ml.evaluation import without_truth

        return without_truth.cases(self.root / layout.samples(self.task))

    def samples(self, case: str) -> list[tuple[str, dict[str, object]]]:
        """Id and facts of the samples of a case, in the order of the file."""
        return [(record.id, record.facts) for record in self._records("inputs", case).values()]

    def show(self, case: str, picture: str, run: str | None = None) -> dict[str, Panel]:
        """`input`, what else the sample has, `truth` where there is one and, for a run that has restored it, `output`.
        """
        inputs, targets = self._records("inputs", case)[picture].arrays, self._records("targets", case)
        target = targets[picture].arrays if targets else {}
        output = None
        if run is not None:
            record = self._records(run, case).get(picture)
            output = None if record is None else record.arrays
        return {name: panel(shown) for name, shown in self.protocol.show(inputs, output, target).items()}

    def told(self, case: str, picture: str) -> dict[str, str | list[str]]:
        """The optional inputs of a sample that are no picture, as people write them: a text, or a list of texts (the
        colours of a palette as `#rrggbb`)."""
        from restore_ml.registry import parts, sample_files

        optional = parts(self.task).optional
        inputs = self._records("inputs", case)[picture].arrays
        own = {name: inputs[name] for name in (optional.inputs if optional else ()) if name in inputs}
        said = sample_files(self.task).told(own) if own else {}
        return {name: value for name, value in said.items() if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(one, str) for one in value))}

    def arrays(self, case: str, picture: str) -> tuple[Arrays, Arrays]:
        """Inputs and target of a sample as they lie on disk."""
        return self._records("inputs", case)[picture].arrays, self._records("targets", case)[picture].arrays

    def restored(self, case: str, run: str) -> set[str]:
        """The ids of the pictures that a run restored in a case."""
        return set(self._records(run, case))

    def _records(self, kind: str, case: str) -> dict[str, Record]:
        samples = self.root / layout.samples(self.task)
        folder = samples / kind if kind in ("inputs", "targets") else self.root / layout.restored(self.task, kind)
        path = folder / f"{case}.arrow"
        return self._shard(path) if path.exists() else {}


def _shard(path: Path) -> dict[str, Record]:
    return {record.id: record for record in Shard(path)}


def first_outputs(root: Path, task: str, run: str, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """The first `count` restored pictures of a run, of its first case that has any, and as many of its first case
    without a truth: (file name, H x W x 3 uint8). More results of one sample follow it."""
    from restore_ml.registry import tables

    if task not in tables():
        return
    pictures = TaskPictures(root, task)
    for cases in (pictures.cases(), pictures.cases_without_truth()):
        yield from _first_outputs(pictures, cases, run, count)


def _first_outputs(pictures: TaskPictures, cases: list[str], run: str, count: int) -> Iterator[tuple[str, np.ndarray]]:
    for case in cases:
        found = [(identity, facts) for identity, facts in pictures.samples(case)
                 if identity in pictures.restored(case, run)]
        for identity, facts in found[:count]:
            try:
                shown = pictures.show(case, identity, run)
            except (KeyError, ValueError, UserError):  # a sample that was made anew since; the next rebuild mends it
                continue
            name = f"{case.replace('/', '_')}_{safe_name(facts, identity)}"
            yield name, shown["output"].still
            yield from ((f"{name}_drawn{place}", other) for place, other in enumerate(shown["output"].others, 2))
        if found:
            return


def safe_name(facts: dict[str, object], identity: str) -> str:
    """A file name for a sample: its picture's name in plain characters, and the start of its id."""
    stem = Path(str(facts.get("name", ""))).stem
    plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "_" for letter in stem)
    return f"{plain[:40]}-{identity[:8]}" if plain else identity[:16]


def image(picture: np.ndarray) -> Image.Image:
    """An H x W x 3 uint8 array as an image of Pillow."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(picture))


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture as PNG, whole or not at all."""
    write_whole(path, lambda temporary: fill_png(temporary, picture))


def fill_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture as PNG into a file whose name is not yet its own: level 3 takes half the time of 6 for a
    hundredth more bytes."""
    image(picture).save(path, "PNG", compress_level=3)


def fill_thumbnail(path: Path, frames: np.ndarray, side: int) -> None:
    """T x H x W x 3 as JPEG of quality 90, one below the other, each shrunk so that its longer side is at most `side`
    pixels."""
    small = []
    for frame in frames:
        shrunk = image(frame)
        shrunk.thumbnail((side, side))
        small.append(np.asarray(shrunk))
    image(np.concatenate(small)).save(path, "JPEG", quality=90)
