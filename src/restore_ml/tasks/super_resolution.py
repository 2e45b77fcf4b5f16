"""Super-resolution: a low-resolution picture in, a picture `scale` times as large out.

Settings under `tasks: super_resolution:` in params.yaml: `scales` (tested and prepared for training), `variants`
(further degradations: `x<scale>_noise`, `x<scale>_blur`, `x<scale>_bd`), `noise_sigma` (grey levels), `blur_sigma`
(pixels) and `blur_size` (side of the kernel) of the variants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.blur import blur_decimate, gaussian_blur
from restore_ml.degradations.noise import gaussian_noise
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.errors import UserError
from restore_ml.registry import nearest
from restore_ml.seeds import generator
from restore_ml.tasks.base import ArraySpec, Sample, Task, augment

SETTINGS: dict[str, Any] = {"scales": [2, 3, 4], "variants": ["x2_blur", "x2_noise"], "noise_sigma": 10.0,
                            "blur_sigma": 1.6, "blur_size": 13}
LARGEST_SCALE = 8
MARGIN = 5
"""Low-resolution pixels around a crop that is resized by itself, so that no kernel reaches beyond what was read."""
SHORTEST_SIDE = 32
"""Pixels; below it too little is left after the border is shaved to measure structural similarity."""


class SuperResolution(Task):
    """The bicubic degradation of the benchmarks (crop to a multiple of the scale, imresize, uint8) and variants."""

    name = "super_resolution"
    inputs: ClassVar = {"lr": ArraySpec("picture", 3), "scale": ArraySpec("number")}
    target: ClassVar = {"hr": ArraySpec("picture", 3)}
    output: ClassVar = {"sr": ArraySpec("picture", 3)}

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """`x2`, `x3` ... of the scales, then the variants."""
        given = _resolve(settings)
        return [f"x{scale}" for scale in given["scales"]] + list(given["variants"])

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """Refuses pictures with a side of less than 32 pixels and channel counts other than 1 and 3."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        if min(picture.shape[:2]) < SHORTEST_SIDE:
            return f"smaller than {SHORTEST_SIDE} pixels"
        return None

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """Degrade one picture.

        `xS`: imresize by 1/S, rounded to uint8. `xS_noise`: then white Gaussian noise of `noise_sigma` grey levels on
        the low-resolution RGB. `xS_blur`: a Gaussian blur of the high-resolution picture first. `xS_bd`: blur, then
        every S-th pixel from pixel 0 on (shifted against imresize by (S - 1) / 2 pixels, as in that protocol).
        reading: the values of the variants are ours, in the spirit of the face and video protocols of the method card.
        """
        given = _resolve(settings)
        scale, kind = _parse(degradation)
        hr = modcrop(_three_channels(picture.arrays["image"]), scale)
        if kind == "bd":
            lr = blur_decimate(hr, scale, given["blur_sigma"], given["blur_size"])
        else:
            blurred = gaussian_blur(hr, given["blur_sigma"], given["blur_size"]) if kind == "blur" else hr
            lr = imresize(blurred, 1 / scale)
        if kind == "noise":
            lr = gaussian_noise(lr, given["noise_sigma"], generator(seed, picture.id, degradation))
        facts = {"scale": scale, "channels": picture.arrays["image"].shape[2]}
        return Sample({"lr": lr, "scale": np.array(scale, np.int32)}, {"hr": hr}, facts)

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """`hr` and, for every scale of the settings, `lr_x<scale>`: imresize of `hr` cropped to a multiple of it."""
        for picture in pictures:
            image = picture.arrays["image"]
            twins = {f"lr_x{scale}": imresize(modcrop(image, scale), 1 / scale) for scale in _all_scales(settings)}
            yield Record(picture.id, {"hr": image, **twins}, picture.facts)

    def batch_options(self, rng: np.random.Generator, run: dict[str, Any]) -> dict[str, Any]:
        """The scale of the whole batch, one of the run's `scales`."""
        return {"scale": int(run["scales"][rng.integers(len(run["scales"]))])}

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """Aligned crops: `hr` of `patch` pixels rounded down to a multiple of the scale, `lr` of the same place; the
        same flip and quarter turn for both. A picture smaller than the crop is mirrored (edge pixel repeated, which
        keeps the two aligned). The run setting `augment_scales` names factors of at most 1 by which the picture is
        made smaller first, one drawn a sample; [1.0], or no such setting, cuts from the stored pictures alone."""
        scale = options["scale"]
        if f"lr_x{scale}" not in record.arrays:
            raise UserError(f"The training material of super_resolution has no scale {scale}; add it to `scales` of "
                            "the task in params.yaml.")
        side = run["patch"] // scale
        if side < 1:
            raise UserError(f"A patch of {run['patch']} pixels is smaller than the scale {scale}; make it larger.")
        factors = run.get("augment_scales", [1.0])
        factor = factors[int(rng.integers(len(factors)))] if len(factors) > 1 else factors[0]
        hr, lr = record.arrays["hr"], record.arrays[f"lr_x{scale}"]
        lengths = lr.shape[:2] if factor == 1 else [smaller(n, factor) // scale for n in hr.shape[:2]]
        top, left = (int(rng.integers(max(length - side, 0) + 1)) for length in lengths)
        if factor == 1:
            bottom, right = min(top + side, lengths[0]), min(left + side, lengths[1])
            crops = {"lr": lr[top:bottom, left:right],
                     "hr": hr[top * scale:bottom * scale, left * scale:right * scale]}
        else:
            crops = _smaller_crop(hr, factor, scale, (top, left), side)
        if crops["lr"].shape[:2] != (side, side):
            missing = [side - length for length in crops["lr"].shape[:2]]
            crops = {name: np.pad(crop, [*((0, more * (scale if name == "hr" else 1)) for more in missing), (0, 0)],
                                  "symmetric") for name, crop in crops.items()}
        crops = augment({name: _three_channels(crop) for name, crop in crops.items()}, rng)
        return Sample({"lr": crops["lr"], "scale": np.array(scale, np.int32)}, {"hr": crops["hr"]})


def smaller(length: int, factor: float) -> int:
    """The length of an axis of `length` pixels after imresize by `factor`."""
    return math.ceil(length * Fraction(str(factor)))


def _smaller_crop(picture: np.ndarray, factor: float, scale: int, corner: Sequence[int],
                  side: int) -> dict[str, np.ndarray]:
    """`lr` (at most side x side) at `corner`, and `hr` of its place, of the picture that imresize by `factor` gives.

    The same pixels as a crop of the whole smaller picture and of its low-resolution twin (8-bit, like the stored
    ones), but only a window with a margin for the kernels is resized. Windows begin where the pixel grids of the
    picture, the smaller one and its twin meet.
    """
    exact, windows, starts, ends = Fraction(str(factor)), [], [], []
    for length, first in zip(picture.shape, corner, strict=False):
        begin = int((first - MARGIN) * scale / exact) // (exact.denominator * scale) * exact.denominator * scale
        begin = max(0, begin)
        windows.append(slice(begin, math.ceil((first + side + MARGIN) * scale / exact)))
        starts.append(int(begin * exact))
        ends.append(smaller(length, factor))
    hr = imresize(picture[tuple(windows)], factor)
    hr = modcrop(hr[:ends[0] - starts[0], :ends[1] - starts[1]], scale)
    lr = imresize(hr, 1 / scale)
    rows, columns = (slice(first - start // scale, first - start // scale + side)
                     for first, start in zip(corner, starts, strict=True))
    return {"lr": lr[rows, columns], "hr": hr[_times(rows, scale), _times(columns, scale)]}


def _times(part: slice, scale: int) -> slice:
    """The same place on a grid `scale` times as fine."""
    return slice(part.start * scale, part.stop * scale)


def _three_channels(picture: np.ndarray) -> np.ndarray:
    return np.broadcast_to(picture, (*picture.shape[:2], 3)) if picture.shape[2] == 1 else picture


def _parse(degradation: str) -> tuple[int, str]:
    """(scale, kind) of `x4` or `x4_noise`; kind is empty, `noise`, `blur` or `bd`."""
    match = re.fullmatch(r"x(\d+)(?:_(noise|blur|bd))?", degradation)
    if match is None or not 2 <= int(match[1]) <= LARGEST_SCALE:
        raise UserError(f"The degradation {degradation!r} of super_resolution is unknown; write x2 to "
                        f"x{LARGEST_SCALE}, with _noise, _blur or _bd after it for a variant.")
    return int(match[1]), match[2] or ""


def _resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings over their defaults, checked."""
    for key in settings:
        if key not in SETTINGS:
            raise UserError(f"The task super_resolution has no setting {key!r}.{nearest(key, SETTINGS)}")
    given = {**SETTINGS, **settings}
    for name in [f"x{scale}" for scale in given["scales"]] + list(given["variants"]):
        _parse(name)
    return given


def _all_scales(settings: dict[str, Any]) -> list[int]:
    """The scales that training material is made for."""
    return sorted(set(_resolve(settings)["scales"]))


TASK = SuperResolution()
