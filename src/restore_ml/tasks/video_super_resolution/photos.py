"""A person's clip in, the same clip with larger frames out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import CLIP, Read
from restore_ml.data.pictures import MAX_PIXELS
from restore_ml.tasks.photos import Asked, Exchange, Given, Got, Restorer, Way
from restore_ml.tasks.video_super_resolution.shrinking import LARGEST_SCALE

if TYPE_CHECKING:
    from restore_ml.method import Method


class VideoSuperResolutionPhotos(Exchange):
    """Frames and frames a second stay as many as they are. Where nobody names a factor it is the one that the model was
    trained for, the largest of those that it can do."""

    ways = (Way((Given("clip", CLIP),), (Got("clip", CLIP),)),)
    enlarges = True

    def factor(self, method: Method, scale: int | None) -> int:
        """The factor that is asked for, or the model's own."""
        return scale or max(scales(method), default=LARGEST_SCALE)

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The clip `scale` times as large. `UserError` for a factor that the model cannot do, and for a result that is
        larger than any clip that is read."""
        clip = given["clip"]
        factor, possible = self.factor(restorer.method, asked.scale), scales(restorer.method)
        if factor not in possible:
            raise UserError(f"This model cannot enlarge a clip by {factor}; it can by "
                            f"{' or '.join(map(str, possible)) or 'no factor'}: give another --scale.")
        count, height, width = clip.value.shape[:3]
        if count * height * width * factor ** 2 > MAX_PIXELS:
            raise UserError(f"Enlarging {count} frames of {width} x {height} pixels by {factor} would make more than "
                            f"{MAX_PIXELS} pixels; cut the clip.")
        return {"clip": Read(restorer({"lr": clip.value, "scale": np.array(factor, np.int32)})["sr"], clip.origin)}


def scales(method: Method) -> list[int]:
    """The factors that a method can do, however the frames were made small."""
    return [scale for scale in range(2, LARGEST_SCALE + 1)
            if any(method.unsupported(f"x{scale}{kind}") is None for kind in ("", "_bd"))]


PHOTOS = VideoSuperResolutionPhotos()
