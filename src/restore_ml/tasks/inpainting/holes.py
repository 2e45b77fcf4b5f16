"""Holes by name, for training and for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from restore_ml.base.errors import UserError
from restore_ml.degradations import dense, masks
from restore_ml.degradations.irregular_masks import irregular_bucket
from restore_ml.degradations.object_masks import object_outline
from restore_ml.degradations.watermark import random_watermark
from restore_ml.registry import nearest
from restore_ml.tasks.base import Sample

DIRECT: dict[str, Callable[..., np.ndarray]] = {
    "centre": masks.center_square, "random_square": masks.random_square, "random_rect": masks.random_rect,
    "several_rects": masks.several_rects, "half": masks.half, "bernoulli": masks.bernoulli, "stripes": masks.stripes,
    "wedges": masks.wedges, "border": masks.border, "object": object_outline,
}
"""Holes that training draws anew for each sample."""
POOLED: dict[str, Callable[..., np.ndarray]] = {
    **{f"irregular_{k}": partial(irregular_bucket, k=k) for k in range(1, 7)},
    "pattern": masks.ce_random_pattern, "scratches": masks.scratch, "strokes": masks.brush_stroke,
    "strokes_or_box": masks.stroke_or_box, "text": masks.text, "walk": masks.random_walk,
}
"""Holes that training takes from the pool `masks`."""
OBSERVED = ("watermark", "highlight", "mosaic")
"""Corruptions with a mask under which something is seen."""


def damage(image: np.ndarray, kind: str, rng: np.random.Generator, overlap: int = 0) -> Sample:
    """One sample from a whole picture (H x W x 3 uint8) and the name of a hole (`DIRECT`, `POOLED`, `OBSERVED`)."""
    height, width = image.shape[:2]
    if kind == "watermark":
        watermark = random_watermark(height, width, rng)
        seen = dense.to_bytes(watermark.put_on(image / np.float32(255)))
        facts = {"alpha": round(watermark.alpha, 6), "colour": [round(float(value), 6) for value in watermark.colour]}
        return _observed(image, seen, watermark.mask, kind, facts)
    if kind in OBSERVED:
        seen, mask = {"highlight": dense.highlight, "mosaic": dense.mosaic}[kind](image, rng)
        return _observed(image, seen, mask, kind, {})
    if kind == "centre":
        return hole_sample(image, masks.center_square(height, width, overlap=overlap), kind)
    return hole_sample(image, {**DIRECT, **POOLED}[kind](height, width, rng), kind)


def hole_sample(image: np.ndarray, mask: np.ndarray, kind: str) -> Sample:
    """The picture (H x W x 3 uint8) without what is under the mask (H x W, 1 = missing)."""
    mask = mask[..., None]
    return Sample({"image": image * (1 - mask), "mask": mask}, {"image": image},
                  {"kind": kind, "hole_ratio": float(mask.mean())})


def _observed(image: np.ndarray, seen: np.ndarray, mask: np.ndarray, kind: str, facts: dict[str, Any]) -> Sample:
    """What is seen under the mask differs from the truth; outside it the truth stands, to the bit."""
    mask = mask[..., None]
    return Sample({"image": np.where(mask > 0, seen, image), "mask": mask}, {"image": image},
                  {"kind": kind, "hole_ratio": float(mask.mean()), **facts})


def checked_name(name: str, names: Sequence[str], what: str) -> str:
    """`name` if it is one of `names`; else a `UserError` that says what it is no `what`."""
    if name not in names:
        raise UserError(f"{name!r} is no {what}; there are {', '.join(names)}.{nearest(name, names)}")
    return name
