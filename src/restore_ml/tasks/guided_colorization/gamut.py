"""A colour that a person chose, as it can be at the lightness of the pixel that it is for.

Source: Zhang et al., SIGGRAPH 2017, the authors' interface; the method card `user_hints`.
"""

from __future__ import annotations

import numpy as np

from restore_ml.degradations.colour import fit_chroma, lab_to_rgb, rgb_to_lab

MOST_ROUNDS, SETTLED = 20, 1.0
"""Rounds of a colour end when a and b move by no more than SETTLED."""


def snapped(lightness: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """The colours `ab` (N x 2) at those lightnesses (N, in [0, 100]): N x 2 float32, inside sRGB. Those inside stay.

    Again and again the colour gets its lightness, is clipped as RGB and read as Lab, which moves it along the surface
    of the gamut to a colour of about its strength; what the last round leaves outside goes straight towards grey.
    """
    lightness, start = np.clip(lightness.astype(np.float64), 0, 100), ab.astype(np.float64)
    found, moving = start.copy(), np.ones(len(start), bool)
    for _ in range(MOST_ROUNDS):
        before = found[moving]
        after = rgb_to_lab(lab_to_rgb(np.concatenate([lightness[moving, None], before], 1)))[:, 1:]
        found[moving] = after
        moving[moving] = np.abs(after - before).max(1) > SETTLED
        if not moving.any():
            break
    inside = np.all(fit_chroma(lightness, start) == start, axis=1, keepdims=True)
    return np.where(inside, start, fit_chroma(lightness, found)).astype(np.float32)
