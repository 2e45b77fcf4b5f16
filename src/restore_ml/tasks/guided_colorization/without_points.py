"""Where methods that are told a palette, a reference picture or words are compared: with each other, without points.

For the tables those guides are drawn from the truth. They say more than a few points do, so in one column with methods
that see points alone such a method would look better than it is, and be promoted before those.
"""

from __future__ import annotations

WITHOUT_POINTS = "hints_0"


def unsupported(degradation: str) -> str | None:
    """None for the case without points, else why the others are left out.

    >>> unsupported("hints_0"), unsupported("hints_10")
    (None, 'takes no points; it stands in the case without them')
    """
    return None if degradation == WITHOUT_POINTS else "takes no points; it stands in the case without them"
