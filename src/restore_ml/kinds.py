"""The kinds of arrays that samples are made of, as objects: whatever differs between kinds stands here alone.

On disk and in a task arrays are numpy, channels last (H x W x C), in the dtype of their kind. Methods get tensors,
channels first, with a batch axis. A kind says how its arrays are checked, made into tensors and back, mirrored and
turned, cropped, padded, put together from tiles, and drawn for a person:

| kind | on disk | as a tensor |
|---|---|---|
| PICTURE | uint8 H x W x C | N x C x H x W float32 in [0, 1] |
| MASK | uint8 H x W x 1 in {0, 1}, 1 = missing | N x 1 x H x W float32 in {0, 1} |
| FLOAT | float32 H x W x C in the units of the task | N x C x H x W float32, unchanged |
| LABELS | uint8 H x W x 1, class numbers | N x 1 x H x W int64; a method may give N x K x H x W scores |
| INSTANCES | int32 H x W x 1, 0 is background | N x 1 x H x W int64 |
| FLOW | float32 H x W x 2, (u, v) in pixels, u to the right, v down | N x 2 x H x W float32 |
| CLIP | uint8 T x H x W x C | N x T x C x H x W float32 in [0, 1] |
| NUMBER | int32 scalar | N int64 |
| VECTOR | float32 K | N x K float32 |
| POINTS | float32 P x 2, (x, y) of pixel centres | N x P x 2 float32 |
| BOXES | float32 B x 4, (left, top, right, bottom) edges; a row of zeros is no box | N x B x 4 float32 |
| TEXT | uint8 L, UTF-8, zeros behind the end | N x L int64 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from restore_ml.arrays import ArraySpec

QUARTER_TURNS = (None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
"""OpenCV's names for quarter turns, counter-clockwise."""
TURNED_BY_OPENCV = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Bytes of a pixel whose rows and columns OpenCV can exchange."""
PALETTE = np.array([[0, 0, 0], [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178],
                    [213, 94, 0], [204, 121, 167], [150, 150, 150]], np.uint8)
"""Colours of classes and instances as they are drawn (Okabe and Ito's, told apart by people who see colours otherwise);
0 is black."""


@dataclass(frozen=True)
class Kind:
    """What a kind of arrays has in common. This class is the kinds that lie on a pixel grid, H x W x C."""

    name: str
    dtype: str
    low: float | None = None
    high: float | None = None
    rank: int = 3
    rows: int | None = 0
    """The axis of the height on disk (the width is the next one); None for what lies on no grid."""
    padding: str = "reflect"
    """How a grid grows: `reflect`, or `zeros` for what must not be invented (a mask's padding counts as known)."""

    # --- on disk ---

    def problem(self, value: np.ndarray, spec: ArraySpec) -> str | None:
        """See `ArraySpec.problem`."""
        if value.dtype.name != self.dtype or value.ndim != self.rank:
            return f"it is {value.dtype} of {value.ndim} axes, not {self.dtype} of {self.rank}"
        if self.channels(value) is not None and spec.channels not in (0, self.channels(value)):
            return f"it has {self.channels(value)} channels, not {spec.channels}"
        return None

    def channels(self, value: np.ndarray) -> int | None:
        """The length that `ArraySpec.channels` fixes; None where it fixes none."""
        return value.shape[-1]

    def size(self, value: np.ndarray) -> tuple[int, int] | None:
        """Height and width, or None for what lies on no grid."""
        return None if self.rows is None else (value.shape[self.rows], value.shape[self.rows + 1])

    def crop(self, value: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """A window of a grid; what lies on none is whole everywhere."""
        return value if self.rows is None else value[(*[slice(None)] * self.rows, rows, columns)]

    def pad(self, value: np.ndarray, below: int, right: int) -> np.ndarray:
        """More rows below and more columns on the right."""
        if self.rows is None or not (below or right):
            return value
        edges = [(0, 0)] * value.ndim
        edges[self.rows], edges[self.rows + 1] = (0, below), (0, right)
        if self.padding == "zeros":
            return np.pad(value, edges)
        height, width = value.shape[self.rows:self.rows + 2]
        return np.pad(value, edges, mode="reflect" if below < height and right < width else "symmetric")

    def turn(self, value: np.ndarray, mirror: bool, quarters: int, spec: ArraySpec,
             size: tuple[int, int]) -> np.ndarray:
        """Mirrored left to right, then turned counter-clockwise by quarters. `size`: height and width before it, of the
        grid that positions count in."""
        return value if self.rows is None else turn_grid(value, mirror, quarters)

    def blends(self, value: np.ndarray) -> bool:
        """Whether restored tiles (as `from_tensor` gives them) may be cross-faded: averages mean something."""
        return True

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """H x W x 3 uint8 for a person; raises `ValueError` for what is no picture."""
        raise ValueError(f"An array of the kind {self.name} is no picture.")

    # --- tensors ---

    def to_tensor(self, stacked: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """A batch (arrays of one shape, stacked) as a tensor on the device. It is made float there: what travels are
        the bytes of the disk, a quarter as many."""
        import torch

        return self._as_tensor(torch.from_numpy(stacked).to(device))

    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.float().permute(0, 3, 1, 2)

    def from_tensor(self, tensor: Tensor) -> np.ndarray:
        """One restored array (no batch axis) as float32 in the tensor's units, in the order of axes of the disk."""
        array = tensor.detach().float().cpu().numpy()
        return array.transpose(1, 2, 0) if self.rows == 0 else array

    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """What `from_tensor` gives (put together from tiles) in the dtype of the disk."""
        return np.ascontiguousarray(value, dtype=self.dtype)


class _Picture(Kind):
    def _as_tensor(self, moved: Tensor) -> Tensor:
        return (moved / 255.0).permute(0, 3, 1, 2)

    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """Clipped to [0, 1] and rounded to 8 bit, half to even."""
        return np.rint(np.clip(value, 0.0, 1.0) * 255.0).astype(np.uint8)

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """As it is; one channel as grey."""
        return np.repeat(value, 3, axis=2) if value.shape[2] == 1 else value[..., :3]


class _Mask(Kind):
    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """1 from a half on."""
        return (value >= 0.5).astype(np.uint8)

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """White where it is 1."""
        return np.repeat(value * np.uint8(255), 3, axis=2)


class _Float(Kind):
    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """Stretched between the spec's limits, or its own least and largest values; one or three channels."""
        low, high = spec.range
        low = float(value.min()) if low is None else low
        high = float(value.max()) if high is None else high
        share = np.clip((value.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
        shown = np.rint(255 * share).astype(np.uint8)
        return shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2)


class _Classes(Kind):
    """Class or instance numbers: never averaged, never interpolated."""

    def problem(self, value: np.ndarray, spec: ArraySpec) -> str | None:
        """Like every grid's; one channel, whatever number of classes there is."""
        if value.dtype.name != self.dtype or value.ndim != self.rank or value.shape[2] != 1:
            return f"it is {value.dtype} {value.shape}, not {self.dtype} H x W x 1"
        return None

    def channels(self, value: np.ndarray) -> int | None:
        """None: `ArraySpec.channels` counts classes."""
        return None

    def blends(self, value: np.ndarray) -> bool:
        """Scores of classes may be averaged, numbers of classes or instances may not."""
        return value.shape[2] > 1

    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.long().permute(0, 3, 1, 2)

    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """The class of the largest score (the first of equals), or the numbers themselves."""
        numbers = value.argmax(axis=2)[..., None] if value.shape[2] > 1 else np.rint(value)
        return np.ascontiguousarray(numbers, dtype=self.dtype)

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """A colour a number; beyond the palette colours repeat, without its black."""
        numbers = value[..., 0].astype(np.int64)
        return PALETTE[np.where(numbers < len(PALETTE), numbers, 1 + (numbers - 1) % (len(PALETTE) - 1))]


class _Flow(Kind):
    def turn(self, value: np.ndarray, mirror: bool, quarters: int, spec: ArraySpec,
             size: tuple[int, int]) -> np.ndarray:
        """The field is turned and so are its vectors: a mirror negates u; a quarter turn makes (v, -u) of (u, v)."""
        turned = turn_grid(value, mirror, quarters)
        u, v = (-turned[..., 0] if mirror else turned[..., 0]), turned[..., 1]
        for _ in range(quarters):
            u, v = v, -u
        return np.stack([u, v], axis=-1)

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """Direction as hue, speed as saturation (white stands still)."""
        speed = np.hypot(value[..., 0], value[..., 1])
        hue = (np.degrees(np.arctan2(value[..., 1], value[..., 0])) % 360 / 2).astype(np.uint8)
        saturation = np.rint(255 * speed / max(float(speed.max()), 1e-6)).astype(np.uint8)
        return cv2.cvtColor(np.stack([hue, saturation, np.full_like(hue, 255)], axis=2), cv2.COLOR_HSV2RGB)


class _Clip(Kind):
    def turn(self, value: np.ndarray, mirror: bool, quarters: int, spec: ArraySpec,
             size: tuple[int, int]) -> np.ndarray:
        """Every frame alike."""
        return np.stack([turn_grid(frame, mirror, quarters) for frame in value])

    def _as_tensor(self, moved: Tensor) -> Tensor:
        return (moved / 255.0).permute(0, 1, 4, 2, 3)

    def from_tensor(self, tensor: Tensor) -> np.ndarray:
        """T x C x H x W -> T x H x W x C."""
        return tensor.detach().float().cpu().numpy().transpose(0, 2, 3, 1)

    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """Clipped to [0, 1] and rounded to 8 bit, half to even."""
        return np.rint(np.clip(value, 0.0, 1.0) * 255.0).astype(np.uint8)

    def draw(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """The frame in the middle."""
        return PICTURE.draw(value[len(value) // 2], spec)


class _Number(Kind):
    def channels(self, value: np.ndarray) -> int | None:
        """None: a scalar has none."""
        return None

    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.long()

    def finish(self, value: np.ndarray, spec: ArraySpec) -> np.ndarray:
        """The class of the largest score where scores are given, else the nearest whole number."""
        return np.array(value.argmax() if value.ndim else np.rint(value), dtype=self.dtype)


class _Vector(Kind):
    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.float()


class _Points(Kind):
    def channels(self, value: np.ndarray) -> int | None:
        """How many points there are."""
        return value.shape[0]

    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.float()

    def turn(self, value: np.ndarray, mirror: bool, quarters: int, spec: ArraySpec,
             size: tuple[int, int]) -> np.ndarray:
        """Positions move with the pixels; rows named in `pairs` change places in a mirror."""
        (height, width), x, y = size, value[:, 0], value[:, 1]
        if mirror:
            x = width - 1 - x
        for _ in range(quarters):
            x, y, height, width = y, width - 1 - x, width, height
        turned = np.stack([x, y], axis=1).astype(value.dtype)
        if mirror:
            for left, right in spec.pairs:
                turned[[left, right]] = turned[[right, left]]
        return turned


class _Boxes(_Points):
    def turn(self, value: np.ndarray, mirror: bool, quarters: int, spec: ArraySpec,
             size: tuple[int, int]) -> np.ndarray:
        """Edges move with the pixels; rows of zeros stay."""
        height, width = size
        left, top, right, bottom = value.T
        if mirror:
            left, right = width - right, width - left
        for _ in range(quarters):
            left, top, right, bottom, height, width = top, width - right, bottom, width - left, width, height
        turned = np.stack([left, top, right, bottom], axis=1).astype(value.dtype)
        turned[~value.any(axis=1)] = 0
        return turned


class _Text(Kind):
    def _as_tensor(self, moved: Tensor) -> Tensor:
        return moved.long()


PICTURE = _Picture("picture", "uint8", 0, 255)
MASK = _Mask("mask", "uint8", 0, 1, padding="zeros")
FLOAT = _Float("float", "float32")
LABELS = _Classes("labels", "uint8", 0, 255, padding="zeros")
INSTANCES = _Classes("instances", "int32", 0, padding="zeros")
FLOW = _Flow("flow", "float32")
CLIP = _Clip("clip", "uint8", 0, 255, rank=4, rows=1)
NUMBER = _Number("number", "int32", rank=0, rows=None)
VECTOR = _Vector("vector", "float32", rank=1, rows=None)
POINTS = _Points("points", "float32", rank=2, rows=None)
BOXES = _Boxes("boxes", "float32", rank=2, rows=None)
TEXT = _Text("text", "uint8", 0, 255, rank=1, rows=None)


def turn_grid(value: np.ndarray, mirror: bool, quarters: int) -> np.ndarray:
    """`np.rot90` of the mirrored H x W x C array by OpenCV, which needs a tenth of numpy's time to copy pixels in that
    order.

    >>> turn_grid(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), True, 0)[..., 0]
    array([[2, 1, 0],
           [5, 4, 3]], dtype=uint8)
    """
    turned = np.ascontiguousarray(value)  # a crop of a file's map: brought near row by row before it is turned
    if mirror:
        turned = cv2.flip(turned, 1)
    if quarters and turned[0, 0].nbytes not in TURNED_BY_OPENCV:
        return np.ascontiguousarray(np.rot90(turned if turned.ndim == value.ndim else turned[..., None], quarters))
    if quarters:
        turned = cv2.rotate(turned, QUARTER_TURNS[quarters])  # type: ignore[arg-type]
    return turned if turned.ndim == value.ndim else turned[..., None]  # OpenCV drops an axis of one channel
