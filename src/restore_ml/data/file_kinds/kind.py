"""What every kind of file has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from restore_ml.data.pictures import Refused, read_bytes


@dataclass(frozen=True)
class Read:
    """What a file holds. `value`: as its kind says; `origin`: what a result keeps of the file (its colour profile, its
    orientation in space, its frames a second)."""

    value: Any
    origin: Any = None


@dataclass(frozen=True)
class Form:
    """How a result is to be written: the ending (`.png`; empty for a folder), and the `origin` that it keeps."""

    ending: str
    origin: Any = None
    enlarged: float = 1.0
    """By how much the result is larger than the file of that origin."""


class FileKind:
    """A kind of file. `Refused` (its reason in a few words) wherever a file cannot be used."""

    name: ClassVar[str]
    """One word, as tables and sentences say it."""
    what: ClassVar[str]
    """What such a file is, in a sentence: `a picture file`."""
    reads: ClassVar[frozenset[str]] = frozenset()
    """Endings (small letters, with the dot) that are read."""
    writes: ClassVar[Mapping[str, str]] = {}
    """Endings that can be written, with their format; the first one is taken where nobody names one."""
    text: ClassVar[bool] = False
    """Whether the file is text, which travels as it is and not as base64."""
    folders: ClassVar[bool] = False
    """Whether a folder may stand for a file."""

    def promises(self, name: str) -> bool:
        """Whether the name promises such a file."""
        return ending(name) in self.reads

    def read(self, path: Path, within: Path | None = None) -> Read:
        """What the file at `path` holds. `within`: links that lead out of this folder are refused."""
        return self.decode(read_bytes(path, within), ending(path.name))

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """The same from a file's bytes; `suffix`: the ending of its name, where it has one."""
        raise NotImplementedError

    def pixels(self, data: bytes) -> tuple[int, str]:
        """How many pixels (voxels, those of all frames) there are by the header alone, and the size in words."""
        return 0, ""

    def misfit(self, one: Read, other: Read) -> str | None:
        """None, or in a few words why `one` does not belong to the picture (clip, volume) `other`."""
        return None

    def encode(self, value: Any, form: Form) -> bytes:
        """The bytes of a file with a task's result; `ValueError` for what such a file cannot hold."""
        raise NotImplementedError

    def remarks(self, form: Form) -> str:
        """What a file of that form loses of the original, as sentences with a blank before each; usually nothing."""
        return ""

    def sides(self, value: Any) -> tuple[int, int]:
        """Height and width of a result in pixels; 0 for what has none."""
        return 0, 0

    def told(self, value: Any) -> str:
        """A result in a few words: `640 x 480 pixels`."""
        return self.name


def ending(name: str) -> str:
    """The ending of a file's name in small letters; both parts of `.nii.gz`.

    >>> ending("a.b.PNG"), ending("t1.nii.gz"), ending("frames")
    ('.png', '.nii.gz', '')
    """
    lower = Path(name).name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix


def size_in_words(shape: tuple[int, ...]) -> str:
    """Width and height of an array H x W ...

    >>> size_in_words((3, 5, 1))
    '5 x 3'
    """
    return f"{shape[1]} x {shape[0]}"


def other_size(one: tuple[int, ...], other: tuple[int, ...]) -> str | None:
    """None for the same height and width, else both sizes in words."""
    return None if one[:2] == other[:2] else (f"it is {size_in_words(one)}, the picture {size_in_words(other)}; they "
                                              "must be of the same size")


__all__ = ["FileKind", "Form", "Read", "Refused", "ending", "other_size", "size_in_words"]
