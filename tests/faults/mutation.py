"""Damaged copies of whole files, drawn by hypothesis: the same draws give the same bytes."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("RESTORE_ML_FUZZ_EXAMPLES", "40"))
"""Examples of each fuzz test; a campaign sets it to thousands."""
bounded = settings(deadline=None, max_examples=EXAMPLES, print_blob=True)
EXTREMES = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff",
            b"\x01\x00\x00\x00", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00\x00\x00\x00\x00\x00\x00\x00")
KINDS = ("set", "insert", "delete", "cut", "flip", "repeat")

Edit = tuple[str, int, bytes]
edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 2**20),
              st.binary(min_size=1, max_size=6) | st.sampled_from(EXTREMES)), min_size=1, max_size=5)


def damaged(data: bytes, changes: list[Edit]) -> bytes:
    """`data` after the changes; places count modulo its length, odd ones from its end (where footers are)."""
    found = bytearray(data)
    for kind, place, value in changes:
        if not found:
            return b""
        start = place // 2 % len(found)
        if place % 2:
            start = max(0, len(found) - 1 - start % 1024)
        if kind == "set":
            found[start:start + len(value)] = value
        elif kind == "insert":
            found[start:start] = value
        elif kind == "delete":
            del found[start:start + 8 * len(value)]
        elif kind == "cut":
            del found[start:]
        elif kind == "flip":
            found[start] ^= 1 << (value[0] % 8)
        else:
            found[start:start] = found[start:start + 16 * len(value)]
    return bytes(found)
