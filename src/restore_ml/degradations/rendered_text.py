"""Patches of rendered text, for methods that learn from text beside pictures of another kind."""

from __future__ import annotations

import string

import numpy as np

from restore_ml.degradations.resize import imresize

CHARACTERS = string.ascii_letters + string.digits
CELL = (6, 11)
"""Width and height in pixels of a character of Pillow's built-in bitmap font."""


def text_patch(side: int, rng: np.random.Generator) -> np.ndarray:
    """side x side x 3 uint8: rows of random letters and digits, dark on light or light on dark.

    Pillow's built-in bitmap font, which is the same everywhere, two to four times as large by bicubic interpolation.
    The first characters are cut off somewhere, as in a patch of a page.
    """
    from PIL import Image, ImageDraw, ImageFont

    scale = int(rng.integers(2, 5))
    small = -(-side // scale)
    page = Image.new("L", (small, small), 0)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default_imagefont()
    left, top = (-int(rng.integers(length)) for length in CELL)
    for row in range(top, small, CELL[1] + 1):
        chosen = rng.integers(len(CHARACTERS), size=small // CELL[0] + 2)
        pen.text((left, row), "".join(CHARACTERS[number] for number in chosen), fill=255, font=font)
    ink = imresize(np.asarray(page)[:, :, None], scale)[:side, :side] / 255
    colours = [rng.integers(0, 90, 3), rng.integers(165, 256, 3)]
    letters, paper = colours if rng.integers(2) else colours[::-1]
    return np.rint(ink * letters + (1 - ink) * paper).astype(np.uint8)
