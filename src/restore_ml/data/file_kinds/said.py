"""Colours and words: what a person may say of a picture in a line, or in a file of plain text.

    #a02020, #2060a0, tan
    red ball
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from restore_ml.base.errors import short
from restore_ml.data.file_kinds.kind import FileKind, Read, Refused
from restore_ml.registry import nearest

LARGEST = 2**16
"""Bytes of a file."""


class Said(FileKind):
    """Plain text in UTF-8."""

    reads = frozenset((".txt",))
    text = True

    def decode(self, data: bytes, suffix: str = "") -> Read:
        """Its `value` as the kind says; never empty."""
        if len(data) > LARGEST:
            raise Refused(f"too large a file: {len(data)} bytes, at most {LARGEST} are read")
        try:
            told = data.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise Refused("no text in UTF-8") from None
        if not told:
            raise Refused("nothing is said in it")
        return Read(self.value(told))

    def value(self, told: str) -> str | np.ndarray:
        """What the text means; `Refused` where it means nothing."""
        return told


class Colours(Said):
    """`value`: P x 3 uint8 RGB, at least one."""

    name = "palette"
    what = "a text of colours such as #a02020, #2060a0"

    def value(self, told: str) -> np.ndarray:
        """Parted by commas, semicolons or lines."""
        found = [part.strip() for part in re.split(r"[,;\n]", told) if part.strip()]
        if not found:
            raise Refused("no colour in it")
        return np.array([colour(part) for part in found], np.uint8)


class Words(Said):
    """`value`: the text; which words mean something is the task's affair."""

    name = "text"
    what = "a text of a few words"


def colour(told: str) -> list[int]:
    """The three levels of `#rrggbb`, `#rgb` or a colour's name on the web; `Refused` for what is none.

    >>> colour("#a02020"), colour("#fa0"), colour("Navy")
    ([160, 32, 32], [255, 170, 0], [0, 0, 128])
    """
    plain = told.strip().lower()
    named = _names()
    digits = named.get(plain.replace(" ", ""), plain).removeprefix("#")
    if re.fullmatch(r"[0-9a-f]{3}", digits):
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch(r"[0-9a-f]{6}", digits):
        close = nearest(plain, named).removeprefix(" Did you mean ").rstrip("?")
        raise Refused(f"{short(repr(told), 40)} is no colour; write it as #rrggbb, such as #a02020, or by its name on "
                      f"the web{f' (the nearest is {close})' if close else ''}")
    return [int(digits[place:place + 2], 16) for place in (0, 2, 4)]


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The web's names of colours and their digits."""
    from PIL import ImageColor

    return {name: text for name, text in ImageColor.colormap.items() if isinstance(text, str)}


COLOURS = Colours()
WORDS = Words()
