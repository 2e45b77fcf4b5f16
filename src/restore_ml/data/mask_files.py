"""The one reader of mask files: which pixels are to be filled, as drawing and annotation programs and scripts say it.

A mask is not read like a photograph: its levels are labels. The convention is white where to fill, black where the
picture is known; what is meant can also be told from

- two levels, whatever they are (0 and 1, 0 and 100, in 8 or 16 bits, whole numbers or floats): the lighter is the hole;
- soft edges and lossy files: the hole is what is lighter than mid-grey;
- labels (0 for the background, 1, 2, 3 ... for objects; palettes and colours on black): the hole is what has a label;
- a layer: strokes of one colour, even black, on transparency: the hole is the strokes;
- a picture parts of which are erased: the hole is what is transparent.
Whatever marks nothing or everything, or could as well mean the opposite, is refused with the reason: a picture that is
"restored" by the wrong mask is lost work that nobody notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from restore_ml.data.pictures import Refused, deep_colour, deep_values, opened, read_bytes, upright, upright_image
from restore_ml.data.tiff import TiffTags

CONVENTION = "save it in black and white without transparency, white where to fill"
ONE_COLOUR = 32
"""Levels of 255 by which pixels of one colour may differ (soft brushes, lossy files)."""
MOST_LABELS, STEADY = 4096, 0.8
"""Labels are at most so many, and at least this share of neighbouring pixels have the same one."""
MIDDLE = 0.5
"""A picture with a larger share of pixels between a quarter and three quarters of white is no mask."""
COARSE_COLOURS = 8
"""A file with more different colours than these (3 bits a channel) beside black is a picture and not a mask."""


@dataclass(frozen=True)
class Mask:
    """`hole`: H x W uint8, 1 = missing, to be filled; `reading`: how the file was understood, in a few words."""

    hole: np.ndarray
    reading: str

    @property
    def share(self) -> float:
        """The share of the picture that is marked, above 0 and below 1."""
        return float(self.hole.mean())

    def __str__(self) -> str:
        """A sentence with the share and, where most is marked, what to do if the opposite was meant."""
        share = f"{self.share:.1%}" if self.share >= 0.001 else f"{int(self.hole.sum())} pixels"
        more = " If the other part was meant, invert the mask." if self.share > 0.5 else ""
        return f"The mask marks {share} of the picture ({self.reading}).{more}"


def read_mask(path: Path, within: Path | None = None) -> Mask:
    """Read a mask file; `Refused` says why it cannot be used. `within`: see `read_picture`."""
    return decode_mask(read_bytes(path, within), path.suffix)


def decode_mask(data: bytes, suffix: str = "") -> Mask:
    """The same from a file's bytes."""
    with opened(data, suffix) as (image, tags):
        levels, alpha, white = _samples(data, image, tags)
        mask = (_from_levels(levels, white, _lossy(image, data)) if alpha is None
                else _from_layer(levels, alpha, white))
    if not mask.hole.any():
        raise Refused(f"it marks nothing ({mask.reading}): {CONVENTION}")
    if mask.hole.all():
        raise Refused(f"it covers the whole picture ({mask.reading}); nothing is known from which to fill it: "
                      f"{CONVENTION}")
    return mask


def _samples(data: bytes, image: Image.Image, tags: TiffTags | None) -> tuple[np.ndarray, np.ndarray | None, float]:
    """The levels as they are stored (H x W x 1 or 3), the opacity (H x W, where it differs), and the level of white."""
    if deep_colour(image, data, tags):
        values = upright(deep_values(data), image)
        return values[:, :, :3], _opacity(values[:, :, 3] if values.shape[2] == 4 else None, tags), 65535
    image = upright_image(image)
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)[:, :, None]
        white = float(tags.white) if tags is not None and tags.white else 65535.0
        if image.mode == "F":
            white = _white_of_floats(levels)
        return (white - levels if tags is not None and tags.inverted else levels), None, white
    if image.has_transparency_data:
        layer = np.asarray(image.convert("RGBA"))
        return layer[:, :, :3], _opacity(layer[:, :, 3], tags), 255
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None], None, 255
    return np.asarray(image.convert("RGB")), None, 255


def _white_of_floats(levels: np.ndarray) -> float:
    if not np.isfinite(levels).all():
        raise Refused(f"values that are no finite numbers: {CONVENTION}")
    if levels.min() < 0 or levels.max() > 255:
        raise Refused(f"floating-point levels from {levels.min():g} to {levels.max():g}, whose meaning is not known: "
                      f"{CONVENTION}")
    return 1.0 if levels.max() <= 1 else 255.0


def _opacity(alpha: np.ndarray | None, tags: TiffTags | None) -> np.ndarray | None:
    """The opacity, or None where it says nothing: no channel, one without a meaning, or the same everywhere."""
    if alpha is None or (tags is not None and tags.meaningless):
        return None
    if not alpha.any():
        raise Refused(f"transparent everywhere: {CONVENTION}")
    return alpha if 2 * int(alpha.min()) < int(alpha.max()) else None


