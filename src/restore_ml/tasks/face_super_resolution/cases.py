"""What face super-resolution is tested on: faces of the setting `size` from an eighth of it.

`8_to_64` is bicubic (Bic in the published tables), `8_to_64_noise` adds noise (BicN), `8_to_64_blur_noise` blurs the
face before (BBicN); with `size: 128` they are called `16_to_128` and so on, so that figures of two sizes never share a
name. Setting: `variants`, the kinds that are tested beside the plain one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.shards import Record
from restore_ml.seeds import generator
from restore_ml.tasks.base import Cases, Partner, Sample, no_partner
from restore_ml.tasks.face_super_resolution.task import (
    KINDS,
    LARGEST,
    SCALE,
    TASK,
    attributes_of,
    face,
    made_small,
    rgb,
)


class FaceSuperResolutionCases(Cases):
    """The plain degradation, then the variants."""

    task = TASK
    defaults: ClassVar = {"variants": ["noise", "blur_noise"]}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Variants are `noise` and `blur_noise`."""
        for name in settings["variants"]:
            if name not in KINDS[1:]:
                raise UserError(f"{name!r} is no variant of face_super_resolution; there are "
                                f"{' and '.join(KINDS[1:])}.")

    def degradations(self, settings: Mapping[str, Any]) -> list[str]:
        """In the order of the setting, the plain one first."""
        resolved = self.resolve(settings)
        plain = f"{resolved['size'] // SCALE}_to_{resolved['size']}"
        return [plain, *(f"{plain}_{name}" for name in resolved["variants"])]

    def sample(self, picture: Record, degradation: str, seed: int, settings: Mapping[str, Any],
               partner: Partner = no_partner) -> Sample:
        """The face, cut and resized to the size that the degradation names, and what becomes of it. Fact: `channels`,
        those of the picture (grey faces are shown and restored in three)."""
        size, kind = parse_degradation(degradation)
        image = picture.arrays["image"]
        hr = rgb(face(image, size))
        lr = made_small(hr, kind, self.resolve(settings), generator(seed, picture.id, degradation))
        return Sample({"lr": lr, "scale": np.array(SCALE, np.int32)},
                      {"hr": hr, "hr_attributes": attributes_of(picture.arrays)}, {"channels": image.shape[2]})


def parse_degradation(degradation: str) -> tuple[int, str]:
    """(size, kind) of a degradation's name.

    >>> parse_degradation("8_to_64"), parse_degradation("16_to_128_blur_noise")
    ((64, 'plain'), (128, 'blur_noise'))
    """
    match = re.fullmatch(r"(\d{1,3})_to_(\d{1,3})(?:_(noise|blur_noise))?", degradation)
    if match is None or int(match[1]) * SCALE != int(match[2]) or not 32 <= int(match[2]) <= LARGEST:
        raise UserError(f"The degradation {degradation!r} of face_super_resolution is unknown; write 8_to_64 or "
                        "16_to_128, with _noise or _blur_noise after it for a variant.")
    return int(match[2]), match[3] or "plain"


CASES = FaceSuperResolutionCases()
