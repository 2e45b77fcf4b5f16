"""Damage of the whole picture by name, for training and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations import dense, masks
from restore_ml.degradations.noise import gaussian_noise
from restore_ml.degradations.watermark import random_watermark
from restore_ml.registry import nearest
from restore_ml.tasks.base import Sample

NOISE = (15, 25, 50)
"""Deviations in grey levels of the noise that is tested by itself; the kind `noise` is one of them."""
AS_FOUND = "as_found"
"""The case of pictures that are old themselves: nobody knows what was done to them."""
WHITE = 255
"""What scratches are painted with."""


def _noise(image: np.ndarray, rng: np.random.Generator, sigma: float) -> dense.Pair:
    return gaussian_noise(image, sigma, rng), image


def _watermark(image: np.ndarray, rng: np.random.Generator) -> dense.Pair:
    height, width = image.shape[:2]
    mark = random_watermark(height, width, rng)
    return dense.to_bytes(mark.put_on(image / np.float32(255))), image


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], dense.Pair]] = {
    **dense.DENSE, "rain_heavy": partial(dense.rain, heavy=True),
    **{f"noise_{sigma}": partial(_noise, sigma=sigma) for sigma in NOISE}, "watermark": _watermark,
}
"""`old_photo`, `haze`, `rain`, `rain_heavy`, `noise` (one of three deviations), `noise_15`, `noise_25`, `noise_50`,
`blur`, `watermark`: picture (H x W x 3 uint8) and generator -> what is seen, and the truth."""


def damage(image: np.ndarray, kind: str, rng: np.random.Generator, scratched: float = 1.0) -> Sample:
    """One sample of a whole picture (H x W x 3 uint8). `scratched`: the share of old photographs that have scratches;
    these are white, whatever else was done to the picture. The card's other white holes, irregular ones, are not
    drawn."""
    height, width = image.shape[:2]
    seen, truth = KINDS[kind](image, rng)
    scratches = np.zeros((height, width, 1), np.uint8)
    if kind == "old_photo" and rng.random() < scratched:
        scratches = masks.scratch(height, width, rng)[..., None]
        seen = np.where(scratches > 0, np.uint8(WHITE), seen)
    return Sample({"image": seen}, {"image": truth, "scratches": scratches},
                  {"kind": kind, "scratched": float(scratches.mean())})


def covered(case: str, kinds: Iterable[str]) -> bool:
    """Whether who learned from `kinds` has seen the damage of a test case: `noise` has all of its deviations, and
    `old_photo` is what comes nearest to pictures as they were found.

    >>> covered("noise_25", ["noise"]), covered("noise_25", ["noise_50"]), covered("as_found", ["rain", "old_photo"])
    (True, False, True)
    """
    case = "old_photo" if case == AS_FOUND else case
    return any(case == kind or (kind == "noise" and case.startswith("noise_")) for kind in kinds)


def checked_kind(name: str, what: str) -> str:
    """`name` if it is one of `KINDS`; else a `UserError` that says what it is no `what`."""
    if name not in KINDS:
        raise UserError(f"{name!r} is no {what}; there are {', '.join(KINDS)}.{nearest(name, KINDS)}")
    return name
