"""Inpainting: fill the missing pixels of a photograph, known pixels kept bit for bit.

Inputs: `image` (picture, 3 channels, hole pixels 0; with a watermark, highlight or mosaic as observed) and `mask` (1 =
missing). Target: `image`. Output: `image`. The dense corruptions (haze, rain, noise, blur, old_photo), tested where the
setting `cases` names them, have a mask of ones: everything is to be restored and nothing is put back.
Settings: `size` (side of the square that is tested on, and of the masks in the pool; 0: whole pictures), `cases` (names
of the degradations tested), `pool` (training masks of each kind).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.degradations import dense, masks
from restore_ml.degradations.irregular_masks import irregular_bucket
from restore_ml.degradations.resize import imresize
from restore_ml.degradations.watermark import random_watermark
from restore_ml.errors import UserError
from restore_ml.registry import nearest
from restore_ml.seeds import generator
from restore_ml.tasks.base import ArraySpec, Sample, Task, augment

CASES = ["centre", "random_rect", "strokes", *(f"irregular_{k}" for k in range(1, 7)), "text", "scratches",
         "watermark", "border"]
"""The degradations tested by default."""
DIRECT: dict[str, Callable[..., np.ndarray]] = {
    "centre": masks.center_square, "random_square": masks.random_square, "random_rect": masks.random_rect,
    "several_rects": masks.several_rects, "half": masks.half, "bernoulli": masks.bernoulli, "stripes": masks.stripes,
    "wedges": masks.wedges, "border": masks.border,
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
POOL_SIZE = 256
"""Side of the pool's masks where whole pictures are tested (`size` 0)."""
SHORTEST_SIDE = 32
"""Pixels; the least that is accepted with `size` 0."""
GROUPS = {"irregular": [f"irregular_{k}" for k in range(1, 7)]}
"""Names that a run's setting `masks` may use for several kinds."""
SETTINGS: dict[str, Any] = {"size": 128, "cases": CASES, "pool": 64}


