"""How far a detector's clouds and shadows must be grown, and what its masks cost whoever fills them.

    python benchmarks/cloud_masks.py                 # figures by growth, on the validation scenes
    python benchmarks/cloud_masks.py --fill          # hidden pixels filled under the true mask and under found ones

The first prints IoU, precision and recall of clouds and the IoU of shadows, means over four kinds of clouds and four
draws of each. The second lays clouds and shadows over the real scenes of two dates, finds them with the settings of the
active profile and as published, fills what each detector marks by one straight line a band (`rs_global_linear`) and
prints the PSNR over what was truly hidden: a pixel of cloud that is missed stays cloud, and one more in the mask is one
less to fit on.
Needs prepared/.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from restore_ml import registry
from restore_ml.arrays import Arrays
from restore_ml.base import layout
from restore_ml.data.bands import whole
from restore_ml.data.shards import Record, Shards
from restore_ml.method import Method, Model
from restore_ml.metrics.hole import psnr_hole
from restore_ml.restoring.harness import restore
from restore_ml.runs import settings
from restore_ml.tasks.base import Sample
from restore_ml.tasks.cloud_detection.task import CLOUD, SHADOW
from restore_ml.tasks.optional_inputs import add_optional
from restore_ml.tasks.protocol import protocol

TASK = "cloud_detection"
KINDS = ("thick_20", "thin_20", "thick_20_shadow", "thin_20_shadow")
GROWN: dict[str, list[dict[str, Any]]] = {
    "bright_pixels": [{}], "fmask_lite": [{"grow": pixels} for pixels in range(5)],
    "fmask": [{"cloud_buffer": pixels, "shadow_buffer": pixels} for pixels in range(5)]
             + [{"cloud_buffer": 5, "shadow_buffer": 10}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fill", action="store_true")
    if parser.parse_args().fill:
        fill()
    else:
        grow()


def grow() -> None:
    """Figures by growth."""
    rules = protocol(TASK)
    scenes = list(Shards(layout.root() / layout.PREPARED / "scenes" / "validation"))
    print("| method | settings | iou | precision | recall | shadow_iou |\n|---|---|---|---|---|---|")
    for name, variants in GROWN.items():
        for variant in variants:
            method = registry.method(TASK, name, variant)
            rows = [rules.measure(sample.inputs, found(method, sample), sample.target, None)
                    for record, kind, seed in itertools.product(scenes, KINDS, range(1, 5))
                    for sample in [drawn(record, kind, seed)]]
            values = [np.nanmean([row[key] for row in rows]) for key in ("iou", "precision", "recall", "shadow_iou")]
            print(f"| {name} | {variant} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


def fill() -> None:
    """What is filled under each mask."""
    params = settings.load(layout.root() / layout.PARAMS)
    filling = registry.method("cloud_removal", "rs_global_linear", {})
    print("| mask | thick_20_shadow | thin_20_shadow |\n|---|---|---|")
    masks: dict[str, Method | None] = {"true": None}
    for name in GROWN:
        masks |= {name: registry.method(TASK, name, params.runs[f"{TASK}/{name}"].settings),
                  f"{name}, as published": registry.method(TASK, name, {})}
    for name, method in masks.items():
        values = [np.mean(list(filled(kind, method, filling))) for kind in KINDS[2:]]
        print(f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)


def filled(kind: str, method: Method | None, filling: Method) -> Iterator[float]:
    """PSNR in dB over what is truly hidden, for each of the real scenes; `method`: None for the true mask."""
    for record in Shards(layout.root() / layout.PREPARED / "scenes" / "test" / "scenes_real"):
        sample = drawn(record, kind, 1)
        codes = sample.target if method is None else found(method, sample)
        mask = np.isin(codes["codes"], (CLOUD, SHADOW)).astype(np.uint8)
        given = {"target": sample.inputs["target"], "reference": whole(record.arrays, "reference"), "mask": mask,
                 "bands": sample.inputs["bands"]}
        hidden = np.isin(sample.target["codes"], (CLOUD, SHADOW))
        yield psnr_hole(restore(filling, Model(), given, 1)["image"], whole(record.arrays, "target"), hidden, 1.0)


def drawn(record: Record, kind: str, seed: int) -> Sample:
    """The scene under clouds of a kind, with the azimuth of its sun."""
    parts = registry.parts(TASK)
    assert parts.cases is not None
    sample = parts.cases.sample(record, kind, seed, {})
    add_optional(parts.optional, sample, kind, seed, record.id)
    return sample


def found(method: Method, sample: Sample) -> Arrays:
    return restore(method, Model(), sample.inputs, 1)


if __name__ == "__main__":
    main()
