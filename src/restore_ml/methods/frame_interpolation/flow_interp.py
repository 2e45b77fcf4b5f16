"""Motion-compensated frame interpolation without training: optical flow both ways, both frames moved and blended.

    I_t = (1 - t) I0(x + t F10(x)) + t I1(x + (1 - t) F01(x))

F01 leads from a pixel of I0 to where it is in I1, F10 back; motion is taken as linear, and flows are read at the place
of the frame between (card `flow_interp`). Sampling is cubic: linear sampling alone costs 4 dB at small motion. With the
setting `one_sided`, a place that one frame hides is taken from the other one alone.
"""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np

from restore_ml.arrays import Arrays
from restore_ml.method import Method, Model


class FlowInterpolation(Method):
    """`flow`: `tvl1` (Zach, Pock, Bischof 2007, as scikit-image has it) or `dis` (Kroeger et al., ECCV 2016, as OpenCV
    has it; much faster). `cases`: the degradations that are shown, all where it is empty. `one_sided`: pixels by which
    the way from one frame to the other and back may miss its start; where it misses by more, the other frame hides what
    is there, and only this one is shown (the card has 1 as an option). 0: both are blended everywhere."""

    task = "frame_interpolation"
    reading = ("both flows are of grey frames; parts that are hidden in one frame are blended like all others unless "
               "one_sided is set")
    paper: ClassVar[dict[str, Any]] = {"flow": "tvl1", "cases": [], "one_sided": 0.0}
    choices: ClassVar = {"flow": ("tvl1", "dis")}

    def unsupported(self, degradation: str) -> str | None:
        """Cases that the run leaves out."""
        cases = self.settings["cases"]
        return None if not cases or degradation in cases else "left out by the run's setting cases"

    def restore_arrays(self, model: Model, inputs: Arrays, seed: int) -> Arrays:
        """`before`, `after` (H x W x 3 uint8), `percent` to `frame` (H x W x 3 float32 in [0, 1])."""
        first, last = (inputs[name].astype(np.float64) for name in ("before", "after"))
        time = int(inputs["percent"]) / 100
        if np.array_equal(first, last):
            return {"frame": (first / 255).astype(np.float32)}
        grey = [cv2.cvtColor(inputs[name], cv2.COLOR_RGB2GRAY) for name in ("before", "after")]
        forward, backward = FLOWS[self.settings["flow"]](*grey), FLOWS[self.settings["flow"]](*grey[::-1])
        moved = warp(first, time * backward), warp(last, (1 - time) * forward)
        share = np.full((*first.shape[:2], 1), time)  # of the frame behind
        if self.settings["one_sided"] > 0:
            only = [misses(*flows, self.settings["one_sided"]) for flows in ((forward, backward), (backward, forward))]
            share[only[0] & ~only[1]], share[only[1] & ~only[0]] = 0, 1
        frame = (1 - share) * moved[0] + share * moved[1]
        return {"frame": (np.clip(frame, 0, 255) / 255).astype(np.float32)}


def warp(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`picture(x + flow(x))`, H x W x C float64, by cubic splines; beyond its edges its last pixels go on.

    `flow`: H x W x 2, (u, v) in pixels, u to the right and v down.
    """
    from scipy.ndimage import map_coordinates

    rows, columns = np.mgrid[:picture.shape[0], :picture.shape[1]]
    places = rows + flow[..., 1], columns + flow[..., 0]
    return np.stack([map_coordinates(channel, places, order=3, mode="nearest")
                     for channel in np.moveaxis(picture, 2, 0)], axis=2)


def misses(there: np.ndarray, back: np.ndarray, most: float) -> np.ndarray:
    """Where the flow `there` and then the flow `back` end more than `most` pixels from their start: H x W bool."""
    return np.linalg.norm(there + warp(back, there), axis=2) > most


def _tvl1(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    v, u = optical_flow_tvl1(first / 255.0, second / 255.0)
    return np.stack([u, v], axis=2).astype(np.float64)


def _dis(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(
        first, second, None)  # type: ignore[call-overload]
    return flow.astype(np.float64)


FLOWS = {"tvl1": _tvl1, "dis": _dis}
"""From a grey frame to another one (H x W uint8): H x W x 2, where each pixel of the first one is in the second."""
METHOD = FlowInterpolation
