"""What a person looks at beyond one plain picture: the frames of a clip, bars, words, what is drawn over a picture.

`Protocol.show` may give a `Panel` wherever it gives a picture. The functions here draw annotations over pictures, in
the colours of `restore_ml.kinds.PALETTE`; each returns a new H x W x 3 uint8 picture, enlarged by a whole number where
it is small, so that lines stay thin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from restore_ml.kinds import PALETTE

MOST_FRAMES = 24
"""Of a clip; longer ones are shown at evenly spaced times."""
LEAST_SIDE = 192
"""Pixels to which the shorter side of a picture is enlarged before anything is drawn over it."""


@dataclass(frozen=True)
class Panel:
    """One picture of a sample as it is looked at.

    `picture`: H x W x 3 uint8, or T x H x W x 3 of a clip, whose frames run in step with those of the other panels.
    `caption`: a few words below it. `shares`: names and shares from 0 to 1 of one, shown as bars, the largest first.
    `right`: the one among them that is true, which is marked.
    """

    picture: np.ndarray
    caption: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    right: str = ""
    annotated: bool = False
    """Whether something is drawn over it, so that nobody can take it for a real picture (the blind test)."""
    others: Sequence[np.ndarray] = ()
    """More results of the same sample, of a method that draws several: pictures of that size, looked at beside it."""

    @property
    def frames(self) -> np.ndarray:
        """T x H x W x 3; of a picture one, of a long clip MOST_FRAMES."""
        frames = self.picture if self.picture.ndim == 4 else self.picture[None]
        if len(frames) <= MOST_FRAMES:
            return frames
        return frames[np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int)]

    @property
    def still(self) -> np.ndarray:
        """The picture, or the frame in the middle."""
        return self.picture if self.picture.ndim == 3 else self.picture[len(self.picture) // 2]


def panel(shown: np.ndarray | Panel) -> Panel:
    """A plain picture as a panel."""
    return shown if isinstance(shown, Panel) else Panel(shown)


def colours(number: int) -> np.ndarray:
    """The colour of a class or object from 1 on (H x W x 3's last axis); they repeat without the black of 0."""
    return PALETTE[1 + (number - 1) % (len(PALETTE) - 1)]


def enlarged(picture: np.ndarray, least: int = LEAST_SIDE) -> tuple[np.ndarray, int]:
    """The picture (H x W x 1 or 3) in three channels, each pixel repeated until the shorter side has `least`; and the
    factor."""
    factor = max(1, -(-least // min(picture.shape[:2])))
    three = np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture[..., :3]
    return np.repeat(np.repeat(three, factor, axis=0), factor, axis=1).copy(), factor


def outlined(picture: np.ndarray, labels: np.ndarray, least: int = LEAST_SIDE, fill: float = 0.15) -> np.ndarray:
    """The picture with the outline of each class or object (H x W or H x W x 1, 0 is the background) in its colour, a
    pixel wide (two where it is enlarged), its inside tinted by the share `fill`."""
    seen, factor = enlarged(picture, least)
    numbers = np.repeat(np.repeat(labels.reshape(labels.shape[:2]).astype(np.int64), factor, 0), factor, 1)
    paint = PALETTE[np.where(numbers > 0, 1 + (numbers - 1) % (len(PALETTE) - 1), 0)]
    inside = numbers > 0
    edge = np.zeros(numbers.shape, bool)
    edge[1:] |= numbers[1:] != numbers[:-1]
    edge[:-1] |= numbers[1:] != numbers[:-1]
    edge[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    edge[:, :-1] |= numbers[:, 1:] != numbers[:, :-1]
    if factor > 2:  # a line that survives being made smaller again
        edge = cv2.dilate(edge.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    tinted = np.rint((1 - fill) * seen.astype(np.float64) + fill * paint).astype(np.uint8)
    seen[inside] = tinted[inside]
    seen[edge & inside] = paint[edge & inside]
    return seen


def boxed(picture: np.ndarray, boxes: np.ndarray, names: Sequence[str] = (), numbers: Sequence[int] = (),
          least: int = LEAST_SIDE) -> np.ndarray:
    """The picture with boxes (B x 4, (left, top, right, bottom) edges in its pixels; rows of zeros are none), each with
    its name. `numbers`: the class of each from 1 on, which gives the colour (default: one after the other)."""
    seen, factor = enlarged(picture, least)
    width = max(1, min(3, min(seen.shape[:2]) // 96))
    for place, box in enumerate(np.asarray(boxes, np.float64)):
        if not box.any():
            continue
        colour = colours(numbers[place] if place < len(numbers) else place + 1).tolist()
        left, top, right, bottom = np.rint(box * factor).astype(int).tolist()
        corners = (left, top), (max(left, right - 1), max(top, bottom - 1))
        cv2.rectangle(seen, *corners, (0, 0, 0), width + 2)
        cv2.rectangle(seen, *corners, colour, width)
        if place < len(names) and names[place]:
            _word(seen, names[place], left, top, colour)
    return seen


def dotted(picture: np.ndarray, points: np.ndarray, shades: np.ndarray | None = None,
           least: int = LEAST_SIDE) -> np.ndarray:
    """The picture with a dot at each point (P x 2, (x, y) of pixel centres). `shades`: P x 3 uint8, the colour of each
    (hints); a white and a black rim keep it visible on any ground."""
    seen, factor = enlarged(picture, least)
    radius = max(2, min(seen.shape[:2]) // 48)
    for place, (x, y) in enumerate(np.asarray(points, np.float64)):
        centre = (round((x + 0.5) * factor - 0.5), round((y + 0.5) * factor - 0.5))
        colour = (colours(place + 1) if shades is None else shades[place]).tolist()
        for size, paint in ((radius + 2, (0, 0, 0)), (radius + 1, (255, 255, 255)), (radius, colour)):
            cv2.circle(seen, centre, size, paint, -1)
    return seen


def hinted(picture: np.ndarray, hints: np.ndarray, where: np.ndarray, least: int = LEAST_SIDE) -> np.ndarray:
    """A grey picture with hints (H x W x 3 uint8 where `where`, H x W, is not 0) drawn over it as they lie, each pixel
    with a white rim."""
    seen, factor = enlarged(picture, least)
    mask = (where.reshape(where.shape[:2]) > 0).astype(np.uint8)
    large = np.repeat(np.repeat(mask, factor, 0), factor, 1)
    rim = cv2.dilate(large, np.ones((3, 3), np.uint8)) > large
    seen[rim] = 255
    paint = np.repeat(np.repeat(hints[..., :3], factor, 0), factor, 1)
    seen[large > 0] = paint[large > 0]
    return seen


def _word(seen: np.ndarray, word: str, left: int, top: int, colour: list[int]) -> None:
    """A word in black on its colour, above the corner where there is room, inside where not."""
    plain = word.encode("ascii", "replace").decode()[:24]
    (width, height), below = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    left = max(0, min(left, seen.shape[1] - width - 4))
    bottom = top if top >= height + below + 2 else min(seen.shape[0], top + height + below + 2)
    cv2.rectangle(seen, (left, bottom - height - below - 2), (left + width + 3, bottom - 1), colour, -1)
    cv2.putText(seen, plain, (left + 2, bottom - below), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
