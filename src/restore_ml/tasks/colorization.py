"""Colorization: Lab lightness in, Lab colour (ab) out; the lightness of the input is kept.

Setting under `tasks: colorization:` in params.yaml: `size`, the side of the square test pictures (0: whole pictures).
The grey is Lab lightness: of a colour picture its L, of a true grey picture the L of (g, g, g).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.colour import rgb_to_lab
from restore_ml.degradations.resize import imresize
from restore_ml.errors import UserError
from restore_ml.registry import nearest
from restore_ml.tasks.base import ArraySpec, Sample, Task, augment

SETTINGS: dict[str, Any] = {"size": 256}
NEAR_GREY = 5.0
"""A picture is coloured when some |a| or |b| exceeds this (the rule of Zhang et al.'s code)."""
SHORTEST_SIDE = 32
HISTOGRAM_LIMIT = 110
"""ab are counted in unit bins centred on -110 ... 110; sRGB colours lie inside."""


class Colorization(Task):
    """`L` (H x W x 1, [0, 100]) to `ab` (H x W x 2). A method may also give `rgb`, its own colours with their own
    lightness."""

    name = "colorization"
    pools_from: ClassVar = "shards"
    inputs: ClassVar = {"L": ArraySpec("float", 1)}
    target: ClassVar = {"ab": ArraySpec("float", 2), "rgb": ArraySpec("picture", 3)}
    output: ClassVar = {"ab": ArraySpec("float", 2), "rgb": ArraySpec("picture", 3)}
    optional_output = ("rgb",)

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """The one grey that all methods are compared on."""
        _resolve(settings)
        return ["lab_grey"]

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """Refuses grey and nearly grey pictures (no |a| or |b| above 5) and sides of less than 32 pixels."""
        if picture.shape[2] != 3:
            return "no colour channels"
        if min(picture.shape[:2]) < SHORTEST_SIDE:
            return f"smaller than {SHORTEST_SIDE} pixels"
        rows = max(1, 2**12 // picture.shape[1])  # few: the first coloured ones settle it
        strips = (picture[top:top + rows] for top in range(0, picture.shape[0], rows))
        coloured = any(np.abs(rgb_to_lab(strip)[..., 1:]).max() > NEAR_GREY for strip in strips)
        return None if coloured else "nearly grey"

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """Resize the short side to `size` (imresize, uint8), cut the centre square, take its lightness."""
        if degradation != "lab_grey":
            raise UserError(f"The degradation {degradation!r} of colorization is unknown; there is lab_grey.")
        size, rgb = _resolve(settings)["size"], picture.arrays["image"]
        if size:
            rgb = _short_side(rgb, size)
            top, left = ((length - size) // 2 for length in rgb.shape[:2])
            rgb = np.ascontiguousarray(rgb[top:top + size, left:left + size])
        return _sample(rgb)

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """`rgb` (uint8) at most 2 x `size` on the short side, so that crops see much the scale of the test pictures."""
        for picture in pictures:
            yield Record(picture.id, {"rgb": _training_picture(picture, settings)}, picture.facts)

    def training_pools(self, pictures: Sequence[Record], seed: int,
                       settings: dict[str, Any]) -> dict[str, list[Record]]:
        """`ab_histogram`: one record with `counts` (221 x 221 float32, whole numbers), how many training pixels have
        rint(a) = row - 110 and rint(b) = column - 110: the raw material of class rebalancing."""
        side = 2 * HISTOGRAM_LIMIT + 1
        counts = np.zeros(side * side, np.int64)
        for picture in pictures:
            ab = rgb_to_lab(_training_picture(picture, settings).astype(np.float32) / 255)[..., 1:]
            bins = np.rint(ab).astype(np.int64).clip(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT) + HISTOGRAM_LIMIT
            counts += np.bincount((bins[..., 0] * side + bins[..., 1]).ravel(), minlength=side * side)
        record = Record("ab_histogram", {"counts": counts.reshape(side, side).astype(np.float32)})
        return {"ab_histogram": [record]}

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """A random square of `patch` pixels, mirrored left to right in half of the visits (never turned: which way is
        up tells the colour). A picture smaller than the crop is mirrored at its edges."""
        side, rgb = run["patch"], record.arrays["rgb"]
        missing = [max(0, side - length) for length in rgb.shape[:2]]
        if any(missing):
            rgb = np.pad(rgb, [*((0, more) for more in missing), (0, 0)], "symmetric")
        top, left = (int(rng.integers(length - side + 1)) for length in rgb.shape[:2])
        return _sample(augment({"rgb": rgb[top:top + side, left:left + side]}, rng, rotate=False)["rgb"])


def _sample(rgb: np.ndarray) -> Sample:
    """L and ab of a picture, computed in float32 (exact to 1e-4)."""
    lab = rgb_to_lab(rgb.astype(np.float32) / np.float32(255))
    return Sample({"L": np.ascontiguousarray(lab[..., :1])}, {"ab": np.ascontiguousarray(lab[..., 1:]), "rgb": rgb})


def _short_side(rgb: np.ndarray, size: int) -> np.ndarray:
    """The picture with its short side resized to `size`."""
    height, width = rgb.shape[:2]
    if min(height, width) == size:
        return rgb
    factor = size / min(height, width)
    return imresize(rgb, output_size=(max(size, round(height * factor)), max(size, round(width * factor))))


def _training_picture(picture: Record, settings: dict[str, Any]) -> np.ndarray:
    size, rgb = _resolve(settings)["size"], picture.arrays["image"]
    return _short_side(rgb, 2 * size) if size and min(rgb.shape[:2]) > 2 * size else rgb


def _resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings over their defaults, checked."""
    for key in settings:
        if key not in SETTINGS:
            raise UserError(f"The task colorization has no setting {key!r}.{nearest(key, SETTINGS)}")
    given = {**SETTINGS, **settings}
    size = given["size"]
    if isinstance(size, bool) or not isinstance(size, int) or not (size == 0 or size >= SHORTEST_SIDE):
        raise UserError(f"The size of colorization is {size!r}; it must be 0 (whole pictures) or a whole number of at "
                        f"least {SHORTEST_SIDE}.")
    return given


TASK = Colorization()