class Inpainting(Task):
    """See the module's docstring."""

    name = "inpainting"
    pools_from = "nothing"
    inputs = {"image": ArraySpec("picture", 3), "mask": ArraySpec("mask", 1)}  # noqa: RUF012
    target = {"image": ArraySpec("picture", 3)}  # noqa: RUF012
    output = {"image": ArraySpec("picture", 3)}  # noqa: RUF012

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        names = _resolve(settings)["cases"]
        for name in names:
            _known(name, (*DIRECT, *POOLED, *OBSERVED, *dense.DENSE), "case of inpainting")
        return list(names)

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """Refuses pictures whose shorter side is below `size` (nothing is tested or trained on enlarged pixels) and
        those that are neither grey nor RGB."""
        if picture.shape[2] not in (1, 3):
            return f"{picture.shape[2]} channels"
        least = _resolve(settings)["size"] or SHORTEST_SIDE
        return f"the shorter side is below {least} pixels" if min(picture.shape[:2]) < least else None

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """The picture resized to the shorter side `size`, its centre square, and one hole."""
        size = _resolve(settings)["size"]
        image = _three_channels(picture.arrays["image"])
        if size:
            image = _centre(_resized(image, size), size)
        return damage(image, degradation, generator(seed, picture.id, degradation))

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """Each picture in 3 channels, made smaller to a shorter side of 2 `size` where it is larger."""
        most = 2 * _resolve(settings)["size"]
        for picture in pictures:
            image = _three_channels(picture.arrays["image"])
            if most and min(image.shape[:2]) > most:
                image = _resized(image, most)
            yield Record(picture.id, {"image": image}, picture.facts)

    def training_pools(self, pictures: Sequence[Record], seed: int,
                       settings: dict[str, Any]) -> dict[str, list[Record]]:
        """`masks`: `pool` masks of each kind in `POOLED`, `size` x `size` x 1; facts `kind` and `ratio`."""
        given, records = _resolve(settings), []
        size = given["size"] or POOL_SIZE
        for kind in sorted(POOLED):
            for number in range(given["pool"]):
                mask = POOLED[kind](size, size, generator(seed, "mask", kind, number))
                records.append(Record(f"{kind}-{number:04d}", {"mask": mask[..., None]},
                                      {"kind": kind, "ratio": float(mask.mean())}))
        return {"masks": records}

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """A flipped crop of side `patch` with a hole of one of the kinds in the run's setting `masks`.

        Each name in `masks` is drawn equally often, and a group's kinds share what falls to it; a name may stand there
        twice.
        `overlap` (optional, pixels): how far a centre hole stays within the centre square. A mask of the pool is
        flipped and resized to the patch with the nearest neighbour.
        """
        image = random_crop(record.arrays["image"], run["patch"], rng)
        image = augment({"image": image}, rng, rotate=False)["image"]
        names = run.get("masks") or ["irregular"]
        name = names[int(rng.integers(len(names)))]
        kinds = GROUPS.get(name, [name])
        kind = _known(kinds[int(rng.integers(len(kinds)))], (*DIRECT, *POOLED, *OBSERVED),
                      "kind of masks in a run's setting `masks`")
        if kind not in POOLED:
            return damage(image, kind, rng, run.get("overlap", 0))
        pool = pools["masks"]
        number = int(rng.integers(len(pool) // len(POOLED)))
        mask = masks.flip(pool.arrays(pool.position(f"{kind}-{number:04d}"))["mask"][..., 0], rng)
        fitted = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
        return _hole(image, fitted.astype(np.uint8), kind)

    def compose(self, inputs: dict[str, np.ndarray], output: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The output inside the hole, the untouched input elsewhere."""
        return {**output, "image": np.where(inputs["mask"] > 0, output["image"], inputs["image"])}


def damage(image: np.ndarray, kind: str, rng: np.random.Generator, overlap: int = 0) -> Sample:
    """One sample from a whole picture (H x W x 3 uint8) and the name of a degradation."""
    height, width = image.shape[:2]
    if kind in dense.DENSE:
        seen, truth = dense.DENSE[kind](image, rng)
        return Sample({"image": seen, "mask": np.ones((height, width, 1), np.uint8)}, {"image": truth},
                      {"kind": kind, "dense": True})
    if kind == "watermark":
        mark = random_watermark(height, width, rng)
        seen = dense.to_bytes(mark.put_on(image / np.float32(255)))
        facts = {"alpha": round(mark.alpha, 6), "colour": [round(float(value), 6) for value in mark.colour]}
        return _observed(image, seen, mark.mask, kind, facts)
    if kind in OBSERVED:
        seen, mask = {"highlight": dense.highlight, "mosaic": dense.mosaic}[kind](image, rng)
        return _observed(image, seen, mask, kind, {})
    if kind == "centre":
        return _hole(image, masks.center_square(height, width, overlap=overlap), kind)
    return _hole(image, {**DIRECT, **POOLED}[kind](height, width, rng), kind)


def _hole(image: np.ndarray, mask: np.ndarray, kind: str) -> Sample:
    mask = mask[..., None]
    return Sample({"image": image * (1 - mask), "mask": mask}, {"image": image},
                  {"kind": kind, "hole_ratio": float(mask.mean())})


def _observed(image: np.ndarray, seen: np.ndarray, mask: np.ndarray, kind: str, facts: dict[str, Any]) -> Sample:
    """What is seen under the mask differs from the truth; outside it the truth stands, to the bit."""
    mask = mask[..., None]
    return Sample({"image": np.where(mask > 0, seen, image), "mask": mask}, {"image": image},
                  {"kind": kind, "hole_ratio": float(mask.mean()), **facts})


def random_crop(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A square of `side` pixels from anywhere in the picture; a larger one than the picture is a `UserError`."""
    height, width = image.shape[:2]
    if min(height, width) < side:
        raise UserError(f"The setting `patch` is {side}, but a training picture is {height} x {width}; lower `patch` "
                        f"to the task's `size` or raise that.")
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return np.ascontiguousarray(image[top:top + side, left:left + side])


def _three_channels(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _resized(image: np.ndarray, short_side: int) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) == short_side:
        return image
    scale = short_side / min(height, width)
    return imresize(image, output_size=(max(short_side, round(height * scale)), max(short_side, round(width * scale))))


def _centre(image: np.ndarray, side: int) -> np.ndarray:
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.ascontiguousarray(image[top:top + side, left:left + side])


def _resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings over their defaults; an unknown key is a `UserError`."""
    for key in settings:
        _known(key, tuple(SETTINGS), "setting of the task inpainting")
    return {**SETTINGS, **settings}


def _known(name: str, names: Sequence[str], what: str) -> str:
    if name not in names:
        raise UserError(f"{name!r} is no {what}; there are {', '.join(names)}.{nearest(name, names)}")
    return name


TASK = Inpainting()
