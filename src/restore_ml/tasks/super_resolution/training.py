"""What training sees of super-resolution: aligned crops of a picture and its low-resolution twin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from restore_ml.arrays import augment
from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record, Shards
from restore_ml.degradations.resize import imresize, modcrop
from restore_ml.tasks.base import Partner, Sample, Training, no_partner
from restore_ml.tasks.cropping import three_channels
from restore_ml.tasks.super_resolution.task import TASK

MARGIN = 5
"""Low-resolution pixels around a crop that is resized by itself, so that no kernel reaches beyond what was read."""


class SuperResolutionTraining(Training):
    """A batch has one scale."""

    task = TASK

    def records(self, pictures: Sequence[Record], seed: int, settings: Mapping[str, Any]) -> Iterator[Record]:
        """`hr` and, for every scale of the settings, `lr_x<scale>`: imresize of `hr` cropped to a multiple of it."""
        scales = sorted(set(self.resolve(settings)["scales"]))
        for picture in pictures:
            image = picture.arrays["image"]
            twins = {f"lr_x{scale}": imresize(modcrop(image, scale), 1 / scale) for scale in scales}
            yield Record(picture.id, {"hr": image, **twins}, picture.facts)

    def options(self, rng: np.random.Generator, run: Mapping[str, Any]) -> dict[str, Any]:
        """The scale of the whole batch, one of the run's `scales`."""
        return {"scale": int(run["scales"][rng.integers(len(run["scales"]))])}

    def sample(self, record: Record, pools: Mapping[str, Shards], rng: np.random.Generator, run: Mapping[str, Any],
               options: Mapping[str, Any], partner: Partner = no_partner) -> Sample:
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
        crops = augment({name: three_channels(crop) for name, crop in crops.items()}, TASK.arrays, rng)
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


TRAINING = SuperResolutionTraining()
