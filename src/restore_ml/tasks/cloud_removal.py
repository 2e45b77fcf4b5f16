"""Cloud removal: recover what clouds, shadows or sensor gaps hide in a multi-band scene, from a second date.

Inputs: `target` (H x W x B float32 reflectance at the date with gaps: white under clouds, 0 in sensor gaps, no truth in
either), `reference` (the same place at a clear date) and `mask` (1 = missing). Target: `truth`. Output: `image`.
Settings: `cases` (`cloud_<per cent>`, `cloud_<per cent>_shadow`, `snow_<per cent>`, `stripes`, `wedges`), `pool`
(training masks of each kind) and `size` (their side). Source: the method card, part 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from restore_ml.data.shards import Record, Shards
from restore_ml.degradations import clouds, masks
from restore_ml.errors import UserError
from restore_ml.registry import nearest
from restore_ml.seeds import generator
from restore_ml.tasks.base import ArraySpec, Sample, Task, augment

CASES = ["cloud_10", "cloud_20", "cloud_40", "stripes"]
"""The degradations tested by default."""
TRAINING = ("cloud_05", "cloud_10", "cloud_20", "cloud_40", "stripes")
"""The kinds of masks in the training pool."""
GAPS = {"stripes": masks.stripes, "wedges": masks.wedges}
PATTERN = re.compile(r"(?P<what>cloud|snow)_(?P<share>[0-9]{1,2})(?P<shadow>_shadow)?")
SMALLEST = 32
SETTINGS: dict[str, Any] = {"size": 128, "cases": CASES, "pool": 32}
CHANGED = 100
"""Labels from here on mark land that changed between the dates."""


class CloudRemoval(Task):
    """See the module's docstring."""

    name = "cloud_removal"
    pools_from = "nothing"
    domain = "scenes"
    inputs = {"target": ArraySpec("float", 4), "reference": ArraySpec("float", 4),  # noqa: RUF012
              "mask": ArraySpec("mask", 1)}
    target = {"truth": ArraySpec("float", 4)}  # noqa: RUF012
    output = {"image": ArraySpec("float", 4)}  # noqa: RUF012

    def degradations(self, settings: dict[str, Any]) -> list[str]:
        """The setting `cases`; an unknown name is a `UserError`."""
        names = list(_resolve(settings)["cases"])
        for name in names:
            if name not in GAPS and not PATTERN.fullmatch(name):
                raise UserError(f"{name!r} is no case of cloud_removal; write cloud_20, cloud_20_shadow, snow_20 (any "
                                f"per cent), {' or '.join(GAPS)}.")
        return names

    def accepts(self, picture: np.ndarray, settings: dict[str, Any]) -> str | None:
        """Refuses scenes with a side below 32 pixels."""
        return f"a side is below {SMALLEST} pixels" if min(picture.shape[:2]) < SMALLEST else None

    def test_sample(self, picture: Record, degradation: str, seed: int, settings: dict[str, Any]) -> Sample:
        """The whole scene under one cloud or gap; facts `hole_ratio`, and `changed_ratio` of the hidden pixels where
        the scene has labels."""
        rng = generator(seed, picture.id, degradation)
        truth = picture.arrays["target"]
        gaps = hidden(truth.shape[0], truth.shape[1], degradation, rng)
        mask = (gaps > 0).astype(np.uint8)
        facts: dict[str, Any] = {"kind": degradation, "hole_ratio": float(mask.mean())}
        if "labels" in picture.arrays and mask.any():
            facts["changed_ratio"] = float((picture.arrays["labels"][..., 0][mask > 0] >= CHANGED).mean())
        return Sample({"target": seen(truth, gaps, degradation, rng), "reference": picture.arrays["reference"],
                       "mask": mask[..., None]}, {"truth": truth}, facts)

    def training_records(self, pictures: Sequence[Record], seed: int, settings: dict[str, Any]) -> Iterator[Record]:
        """The two dates of each scene as they are."""
        for picture in pictures:
            yield Record(picture.id, {key: picture.arrays[key] for key in ("target", "reference")}, picture.facts)

    def training_pools(self, pictures: Sequence[Record], seed: int,
                       settings: dict[str, Any]) -> dict[str, list[Record]]:
        """`masks`: `pool` masks of each kind in `TRAINING`, `size` x `size` x 1; facts `kind` and `ratio`."""
        given, records = _resolve(settings), []
        size = given["size"]
        for kind in TRAINING:
            for number in range(given["pool"]):
                mask = hidden(size, size, kind, generator(seed, "mask", kind, number))
                records.append(Record(f"{kind}-{number:04d}", {"mask": mask[..., None]},
                                      {"kind": kind, "ratio": float(mask.mean())}))
        return {"masks": records}

    def training_sample(self, record: Record, pools: dict[str, Shards], rng: np.random.Generator, run: dict[str, Any],
                        options: dict[str, Any]) -> Sample:
        """A turned crop of side `patch` of both dates under a crop of a pool mask of a kind in the run's `masks`."""
        kinds = list(run.get("masks") or TRAINING)
        kind = kinds[int(rng.integers(len(kinds)))]
        pool, side = pools["masks"], run["patch"]
        number = int(rng.integers(len(pool) // len(TRAINING)))
        try:
            mask = pool.arrays(pool.position(f"{kind}-{number:04d}"))["mask"]
        except KeyError:
            raise UserError(f"There are no training masks {kind!r}; a run's setting `masks` takes {', '.join(TRAINING)}"
                            f".") from None
        both = _crop({name: record.arrays[name] for name in ("target", "reference")}, side, rng)
        cut = augment({**both, **_crop({"mask": mask}, side, rng)}, rng)
        return Sample({"target": seen(cut["target"], cut["mask"][..., 0], kind, rng), "reference": cut["reference"],
                       "mask": cut["mask"]}, {"truth": cut["target"]}, {"kind": kind})

    def compose(self, inputs: dict[str, np.ndarray], output: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Band by band: the output where the mask is 1, the untouched input elsewhere."""
        return {**output, "image": np.where(inputs["mask"] > 0, output["image"], inputs["target"])}


def hidden(height: int, width: int, kind: str, rng: np.random.Generator) -> np.ndarray:
    """What is hidden by a degradation of that name: H x W uint8, 0 clear, 1 cloud, snow or gap, 2 shadow only."""
    if kind in GAPS:
        return GAPS[kind](height, width, rng)
    parts = PATTERN.fullmatch(kind)
    if parts is None:
        raise UserError(f"{kind!r} is no degradation of cloud_removal.")
    mask = clouds.simulated_cloud(height, width, rng, int(parts["share"]) / 100)
    return 2 * clouds.with_shadow(mask) - mask if parts["shadow"] else mask


def seen(truth: np.ndarray, gaps: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """What the sensor gives where `gaps` (see `hidden`) is not 0: white cloud, dark shadow, snow, or 0 in a gap."""
    if kind in GAPS:
        return np.where(gaps[..., None] > 0, np.float32(0), truth)
    if kind.startswith("snow"):
        return np.where(gaps[..., None] > 0, clouds.snow(truth, gaps, rng), truth)
    return np.where(gaps[..., None] > 0, clouds.cover(truth, gaps == 1, rng, shadow=gaps == 2), truth)


def _resolve(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings over their defaults; an unknown key is a `UserError`."""
    for key in settings:
        if key not in SETTINGS:
            raise UserError(f"The task cloud_removal has no setting {key!r}.{nearest(key, SETTINGS)}")
    return {**SETTINGS, **settings}


def _crop(arrays: dict[str, np.ndarray], side: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The same random square of all arrays."""
    height, width = next(iter(arrays.values())).shape[:2]
    if min(height, width) < side:
        raise UserError(f"The setting `patch` is {side}, but a scene or its masks are {height} x {width}; lower it.")
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    return {name: value[top:top + side, left:left + side] for name, value in arrays.items()}


TASK = CloudRemoval()
