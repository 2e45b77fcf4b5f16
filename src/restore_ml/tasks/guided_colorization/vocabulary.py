"""The words that a picture's colours are told in, and the simulator that tells those of a true picture.

A text is pairs of a colour and a place or thing (`blue sky green ground`). Colours are named by ranges of Lab, places
are parts of the frame, and things are what simple rules find: nobody has described the pictures. The method card
`text_guided`; the rules are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.registry import nearest

COLOURS = ("red", "orange", "brown", "yellow", "green", "cyan", "blue", "purple", "pink", "grey")
THINGS = ("ball", "sky", "ground", "top", "bottom", "middle", "left", "right")
VOCABULARY = (*COLOURS, *THINGS)
"""A word's number is its place here, from 1; 0 is no word."""
MOST_WORDS, BYTES = 8, 64
"""Of a text: words, and bytes of its array."""
MOST_PAIRS = 3
"""That the simulator tells."""
OTHER_WORDS = {"gray": "grey", "violet": "purple", "magenta": "purple", "turquoise": "cyan", "grass": "ground",
               "floor": "ground", "centre": "middle", "center": "middle", "circle": "ball"}
UNSAID = ("a", "an", "and", "at", "in", "is", "of", "on", "the", "with")

PALE, FADED = 10.0, 6.0
"""Pixels of less chroma are grey; so are parts of less on average."""
HUES = ((15.0, "red"), (50.0, "orange"), (85.0, "yellow"), (112.0, "green"), (180.0, "cyan"), (225.0, "blue"),
        (310.0, "purple"), (335.0, "pink"))
"""The least angle (degrees from a towards b) of each name; pink goes on to 15."""
BROWN_BELOW, PINK_ABOVE = 60.0, 70.0
"""Dark orange is brown, light red pink: by L."""
SKY_LIGHT, SKY_SMOOTH = 55.0, 2.0
"""The upper third is sky where it is blue, cyan or grey, its mean L is above the first and neighbours differ in L by
less than the second on average."""
BALL_SIZES, BALL_FILLS, BALL_SHAPE = (0.005, 0.3), (0.68, 0.88), 1.3
"""A ball is a piece of one colour that touches no edge, has such a share of the picture and of the box around it (a
disc has 0.785) and whose box is at most so much longer than wide."""


def numbers(told: str) -> np.ndarray:
    """The numbers of a text's words, MOST_WORDS int64, 0 behind the last. `UserError` for words that are none of the
    vocabulary, with the nearest ones.

    >>> numbers("The red ball")
    array([1, 11,  0,  0,  0,  0,  0,  0])
    """
    found = []
    for written in "".join(letter if letter.isalpha() else " " for letter in told.lower()).split():
        word = OTHER_WORDS.get(written, written)
        if word in UNSAID:
            continue
        if word not in VOCABULARY:
            raise UserError(f"The word {word[:40]!r} means nothing here; a text is colours ({', '.join(COLOURS)}) each "
                            f"before a place or thing ({', '.join(THINGS)}).{nearest(word, VOCABULARY)}")
        found.append(VOCABULARY.index(word) + 1)
    if len(found) > MOST_WORDS:
        raise UserError(f"The text has {len(found)} words of the vocabulary; at most {MOST_WORDS} are taken.")
    return np.array(found + [0] * (MOST_WORDS - len(found)), np.int64)


def told(lightness: np.ndarray, ab: np.ndarray, rng: np.random.Generator | None) -> str:
    """A text about a true picture (`lightness` H x W x 1, `ab` H x W x 2): the first MOST_PAIRS of `pairs`, or with
    `rng` 1 to MOST_PAIRS random ones in random order."""
    known = pairs(lightness, ab)
    chosen: Sequence[int] = range(min(MOST_PAIRS, len(known)))
    if rng is not None:
        chosen = rng.permutation(len(known))[:int(rng.integers(1, MOST_PAIRS + 1))].tolist()
    return " ".join(f"{known[place][0]} {known[place][1]}" for place in chosen)


def pairs(lightness: np.ndarray, ab: np.ndarray) -> list[tuple[str, str]]:
    """Everything that can be told: colour and place or thing, in the order of THINGS, sky and ground in place of top
    and bottom. The colour of a part is the name that most of its chroma has, or grey."""
    names, chroma = named(lightness[..., 0], ab), np.hypot(ab[..., 0], ab[..., 1])
    height, width = names.shape
    third = np.s_[:height // 3], np.s_[height - height // 3:]
    aside = np.s_[:width // 3], np.s_[width - width // 3:]
    parts = {"top": np.s_[third[0], :], "bottom": np.s_[third[1], :],
             "middle": np.s_[height // 3:height - height // 3, width // 3:width - width // 3],
             "left": np.s_[:, aside[0]], "right": np.s_[:, aside[1]]}
    known = {where: _most(names[part], chroma[part]) for where, part in parts.items()}
    above = lightness[third[0], :, 0]
    steps = np.concatenate([np.abs(np.diff(above, axis=axis)).ravel() for axis in (0, 1)])
    if known["top"] in ("blue", "cyan", "grey") and above.mean() > SKY_LIGHT and steps.mean() < SKY_SMOOTH:
        known = {"sky": known.pop("top"), "ground": known.pop("bottom"), **known}
    ball = _ball(names)
    if ball is not None:
        known = {"ball": ball, **known}
    return [(known[where], where) for where in THINGS if where in known]


def named(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """The place in COLOURS of each pixel's name: int64, of the shape of `lightness`; `ab`: ... x 2."""
    chroma, hue = np.hypot(ab[..., 0], ab[..., 1]), np.degrees(np.arctan2(ab[..., 1], ab[..., 0])) % 360
    order = np.array([COLOURS.index(name) for _, name in HUES])
    names = order[np.searchsorted([least for least, _ in HUES], hue, side="right") - 1]  # -1: pink, which is the last
    red, orange = names == COLOURS.index("red"), names == COLOURS.index("orange")
    names = np.where(orange & (lightness < BROWN_BELOW), COLOURS.index("brown"), names)
    names = np.where(red & (lightness > PINK_ABOVE), COLOURS.index("pink"), names)
    return np.where(chroma < PALE, COLOURS.index("grey"), names)


def _most(names: np.ndarray, chroma: np.ndarray) -> str:
    coloured = np.where(names == COLOURS.index("grey"), 0, chroma)
    sums = np.bincount(names.ravel(), coloured.ravel(), len(COLOURS))
    return COLOURS[int(sums.argmax())] if chroma.mean() >= FADED and sums.any() else "grey"


def _ball(names: np.ndarray) -> str | None:
    """The colour of the largest ball; grey ones are none."""
    height, width = names.shape
    best: tuple[int, str] | None = None
    for number, colour in enumerate(COLOURS[:-1]):
        _, _, boxes, _ = cv2.connectedComponentsWithStats((names == number).astype(np.uint8), connectivity=4)
        for left, top, wide, high, area in boxes[1:].tolist():
            whole = left > 0 and top > 0 and left + wide < width and top + high < height
            if (whole and BALL_SIZES[0] <= area / names.size <= BALL_SIZES[1]
                    and BALL_FILLS[0] <= area / (wide * high) <= BALL_FILLS[1]
                    and max(wide, high) <= BALL_SHAPE * min(wide, high) and (best is None or area > best[0])):
                best = area, colour
    return best[1] if best else None