def _lossy(image: Image.Image, data: bytes) -> bool:
    return image.format in ("JPEG", "MPO", "JPEG2000") or (image.format == "WEBP" and b"VP8L" not in data[:64])


def _from_layer(colours: np.ndarray, alpha: np.ndarray, white: float) -> Mask:
    """Strokes on transparency, a mask with a transparent part, or a picture of which parts are erased."""
    visible = alpha >= alpha.max() / 2
    seen = colours[alpha >= 0.9 * alpha.max()].astype(np.float64) * (255 / white)
    if np.ptp(seen, axis=0).max() <= ONE_COLOUR:
        if visible.mean() > 0.5:
            raise Refused("one colour with transparent parts, of which either could be what to fill: " + CONVENTION)
        return Mask(visible.astype(np.uint8), "what is not transparent")
    dark, light = (seen <= ONE_COLOUR).all(axis=1), (seen >= 255 - ONE_COLOUR).all(axis=1)
    if (dark | light).mean() > 0.9:
        return Mask((visible & (colours.mean(axis=2) >= white / 2)).astype(np.uint8), "white and not transparent")
    return Mask((~visible).astype(np.uint8), "what is transparent")


def _from_levels(levels: np.ndarray, white: float, lossy: bool) -> Mask:
    """A mask in grey or colours without transparency."""
    grey = levels[:, :, 0] if levels.shape[2] == 1 or _is_grey(levels, lossy) else None
    if grey is None:
        return _from_colours(levels, white, lossy)
    values = np.unique(grey)
    if len(values) == 1:
        return Mask(np.full(grey.shape, values[0] > 0, np.uint8), f"one level, {values[0]:g}, everywhere")
    if len(values) == 2 and not lossy:
        return Mask((grey == values[1]).astype(np.uint8), f"the lighter of the levels {values[0]:g} and {values[1]:g}")
    if not lossy and (labels := _from_labels(grey, values, white)) is not None:
        return labels
    if ((grey > white / 4) & (grey < 3 * white / 4)).mean() > MIDDLE:
        raise Refused(f"a picture in shades of grey rather than a mask: {CONVENTION}")
    return Mask((grey >= white / 2).astype(np.uint8), "what is lighter than mid-grey")


def _from_labels(grey: np.ndarray, levels: np.ndarray, white: float) -> Mask | None:
    """A map of labels (0, 1, 2 ...), or None where the levels are shades. Labels beside white are refused."""
    if not np.array_equal(levels, np.rint(levels)) or levels[0] != 0 or len(levels) > MOST_LABELS:
        return None
    if (grey[:, 1:] == grey[:, :-1]).mean() < STEADY:
        return None
    if levels[-1] < white / 2:
        return Mask((grey > 0).astype(np.uint8), f"what has one of the {len(levels) - 1} labels")
    marked = (grey > 0) & (grey < white)
    if levels[-1] == white and levels[-2] <= white / 4 and marked.sum() >= (grey == white).sum():
        raise Refused(f"labels up to {levels[-2]:g} beside white ({white:g}), of which either could be what to fill: "
                      f"{CONVENTION}")
    return None


def _is_grey(levels: np.ndarray, lossy: bool) -> bool:
    spread = levels.max(axis=2).astype(np.int64) - levels.min(axis=2)
    return bool((spread <= (16 if lossy else 0)).all())


def _from_colours(levels: np.ndarray, white: float, lossy: bool) -> Mask:
    """Colours on black: the hole is what is not black."""
    bright = levels.max(axis=2)
    dark = bright < white / 8 if not lossy else bright < white / 4
    coarse = np.unique((levels[~dark].astype(np.int64) * 8 // (int(white) + 1)), axis=0)
    if not dark.any() or (len(coarse) > COARSE_COLOURS and not _few_colours(levels)):
        raise Refused(f"a picture in colours rather than a mask: {CONVENTION}")
    if lossy:
        return Mask((bright >= white / 2).astype(np.uint8), "what is coloured on black")
    black = bright == 0
    if not black.any():
        raise Refused(f"colours without black, of which any could be what to fill: {CONVENTION}")
    if _few_colours(levels):
        return Mask((~black).astype(np.uint8), "what has a colour on black")
    return Mask((bright >= white / 2).astype(np.uint8), "what is coloured on black")


def _few_colours(levels: np.ndarray) -> bool:
    """Whether it is a map of labels in colours: at most 256, most of them shared with the neighbour."""
    same = (levels[:, 1:] == levels[:, :-1]).all(axis=2).mean()
    return bool(same >= STEADY) and len(np.unique(levels.reshape(-1, 3), axis=0)) <= 256
