"""A person's two pictures in, the one between them out; or a clip in, and a clip with a frame between any two out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.data.file_kinds import CLIP, PICTURE, Read
from restore_ml.data.file_kinds.clips import faster
from restore_ml.data.pictures import MAX_PIXELS
from restore_ml.tasks.photos import THREE, Asked, Exchange, Given, Got, Restorer, Way, as_array


class FrameInterpolationPhotos(Exchange):
    """Of T frames become 2 T - 1, shown twice as fast: the frames that were given stay as they are."""

    ways = (Way((Given("before", PICTURE), Given("after", PICTURE, fits="before")), (Got("image", PICTURE),)),
            Way((Given("clip", CLIP),), (Got("clip", CLIP),)))

    def answer(self, given: Mapping[str, Read], asked: Asked, restorer: Restorer) -> dict[str, Read]:
        """The frame in the middle of the time between both pictures, or of each two frames of a clip."""
        if "clip" not in given:
            before, after = given["before"], given["after"]
            return {"image": Read(_between(before.value, after.value, restorer), before.origin)}
        clip = given["clip"]
        frames = clip.value
        if len(frames) < 2:
            raise UserError("The clip has one frame; two are needed to make one between them.")
        if (2 * len(frames) - 1) * frames[0].size // 3 > MAX_PIXELS:
            raise UserError(f"Twice its {len(frames)} frames of {frames.shape[2]} x {frames.shape[1]} pixels are more "
                            f"than {MAX_PIXELS}; cut the clip.")
        made = np.empty((2 * len(frames) - 1, *frames.shape[1:]), np.uint8)
        made[::2] = frames
        for place, (before, after) in enumerate(pairwise(frames)):
            made[2 * place + 1] = _between(before, after, restorer)
        return {"clip": Read(made, faster(clip, 2))}


def _between(before: np.ndarray, after: np.ndarray, restorer: Restorer) -> np.ndarray:
    frames = {"before": as_array(before, THREE), "after": as_array(after, THREE)}
    return restorer({**frames, "percent": np.array(50, np.int32)})["frame"]


PHOTOS = FrameInterpolationPhotos()
