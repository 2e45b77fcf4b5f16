"""Bands of a scene by their colours, for methods that need certain ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.bands import places


def bands_by_colour(scene: np.ndarray, names: Sequence[str], wanted: Sequence[str], method: str) -> np.ndarray:
    """The bands `wanted` of a scene (H x W x B, bands called `names`), in their order: H x W x len(wanted).

    A `UserError` says what `method` misses.
    """
    where = places(names, wanted)
    if where is None:
        raise UserError(f"{method} needs the bands {', '.join(wanted)}, and this scene has {', '.join(names)}; give it "
                        "scenes whose bands are named so, or as Sentinel-2's (B2 blue, B3 green, B4 red, B8 nir, B11 "
                        "swir1, B12 swir2).")
    return scene[..., where]
